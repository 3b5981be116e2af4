#!/usr/bin/env python3
"""Writes the sample mail that ships with mailkeep: sample/mail/FOLDER.mbox.

The mail of an invented small organisation, a harbour cooperative that keeps boats, a lighthouse and a museum. Every
text was written for this project; all domains are those of RFC 2606; nobody in it exists. The MIME is put together
here byte by byte, since much of it is odd on purpose and no library would write it; texts stand in texts.py.

Same input, same bytes: no clock, no randomness but a seeded generator of our own, no compression whose output may
change between versions. `python3 make.py` writes, `python3 make.py --check` compares with what is there.
"""

import base64
import binascii
import datetime
import hashlib
import pathlib
import struct
import sys
import zlib

import texts

HERE = pathlib.Path(__file__).resolve().parent
UTC = datetime.timezone.utc


class Dice:
    """A small generator (xorshift32), the same on every Python."""

    def __init__(self, seed):
        self.state = seed

    def roll(self, sides):
        x = self.state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        self.state = x
        return x % sides

    def pick(self, items):
        return items[self.roll(len(items))]


# --- pieces of a message -------------------------------------------------------------------------------------------


def word(text, charset="utf-8", kind="B"):
    """An encoded word, or several (RFC 2047: at most 75 characters each), unless plain ASCII does."""
    if text.isascii():
        return text
    words, piece = [], ""
    for char in text:
        if len(encode_word(piece + char, charset, kind)) > 75:
            words.append(encode_word(piece, charset, kind))
            piece = ""
        piece += char
    words.append(encode_word(piece, charset, kind))
    return "\n ".join(words)


def encode_word(text, charset, kind):
    data = text.encode(charset)
    if kind == "B":
        inner = base64.b64encode(data).decode()
    else:
        inner = "".join(
            chr(b) if chr(b).isascii() and chr(b).isalnum() else "_" if b == 32 else "=%02X" % b for b in data
        )
    return f"=?{charset}?{kind}?{inner}?="


def person(key, charset="utf-8", kind="B"):
    name, address = texts.PEOPLE[key]
    if name.isascii():
        quoted = f'"{name}"' if any(c in name for c in ",.()") else name
        return f"{quoted} <{address}>"
    return f"{word(name, charset, kind)} <{address}>"


def date(when):
    days = "Mon Tue Wed Thu Fri Sat Sun".split()
    months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
    zone = when.strftime("%z")
    return (
        f"{days[when.weekday()]}, {when.day:02} {months[when.month - 1]} {when.year} {when.strftime('%H:%M:%S')} {zone}"
    )


def quoted_printable(data):
    """RFC 2045 §6.7, lines of at most 76."""
    lines = []
    for line in data.split(b"\n"):
        out = ""
        for at, byte in enumerate(line):
            last = at == len(line) - 1
            if byte == 61 or byte < 32 and byte != 9 or byte > 126 or (byte in (9, 32) and last):
                piece = "=%02X" % byte
            else:
                piece = chr(byte)
            if len(out) + len(piece) > 75:
                lines.append(out + "=")
                out = ""
            out += piece
        lines.append(out)
    return "\n".join(lines).encode()


def base64_lines(data, width=76):
    text = base64.b64encode(data).decode()
    return "\n".join(text[at : at + width] for at in range(0, len(text), width)).encode() + b"\n"


def part(kind, data, cte=None, *headers):
    """A body part: header lines, a blank line, the encoded content."""
    lines = [f"Content-Type: {kind}"]
    if cte:
        lines.append(f"Content-Transfer-Encoding: {cte}")
    lines.extend(headers)
    body = {"base64": base64_lines, "quoted-printable": quoted_printable}.get(cte, lambda data: data)(data)
    return "\n".join(lines).encode() + b"\n\n" + body


def text_part(text, charset="utf-8", cte="8bit", subtype="plain", *headers, parameters=""):
    return part(f"text/{subtype}; charset={charset}{parameters}", text.encode(charset), cte, *headers)


