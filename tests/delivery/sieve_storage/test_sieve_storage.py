"""Stored scripts: rules about names and sizes, compiling, the active one, and every event."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.delivery.sieve.language import capabilities_of, limits_of
from pillarbox.delivery.sieve_storage import errors
from pillarbox.delivery.sieve_storage.cache import Cache
from pillarbox.delivery.sieve_storage.compiling import Compiled, Rules
from pillarbox.delivery.sieve_storage.names import check_name
from pillarbox.delivery.sieve_storage.places import Places
from pillarbox.delivery.sieve_storage.quota import Quota, quota_of
from pillarbox.delivery.sieve_storage.storage import ScriptStorage
from pillarbox.drivers.script.fail import FailScripts
from pillarbox.drivers.script.memory import MemoryScripts
from pillarbox.events.catalogue import sieve as events
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import Settings
from pillarbox.settings.schema.sieve_script import SieveScriptSettings

BAD = b'fileinto "x";\r\nnonsense;\r\n'
GOOD = b'require "fileinto";\r\nfileinto "x";\r\n'
STORAGE_EVENTS = (
    events.sieve_script_opened,
    events.sieve_script_closed,
    events.sieve_script_deleted,
    events.sieve_script_activated,
    events.sieve_script_renamed,
    events.sieve_storage_save_started,
    events.sieve_storage_save_finished,
)


class World:
    """A user's places, with what was logged."""

    def __init__(self, home: Path, fields: dict[str, str] | None = None, **settings: Any) -> None:
        self.lines: list[Line] = []
        self.home = home
        self.scope = Scope(None, user="alice")
        self.settings = msgspec.structs.replace(Settings(), **settings)
        log = Log("test", self.lines.append)
        fields = {"home": str(home), **(fields or {})}
        self.places = Places("alice@example.com", fields, self.settings, log, self.scope)

    @property
    def storage(self) -> ScriptStorage:
        storage = self.places.personal()
        assert storage is not None
        return storage


def broken(lines: list[Line]) -> ScriptStorage:
    inner = MemoryScripts()
    inner.sources["a"] = GOOD
    allowed = capabilities_of(Settings())
    rules = Rules(allowed, limits_of(Settings()), allowed)
    log = Log("test", lines.append)
    return ScriptStorage(FailScripts(inner, failing=True), Quota(0, 0, 1000), rules, log)


@pytest.mark.parametrize("name", ["", "a/b", "a\0", "a\nb", "\x7f", "\x9f", "\u2028", "é" * 257])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(errors.InvalidName):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "..", " ", "ünï cödé", "\U0001f4e7" * 128])
def test_names_that_can_be(name: str) -> None:
    check_name(name)


def test_the_life_of_a_script_and_its_events(tmp_path: Path, watch: Callable[..., Any]) -> None:
    seen = watch(*STORAGE_EVENTS)

    async def go() -> None:
        world = World(tmp_path)
        storage, scope = world.storage, world.scope
        compiled = await storage.save(scope, "rules", GOOD)
        assert (compiled.errors, compiled.warnings) == (0, 0)
        await storage.activate(scope, "rules")
        script = await storage.open_active(scope)
        assert script is not None
        assert (script.name, script.source) == ("rules", GOOD)
        script.close()
        script.close()
        await storage.rename(scope, "rules", "filters")
        await storage.deactivate(scope)
        await storage.delete(scope, "filters")
        assert await storage.scripts(scope) == []
        await world.places.close()

    asyncio.run(go())
    first, second = (f"file:{tmp_path}/sieve/{name}.sieve" for name in ("rules", "filters"))

    def event(name: str, script: str, location: str, **more: str) -> tuple[str, dict[str, Any]]:
        return name, {
            "user": "alice",
            "script_name": script,
            "script_location": location,
            "storage_driver": "file",
            "categories": [],
            "reason_code": [],
            **more,
        }

    assert seen == [
        event("sieve_storage_save_started", "rules", first),
        event("sieve_storage_save_finished", "rules", first),
        event("sieve_script_opened", "rules", first),
        event("sieve_script_closed", "rules", first),
        event("sieve_script_activated", "rules", first),
        event("sieve_script_opened", "rules", first),
        event("sieve_script_closed", "rules", first),
        event(
            "sieve_script_renamed",
            "rules",
            first,
            old_script_name="rules",
            new_script_name="filters",
        ),
        event("sieve_script_deleted", "filters", second),
    ]


