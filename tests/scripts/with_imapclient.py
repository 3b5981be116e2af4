"""Reads a whole account with IMAPClient: HOST PORT USER, the password on standard input.

Prints one JSON object a message: mailbox, uid, size, sha256, subject, parts. ENVELOPE and BODYSTRUCTURE of every message go
through IMAPClient's parser; what it can't parse ends the script with an error.
"""

import datetime
import hashlib
import json
import sys

import imapclient
from imapclient.response_types import BodyData, Envelope

host, port, user = sys.argv[1], int(sys.argv[2]), sys.argv[3]
client = imapclient.IMAPClient(host, port, ssl=False)
client.login(user, sys.stdin.readline().rstrip("\n"))
assert client.has_capability("NAMESPACE") and client.namespace().personal[0][1] == "/", client.capabilities()


def parts(body):
    if body.is_multipart:
        return sum(parts(one) for one in body[0])
    assert isinstance(body[6], int), body
    return 1


for flags, delimiter, name in client.list_folders():
    lower = {flag.lower() for flag in flags}
    if b"\\noselect" in lower or b"\\nonexistent" in lower:
        continue
    assert delimiter == b"/", delimiter
    status = client.folder_status(name, ["MESSAGES", "UIDNEXT", "UIDVALIDITY"])
    info = client.select_folder(name, readonly=True)
    assert info[b"EXISTS"] == status[b"MESSAGES"] and info[b"UIDVALIDITY"] == status[b"UIDVALIDITY"], (info, status)
    uids = client.search("ALL")
    assert len(uids) == info[b"EXISTS"], name
    for at in range(0, len(uids), 200):
        some = uids[at : at + 200]
        wanted = ["ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE", "FLAGS", "RFC822.SIZE", "BODY.PEEK[]"]
        answer = client.fetch(some, wanted)
        assert sorted(answer) == sorted(some), name
        for uid, items in answer.items():
            body = items[b"BODY[]"]
            assert isinstance(items[b"ENVELOPE"], Envelope) and isinstance(items[b"BODYSTRUCTURE"], BodyData), items
            assert isinstance(items[b"INTERNALDATE"], datetime.datetime), items
            assert b"\\Seen" in items[b"FLAGS"], items
            assert items[b"RFC822.SIZE"] == len(body), (name, uid)
            subject = items[b"ENVELOPE"].subject
            print(json.dumps({
                "mailbox": name, "uid": uid, "size": len(body), "sha256": hashlib.sha256(body).hexdigest(),
                "subject": None if subject is None else subject.decode("utf-8", "replace"),
                "parts": parts(items[b"BODYSTRUCTURE"]),
            }))  # fmt: skip
client.logout()
