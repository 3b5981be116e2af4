"""Reads a whole account with Python's imaplib: HOST PORT USER, the password on standard input.

Prints one JSON object a message: mailbox, uid, size (RFC822.SIZE), sha256 (of BODY[]). Whatever imaplib can't parse, or
an answer that isn't OK, ends it with an error.
"""

import hashlib
import imaplib
import json
import re
import sys

imaplib._MAXLINE = 10_000_000
host, port, user = sys.argv[1], int(sys.argv[2]), sys.argv[3]
imap = imaplib.IMAP4(host, port)
imap.login(user, sys.stdin.readline().rstrip("\n"))


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


assert "IMAP4REV1" in imap.capabilities, imap.capabilities
for line in ok(imap.list()):
    match = re.fullmatch(rb'\(([^)]*)\) "/" (.*)', line)
    assert match, line
    if rb"\noselect" in match[1].lower() or rb"\nonexistent" in match[1].lower():
        continue
    name = match[2].decode("ascii")
    count = int(ok(imap.select(name, readonly=True))[0])
    if not count:
        continue
    assert ok(imap.uid("SEARCH", "ALL"))[0].split(), name
    data = ok(imap.uid("FETCH", "1:*", "(RFC822.SIZE BODY.PEEK[])"))
    pairs = [item for item in data if isinstance(item, tuple)]
    assert len(pairs) == count, (name, count, len(pairs))
    for head, body in pairs:
        uid = int(re.search(rb"UID (\d+)", head)[1])
        size = int(re.search(rb"RFC822\.SIZE (\d+)", head)[1])
        print(json.dumps({"mailbox": name, "uid": uid, "size": size, "sha256": hashlib.sha256(body).hexdigest()}))
    # The archive is read-only: the default SELECT says so, in imaplib's own way.
    try:
        imap.select(name)
        raise AssertionError("SELECT for writing succeeded")
    except imaplib.IMAP4.readonly:
        ok(imap.select(name, readonly=True))
imap.logout()
