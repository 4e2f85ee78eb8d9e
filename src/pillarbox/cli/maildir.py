"""Maildirs: read the layout that mail programs share, and write it.

A message is a file in ``cur`` or ``new``; what follows ``:2,`` in its name are its flags, the
lower-case letters being keywords that the file ``dovecot-keywords`` names; the file's time is the
date of arrival.  Folders are either ``.Work.Reports`` beside ``cur`` (Maildir++, names in modified
UTF-7) or folders of their own that have a ``cur``.
"""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pillarbox.cli.foreign_mail import ForeignMail, with_crlf, with_lf
from pillarbox.mailstore import flags as fl
from pillarbox.wire.imap.utf7 import Utf7Error, decode, encode

_FLAGS: Final = {
    "D": fl.DRAFT,
    "F": fl.FLAGGED,
    "R": fl.ANSWERED,
    "S": fl.SEEN,
    "T": fl.DELETED,
}
_KEYWORDS: Final = "dovecot-keywords"


def is_maildir(path: Path) -> bool:
    """Whether a folder holds messages in the Maildir way."""
    return (path / "cur").is_dir() or (path / "new").is_dir()


def maildir_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Name (INBOX for the root) and folder of every mailbox of a Maildir, sorted."""
    if is_maildir(root):
        yield "INBOX", root
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name not in ("cur", "new", "tmp"):
            if path.name.startswith(".") and is_maildir(path):
                yield "/".join(_plain(part) for part in path.name[1:].split(".") if part), path
            elif not path.name.startswith("."):
                yield from _nested(path, path.name)


def _nested(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    if is_maildir(path):
        yield _plain(name), path
    for child in sorted(path.iterdir()):
        if child.is_dir() and child.name not in ("cur", "new", "tmp") and child.name[0] != ".":
            yield from _nested(child, f"{name}/{child.name}")


def _plain(name: str) -> str:
    """The name as Unicode, whether it was written in modified UTF-7 or in UTF-8."""
    try:
        return decode(name.encode()) if name.isascii() else name
    except Utf7Error:
        return name


def maildir_size(folder: Path) -> int:
    """Bytes of all messages of one folder."""
    return sum(entry.stat().st_size for entry in _files(folder))


def read_maildir(folder: Path) -> Iterator[ForeignMail]:
    """Every message of one folder, oldest first.  Raises OSError."""
    names = _keyword_names(folder)
    at = 0
    for entry in sorted(_files(folder), key=lambda e: (e.stat().st_mtime_ns, e.name)):
        try:
            data = Path(entry.path).read_bytes()
        except FileNotFoundError:
            continue  # a mail program has renamed or removed it since we looked
        letters = entry.name.rpartition(":2,")[2] if ":2," in entry.name else ""
        flags = sum(bit for letter, bit in _FLAGS.items() if letter in letters)
        keywords = tuple(names[letter] for letter in sorted(letters) if letter in names)
        at += entry.stat().st_size
        yield ForeignMail(with_crlf(data), flags, keywords, int(entry.stat().st_mtime), at)


def _files(folder: Path) -> list[os.DirEntry[str]]:
    found: list[os.DirEntry[str]] = []
    for name in ("cur", "new"):
        if (folder / name).is_dir():
            with os.scandir(folder / name) as entries:
                found += [e for e in entries if e.name[0] != "." and e.is_file()]
    return found


def _keyword_names(folder: Path) -> dict[str, bytes]:
    """Letter to keyword."""
    try:
        lines = (folder / _KEYWORDS).read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, bytes] = {}
    for line in lines:
        number, _, name = line.partition(b" ")
        if number.isdigit() and int(number) < 26 and name:
            found[string.ascii_lowercase[int(number)]] = name
    return found


def maildir_name(mailbox: str) -> str:
    """The Maildir++ folder of a mailbox, relative to the root; "" for INBOX."""
    if mailbox == "INBOX":
        return ""
    return "." + ".".join(encode(level.replace(".", "_")).decode() for level in mailbox.split("/"))


class MaildirWriter:
    """Writes messages into one folder; the same message is written only once."""

    def __init__(self, folder: Path, keywords: Sequence[bytes]) -> None:
        """Make the folder; ``keywords`` are all that its messages may have."""
        self.folder = folder
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.name.startswith("."):
            (folder / "maildirfolder").touch()
        self._letters = self._add_keywords(keywords)
        self._present = {e.name.partition(":2,")[0]: e.path for e in _files(folder)}

    def write(self, mail: ForeignMail, guid: bytes) -> bool:
        """Write a message under a name made of its GUID; False if it was there (flags change)."""
        unique = f"{mail.date or 0}.{guid.hex()}.pillarbox"
        letters = [letter for letter, bit in _FLAGS.items() if mail.flags & bit]
        letters += [self._letters[k] for k in mail.keywords if k in self._letters]
        target = self.folder / "cur" / f"{unique}:2,{''.join(sorted(letters))}"
        present = self._present.get(unique)
        if present is not None:
            os.rename(present, target)
            self._present[unique] = str(target)
            return False
        temporary = self.folder / "tmp" / unique
        with temporary.open("wb") as file:
            file.write(with_lf(mail.data))
            file.flush()
            os.fsync(file.fileno())
        os.utime(temporary, (mail.date or 0, mail.date or 0))
        os.rename(temporary, target)
        self._present[unique] = str(target)
        return True

    def _add_keywords(self, keywords: Sequence[bytes]) -> dict[bytes, str]:
        known = {name: letter for letter, name in _keyword_names(self.folder).items()}
        free = [letter for letter in string.ascii_lowercase if letter not in known.values()]
        for name, letter in zip([k for k in keywords if k not in known], free):
            known[name] = letter
        if known:
            rows = sorted((string.ascii_lowercase.index(v), k) for k, v in known.items())
            text = b"".join(b"%d %s\n" % row for row in rows)
            (self.folder / _KEYWORDS).write_bytes(text)
        return known
