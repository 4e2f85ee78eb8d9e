"""The places of scripts under the contract, and what is special about files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from script_contract import Full, ScriptContract, anything

from pillarbox.drivers import registry
from pillarbox.drivers.dict.fail import FailDict
from pillarbox.drivers.dict.file import FileDict
from pillarbox.drivers.dict.memory import MemoryDict
from pillarbox.drivers.script import file
from pillarbox.drivers.script.api import (
    Listed,
    Place,
    ScriptActive,
    ScriptDriver,
    ScriptError,
    ScriptExists,
)
from pillarbox.drivers.script.dict import DictScripts
from pillarbox.drivers.script.fail import FailScripts
from pillarbox.drivers.script.memory import MemoryScripts
from pillarbox.settings.model import DictBlockSettings, Settings
from pillarbox.settings.schema.sieve_script import SieveScriptSettings


def place(home: Path, **block: Any) -> Place:
    return Place("one", SieveScriptSettings(**block), Settings(), {"home": str(home), "user": "u"})


def files(home: Path, **block: Any) -> Any:
    return file.make(place(home, path="~/sieve", active_path="~/.dovecot.sieve", **block))


class TestMemory(ScriptContract):
    persistent = False

    def make(self, path: Path) -> ScriptDriver:
        return MemoryScripts()


class TestFile(ScriptContract):
    def make(self, path: Path) -> ScriptDriver:
        driver: ScriptDriver = files(path)
        return driver


class TestDictInMemory(ScriptContract):
    persistent = False

    def make(self, path: Path) -> ScriptDriver:
        return DictScripts(MemoryDict(), "ann@example.org")


class TestDictInFile(ScriptContract):
    def make(self, path: Path) -> ScriptDriver:
        return DictScripts(FileDict(str(path / "dict")), "ann@example.org")


class TestFailWithoutFailures(ScriptContract):
    persistent = False

    def make(self, path: Path) -> ScriptDriver:
        return FailScripts(MemoryScripts(), slow=3)


def test_all_drivers_are_found_by_name(tmp_path: Path) -> None:
    assert {"dict", "file", "memory", "fail"} <= set(registry.names("script"))
    assert registry.load("script", "memory").make(place(tmp_path)).name == "memory"
    assert registry.load("script", "fail").make(place(tmp_path)).name == "fail"


@pytest.mark.parametrize("uncertain", [False, True])
def test_the_failing_place_fails_with_and_without_effect(uncertain: bool) -> None:
    async def go() -> None:
        inner = MemoryScripts()
        broken = FailScripts(inner, failing=True, uncertain=uncertain)
        calls: list[Callable[[], Any]] = [
            lambda: broken.save("a", b"keep;", anything),
            broken.scripts,
            broken.active,
            lambda: broken.read("a"),
            lambda: broken.delete("a"),
            lambda: broken.rename("a", "b"),
            lambda: broken.activate("a"),
        ]
        for call in calls:
            with pytest.raises(ScriptError):
                await call()
        assert ("a" in inner.sources) is uncertain
        await broken.close()

    asyncio.run(go())


def test_the_layout_is_the_one_that_others_use(tmp_path: Path) -> None:
    async def go() -> None:
        scripts = files(tmp_path)
        await scripts.save("my rules", b"keep;", anything)
        await scripts.activate("my rules")
        assert (tmp_path / "sieve" / "my rules.sieve").read_bytes() == b"keep;"
        assert os.readlink(tmp_path / ".dovecot.sieve") == "sieve/my rules.sieve"
        assert scripts.location("my rules") == f"file:{tmp_path}/sieve/my rules.sieve"
        (tmp_path / "sieve" / "README").write_text("no script")
        (tmp_path / "sieve" / "other.svbin").write_text("compiled by others")
        (tmp_path / "sieve" / "foreign.sieve").write_text("stop;")
        assert [one.name for one in await scripts.scripts()] == ["foreign", "my rules"]
        (tmp_path / ".dovecot.sieve").unlink()
        os.symlink(tmp_path / "sieve" / "foreign.sieve", tmp_path / ".dovecot.sieve")
        assert await scripts.active() == "foreign"

    asyncio.run(go())


def test_a_plain_file_in_place_of_the_link_is_the_active_script(tmp_path: Path) -> None:
    async def go() -> None:
        (tmp_path / ".dovecot.sieve").write_text("discard;")
        scripts = files(tmp_path)
        assert await scripts.active() == file.MAIN
        assert await scripts.read(file.MAIN) == b"discard;"
        assert scripts.location(file.MAIN) == f"file:{tmp_path}/.dovecot.sieve"
        assert scripts.compiled_path(file.MAIN) is None
        assert await scripts.scripts() == []
        await scripts.activate(file.MAIN)
        await scripts.save("new", b"keep;", anything)
        await scripts.activate("new")
        assert await scripts.active() == "new"
        assert await scripts.read(file.MAIN) == b"discard;"
        assert await scripts.scripts() == [Listed("main script", 8), Listed("new", 5, True)]
        await scripts.activate(file.MAIN)
        assert await scripts.scripts() == [Listed("main script", 8, True), Listed("new", 5)]
        assert scripts.location(file.MAIN) == f"file:{tmp_path}/sieve/main script.sieve"
        with pytest.raises(ScriptActive):
            await scripts.delete(file.MAIN)

    asyncio.run(go())


def test_a_link_to_nothing_is_no_active_script(tmp_path: Path) -> None:
    async def go() -> None:
        os.symlink("sieve/gone.sieve", tmp_path / ".dovecot.sieve")
        scripts = files(tmp_path)
        assert await scripts.active() is None
        await scripts.save("a", b"keep;", anything)
        await scripts.activate("a")
        assert await scripts.active() == "a"

    asyncio.run(go())


def test_leftovers_of_a_crash_go_away(tmp_path: Path) -> None:
    async def go() -> None:
        scripts = files(tmp_path)
        await scripts.save("a", b"keep;", anything)
        (tmp_path / "sieve" / "tmp" / "new").write_bytes(b"half a scr")
        os.symlink("nowhere", tmp_path / ".dovecot.sieve.new")
        await scripts.activate("a")
        assert os.listdir(tmp_path / "sieve" / "tmp") == ["lock"]
        assert await scripts.scripts() == [Listed("a", 5, True)]

    asyncio.run(go())


def test_a_crash_while_the_active_script_is_renamed_leaves_it_active(tmp_path: Path) -> None:
    async def go() -> None:
        scripts = files(tmp_path)
        await scripts.save("a", b"keep;", anything)
        await scripts.activate("a")
        os.link(tmp_path / "sieve" / "a.sieve", tmp_path / "sieve" / "b.sieve")
        assert await scripts.active() == "a"
        with pytest.raises(ScriptExists):
            await scripts.rename("a", "b")
        await scripts.delete("b")
        await scripts.rename("a", "b")
        assert await scripts.scripts() == [Listed("b", 5, True)]

    asyncio.run(go())


def test_what_cannot_be_looked_at_is_not_taken_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: object) -> str:
        raise PermissionError(13, "Permission denied")

    async def go() -> None:
        scripts = files(tmp_path)
        await scripts.save("a", b"keep;", anything)
        (tmp_path / "sieve" / "b.sieve").mkdir()
        with pytest.raises(ScriptError):
            await scripts.read("b")
        monkeypatch.setattr(os, "readlink", denied)
        for call in (scripts.active(), scripts.scripts(), scripts.delete("a")):
            with pytest.raises(ScriptError, match="Permission denied"):
                await call

    asyncio.run(go())


def test_one_file_is_a_place_with_one_active_script(tmp_path: Path) -> None:
    async def go() -> None:
        path = tmp_path / "default.sieve"
        one = file.make(place(tmp_path, path=str(path), type="default"))
        assert await one.active() is None
        assert await one.scripts() == []
        path.write_text("keep;")
        assert await one.active() == "default"
        assert await one.read("default") == b"keep;"
        assert await one.read("other") is None
        assert await one.scripts() == [Listed("default", 5, True)]
        assert isinstance(one, file.OneFile)
        assert one.compiled_path("default") is None
        named = file.make(place(tmp_path, path=str(path), name="standard", bin_path="~/bin"))
        assert await named.active() == "standard"
        assert named.compiled_path("standard") == tmp_path / "bin" / "standard.compiled"

    asyncio.run(go())


def test_a_place_needs_a_path_and_a_folder_that_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="path is not set"):
        file.make(place(tmp_path))
    (tmp_path / "sieve").write_text("not a folder")

    async def go() -> None:
        scripts = files(tmp_path)
        assert await scripts.read("a") is None
        with pytest.raises(ScriptError):
            await file.Folder(tmp_path / "sieve", None, None).save("a", b"", anything)
        lonely = file.Folder(tmp_path / "other", None, None)
        await lonely.save("a", b"keep;", anything)
        with pytest.raises(ScriptError, match="active_path"):
            await lonely.activate("a")

    asyncio.run(go())


def test_users_of_one_dict_have_scripts_of_their_own(tmp_path: Path) -> None:
    async def go() -> None:
        settings = msgspec.structs.replace(
            Settings(), dict={"d": DictBlockSettings(driver="file", dict_file_path="%{home}/d")}
        )

        def open_for(user: str, **block: Any) -> Any:
            values = {"home": str(tmp_path), "user": user}
            chosen = SieveScriptSettings(driver="dict", dict="d", **block)
            return registry.load("script", "dict").make(Place("b", chosen, settings, values))

        ann, bob = open_for("ann"), open_for("b/ob")
        await ann.save("rules", b"keep;", anything)
        await bob.save("rules", b"stop;", anything)
        assert await ann.read("rules") == b"keep;"
        assert ann.location("rules") == "dict:priv/sieve/ann/script/rules"
        default = open_for("ann", type="default", name="rules")
        assert await default.active() == "rules"
        with pytest.raises(ScriptError):
            await default.delete("rules")
        with pytest.raises(ValueError, match="needs name"):
            open_for("ann", type="before")
        nowhere = SieveScriptSettings(driver="dict", dict="e")
        with pytest.raises(ValueError, match="there is no dict 'e'"):
            registry.load("script", "dict").make(Place("b", nowhere, settings, {"user": "ann"}))
        for place_ in (ann, bob, default):
            await place_.close()

    asyncio.run(go())


def test_a_broken_dict_is_a_temporary_failure() -> None:
    async def go() -> None:
        scripts = DictScripts(FailDict(), "ann")
        for call in (scripts.scripts(), scripts.read("a"), scripts.save("a", b"", anything)):
            with pytest.raises(ScriptError, match="dict: "):
                await call
        await scripts.close()

    asyncio.run(go())


def test_writers_in_two_processes_do_not_undo_each_other(tmp_path: Path) -> None:
    def one(existing: Sequence[Listed]) -> None:
        if existing:
            raise Full

    async def go() -> None:
        places = [DictScripts(FileDict(str(tmp_path / "d")), "ann") for _ in range(4)]
        ends = await asyncio.gather(
            *(place.save(f"s{n}", b"keep;", one) for n, place in enumerate(places)),
            return_exceptions=True,
        )
        assert sum(isinstance(end, Full) for end in ends) == 3
        for place in places:
            await place.close()

    asyncio.run(go())