def test_refusals_are_told_with_their_error(tmp_path: Path, watch: Callable[..., Any]) -> None:
    seen = watch(*STORAGE_EVENTS)

    async def go() -> None:
        storage, scope = World(tmp_path).storage, Scope(None)
        with pytest.raises(errors.BadScript) as bad:
            await storage.save(scope, "a", BAD)
        assert [one.line for one in bad.value.diagnostics if one.severity == "error"] == [1, 2]
        with pytest.raises(errors.NonExistent):
            await storage.activate(scope, "a")
        await storage.save(scope, "a", GOOD)
        await storage.save(scope, "b", GOOD)
        (tmp_path / "sieve" / "b.sieve").write_bytes(BAD)
        with pytest.raises(errors.BadScript):
            await storage.activate(scope, "b")
        await storage.activate(scope, "a")
        with pytest.raises(errors.IsActive):
            await storage.delete(scope, "a")
        with pytest.raises(errors.AlreadyExists):
            await storage.rename(scope, "a", "b")
        for name in ("x", "x/y"):
            with pytest.raises(errors.ScriptRefused):
                await storage.open(scope, name)
            with pytest.raises(errors.ScriptRefused):
                await storage.rename(scope, "a" if "/" in name else name, name)

    asyncio.run(go())
    told = [(name, fields["error"]) for name, fields in seen if "error" in fields]
    assert told == [
        ("sieve_storage_save_finished", "The script has errors."),
        ("sieve_script_opened", "There is no script by that name."),
        ("sieve_script_activated", "There is no script by that name."),
        ("sieve_script_closed", "The script has errors."),
        ("sieve_script_activated", "The script has errors."),
        ("sieve_script_deleted", "The active script cannot be deleted."),
        ("sieve_script_renamed", "A script of that name exists already."),
        ("sieve_script_opened", "There is no script by that name."),
        ("sieve_script_renamed", "There is no script by that name."),
        ("sieve_script_opened", "A script's name cannot have slashes or control characters."),
        ("sieve_script_renamed", "A script's name cannot have slashes or control characters."),
    ]


def test_a_broken_place_is_try_later_and_its_reason_is_logged() -> None:
    async def go() -> list[Line]:
        lines: list[Line] = []
        storage, scope = broken(lines), Scope(None)
        calls: list[Callable[[], Any]] = [
            lambda: storage.scripts(scope),
            lambda: storage.open(scope, "a"),
            lambda: storage.open_active(scope),
            lambda: storage.save(scope, "a", GOOD),
            lambda: storage.activate(scope, "a"),
            lambda: storage.deactivate(scope),
            lambda: storage.delete(scope, "a"),
            lambda: storage.rename(scope, "a", "b"),
            lambda: storage.have_space(scope, "a", 1),
        ]
        for call in calls:
            with pytest.raises(errors.TryLater) as error:
                await call()
            assert "made to fail" not in error.value.text
        assert len(lines) == len(calls)
        await storage.close()
        return lines

    for line in asyncio.run(go()):
        assert line.level == "error"
        assert "made to fail" in line.text


