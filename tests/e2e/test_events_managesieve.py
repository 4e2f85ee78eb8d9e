"""The events of ManageSieve and of stored scripts: every field, whichever way a command ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "drivers"))

from declared import COUNT, POSITIVE, SESSION, Json, check
from directory_server import BASE, Slapd
from managesieve_client import Sieve, SieveServer
from raw import message
from running import USERS, running

pytestmark = pytest.mark.e2e

GOOD = b'require "fileinto";\r\nfileinto "x";\r\n'
WARNING = b'require ["include"];\r\ninclude "nowhere";\r\n'
BAD = b'fileinto "x";\r\nnonsense;\r\n'
ERRORS = "The script has errors."
MISSING = "There is no script by that name."
USER_NUMBERS = range(8)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SieveServer]:
    users = tuple(f"user{n}@example.com" for n in USER_NUMBERS)
    folder = tmp_path_factory.mktemp("events") / "server"
    blocks = '[dict.scripts]\ndriver = "file"\ndict_file_path = "%{home}/scripts"\n'
    with running(folder, make=SieveServer, users=(*USERS, *users), blocks=blocks) as started:
        assert isinstance(started, SieveServer)
        yield started


class Script:
    """What events say of one user's script."""

    def __init__(self, server: SieveServer, user: str, name: str) -> None:
        self.where = {
            "user": user,
            "script_location": f"file:{server.home(user)}/sieve/{name}.sieve",
            "storage_driver": "file",
        }
        self.name = name

    def seen(self, server: SieveServer, event: str, count: int = 1) -> list[Json]:
        """The events about it."""
        location = self.where["script_location"]
        found = server.wait_events(event, count, script_location=location)
        assert len(found) == count, found
        return found


def commands(server: SieveServer, user: str, *names: str) -> list[Json]:
    """The commands of one user's sessions: these, in this order."""
    found = server.wait_events("managesieve_command_finished", len(names), user=user)
    assert [event["fields"]["cmd_name"] for event in found] == list(names)
    for event in found:
        assert event["fields"]["session"] == SESSION
        assert event["fields"]["service"] == "sieve"
        assert "managesieve" in event["categories"]
    return found


def test_a_good_script(server: SieveServer) -> None:
    user = "user0@example.com"
    script, renamed = Script(server, user, "a"), Script(server, user, "b")
    with server.sieve(user) as client:
        client.ok(f'HAVESPACE "a" {len(GOOD)}')
        client.put("a", GOOD)
        client.ok('SETACTIVE "a"')
        client.get("a")
        client.ok('RENAMESCRIPT "a" "b"')
        client.ok('SETACTIVE ""')
        client.ok('DELETESCRIPT "b"')
        client.ok("LISTSCRIPTS")
        client.ok("CAPABILITY")
        client.ok('NOOP "tag"')
        client.ok("LOGOUT")
    names = ("HAVESPACE", "PUTSCRIPT", "SETACTIVE", "GETSCRIPT", "RENAMESCRIPT", "SETACTIVE")
    rest = ("DELETESCRIPT", "LISTSCRIPTS", "CAPABILITY", "NOOP", "LOGOUT")
    space, put, active, get, rename, inactive, delete, listed, told, noop, logout = commands(
        server, user, *names, *rest
    )
    checked = {"compile_errors": 0, "compile_warnings": 0}
    check(space, cmd_name="HAVESPACE", cmd_args=f'"a" {len(GOOD)}', script_name="a")
    check(put, cmd_name="PUTSCRIPT", cmd_args=f'"a" {{{len(GOOD)}+}}', script_name="a", **checked)
    check(active, cmd_name="SETACTIVE", cmd_args='"a"', script_name="a", **checked)
    check(get, cmd_name="GETSCRIPT", cmd_args='"a"', script_name="a")
    names_ = {"old_script_name": "a", "new_script_name": "b"}
    check(rename, cmd_name="RENAMESCRIPT", cmd_args='"a" "b"', script_name="a", **names_)
    check(inactive, cmd_name="SETACTIVE", cmd_args='""')
    check(delete, cmd_name="DELETESCRIPT", cmd_args='"b"', script_name="b")
    check(listed, cmd_name="LISTSCRIPTS")
    check(told, cmd_name="CAPABILITY")
    check(noop, cmd_name="NOOP", cmd_args='"tag"')
    check(logout, cmd_name="LOGOUT")

    for event in ("sieve_storage_save_started", "sieve_storage_save_finished"):
        [saved] = script.seen(server, event)
        check(saved, script_name="a", **script.where)
        assert "sieve-storage" in saved["categories"]
    check(script.seen(server, "sieve_script_activated")[0], **script.where)
    check(script.seen(server, "sieve_script_renamed")[0], **names_, **script.where)
    check(renamed.seen(server, "sieve_script_deleted")[0], **renamed.where)
    for event in ("sieve_script_opened", "sieve_script_closed"):
        for one in script.seen(server, event, 2):
            check(one, **script.where)


