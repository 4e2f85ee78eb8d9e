"""What filters match, on log lines and events alike."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.events.catalogue.load import registry
from pillarbox.events.event import REMOVED, Scope
from pillarbox.events.filter.filter import Filter, can_match
from pillarbox.events.filter.numbers import parse_number
from pillarbox.events.filter.pattern import Pattern

registry()

SESSION = Scope(None, ("imap", "service:imap"), user="Bob@Example.com", remote_ip="10.1.2.3")
COMMAND = Scope(SESSION, (), ("imap:cmd_fetch",), cmd_name="FETCH", gone="x")
INNER = Scope(COMMAND, ("mailbox",), ("mail:date",), gone=REMOVED)


def match(
    text: str,
    name: str | None = "imap_command_finished",
    category: str | None = "imap",
    scope: Scope | None = COMMAND,
    **own: object,
) -> bool:
    return Filter.parse(text).matcher()(name, category, scope, own, "services/imap/fetch.py:120")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "event=imap_command_finished",
        "event=imap_*",
        "event=*_finishe?",
        "category=imap",
        "category=IMAP",
        "category=service:imap",
        "category=service:*",
        "user=bob@example.com",
        "user=*@example.com",
        "user=*@EXAMPLE.*",
        "user=b?b@*",
        "user=*",
        'nothing=""',
        "NOT nothing=*",
        "NOT user=alice",
        "remote_ip=10.0.0.0/8",
        "remote_ip=10.1.2.3",
        "remote_ip=10.*",
        "net_out_bytes > 1MB",
        "net_out_bytes >= 2MB",
        "net_out_bytes = 2MB",
        "net_out_bytes=2097152",
        "net_out_bytes < 1GB",
        "duration < 1 AND net_out_bytes>1 OR user=bob*",
        "reason_code=imap:cmd_fetch",
        "reason_code=IMAP:CMD_*",
        "source_location=fetch.py",
        "source_location=imap/fetch.py:120",
        "source_location=services/imap/*",
        "(user=x OR user=bob@*) AND NOT (cmd_name=SELECT OR cmd_name=NOOP)",
    ],
)
def test_matches(text: str) -> None:
    assert match(text, net_out_bytes=2 * 1024 * 1024)


@pytest.mark.parametrize(
    "text",
    [
        "event=IMAP_command_finished",
        "event=imap_command",
        "category=storage",
        "category=pop*",
        "user=bob",
        'user=""',
        "remote_ip=10.2.0.0/16",
        "remote_ip=::/0",
        "net_out_bytes > 2MB",
        "net_out_bytes > two",
        "user > 1",
        "reason_code > 1",
        "nothing=x",
        "nothing < 5",
        "source_location=etch.py",
        "source_location=fetch.py:12",
        "reason_code=mail:date",
    ],
)
def test_does_not_match(text: str) -> None:
    assert not match(text, net_out_bytes=2 * 1024 * 1024)


def test_the_scope_chain_is_seen() -> None:
    assert match("user=bob@* AND cmd_name=fetch AND category=storage", scope=INNER)
    assert match("reason_code=mail:date AND reason_code=imap:cmd_fetch", scope=INNER)
    assert match('gone=""', scope=INNER)
    assert match("gone=x", scope=COMMAND)


def test_own_fields_come_first() -> None:
    assert match("user=carol", user="carol")


def test_a_category_includes_those_below_it() -> None:
    assert match("category=storage", category="mailbox")
    assert match("category=dns", category="dns-client")
    assert not match("category=mailbox", category="storage")
    assert match("category=stor*", category="mailbox")


def test_log_lines_are_events_without_a_name() -> None:
    assert match("category=debug", name=None, category="debug", scope=None)
    assert not match("NOT category=debug", name=None, category="debug", scope=None)
    assert not match("event=*", name=None, scope=None)


@pytest.mark.parametrize("value", [None, "x", 5, 1.5, ["x", "y"], ("x",), b"x", object()])
@pytest.mark.parametrize(
    "text", ["f=x", "f>1", "f=1", "f=*", "f=x*", "f=10.0.0.0/8", 'f=""', "NOT f<=1KB", "f=1.5"]
)
def test_no_value_makes_a_filter_fail(text: str, value: object) -> None:
    assert match(text, f=value) in (True, False)


def test_known_names_decide_before_anything_runs() -> None:
    fetch = registry()["imap_command_finished"]
    sql = registry()["sql_query_finished"]
    assert can_match(Filter.parse("event=imap_* AND user=x"), fetch)
    assert not can_match(Filter.parse("event=imap_* AND user=x"), sql)
    assert can_match(Filter.parse("event=imap_* OR category=sql"), sql)
    assert not can_match(Filter.parse("user > 5"), fetch)
    assert not can_match(Filter.parse("net_in_bytes=many"), fetch)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("event=imap_command_finishd", "there is no event imap_command_finishd (did you mean"),
        ("event=nothing_*", "no event is named like nothing_*"),
        ("category=imaps", "there is no category imaps (did you mean imap"),
        ("usr=x", "no event has a field usr (did you mean user?)"),
        ("user > 5", "user is of type string: it can only be compared with ="),
        ("net_in_bytes > lots", "lots is no number, so nothing is > it"),
        ("net_in_bytes=lots", "net_in_bytes is a number and 'lots' is none: it never matches"),
        ("net_in_bytes=1*", "net_in_bytes is a number: wildcards are compared"),
        ("remote_ip=example.com", "remote_ip is an address and 'example.com' is none"),
        (
            "event=imap_command_finished AND tagged_reply_state=MAYBE",
            "tagged_reply_state is never 'MAYBE'; it is one of OK, NO, BAD",
        ),
        (
            "event=sql_query_finished AND user=x",
            "sql_query_finished has no field user of its own",
        ),
    ],
)
def test_warnings(text: str, warning: str) -> None:
    found = Filter.parse(text).warnings()
    assert len(found) == 1
    assert found[0].text.startswith(warning)
    assert text[found[0].column - 1 :].startswith(text.split(" AND ")[-1])


@pytest.mark.parametrize(
    "text",
    [
        "event=imap_command_finished AND (user=*@example.com OR net_out_bytes > 1MB)"
        " AND NOT category=debug",
        "duration > 500msecs",
        "last_run_time > 1700000000",
        "remote_ip=2001:db8::/32 OR remote_ip=10.*",
        "id_param_name=thing*",
        "reason_code=imap:*",
        "source_location=x.py:1",
        "policy_result=1",
        "",
    ],
)
def test_no_warnings(text: str) -> None:
    assert Filter.parse(text).warnings() == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1B", 1),
        ("2kb", 2048),
        ("1.5K", 1536),
        ("1MB", 1 << 20),
        ("1 GiB", 1 << 30),
        ("1TB", 1 << 40),
        ("5us", 5),
        ("5 msecs", 5000),
        ("2secs", 2_000_000),
        ("1min", 60_000_000),
        ("1hours", 3_600_000_000),
        ("1 day", 86_400_000_000),
        ("1week", 604_800_000_000),
        ("-3", -3),
        ("1.5", 1.5),
        ("1m", None),
        ("1x", None),
        ("", None),
        ("MB", None),
        ("1e5", None),
    ],
)
def test_numbers(text: str, value: float | None) -> None:
    assert parse_number(text) == value


@given(
    st.lists(st.sampled_from(["a", "b", "ab", "*", "?"]), max_size=8), st.text("ab", max_size=12)
)
def test_wildcards_are_those_of_fnmatch(parts: list[str], value: str) -> None:
    pattern = Pattern(tuple((p in "*?", p) for p in parts))
    wanted = re.compile(fnmatch.translate("".join(parts))).match(value) is not None
    assert (pattern.regex().fullmatch(value) is not None) == wanted


def test_many_wildcards_stay_fast() -> None:
    assert not match("f=" + "*a" * 30 + "b", f="a" * 20000)


def test_odd_characters_are_only_characters() -> None:
    assert not match("f=\x00\x04")
    assert match("f=\x00\udc80", f="\x00\udc80")


def test_case_of_values_and_addresses() -> None:
    assert match("f=2001:DB8::1", f="2001:db8::1")
    assert match("remote_ip=192.0.2.0/24", remote_ip="::ffff:192.0.2.9")
