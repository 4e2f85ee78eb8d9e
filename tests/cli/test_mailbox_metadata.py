"""``pillarbox mailbox metadata`` over a real mail store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

COMMENT = "/private/comment"


@pytest.fixture
def metadata(pillarbox, config: Path):
    """Run one of the commands for bob."""
    assert pillarbox("user", "add", "bob", stdin="x\n").status == 0

    def call(command: str, *arguments: str, **more):
        return pillarbox("mailbox", "metadata", command, "-u", "bob", *arguments, **more)

    return call


def test_set_get_list_unset(metadata) -> None:
    assert metadata("set", "INBOX", COMMENT, "Grüße").status == 0
    assert metadata("set", "INBOX", "/Shared/A/B", "-", stdin="two\nlines").status == 0
    assert metadata("set", "", COMMENT, "the server's").status == 0
    assert metadata("get", "INBOX", "/private/Comment").out == "Grüße\n"
    assert metadata("get", "inbox", "/shared/a/b").out == "two\nlines\n"
    assert metadata("get", "", COMMENT).out == "the server's\n"
    assert metadata("list", "INBOX").out == f"{COMMENT}\n/shared/a/b\n"
    assert metadata("list", "INBOX", "/shared/a/").out == "/shared/a/b\n"
    found = json.loads(metadata("list", "INBOX", "--json").out)
    assert found == {COMMENT: "Grüße", "/shared/a/b": "two\nlines"}
    assert metadata("unset", "INBOX", COMMENT).status == 0
    assert metadata("unset", "INBOX", COMMENT).status == 0
    assert metadata("list", "INBOX").out == "/shared/a/b\n"


def test_they_go_with_the_mailbox(metadata, pillarbox) -> None:
    assert metadata("set", "Sent", COMMENT, "x").status == 0
    assert pillarbox("mailbox", "rename", "-u", "bob", "Sent", "Gone").status == 0
    assert metadata("get", "Gone", COMMENT).out == "x\n"
    assert pillarbox("mailbox", "delete", "-u", "bob", "Gone").status == 0
    assert pillarbox("mailbox", "create", "-u", "bob", "Gone").status == 0
    assert metadata("list", "Gone").out == ""


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("get", "INBOX", COMMENT), 65, f"there is no annotation {COMMENT}"),
        (("get", "None", COMMENT), 65, "Mailbox doesn't exist: None"),
        (("set", "None", COMMENT, "x"), 65, "Mailbox doesn't exist: None"),
        (("set", "INBOX", "comment", "x"), 65, "An entry's name begins with /private/ or /shared/"),
        (("set", "", "/shared/admin", "x"), 65, "/shared/admin is read-only"),
        (("set", "INBOX", COMMENT, "x" * 70_000), 65, "A value is larger than 65536 bytes"),
    ],
)
def test_what_cannot_be_done(metadata, arguments, status: int, text: str) -> None:
    result = metadata(*arguments)
    assert (result.status, result.out) == (status, "")
    assert text in result.err


def test_a_broken_dict(metadata, config: Path) -> None:
    config.write_text(f'mail_attribute_dict = "fail"\n{config.read_text()}\n[dict.fail]\n')
    result = metadata("set", "INBOX", COMMENT, "x")
    assert result.status == 75
    assert "pillarbox: Annotations can't be used now, try again later" in result.err