def test_quota_counts_the_scripts_that_would_be_there(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(
            tmp_path,
            sieve_quota_script_count=2,
            sieve_quota_storage_size=100,
            sieve_max_script_size=80,
        )
        storage, scope = world.storage, world.scope
        await storage.save(scope, "a", b"keep;" + b" " * 55)
        with pytest.raises(errors.StorageFull):
            await storage.save(scope, "b", b"keep;" + b" " * 36)
        await storage.have_space(scope, "b", 40)
        with pytest.raises(errors.StorageFull):
            await storage.have_space(scope, "b", 41)
        await storage.save(scope, "b", b"keep;" + b" " * 35)
        await storage.save(scope, "b", b"keep;" + b" " * 35)
        for call in (storage.have_space(scope, "c", 0), storage.save(scope, "c", b"")):
            with pytest.raises(errors.TooManyScripts):
                await call
        for size in (81, 10**9):
            with pytest.raises(errors.ScriptTooLarge):
                await storage.have_space(scope, "a", size)
        with pytest.raises(errors.ScriptTooLarge):
            await storage.save(scope, "a", b"#" * 81)
        with pytest.raises(errors.ScriptTooLarge):
            await storage.check(scope, "", b"#" * 81)
        with pytest.raises(errors.InvalidName):
            await storage.have_space(scope, "", 1)

    asyncio.run(go())
    fields = {"sieve_quota_script_count": "7", "sieve_quota_storage_size": "2 MB"}
    assert quota_of(fields, Settings()) == Quota(7, 2 * 1024 * 1024, 1024 * 1024)


def test_includes_are_compiled_with_the_script(tmp_path: Path) -> None:
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "company.sieve").write_bytes(b"stop;")
    blocks = {
        "personal": SieveScriptSettings(path="~/sieve", active_path="~/.dovecot.sieve"),
        "global": SieveScriptSettings(type="global", path=f"{tmp_path}/global"),
    }

    async def go() -> None:
        world = World(tmp_path / "home", sieve_script=blocks)
        storage, scope = world.storage, world.scope
        await storage.save(scope, "inner", b'require "include"; include :global "company";')
        outer = b'require "include"; include :personal "inner";'
        compiled = await storage.save(scope, "outer", outer)
        assert compiled.script is not None
        assert {key[:2] for key in compiled.script.dependencies()} == {
            ("personal", "inner"),
            ("global", "company"),
        }
        missing = await storage.check(scope, "m", b'require "include"; include "nowhere";')
        assert (missing.errors, missing.warnings) == (0, 1)
        strange = await storage.check(scope, "m", b'require "include"; include "a/../../b";')
        assert strange.warnings == 1 or strange.errors
        with pytest.raises(errors.BadScript):
            await storage.save(scope, "loop", b'require "include"; include "loop";')

    asyncio.run(go())


def test_included_global_scripts_may_use_what_users_may_not(tmp_path: Path) -> None:
    (tmp_path / "global").mkdir()
    pipe = b'require "vnd.dovecot.pipe"; pipe "program";'
    (tmp_path / "global" / "pipe.sieve").write_bytes(pipe)
    blocks = {
        "personal": SieveScriptSettings(path="~/sieve", active_path="~/.dovecot.sieve"),
        "global": SieveScriptSettings(type="global", path=f"{tmp_path}/global"),
    }

    async def go() -> None:
        world = World(tmp_path, sieve_script=blocks, sieve_global_extensions=("vnd.dovecot.pipe",))
        storage, scope = world.storage, world.scope
        with pytest.raises(errors.BadScript):
            await storage.save(scope, "own", pipe)
        await storage.save(scope, "by", b'require "include"; include :global "pipe";')
        storage._cache = Cache()
        compiled = await storage.compiled(await storage.open(scope, "by"))
        assert compiled.script is not None
        assert compiled.script.included["global", "pipe"].source == pipe

    asyncio.run(go())


def test_scripts_of_every_place_include_those_of_the_global_ones(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"global{number}").mkdir()
        script = b'require "include"; include :global "two";' if number == 1 else b"stop;"
        name = "one" if number == 1 else "two"
        (tmp_path / f"global{number}" / f"{name}.sieve").write_bytes(script)
    (tmp_path / "before.sieve").write_bytes(b'require "include"; include :global "one";')
    blocks = {
        "before": SieveScriptSettings(type="before", path=f"{tmp_path}/before.sieve"),
        "first": SieveScriptSettings(type="global", path=f"{tmp_path}/global1"),
        "second": SieveScriptSettings(type="global", path=f"{tmp_path}/global2"),
    }

    async def go() -> None:
        world = World(tmp_path, sieve_script=blocks)
        [before] = world.places.of("before")
        script = await before.open_active(world.scope)
        assert script is not None
        compiled = await before.compiled(script)
        assert compiled.script is not None
        assert not compiled.diagnostics
        assert {key[:2] for key in compiled.script.dependencies()} == {
            ("global", "one"),
            ("global", "two"),
        }
        assert await before.read("global", "a/b") is None

    asyncio.run(go())


