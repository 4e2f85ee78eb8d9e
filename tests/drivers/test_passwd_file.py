"""The passwd-file format: parsing, writing, reloading, editing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.drivers.passdb.api import DatabaseError, Query
from pillarbox.drivers.passwd_file import Line, PasswdFile, edit, format_line, parse, parse_line
from pillarbox.events.event import Scope


def query(user: str, **values: str) -> Query:
    return Query(user, Scope(None, ()), {"user": user, **values})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", None),
        ("# bob:x", None),
        (":x", None),
        ("bob", Line("bob", "")),
        ("bob:{PLAIN}x", Line("bob", "{PLAIN}x")),
        (
            "bob:x:1:2:G:/h:/sh",
            Line(
                "bob",
                "x",
                {
                    "uid": "1",
                    "gid": "2",
                    "gecos": "G",
                    "home": "/h",
                    "shell": "/sh",
                },
            ),
        ),
        (
            "bob:x::::::userdb_mail=maildir:~/M nologin a=b=c\r\n",
            Line("bob", "x", {}, {"userdb_mail": "maildir:~/M", "nologin": "", "a": "b=c"}),
        ),
    ],
)
def test_lines(text: str, line: Line | None) -> None:
    assert parse_line(text) == line


def test_fields() -> None:
    line = parse_line("bob:x:1:2::/h::userdb_quota=5 theme=dark userdb_")
    assert line is not None
    assert line.userdb_fields() == {"uid": "1", "gid": "2", "home": "/h", "quota": "5"}
    assert line.passdb_fields() == {"userdb_quota": "5", "theme": "dark", "userdb_": ""}


_PLACE = st.text("abc/@ {}$.é", max_size=8)
_WORD = st.text("abc_", min_size=1)


@given(
    _PLACE.filter(bool),
    _PLACE,
    st.dictionaries(
        st.sampled_from(["uid", "gid", "gecos", "home", "shell"]),
        _PLACE.filter(bool),
    ),
    st.dictionaries(_WORD, st.text("ab:=/", max_size=6)),
)
def test_round_trip(
    user: str, password: str, system: dict[str, str], extra: dict[str, str]
) -> None:
    line = Line(user, password, system, extra)
    assert parse_line(format_line(line)) == line


@pytest.mark.parametrize(
    "line",
    [
        Line("", "x"),
        Line("#bob", "x"),
        Line("b:ob", "x"),
        Line("bob", "x\ny"),
        Line("bob", "x", {"home": "/a:b"}),
        Line("bob", "x", {}, {"a b": "c"}),
        Line("bob", "x", {}, {"a": "b c"}),
    ],
)
def test_what_cannot_be_written(line: Line) -> None:
    with pytest.raises(ValueError):
        format_line(line)


def test_first_of_two_lines_counts() -> None:
    assert parse(b"bob:1\nbob:2\n")["bob"].password == "1"


def test_reload_when_changed(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("bob:1\n")

    async def main() -> None:
        file = PasswdFile(str(path))
        first = await file.find(query("bob"))
        assert first is not None
        assert await file.find(query("bob")) is first
        path.write_text("bob:2\n")
        os.utime(path, (1, 1))
        changed = await file.find(query("bob"))
        assert changed is not None
        assert changed.password == "2"
        path.unlink()
        with pytest.raises(DatabaseError):
            await file.find(query("bob"))
        path.write_text("bob:3\n")
        back = await file.find(query("bob"))
        assert back is not None
        assert back.password == "3"

    asyncio.run(main())


def test_one_file_per_domain(tmp_path: Path) -> None:
    (tmp_path / "x.org").write_text("bob@x.org:1\n")
    (tmp_path.parent / "outside").write_text("eve@../outside:1\n")

    async def main() -> None:
        file = PasswdFile(f"{tmp_path}/%{{user | domain}}")
        assert await file.find(query("bob@x.org")) is not None
        assert await file.find(query("bob@other.org")) is None
        assert await file.find(query("eve@../outside")) is None
        assert await file.find(query("eve@..")) is None
        with pytest.raises(DatabaseError):
            await file.users(query(""))

    asyncio.run(main())


def test_unreadable_is_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(DatabaseError):
            await PasswdFile(str(tmp_path)).find(query("bob"))

    asyncio.run(main())


def test_edit_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# head\nbob:1\n\nsue:2:5\n# tail\nbob:old\n")
    path.chmod(0o640)
    edit(path, lambda users: {"bob": Line("bob", "new"), "new": Line("new", "3")})
    assert path.read_text() == "# head\nbob:new\n\nsue:2:5\n# tail\nnew:3\n"
    assert path.stat().st_mode & 0o777 == 0o640
    edit(path, lambda users: {"sue": None})
    assert "sue" not in path.read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"users", "users.lock"}


def test_edit_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("bob:1\n")
    with pytest.raises(ValueError):
        edit(path, lambda users: {"bob": Line("bob", "a:b")})
    assert path.read_text() == "bob:1\n"


def test_a_new_file_is_private(tmp_path: Path) -> None:
    edit(tmp_path / "sub" / "users", lambda users: {"bob": Line("bob", "1")})
    assert (tmp_path / "sub" / "users").stat().st_mode & 0o777 == 0o600
