"""What must be true of a mailbox after the server was killed.

A `Writer` works on its own mails in mailboxes that all writers share, and notes before each
command what it is about to change and after the tagged OK that it is done.  `Ledger.check`
compares what a client sees after the restart with the notes: what was acknowledged is there once,
with its UID, flags and text; what was not yet acknowledged is there wholly or not at all; no UID
ever means another mail than it once did; what was expunged stays away.
"""

from __future__ import annotations

import imaplib
import random
import re
import smtplib
import threading
from dataclasses import dataclass, field

MAILBOXES = ("INBOX", "Work", "Archive")
FLAGS = ("\\Flagged", "\\Answered", "\\Seen", "$Label")
_UID = re.compile(rb"(?:APPENDUID (\d+) (\S+)|COPYUID (\d+) \S+ (\S+))\]")
_LINE = re.compile(rb"UID (\d+) FLAGS \(([^)]*)\)")
_ID = re.compile(rb"Message-ID: <([^>]+)>", re.IGNORECASE)


@dataclass
class Copy:
    """One mail in one mailbox: where it is, and what may have happened to it at the kill."""

    name: str
    mailbox: str
    uid: int | None
    flags: frozenset[str] = frozenset()
    gone: bool = False
    pending: str = ""
    target: str = ""
    pending_flags: frozenset[str] = frozenset()
    history: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Remember, for the message of a failure."""
        self.history.append(f"{what} in {self.mailbox} as {self.uid}")


@dataclass
class Ledger:
    """The notes of all writers, and every UID that a client was ever told."""

    copies: list[Copy] = field(default_factory=list)
    uids: dict[tuple[str, int, int], str] = field(default_factory=dict)
    uidvalidity: dict[str, int] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    expunged: set[tuple[str, int]] = field(default_factory=set)

    def check(self, client: imaplib.IMAP4) -> None:
        """Compare with what the server shows; then take that as the new truth."""
        seen = {mailbox: self._read(client, mailbox) for mailbox in MAILBOXES}
        self.copies = [copy for copy in self.copies if not copy.gone]
        problems: list[str] = []
        # What is known by its UID is taken; only what is not is looked for by its name.
        used = {(copy.mailbox, copy.uid) for copy in self.copies if copy.uid is not None}
        for copy in sorted(self.copies, key=lambda one: one.uid is None):
            problem = self._settle(copy, seen, used)
            if problem:
                problems.append(problem)
        for mailbox, mails in seen.items():
            for uid, (name, _) in mails.items():
                if (mailbox, uid) in self.expunged:
                    problems.append(f"{mailbox} {uid} ({name}) was expunged and is back")
                if (mailbox, uid) not in used:
                    problems.append(f"{mailbox} {uid}: {name} is there and nobody put it there")
        self.copies = [copy for copy in self.copies if not copy.gone]
        assert not problems, "\n".join(problems[:20])

    def _read(self, client: imaplib.IMAP4, mailbox: str) -> dict[int, tuple[str, frozenset[str]]]:
        answer = client.select(mailbox, readonly=True)
        assert answer[0] == "OK", f"{mailbox}: {answer}"
        validity = int(client.response("UIDVALIDITY")[1][0])  # type: ignore[arg-type]
        assert self.uidvalidity.setdefault(mailbox, validity) == validity, "UIDVALIDITY changed"
        _, data = client.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        mails = {}
        for part in data:
            if isinstance(part, tuple):
                line, text = _LINE.search(part[0]), _ID.search(part[1])
                assert line is not None, part
                assert text is not None, part
                uid, name = int(line[1]), text[1].decode()
                flags = frozenset(line[2].decode().split()) - {"\\Recent"}
                assert self.uids.setdefault((mailbox, validity, uid), name) == name, "UID reused"
                mails[uid] = (name, flags)
        return mails

    def _settle(
        self,
        copy: Copy,
        seen: dict[str, dict[int, tuple[str, frozenset[str]]]],
        used: set[tuple[str, int]],
    ) -> str:
        here = self._find(copy, seen, used, copy.mailbox, copy.uid)
        pending, copy.pending = copy.pending, ""
        if pending in ("append", "deliver", "copy"):
            copy.gone = here is None
        elif pending == "move":
            there = self._find(copy, seen, used, copy.target, None)
            if (here is None) == (there is None):
                return f"{copy.name} is {'nowhere' if here is None else 'doubled'} after MOVE"
            if here is None:
                self.expunged.add((copy.mailbox, copy.uid or 0))
                copy.mailbox, here = copy.target, there
        elif pending == "expunge":
            copy.gone = here is None
        elif here is None:
            return f"{copy.name} is gone from {copy.mailbox} (UID {copy.uid}): {copy.history}"
        if here is None:
            return ""
        used.add((copy.mailbox, here))
        copy.uid = here
        copy.note(f"seen after {pending or 'nothing'}")
        flags = seen[copy.mailbox][here][1]
        allowed = {copy.flags} | ({copy.pending_flags} if pending == "store" else set())
        if pending == "expunge":
            allowed.add(copy.flags | {"\\Deleted"})
        copy.flags = flags
        return "" if flags in allowed else f"{copy.name}: flags {set(flags)}, not {allowed}"

    @staticmethod
    def _find(
        copy: Copy,
        seen: dict[str, dict[int, tuple[str, frozenset[str]]]],
        used: set[tuple[str, int]],
        mailbox: str,
        uid: int | None,
    ) -> int | None:
        if uid is not None:
            found = seen[mailbox].get(uid)
            return uid if found is not None and found[0] == copy.name else None
        same = [
            number
            for number, (name, _) in seen[mailbox].items()
            if name == copy.name and (mailbox, number) not in used
        ]
        like = [number for number in same if seen[mailbox][number][1] == copy.flags]
        return next(iter(like or same), None)


class Writer(threading.Thread):
    """Changes its own mails until the server dies under it."""

    def __init__(
        self, number: int, round_number: int, ledger: Ledger, imap: imaplib.IMAP4, lmtp_port: int
    ) -> None:
        super().__init__(daemon=True)
        self.rnd = random.Random(number * 1000 + round_number)
        self.prefix = f"r{round_number}w{number}"
        self.count = 0
        self.acknowledged = 0
        self.ledger = ledger
        self.imap = imap
        self.lmtp_port = lmtp_port
        self.mine: list[Copy] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Random commands; an end of the connection is the end."""
        actions = (
            self.append,
            self.append,
            self.deliver,
            self.deliver,
            self.copy,
            self.move,
            self.store,
            self.store,
            self.expunge,
        )
        try:
            with smtplib.LMTP("127.0.0.1", self.lmtp_port) as self.lmtp:
                while True:
                    self.rnd.choice(actions)()
                    self.acknowledged += 1
        except (OSError, EOFError, imaplib.IMAP4.abort, smtplib.SMTPException):
            pass
        except BaseException as error:
            self.error = error

    def _new(self, mailbox: str, pending: str) -> tuple[Copy, bytes]:
        self.count += 1
        copy = Copy(f"{self.prefix}m{self.count}@example.org", mailbox, None, pending=pending)
        self.ledger.copies.append(copy)
        self.mine.append(copy)
        body = b"x" * self.rnd.choice((10, 500, 9000))
        text = f"Message-ID: <{copy.name}>\r\nSubject: {copy.name}\r\n\r\n".encode() + body
        return copy, text + b"\r\n"

    def _pick(self) -> Copy | None:
        known = [copy for copy in self.mine if copy.uid is not None and not copy.gone]
        return self.rnd.choice(known) if known else None

    def _select(self, copy: Copy) -> str:
        self._ok(self.imap.select(copy.mailbox))
        return str(copy.uid)

    @staticmethod
    def _ok(answer: tuple[str, list[bytes | None] | list[object]]) -> bytes:
        assert answer[0] == "OK", answer
        return answer[1][0] if answer[1] and isinstance(answer[1][0], bytes) else b""

    def append(self) -> None:
        """APPEND to any mailbox."""
        mailbox = self.rnd.choice(MAILBOXES)
        copy, text = self._new(mailbox, "append")
        answer = self._ok(self.imap.append(mailbox, "", "", text))
        found = _UID.search(answer)
        assert found is not None, answer
        copy.uid, copy.pending = int(found[2]), ""
        copy.note("appended")

    def deliver(self) -> None:
        """LMTP to INBOX; the UID is learned later."""
        copy, text = self._new("INBOX", "deliver")
        self.lmtp.sendmail("s@example.org", ["alice@example.com"], text)
        copy.pending = ""

    def copy(self) -> None:
        """UID COPY to another mailbox."""
        source = self._pick()
        if source is None:
            return
        uid = self._select(source)
        target = self.rnd.choice([name for name in MAILBOXES if name != source.mailbox])
        twin = Copy(source.name, target, None, source.flags, pending="copy")
        self.ledger.copies.append(twin)
        self.imap.untagged_responses.clear()
        answer = self._ok(self.imap.uid("COPY", uid, target))
        found = _UID.search(answer) or _UID.search(self._code("COPYUID"))
        twin.pending = ""
        assert found is not None, answer
        twin.uid = int(found[4])
        twin.note(f"copied from {source.mailbox} {uid}")
        self.mine.append(twin)

    def move(self) -> None:
        """UID MOVE to another mailbox."""
        mail = self._pick()
        if mail is None:
            return
        uid = self._select(mail)
        target = self.rnd.choice([name for name in MAILBOXES if name != mail.mailbox])
        mail.pending, mail.target = "move", target
        self.imap.untagged_responses.clear()
        self._ok(self.imap.uid("MOVE", uid, target))
        found = _UID.search(self._code("COPYUID"))
        assert found is not None
        self.ledger.expunged.add((mail.mailbox, int(uid)))
        mail.mailbox, mail.uid, mail.pending = target, int(found[4]), ""
        mail.note(f"moved from {uid}")

    def store(self) -> None:
        """UID STORE of some flags."""
        mail = self._pick()
        if mail is None:
            return
        uid = self._select(mail)
        flags = frozenset(self.rnd.sample(FLAGS, self.rnd.randint(1, 3)))
        mail.pending, mail.pending_flags = "store", flags
        self._ok(self.imap.uid("STORE", uid, "FLAGS", f"({' '.join(flags)})"))
        mail.flags, mail.pending = flags, ""
        mail.note(f"stored {set(flags)}")

    def expunge(self) -> None:
        """\\Deleted and UID EXPUNGE."""
        mail = self._pick()
        if mail is None:
            return
        uid = self._select(mail)
        mail.pending = "expunge"
        self._ok(self.imap.uid("STORE", uid, "+FLAGS", "(\\Deleted)"))
        self._ok(self.imap.uid("EXPUNGE", uid))
        self.ledger.expunged.add((mail.mailbox, int(uid)))
        mail.gone, mail.pending = True, ""

    def _code(self, name: str) -> bytes:
        value = self.imap.response(name)[1][0]
        return f"{name} ".encode() + value + b"]" if isinstance(value, bytes) else b""