def attachment(kind, name, data, cte="base64"):
    if name.isascii():
        return part(f'{kind}; name="{name}"', data, cte, f'Content-Disposition: attachment; filename="{name}"')
    extended = "utf-8''" + "".join(
        chr(b) if chr(b).isascii() and (chr(b).isalnum() or chr(b) in ".-_") else "%%%02X" % b for b in name.encode()
    )
    return part(kind, data, cte, f"Content-Disposition: attachment;\n filename*={extended}")


def multipart(subtype, *parts, boundary=None, preamble=b"", close=True, parameters=""):
    """A multipart entity; its boundary comes from its content, so that it is the same every time."""
    boundary = boundary or "=_" + hashlib.sha256(b"".join(parts)).hexdigest()[:24]
    out = [f'Content-Type: multipart/{subtype}; boundary="{boundary}"{parameters}\n\n'.encode() + preamble]
    for one in parts:
        out.append(f"--{boundary}\n".encode() + one.rstrip(b"\n") + b"\n")
    if close:
        out.append(f"--{boundary}--\n".encode())
    return b"".join(out)


def png(width, height, colour):
    """A plain picture: a field of one colour with a lighter horizon."""
    lighter = tuple(min(255, c + 60) for c in colour)
    rows = b"".join(b"\0" + bytes(colour if y > height // 3 else lighter) * width for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", binascii.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    # Stored blocks, not deflated: the bytes must not depend on zlib's version.
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def pdf(lines):
    """One page of text."""
    shown = " ".join(f"({line.replace('(', '').replace(')', '')}) Tj T*" for line in lines)
    stream = f"BT /F1 11 Tf 60 780 Td 15 TL {shown} ET".encode("latin-1")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n" + table
    return out + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start


def calendar(uid, summary, when, hours, place):
    stamp = when.astimezone(UTC)
    end = stamp + datetime.timedelta(hours=hours)
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Harbour Cooperative//Bookings//EN", "METHOD:REQUEST",
        "BEGIN:VEVENT", f"UID:{uid}@example.org", f"DTSTAMP:{stamp:%Y%m%dT%H%M%SZ}", f"DTSTART:{stamp:%Y%m%dT%H%M%SZ}",
        f"DTEND:{end:%Y%m%dT%H%M%SZ}", f"SUMMARY:{summary}", f"LOCATION:{place}",
        "ORGANIZER;CN=Harbour Office:mailto:office@example.org", "END:VEVENT", "END:VCALENDAR", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def card(key):
    name, address = texts.PEOPLE[key]
    family = name.split()[-1]
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nN:{family};{name.split()[0]}\r\nFN:{name}\r\nEMAIL:{address}\r\nEND:VCARD\r\n".encode()


def html(title, paragraphs, picture=None):
    image = f'<p><img src="cid:{picture}" alt="{title}"></p>\n' if picture else ""
    body = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title><style>p {{ color: #123 }}</style></head>\n"
        f"<body><h1>{title}</h1>\n{image}{body}\n</body></html>\n"
    )


def uuencode(name, data):
    lines = [b"begin 644 " + name.encode()]
    lines += [binascii.b2a_uu(data[at : at + 45]).rstrip(b"\n") for at in range(0, len(data), 45)]
    return b"\n".join(lines + [b"`", b"end", b""])


# --- folders -------------------------------------------------------------------------------------------------------


class Folder:
    """Messages of one mbox, in the order they were written."""

    def __init__(self, path):
        self.path = path
        self.messages = []

    def add(self, sender, when, headers, entity, raw_headers=b""):
        """`entity`: MIME headers, blank line and body; `headers`: (name, value) in order; `raw_headers`: bytes as they are."""
        lines = "".join(f"{name}: {value}\n" for name, value in headers).encode()
        self.messages.append((texts.PEOPLE[sender][1], when, lines + raw_headers + b"MIME-Version: 1.0\n" + entity))

    def write_raw(self, address, when, message):
        self.messages.append((address, when, message))

    def mbox(self):
        """mboxrd: From_ lines in the body get a `>` more, so that reading can undo it."""
        out = []
        for address, when, message in self.messages:
            stamp = when.astimezone(UTC)
            line = f"From {address} {stamp.strftime('%a %b')} {stamp.day:2} {stamp.strftime('%H:%M:%S %Y')}\n"
            lines = message.split(b"\n")
            quoted = [b">" + one if one.lstrip(b">").startswith(b"From ") else one for one in lines]
            body = b"\n".join(quoted)
            out.append(line.encode() + body + (b"" if body.endswith(b"\n") else b"\n") + b"\n")
        return b"".join(out)


class Post:
    """Numbers messages, so that every Message-ID is given once."""

    def __init__(self):
        self.count = 0

    def id(self, host="example.org"):
        self.count += 1
        return f"<{hashlib.sha256(str(self.count).encode()).hexdigest()[:16]}.{self.count}@{host}>"


POST = Post()


def head(sender, to, subject, when, *more, charset="utf-8", kind="B", number=None):
    return [
        ("From", person(sender, charset, kind)),
        ("To", ", ".join(person(one, charset, kind) for one in to)),
        ("Subject", word(subject, charset, kind)),
        ("Date", date(when)),
        ("Message-ID", number or POST.id(texts.PEOPLE[sender][1].split("@")[1])),
        *more,
    ]


def at(year, month, day, hour=9, minute=0, zone=0):
    """A moment in a zone given in minutes east of Greenwich."""
    return datetime.datetime(year, month, day, hour, minute, 7 * minute % 60, tzinfo=datetime.timezone(datetime.timedelta(minutes=zone)))


def languages(inbox, journey):
    """Every letter of texts.LETTERS in its charset and encoding."""
    dice = Dice(2463534242)
    for number, (language, sender, charset, cte, subject, body) in enumerate(texts.LETTERS):
        when = at(2011 + number % 13, 1 + number * 5 % 12, 1 + number * 11 % 28, 7 + number % 12, number * 17 % 60, texts.ZONES.get(language, 60))
        headers = head(sender, ["clara"], subject, when, ("Content-Language", language), charset=charset, kind=dice.pick("BQ") if charset.startswith("iso-8859") else "B")
        folder = journey if language in ("ja", "zh", "ko", "th", "vi") else inbox
        plain = text_part(body, charset, cte)
        if number % 4 == 1:
            web = html(subject, body.strip().split("\n\n"))
            folder.add(sender, when, headers, multipart("alternative", plain, text_part(web, "utf-8", "base64", "html")))
        elif number % 4 == 3:
            picture = png(24 + number, 16, (20, 60 + number, 120))
            folder.add(sender, when, headers, multipart("mixed", plain, attachment("image/png", texts.PICTURES[number % len(texts.PICTURES)], picture)))
        else:
            folder.add(sender, when, headers, plain)


def thread(folder, start, subject, turns, list_id=None, flowed=False):
    """A conversation: each turn answers the one before (or the one it names), quoting its first lines."""
    numbers, bodies = [], []
    for index, turn in enumerate(turns):
        sender, hours, body = turn[:3]
        parent = turn[3] if len(turn) > 3 else index - 1
        when = start + datetime.timedelta(hours=hours, minutes=index * 13 % 60)
        number = POST.id(texts.PEOPLE[sender][1].split("@")[1])
        more = []
        text = body
        if index:
            chain = [parent]
            while chain[0] > 0:
                chain.insert(0, turns[chain[0]][3] if len(turns[chain[0]]) > 3 else chain[0] - 1)
            more = [("In-Reply-To", numbers[parent]), ("References", "\n ".join(numbers[one] for one in chain))]
            shown = [line for line in bodies[parent].split("\n") if line and not line.startswith(">")][:4]
            text = f"{texts.PEOPLE[turns[parent][0]][0]} wrote:\n" + "\n".join("> " + line for line in shown) + "\n\n" + body
        recipients = ["list"] if list_id else sorted({one[0] for one in turns} - {sender}) or ["clara"]
        if list_id:
            more += [("List-Id", f"Boat builders <{list_id}>"), ("List-Post", "<mailto:boatbuilders@example.net>"), ("Precedence", "list")]
            text += "\n-- \nboatbuilders mailing list\nhttps://lists.example.net/boatbuilders\n"
        numbers.append(number)
        bodies.append(body)
        title = subject if not index else "Re: " + subject
        parameters = "; format=flowed; delsp=no" if flowed else ""
        if flowed:
            text = flow(text)
        ascii_only = text.isascii()
        entity = text_part(text, "us-ascii" if ascii_only else "utf-8", "7bit" if ascii_only else "quoted-printable", parameters=parameters)
        folder.add(sender, when, head(sender, recipients, title, when, *more, number=number), entity)


def flow(text):
    """RFC 3676: paragraphs in lines of about 66 with a blank at the end of each but the last."""
    out = []
    for line in text.split("\n"):
        if line.startswith(">") or len(line) < 70:
            out.append(line)
            continue
        piece = ""
        for one in line.split(" "):
            if len(piece) + len(one) > 66:
                out.append(piece)
                piece = ""
            piece += one + " "
        out.append(piece.rstrip(" "))
    return "\n".join(out)


def reports(folder):
    """The harbour office's weekly report: a table in HTML and CSV."""
    dice = Dice(88172645)
    for week in range(52):
        when = at(2018, 1, 5, 16, 30, 60) + datetime.timedelta(weeks=week * 5)
        visitors, berths, wind = 80 + dice.roll(400), 5 + dice.roll(30), 2 + dice.roll(8)
        remark = dice.pick(texts.REMARKS)
        days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        counts = [visitors // 7 + dice.roll(9) for _ in days]
        rows = "\n".join(f"{day},{count},{1 + dice.roll(6)}" for day, count in zip(days, counts))
        plain = f"Visitors this week: {sum(counts)}\nBerths taken: {berths} of 36\nWind at noon, on average: {wind} Bft\n\n{remark}\n\nHarbour Office\n"
        web = html(f"Week {when.isocalendar()[1]}", [f"Visitors: <b>{sum(counts)}</b>", f"Berths taken: {berths} of 36", remark])
        entity = multipart(
            "mixed",
            multipart("alternative", text_part(plain, "us-ascii", "7bit"), text_part(web, "utf-8", "quoted-printable", "html")),
            attachment("text/csv", f"week-{when:%Y-%m-%d}.csv", ("day,visitors,wind\n" + rows + "\n").encode(), "7bit"),
        )
        headers = head("office", ["clara", "jonas"], f"Weekly report {when.year}/{when.isocalendar()[1]:02}", when)
        folder.add("office", when, headers, entity)


def invoices(folder, year):
    dice = Dice(521288629 + year)
    for month in range(1, 13):
        when = at(year, month, 3 + dice.roll(20), 8 + dice.roll(9), dice.roll(60), 60 if month in (1, 2, 3, 11, 12) else 120)
        item, price = dice.pick(texts.GOODS), 40 + dice.roll(900)
        number = f"{year}-{month:02}{dice.roll(90) + 10}"
        plain = f"Guten Tag,\n\nanbei die Rechnung {number} über {price},00 € für {item}. Zahlbar innerhalb von 30 Tagen ohne Abzug.\n\nMit freundlichen Grüßen\nBuchhaltung, Schiffsausrüstung Beispiel\n"
        page = pdf([f"Rechnung {number}", f"Datum: {when:%d.%m.%Y}", f"Leistung: {item}".encode("ascii", "replace").decode(), f"Betrag: {price},00 EUR"])
        charset, cte = dice.pick([("iso-8859-15", "quoted-printable"), ("windows-1252", "8bit"), ("utf-8", "base64")])
        subject = f"Rechnung {number}: {item}"
        entity = multipart("mixed", text_part(plain, charset, cte), attachment("application/pdf", f"Rechnung-{number}.pdf", page))
        folder.add("billing", when, head("billing", ["clara"], subject, when, charset=charset, kind="Q"), entity)


def bookings(folder):
    """Berth bookings: an invitation as an alternative and as a file, and a visiting card."""
    dice = Dice(36243606)
    for number, (guest, boat, place) in enumerate(texts.BOATS):
        when = at(2016 + number % 8, 4 + number % 6, 1 + dice.roll(27), 10 + dice.roll(8), dice.roll(60), 120)
        start = when + datetime.timedelta(days=20 + dice.roll(30))
        summary = f"Berth for {boat}"
        event = calendar(f"berth-{number}", summary, start, 24 * (1 + dice.roll(6)), place)
        plain = f"Dear harbour master,\n\nwe should like a berth for {boat} from {start:%d %B %Y}. {texts.WISHES[number % len(texts.WISHES)]}\n\nKind regards\n{texts.PEOPLE[guest][0]}\n"
        entity = multipart(
            "mixed",
            multipart("alternative", text_part(plain, "utf-8", "8bit"), part("text/calendar; charset=utf-8; method=REQUEST", event, "base64")),
            attachment("application/ics", "invite.ics", event),
            attachment("text/vcard", texts.PEOPLE[guest][0].split()[-1] + ".vcf", card(guest), "8bit"),
        )
        folder.add(guest, when, head(guest, ["office"], f"Booking: {summary}", when), entity)


def newsletters(folder):
    for number, (title, paragraphs) in enumerate(texts.NEWS):
        when = at(2015 + number, 12, 1 + number, 18, 0, 60)
        picture = png(72, 24, (10, 40 + 15 * number % 200, 140))
        plain = title + "\n\n" + "\n\n".join(paragraphs) + "\n"
        related = multipart(
            "related",
            text_part(html(title, paragraphs, f"head{number}@example.org"), "utf-8", "quoted-printable", "html"),
            part('image/png; name="head.png"', picture, "base64", f"Content-ID: <head{number}@example.org>", "Content-Disposition: inline; filename=head.png"),
            parameters='; type="text/html"',
        )
        headers = head("office", ["members"], title, when, ("List-Unsubscribe", "<mailto:announce-leave@example.org>"), ("Precedence", "bulk"))
        folder.add("office", when, headers, multipart("alternative", text_part(plain, "utf-8", "quoted-printable"), related))


def answers(folder):
    """What Clara sent: short answers in the language of the letter."""
    for number, (to, subject, body) in enumerate(texts.ANSWERS):
        when = at(2014 + number % 10, 1 + number * 7 % 12, 1 + number * 3 % 28, 11 + number % 7, number * 23 % 60, 60)
        more = [("Cc", person("jonas"))] if number % 3 == 0 else []
        if number % 5 == 0:
            more.append(("Bcc", person("office")))
        folder.add("clara", when, head("clara", [to], subject, when, *more), text_part(body, "utf-8", "quoted-printable" if number % 2 else "8bit"))


def drafts(folder):
    for number, (subject, body) in enumerate(texts.DRAFTS):
        when = at(2020 + number % 4, 2 + number % 10, 5 + number, 21, number * 7 % 60, 60)
        folder.add("clara", when, head("clara", ["jonas"], subject, when, charset="iso-8859-1", kind="Q"), text_part(body, "utf-8", "8bit"))


def curiosities(folder):
    """Mail as it shouldn't be, but is."""
    step = iter(range(100))

    def moment():
        number = next(step)
        return at(2003 + number % 20, 1 + number % 12, 2 + number % 26, 3, number, (-570, 0, 345, 840)[number % 4])

    def odd(title, entity, *more, raw=b"", sender="archivist"):
        when = moment()
        folder.add(sender, when, head(sender, ["clara"], title, when, *more), entity, raw)

    note = "The scanner in the museum wrote this one; please keep it as it is.\n"
    plain = text_part(note, "us-ascii", "7bit")
    picture = png(12, 12, (200, 30, 30))
    odd("Scan without a closing boundary", multipart("mixed", plain, attachment("image/png", "scan.png", picture), close=False))
    odd("A multipart with an empty part", multipart("mixed", plain, b"\n", text_part("After the empty part.\n", "us-ascii", "7bit")))
    odd("A multipart without any part", b'Content-Type: multipart/mixed; boundary="none"\n\nOnly a preamble, then nothing.\n')
    odd("Boundary that is a prefix of another", multipart("mixed", multipart("alternative", plain, plain, boundary="ab-inner"), plain, boundary="ab"))
    odd("Preamble and epilogue", multipart("mixed", plain, preamble=b"This is a message in MIME format.\nYour reader is old.\n") + b"\nAn epilogue that nobody reads.\n")
    odd("8-bit header follows", plain, raw="X-Place: Büsum, Größe 3 m\n".encode("latin-1") + "Comments: Straße am Hafen – naïve café\n".encode())
    odd("Subject above", plain, raw=b"Keywords: one,\n\ttwo,\n   three\n")
    odd("A name in three pieces", multipart("mixed", plain, part(
        "application/octet-stream;\n name*0*=iso-8859-1'de'Plan%20der%20K;\n name*1*=%FCste%20;\n name*2=\"2009.dat\"", b"\0\1\2plan\xff" * 9, "base64",
        "Content-Disposition: attachment;\n filename*0*=iso-8859-1'de'Plan%20der%20K;\n filename*1*=%FCste%20;\n filename*2=\"2009.dat\"")))
    odd("Encoded word in a parameter", multipart("mixed", plain, part(
        'application/pdf; name="=?utf-8?B?w5xiZXJzaWNodC5wZGY=?="', pdf(["Uebersicht"]), "base64", 'Content-Disposition: attachment; filename="=?utf-8?Q?=C3=9Cbersicht.pdf?="')))
    odd("Uuencoded, as in the old days", part("text/plain; charset=us-ascii", b"The tide table as a file:\n\n" + uuencode("tide.txt", b"high 04:12 3.1 m\nlow 10:31 0.4 m\n" * 4)))
    odd("Soft breaks everywhere", part("text/plain; charset=utf-8", b"An =\nunfinished =\nsentence=2C with a bad =XX escape, =3D, a lower-case =c3=a9 and a trailing =", None, "Content-Transfer-Encoding: quoted-printable"))
    odd("Base64 with remarks in it", part("text/plain; charset=utf-8", b"VGhlIGxpZ2h0aG91c2Ug\n*** scanned ***\naXMgb3BlbiBh\nZ2Fpbi4=\n", None, "Content-Transfer-Encoding: base64"))
    odd("Unknown encoding", part("text/plain; charset=us-ascii", b"These bytes are as they are.\n", None, "Content-Transfer-Encoding: x-rot13"))
    odd("Unknown charset", part("text/plain; charset=x-harbour-1", b"Plain enough to read anyway.\n", "8bit"))
    odd("No such type", part("texte; lisible", b"Not a MIME type at all.\n"))
    odd("Forwarded as it came", multipart("mixed", plain, part("message/rfc822", b"From: keeper@example.net\nTo: archivist@example.org\nSubject: Lamp log\nDate: Sat, 01 Feb 2003 04:05:06 +0000\nMessage-ID: <lamp-log@example.net>\nMIME-Version: 1.0\n" + multipart("alternative", plain, text_part("<p>Lamp lit at 16:40.</p>", "us-ascii", "7bit", "html")), None, "Content-Disposition: attachment")))
    inner = b"Subject: the innermost\n\nFound at last.\n"
    for depth in range(12, 0, -1):
        inner = f"Subject: forwarded {depth} times\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n".encode() + inner
    odd("A letter in a letter in a letter", part("message/rfc822", inner))
    odd("Digest of the week", multipart("digest", b"\nFrom: a@example.net\nSubject: first\n\nOne.\n", b"\nFrom: b@example.net\nSubject: second\n\nTwo.\n"))
    odd("Delivery failed", multipart("report", text_part("The mail could not be delivered.\n", "us-ascii", "7bit"), part("message/delivery-status", b"Reporting-MTA: dns; mail.example.org\n\nFinal-Recipient: rfc822; nobody@example.net\nAction: failed\nStatus: 5.1.1\n"), part("text/rfc822-headers", b"From: clara@example.org\nSubject: lost\n"), parameters="; report-type=delivery-status"), ("Auto-Submitted", "auto-replied"))
    odd("From the keeper", part("text/plain; charset=us-ascii", b"From here one sees the whole bay.\nFrom there, less.\n\nFrom time to time there is fog.\n"))
    odd("No body at all", b"Content-Type: text/plain\n\n")
    odd("Trailing blanks and tabs  ", part("text/plain; charset=us-ascii", b"tab\tand blanks   \n\t\n \n.\n..\nend"))
    odd("Very long line", part("text/plain; charset=us-ascii", b"fog " * 800 + b"\n"))
    odd("One lonely CR", part("text/plain; charset=us-ascii", b"half a line end\rhere, and a form feed\x0chere\n"))
    odd("Signed, more or less", multipart("signed", plain, part("application/pgp-signature; name=signature.asc", b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n=AAAA\n-----END PGP SIGNATURE-----\n"), parameters='; micalg=pgp-sha256; protocol="application/pgp-signature"'))
    odd("Groups and comments", plain, ("Cc", "Crew: ann@example.net (first mate), \"B. (boatswain)\" <b@example.net>;, undisclosed-recipients:;"), ("Reply-To", '"Office, harbour" <office@example.org>'))
    odd("Two of the same", plain, ("Subject", "a second subject"), ("To", "second@example.net"))
    odd("HTML only", text_part("<html><body>Fog &amp; rain &mdash; f&uuml;r <b>drei</b> Tage<br>bis&nbsp;Freitag<script>var x = 'hidden';</script></body></html>\n", "us-ascii", "7bit", "html"))
    odd("UTF-7 from an old client", part("text/plain; charset=utf-7", b"Gr+APwA3w-e aus dem Watt +ICI-\n", "7bit"))
    odd("UTF-16 in base64", part("text/plain; charset=utf-16", b"\xff\xfe" + "Nebel über der Bucht\n".encode("utf-16-le"), "base64"))
    when = moment()
    folder.write_raw("fax@example.net", when, b"From: fax@example.net\nDate: 14 Feb 03 6:02 PM\nSubject: no MIME, a date from the fax, and bytes of GB18030\n\n" + "灯塔已经修好了。\n".encode("gb18030"))
    folder.write_raw("fax@example.net", moment(), b"Subject: no sender, no date\n\nPage 1 of 0.\n")
    folder.write_raw("fax@example.net", moment(), b"From: fax@example.net\nThis is no header line\nSubject: after a broken header line\n\nPage 2 of 0.\n")


def build():
    """All folders with their bytes."""
    inbox, journey = Folder("Inbox"), Folder("Journeys/Küste & 海")
    languages(inbox, journey)
    reports(inbox)
    folders = [inbox, journey]

    def folder(path):
        folders.append(Folder(path))
        return folders[-1]

    bookings(folder("Bookings"))
    answers(folder("Sent"))
    for path, start, subject, turns in texts.PROJECTS:
        target = next((one for one in folders if one.path == path), None) or folder(path)
        thread(target, at(*start, zone=60), subject, turns)
    lists = folder("Lists/boatbuilders")
    for number, (start, subject, turns) in enumerate(texts.LIST_THREADS):
        thread(lists, at(*start, zone=(-300, 0, 60, 540)[number % 4]), subject, turns, "boatbuilders.lists.example.net", flowed=number % 2 == 0)
    newsletters(folder("Lists/announce"))
    for year in (2012, 2019, 2022):
        invoices(folder(f"Rechnungen/{year}"), year)
    drafts(folder("Entwürfe & Ablage"))
    curiosities(folder("Curiosities"))
    for one in folders:
        one.messages.sort(key=lambda entry: entry[1])
    return {one.path: (len(one.messages), one.mbox()) for one in folders}


def main():
    built = build()
    wrong = []
    files = {HERE / "mail" / f"{path}.mbox": data for path, (_, data) in built.items()}
    for file, data in files.items():
        if "--check" in sys.argv[1:]:
            if not file.is_file() or file.read_bytes() != data:
                wrong.append(str(file.relative_to(HERE.parent)))
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    strays = [str(file.relative_to(HERE.parent)) for file in HERE.rglob("*.mbox") if file not in files]
    if wrong or strays:
        sys.exit(f"differs from what make.py writes: {', '.join(wrong + strays)}")
    count, size = sum(n for n, _ in built.values()), sum(len(data) for _, data in built.values())
    print(f"{count} messages, {size} bytes, {len(built)} folders")


if __name__ == "__main__":
    main()