def test_scripts_with_errors_and_warnings(server: SieveServer) -> None:
    user = "user1@example.com"
    script = Script(server, user, "a")
    with server.sieve(user) as client:
        bad = client.put("a", BAD).text
        client.do(b"CHECKSCRIPT {%d+}\r\n%b" % (len(BAD), BAD))
        client.put("a", WARNING)
        client.ok(b"CHECKSCRIPT {%d+}\r\n%b" % (len(WARNING), WARNING))
        (server.home(user) / "sieve" / "a.sieve").write_bytes(BAD)
        client.do('SETACTIVE "a"')
        client.ok('SETACTIVE ""')
    names = ("PUTSCRIPT", "CHECKSCRIPT", "PUTSCRIPT", "CHECKSCRIPT", "SETACTIVE", "SETACTIVE")
    put, checked, warned, warning, active, _ = commands(server, user, *names)
    two, one = (
        {"compile_errors": 2, "compile_warnings": 0},
        {
            "compile_errors": 0,
            "compile_warnings": 1,
        },
    )
    args = {"cmd_args": f'"a" {{{len(BAD)}+}}', "script_name": "a"}
    assert put["fields"]["error"].startswith("a: line 1: error: ")
    check(put, cmd_name="PUTSCRIPT", error=bad, **args, **two)
    assert checked["fields"]["error"].startswith("line 1: error: ")
    check(
        checked,
        cmd_name="CHECKSCRIPT",
        cmd_args=f"{{{len(BAD)}+}}",
        error=checked["fields"]["error"],
        **two,
    )
    args["cmd_args"] = f'"a" {{{len(WARNING)}+}}'
    check(warned, cmd_name="PUTSCRIPT", **args, **one)
    check(warning, cmd_name="CHECKSCRIPT", cmd_args=f"{{{len(WARNING)}+}}", **one)
    args["cmd_args"] = '"a"'
    check(active, cmd_name="SETACTIVE", error=bad, **args, **two)

    refused, stored = script.seen(server, "sieve_storage_save_finished", 2)
    check(refused, script_name="a", error=ERRORS, **script.where)
    check(stored, script_name="a", **script.where)
    check(script.seen(server, "sieve_script_opened")[0], **script.where)
    check(script.seen(server, "sieve_script_closed")[0], error=ERRORS, **script.where)
    check(script.seen(server, "sieve_script_activated")[0], error=ERRORS, **script.where)


def test_what_is_refused(server: SieveServer) -> None:
    user = "user2@example.com"
    script, missing = Script(server, user, "a"), Script(server, user, "x")
    with server.sieve(user) as client:
        client.put("a", GOOD)
        client.ok('SETACTIVE "a"')
        client.do('DELETESCRIPT "a"')
        client.do('GETSCRIPT "x"')
        client.do('SETACTIVE "x"')
        client.do('DELETESCRIPT "x"')
        client.do('RENAMESCRIPT "x" "y"')
        client.do('RENAMESCRIPT "a" "a"')
        client.do('HAVESPACE "a" 99999999')
        client.do("nonsense of my own")
        client.do("STARTTLS")
        client.do("LISTSCRIPTS now")
    names = ("PUTSCRIPT", "SETACTIVE", "DELETESCRIPT", "GETSCRIPT", "SETACTIVE", "DELETESCRIPT")
    rest = ("RENAMESCRIPT", "RENAMESCRIPT", "HAVESPACE", "unknown", "STARTTLS", "LISTSCRIPTS")
    found = commands(server, user, *names, *rest)
    active = "The active script cannot be deleted."
    exists = "A script of that name exists already."
    large = "The script is larger than 1048576 bytes."
    for event, args, error in zip(
        found[2:9],
        ('"a"', '"x"', '"x"', '"x"', '"x" "y"', '"a" "a"', '"a" 99999999'),
        (active, MISSING, MISSING, MISSING, MISSING, exists, large),
        strict=True,
    ):
        expected: dict[str, Any] = {"cmd_args": args, "script_name": args[1], "error": error}
        name = event["fields"]["cmd_name"]
        if name == "RENAMESCRIPT":
            expected |= {"old_script_name": args[1], "new_script_name": args[5]}
        check(event, cmd_name=name, **expected)
    check(found[9], cmd_name="unknown", error="Unknown command.")
    check(found[10], cmd_name="STARTTLS", error="STARTTLS is not possible after login.")
    check(found[11], cmd_name="LISTSCRIPTS", cmd_args="now", error="Invalid argument.")

    check(script.seen(server, "sieve_script_deleted")[0], error=active, **script.where)
    opened = missing.seen(server, "sieve_script_opened", 2)
    for event in opened:
        check(event, error=MISSING, **missing.where)
    check(missing.seen(server, "sieve_script_activated")[0], error=MISSING, **missing.where)
    check(missing.seen(server, "sieve_script_deleted")[0], error=MISSING, **missing.where)
    [event] = missing.seen(server, "sieve_script_renamed")
    check(event, old_script_name="x", new_script_name="y", error=MISSING, **missing.where)


