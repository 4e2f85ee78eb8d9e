"""mailbox, metadata, mailboxid and special-use: what is asked, and what goes into fileinto."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pillarbox.sieve.questions import (
    MailboxExists,
    MailboxIdExists,
    Metadata,
    Question,
    SpecialUseExists,
)
from pillarbox.sieve.result import FileInto, Result


def answer(question: Question) -> Any:
    match question:
        case MailboxExists(mailbox):
            return mailbox in ("INBOX", "Work")
        case MailboxIdExists(mailbox_id):
            return mailbox_id == "F1"
        case SpecialUseExists(mailbox, uses):
            return uses == ("\\Junk",) and mailbox in (None, "Spam")
        case Metadata(None, "/shared/motd"):
            return "Hello"
        case Metadata("INBOX", "/private/comment"):
            return "a comment"
        case _:
            return question.default


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('mailboxexists "Work"', True),
        ('mailboxexists ["INBOX", "Work"]', True),
        ('mailboxexists ["INBOX", "None"]', False),
        ('not mailboxexists "None"', True),
        ('anyof (mailboxexists "None", mailboxexists "Work")', True),
        ('allof (mailboxexists "None", mailboxexists "Work")', False),
        ('mailboxidexists "F1"', True),
        ('mailboxidexists ["F1", "F2"]', False),
        ('specialuse_exists "\\\\Junk"', True),
        ('specialuse_exists "Spam" "\\\\Junk"', True),
        ('specialuse_exists "Work" "\\\\Junk"', False),
        ('specialuse_exists ["\\\\Junk", "\\\\Sent"]', False),
        ('metadata "INBOX" "/private/comment" "A COMMENT"', True),
        ('metadata :contains "INBOX" "/private/comment" "com"', True),
        ('metadata :matches "INBOX" "/private/none" "*"', False),
        ('metadata :matches "Work" "/private/comment" "*"', False),
        ('metadataexists "INBOX" "/private/comment"', True),
        ('metadataexists "INBOX" ["/private/comment", "/private/none"]', False),
        ('servermetadata "/shared/motd" "hello"', True),
        ('servermetadata :count "eq" "/shared/motd" "1"', True),
        ('servermetadata :count "eq" "/shared/none" "0"', False),
        ('servermetadataexists "/shared/motd"', True),
        ('servermetadataexists ["/shared/motd", "/shared/x"]', False),
        ('metadata :matches "INBOX" "nonsense" "*"', False),
    ],
)
def test_questions(evaluate: Callable[..., bool], test: str, expected: bool) -> None:
    assert evaluate(test, answer=answer) is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('fileinto "x";', FileInto(mailbox="x")),
        ('fileinto :create "x";', FileInto(mailbox="x", create=True)),
        ('fileinto :mailboxid "F1" "x";', FileInto(mailbox="x", mailbox_id="F1")),
        ('fileinto :specialuse "\\\\Junk" "x";', FileInto(mailbox="x", special_use="\\Junk")),
        ('fileinto :copy :create :flags "a" :specialuse "\\\\Junk" "x";',
         FileInto(mailbox="x", create=True, copy=True, flags=("a",), special_use="\\Junk")),
        ('set "f" "F9"; fileinto :mailboxid "${f}" "x";', FileInto(mailbox="x", mailbox_id="F9")),
    ],
)  # fmt: skip
def test_tags(run_it: Callable[..., Result], source: str, expected: FileInto) -> None:
    (action,) = run_it(source).actions
    expected.script, expected.line, expected.column = action.script, action.line, action.column
    assert action == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('fileinto :create :create "x";',
         "encountered duplicate tagged argument ':create' for the fileinto command"),
        ('fileinto :mailboxid "F1" :specialuse "\\\\Junk" "x";',
         "the fileinto command has the way to find a mailbox ':specialuse' besides "
         "':mailboxid'; only one is allowed"),
        ('fileinto :specialuse "Junk" "x";', "invalid special-use flag 'Junk'"),
        ('if specialuse_exists "Junk" {}', "invalid special-use flag 'Junk'"),
        ('fileinto :mailboxid "a b" "x";', "fileinto :mailboxid: invalid mailbox id 'a b'"),
        ('if metadata "INBOX" "/x" "y" {}',
         "metadata test: specified annotation name '/x' is invalid"),
        ('if mailboxexists 1 {}', "the mailboxexists test expects a string list as argument 1 "
                                  "(mailboxes), but a number was found"),
        ('keep :create;', "unknown tagged argument ':create' for the keep command"),
    ],
)  # fmt: skip
def test_remarks(problems: Callable[..., list[str]], source: str, expected: str) -> None:
    start = 'require ["fileinto", "mailbox", "mailboxid", "special-use", "mboxmetadata"]; '
    (line,) = problems(start + source)
    assert line.split(" ", 1)[1] == expected