def test_compiled_scripts_are_kept_and_always_current(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        storage, scope = world.storage, world.scope
        file = tmp_path / "sieve" / "outer.compiled"
        await storage.save(scope, "inner", b"keep;")
        await storage.save(scope, "outer", b'require "include"; include "inner";')
        assert file.exists()

        async def compiled(cache: Cache) -> Compiled:
            storage._cache = cache
            script = await storage.open(scope, "outer")
            try:
                return await storage.compiled(script)
            finally:
                script.close()

        cache = Cache(kept=1)
        first = await compiled(cache)
        assert first.binary_path == str(file)
        assert await compiled(cache) is first
        await storage.save(scope, "inner", b"discard;")
        second = await compiled(cache)
        assert second.script is not None
        assert second is not first
        assert second.script.included["personal", "inner"].source == b"discard;"
        file.write_bytes(b"rubbish")
        again = await compiled(Cache())
        assert again.script is not None
        assert file.read_bytes() != b"rubbish"
        os.truncate(tmp_path / "sieve" / "outer.sieve", 0)
        assert (await compiled(cache)).script is not None
        (tmp_path / "sieve" / "outer.sieve").write_bytes(BAD)
        assert (await compiled(cache)).errors == 2

    asyncio.run(go())


def test_a_users_file_cannot_bring_in_what_is_not_in_the_storage(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        storage, scope = world.storage, world.scope
        source = b'require "include"; include "inner";'
        await storage.save(scope, "inner", b"keep;")
        await storage.save(scope, "outer", source)
        forged = (tmp_path / "sieve" / "outer.compiled").read_bytes()
        digest = hashlib.sha256(b"keep;").digest()
        assert digest in forged
        forged = forged.replace(digest, hashlib.sha256(b"stop;").digest())
        forged = forged.replace(b"\xa4keep", b"\xa4stop")
        (tmp_path / "sieve" / "outer.compiled").write_bytes(forged)
        storage._cache = Cache()
        compiled = await storage.compiled(await storage.open(scope, "outer"))
        assert compiled.script is not None
        assert compiled.script.included["personal", "inner"].source == b"keep;"

    asyncio.run(go())


def test_places_of_all_types_in_order(tmp_path: Path) -> None:
    for name in ("one", "two", "standard"):
        (tmp_path / f"{name}.sieve").write_bytes(b"keep;")
    blocks = {
        "late": SieveScriptSettings(type="before", path=f"{tmp_path}/two.sieve", precedence=2000),
        "early": SieveScriptSettings(type="before", path=f"{tmp_path}/one.sieve"),
        "usual": SieveScriptSettings(type="default", path=f"{tmp_path}/standard.sieve"),
    }

    async def go() -> None:
        world = World(tmp_path, sieve_script=blocks)
        assert world.places.personal() is None
        assert [await s.active(world.scope) for s in world.places.of("before")] == ["one", "two"]
        [default] = world.places.of("default")
        script = await default.open_active(world.scope)
        assert script is not None
        assert script.location == f"file:{tmp_path}/standard.sieve"
        assert (await default.compiled(script)).script is not None
        with pytest.raises(errors.ScriptRefused, match="cannot be changed"):
            await default.save(world.scope, "standard", b"stop;")
        assert world.places.of("after") == []

    asyncio.run(go())


def test_settings_that_make_no_sense_are_logged(tmp_path: Path) -> None:
    for block, word in (
        (SieveScriptSettings(driver="fil"), "no script driver"),
        (SieveScriptSettings(), "path is not set"),
        (SieveScriptSettings(path="%{nothing}"), "nothing"),
    ):
        world = World(tmp_path, sieve_script={"personal": block})
        with pytest.raises(errors.TryLater):
            world.places.personal()
        assert word in world.lines[0].text
    world = World(tmp_path, {"sieve_quota_script_count": "many"})
    with pytest.raises(errors.TryLater):
        world.places.personal()