def test_scripts_in_a_dict(server: SieveServer) -> None:
    user = "user3@example.com"
    override = (
        "-o",
        "sieve_script.personal.driver=dict",
        "-o",
        "sieve_script.personal.dict=scripts",
    )
    done = server.cli("sieve", "put", "-u", user, "a", *override, stdin=GOOD)
    assert done.returncode == 0, done.stderr
    where = {
        "user": user,
        "script_location": f"dict:priv/sieve/{user}/script/a",
        "storage_driver": "dict",
    }
    for name in ("sieve_storage_save_started", "sieve_storage_save_finished"):
        [event] = server.wait_events(name, user=user)
        check(event, script_name="a", **where)


def test_a_script_in_a_directory(server: SieveServer) -> None:
    user = "bob"
    settings = {
        "userdb.people.driver": "ldap",
        "userdb.people.ldap_base": f"ou=people,{BASE}",
        "sieve_script.personal.driver": "ldap",
        "sieve_script.personal.ldap": "people",
        "sieve_script.personal.ldap_script_attribute": "description",
    }
    with Slapd() as slapd:
        settings["userdb.people.ldap_uris"] = slapd.ldap
        words = [word for item in settings.items() for word in ("-o", "=".join(item))]
        done = server.cli("sieve", "get", "-u", user, "active", *words)
        assert done.stdout == b"99", done.stderr
        assert server.cli("sieve", "get", "-u", user, "other", *words).returncode == 65
        refused = server.cli("sieve", "put", "-u", user, "active", *words, stdin=GOOD)
        assert refused.stderr == b"pillarbox: These scripts cannot be changed.\n"
        where = {
            "user": user,
            "script_location": f"ldap:description@{slapd.ldap}",
            "storage_driver": "ldap",
        }
    opened, missing = server.wait_events("sieve_script_opened", 2, user=user)
    check(opened, **where)
    check(missing, error=MISSING, **where)
    check(server.wait_events("sieve_script_closed", user=user)[0], **where)
    for name in ("sieve_storage_save_started", "sieve_storage_save_finished"):
        error = "These scripts cannot be changed." if name.endswith("finished") else None
        check(server.wait_events(name, user=user)[0], script_name="active", error=error, **where)


def test_a_delivery_opens_the_script(server: SieveServer) -> None:
    user = "user5@example.com"
    script = Script(server, user, "a")
    with server.sieve(user) as client:
        client.put("a", GOOD)
        client.ok('SETACTIVE "a"')
        for event in ("sieve_script_opened", "sieve_script_closed"):
            script.seen(server, event)
        server.deliver(message("one"), user)
    for event in ("sieve_script_opened", "sieve_script_closed"):
        check(script.seen(server, event, 2)[1], ["lmtp:cmd_data"], **script.where)


def test_the_session(server: SieveServer) -> None:
    user = "user4@example.com"
    with server.sieve(user) as client:
        client.put("a", GOOD)
        client.ok("LOGOUT")
        port = client.sock.getsockname()[1]
        assert client.rest() == b""
    [event] = server.wait_events("mail_user_session_finished", user=user)
    assert event["fields"]["net_in_bytes"] == POSITIVE
    assert event["fields"]["net_out_bytes"] == POSITIVE
    [event] = server.wait_events("client_connection_disconnected", remote_port=port)
    assert event["fields"]["reason"] == "Worker closed the connection"
    assert event["fields"]["net_in_bytes"] == POSITIVE


def test_a_client_that_does_not_log_in(server: SieveServer) -> None:
    with Sieve(server.sieve_port) as client:
        client.do('AUTHENTICATE "PLAIN" "AGEAYg=="')
        port = client.sock.getsockname()[1]
        client.ok("LOGOUT")
    [event] = server.wait_events("login_aborted", remote_port=port)
    check(
        event,
        user="a",
        service="sieve",
        local_ip="127.0.0.1",
        local_port=server.sieve_port,
        remote_ip="127.0.0.1",
        remote_port=port,
        reason="auth_failed",
        auth_attempts=1,
        auth_successes=0,
        auth_usecs=POSITIVE,
        connected_usecs=COUNT,
    )
