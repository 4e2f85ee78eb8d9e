"""``pillarbox user``, over a passwd-file and over SQLite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pillarbox.auth.schemes import verify


@pytest.fixture(params=["passwd-file", "sql"])
def database(request: pytest.FixtureRequest, config: Path) -> Path:
    if request.param == "sql":
        text = config.read_text().replace('"passwd-file"', '"sql"')
        config.write_text(text.replace("passwd_file_path", "sqlite_path"))
    return config.with_name("users")


def test_a_user_from_birth_to_death(pillarbox, database: Path) -> None:
    result = pillarbox("user", "add", "Bob@Example.ORG", "--quota", "2GB", stdin="first\n")
    assert (result.status, result.out) == (0, "Added bob@example.org.\n"), result.err
    result = pillarbox("user", "add", "alice", "--home", "/srv/alice", stdin="secret\n")
    assert result.status == 0
    assert sorted(pillarbox("user", "list").out.split()) == ["alice", "bob@example.org"]

    shown = pillarbox("user", "show", "BOB@example.org").out
    assert "password scheme     SSHA256\n" in shown
    assert "quota_storage_size  2147483648 (2GB)\n" in shown
    assert "first" not in shown
    listed = json.loads(pillarbox("user", "list", "--json").out)
    assert {u["user"]: u.get("home") for u in listed} == {
        "bob@example.org": None,
        "alice": "/srv/alice",
    }

    result = pillarbox("user", "passwd", "alice", "--scheme", "SHA512-CRYPT", stdin="better\n")
    assert (result.status, result.out) == (0, "Changed the password of alice.\n")
    assert "SHA512-CRYPT" in pillarbox("user", "show", "alice").out
    assert "/srv/alice" in pillarbox("user", "show", "alice").out

    result = pillarbox("user", "delete", "alice")
    assert (result.status, result.out) == (0, "Deleted alice; the mail stays on disk.\n")
    assert pillarbox("user", "list").out == "bob@example.org\n"


def test_what_is_wrong_with_users_is_said(pillarbox, database: Path) -> None:
    result = pillarbox("user", "show", "bob")
    assert result.status == 1
    assert "there are no users yet" in result.err
    result = pillarbox("user", "list")
    assert result.status == 75
    assert "there may be more users" in result.err
    assert pillarbox("user", "add", "bob", stdin="x\n").status == 0
    again = pillarbox("user", "add", "bob", stdin="x\n")
    assert (again.status, again.err) == (1, "pillarbox: there is already a user bob\n")
    for command in (("show",), ("passwd",), ("delete",)):
        result = pillarbox("user", *command, "eve", stdin="x\n")
        assert (result.status, result.err) == (67, "pillarbox: there is no user eve\n")
    assert pillarbox("user", "add", "a b", stdin="x\n").status == 65
    empty = pillarbox("user", "add", "carl", stdin="\n")
    assert (empty.status, empty.err) == (65, "pillarbox: an empty password is none\n")
    assert pillarbox("user", "add", "carl", "--quota", "much", stdin="x\n").status == 64
    result = pillarbox("user", "add", "carl", "--scheme", "ROT13", stdin="x\n")
    assert result.status == 64
    assert "ROT13" in result.err
    assert pillarbox("user", "list").out == "bob\n"


def test_a_password_that_is_hashed_already(pillarbox, config: Path) -> None:
    hashed = "{PLAIN}geheim"
    assert pillarbox("user", "add", "bob", "--hash", hashed).status == 0
    line = config.with_name("users").read_text().strip()
    stored = line.split(":")[1]
    assert verify(stored, "geheim")
    bad = pillarbox("user", "add", "eve", "--hash", "geheim")
    assert bad.status == 64
    assert "--hash begins with its scheme" in bad.err


def test_the_stored_password_is_the_one_that_was_typed(pillarbox, config: Path) -> None:
    assert pillarbox("user", "add", "bob", stdin="pa:ss wörd \r\nmore\n").status == 0
    stored = config.with_name("users").read_text().strip().split(":")[1]
    assert verify(stored, "pa:ss wörd ")
    assert not verify(stored, "pa:ss wörd")


def test_no_database_that_can_be_written(pillarbox, config: Path) -> None:
    text = config.read_text().replace('"users"', '"%{user}"')
    config.write_text(text)
    result = pillarbox("user", "add", "bob", stdin="x\n")
    assert result.status == 78
    assert "none of the passdbs (users) can be edited" in result.err
    config.write_text("ssl = 'no'\n")
    assert "name no passdb" in pillarbox("user", "list").err


def test_listing_by_mask_from_several_databases(pillarbox, config: Path) -> None:
    for name in ("bob@a.org", "sue@a.org", "bob@b.org"):
        assert pillarbox("user", "add", name, "--scheme", "PLAIN", stdin="x\n").status == 0
    (config.parent / "more").write_text("bob@a.org:x\ncarl@a.org:x:5:6::/c\n")
    config.write_text(
        config.read_text() + '[userdb.more]\ndriver = "passwd-file"\npasswd_file_path = "more"\n'
    )
    assert pillarbox("user", "list", "*@a.org").out.split() == [
        "bob@a.org",
        "sue@a.org",
        "carl@a.org",
    ]
    assert pillarbox("user", "list", "?ob@*").out.split() == ["bob@a.org", "bob@b.org"]
    [carl] = json.loads(pillarbox("user", "list", "carl*", "--json").out)
    assert carl == {"user": "carl@a.org", "uid": "5", "gid": "6", "home": "/c"}


def test_a_userdb_that_cannot_list_leaves_it_to_the_passdb(pillarbox, config: Path) -> None:
    assert pillarbox("user", "add", "bob", "--scheme", "PLAIN", stdin="x\n").status == 0
    config.write_text(config.read_text().split("[userdb.users]")[0])
    assert pillarbox("user", "list").out == "bob\n"
    assert json.loads(pillarbox("user", "list", "--json").out) == [{"user": "bob"}]


def test_the_file_is_for_the_server_alone(config: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "pillarbox.cli.main", "user", "add", "bob"]
    done = subprocess.run(command, input="x\n", text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert config.with_name("users").stat().st_mode & 0o777 == 0o600


def test_weak_schemes_only_where_they_are_allowed(pillarbox, config: Path) -> None:
    command = ("user", "add", "bob@example.com", "--scheme", "DIGEST-MD5")
    refused = pillarbox(*command, stdin="secret\n")
    assert refused.status == 64
    assert "auth_allow_weak_schemes" in refused.err
    config.write_text("auth_allow_weak_schemes = true\n" + config.read_text())
    assert pillarbox(*command, stdin="secret\n").status == 0
    stored = config.with_name("users").read_text().strip().split(":")[1]
    assert verify(stored, "secret", user="bob@example.com")
    assert not verify(stored, "secret", user="sue@example.com")
