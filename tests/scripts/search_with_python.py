"""Searches a whole account with imaplib and IMAPClient: HOST PORT USER, the password on standard input.

What a search should find is worked out here, from the Subject fields that the server gives, decoded by Python's email package.
Covers CHARSET with synchronising literals, chains of OR, NOT, ESEARCH, and sequence sets' traps; prints how many mailboxes and
needles were compared.
"""

import email
import email.header
import imaplib
import re
import socket
import sys
import unicodedata

import imapclient

host, port, user = sys.argv[1], int(sys.argv[2]), sys.argv[3]
password = sys.stdin.readline().rstrip("\n")
client = imapclient.IMAPClient(host, port, ssl=False)
client.login(user, password)
# IMAPClient looks for LITERAL+ in what it has cached, and fails if that is nothing.
client.capabilities()
plain = imaplib.IMAP4(host, port)
plain.login(user, password)
# Both send a literal's end on its own, which waits 40 ms for an acknowledgement of the rest.
for connection in [client.socket(), plain.socket()]:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
SUBJECT = "BODY[HEADER.FIELDS (SUBJECT)]"


def fold(text):
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def subject(header):
    value = email.message_from_bytes(header)["Subject"]
    try:
        return str(email.header.make_header(email.header.decode_header(value or "")))
    except (LookupError, UnicodeError):
        return None


def check(mailbox, what, found, expected):
    assert sorted(found) == sorted(expected), (mailbox, what, sorted(found), sorted(expected))


def with_literal(*arguments, literal):
    plain.literal = literal.encode()
    kind, answer = plain.uid("SEARCH", *arguments)
    assert kind == "OK", answer
    return [int(uid) for uid in answer[0].split()]


def extended(returns, *arguments):
    kind, answer = plain.uid("SEARCH", "RETURN", returns, *arguments)
    assert kind == "OK", answer
    line = plain.response("ESEARCH")[1][0].decode()
    match = re.fullmatch(r'\(TAG "[^"]+"\) UID((?: [A-Z]+ [0-9:,]+)*)', line)
    assert match, line
    words = match[1].split()
    return dict(zip(words[::2], words[1::2]))


def uids_of(sequence):
    for part in sequence.split(",") if sequence else []:
        first, _, last = part.partition(":")
        yield from range(int(first), int(last or first) + 1)


mailboxes = needles = 0
for flags, _, name in client.list_folders():
    if b"\\noselect" in {flag.lower() for flag in flags}:
        continue
    client.select_folder(name, readonly=True)
    plain.select(b'"' + imapclient.imap_utf7.encode(name).replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"', readonly=True)
    uids = client.search("ALL")
    # An empty mailbox has no last message, and yet these are no errors.
    assert client.search("1:*") == uids and client.search("UID 1:*") == uids, name
    assert client.search(["UID", "*"]) == uids[-1:] == client.search(["UID", "4294967290:*"]), name
    if not uids:
        assert extended("(MIN MAX ALL COUNT)", "ALL") == {"COUNT": "0"}, name
        continue
    mailboxes += 1
    subjects = {uid: subject(items[SUBJECT.encode()]) for uid, items in client.fetch(uids, ["BODY.PEEK" + SUBJECT[4:]]).items()}
    known = {uid: fold(text) for uid, text in subjects.items() if text is not None and "\ufffd" not in text}
    words = sorted({word for text in known.values() for word in re.findall(r"\w+", text) if len(word) > 2})
    odd = [word for word in words if not word.isascii()][:6]
    some = odd + [word for word in words if word.isascii()][:: max(1, len(words) // 4)][:4]

    def expected(word):
        return {uid for uid, text in known.items() if fold(word) in text}

    def only_known(found):
        return {uid for uid in found if uid in known}

    for word in some:
        needles += 1
        check(name, word, only_known(client.search(["SUBJECT", word], "UTF-8")), expected(word))
        check(name, word, only_known(client.search(["SUBJECT", word.upper()], "UTF-8")), expected(word.upper()))
        check(name, word, only_known(with_literal("CHARSET", "UTF-8", "UNDELETED", "SUBJECT", literal=word)), expected(word))
        # As FairEmail and K-9 do: no CHARSET, and yet UTF-8.
        check(name, word, only_known(with_literal("SUBJECT", literal=word)), expected(word))
        check(name, word, only_known(client.search(["NOT", "SUBJECT", word], "UTF-8")), set(known) - expected(word))
    if len(some) >= 4:
        a, b, c, d = some[:4]
        chain = ["OR", "OR", "OR", "SUBJECT", a, "SUBJECT", b, "SUBJECT", c, "SUBJECT", d]
        union = expected(a) | expected(b) | expected(c) | expected(d)
        check(name, chain, only_known(client.search(chain, "UTF-8")), union)
        check(name, "NOT", only_known(client.search(["NOT", *chain], "UTF-8")), set(known) - union)
    # ESEARCH says the same as SEARCH.
    for key in ["ALL", "NOT 2:3", "LARGER 2000", "SUBJECT e", "SUBJECT no-such-words-anywhere"]:
        found = sorted(client.search(key))
        answer = extended("(MIN MAX COUNT ALL)", key)
        assert int(answer["COUNT"]) == len(found), (name, key, answer)
        assert list(uids_of(answer.get("ALL", ""))) == found, (name, key, answer)
        ends = {"MIN": found[0], "MAX": found[-1]} if found else {}
        assert {k: int(v) for k, v in answer.items() if k in ("MIN", "MAX")} == ends, (name, key, answer)
        assert extended("()", key).keys() == ({"ALL"} if found else set()), (name, key)
    # Sets: beyond the end, backwards, twice, zero.
    last = uids[-1]
    assert sorted(client.fetch(f"{last + 5}:*", ["FLAGS"])) == [last], name
    assert sorted(client.fetch(f"*:{uids[0]}", ["FLAGS"])) == uids, name
    assert sorted(client.fetch(f"{last},{last},{last + 7}", ["FLAGS"])) == [last], name
    assert client.fetch(str(last + 7), ["FLAGS"]) == {}, name
    for refused in ["0", f"{len(uids) + 1}", f"1:{len(uids) + 1}"]:
        try:
            plain.fetch(refused, "(UID)")
        except imaplib.IMAP4.error as error:
            assert "BAD" in str(error), error
        else:
            raise AssertionError(f"{name}: FETCH {refused} is no error")
    plain.noop()
    if mailboxes % 5 == 0:
        # Bad commands are counted; a new login starts anew.
        plain.logout()
        plain = imaplib.IMAP4(host, port)
        plain.login(user, password)
        plain.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

client.select_folder("INBOX", readonly=True)
try:
    client.search(["SUBJECT", "x"], "X-UNKNOWN")
except (imapclient.exceptions.IMAPClientError, LookupError):
    pass
else:
    raise AssertionError("an unknown charset is no error")
print(mailboxes, needles)
client.logout()
plain.logout()
