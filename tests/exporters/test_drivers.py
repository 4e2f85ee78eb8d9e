"""The exporter drivers against real files, sockets and an HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pillarbox.runtime.exporter_api import Exporter, ExporterError, make
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import EventExporterSettings, Settings

Run = Callable[[Any], Any]


def driver(**settings: Any) -> Exporter:
    return make(EventExporterSettings(**settings), context([]))


def context(lines: list[Line]) -> ServiceContext:
    return ServiceContext("stats", Settings(), Path("/"), log=Log("stats", lines.append))


def test_drop(run: Run) -> None:
    assert run(driver(driver="drop").send([b"a", b"b"])) == 2


def test_log(run: Run) -> None:
    lines: list[Line] = []
    exporter = make(EventExporterSettings(driver="log"), context(lines))
    assert run(exporter.send([b"one", b"t\xc3\xa9o"])) == 2
    assert [(line.level, line.text) for line in lines] == [("info", "one"), ("info", "téo")]


def test_file_is_reopened_when_rotated(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "events"
        exporter = driver(driver="file", file_path=str(path))
        assert await exporter.send([b"one", b"two"]) == 2
        path.rename(tmp_path / "old")
        await exporter.send([b"three"])
        await exporter.close()
        assert (tmp_path / "old").read_bytes() == b"one\ntwo\n"
        assert path.read_bytes() == b"three\n"

    run(scenario())


def test_file_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    exporter = driver(driver="file", file_path=str(tmp_path / "no" / "events"))
    with pytest.raises(ExporterError, match="No such file"):
        run(exporter.send([b"x"]))


def test_unix(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "sock"
        exporter = driver(driver="unix", unix_path=str(path))
        with pytest.raises(ExporterError, match="sock"):
            await exporter.send([b"x"])
        got: asyncio.Queue[bytes] = asyncio.Queue()

        serving: set[asyncio.Task[Any] | None] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(asyncio.current_task())
            async for line in reader:
                got.put_nowait(line)
                if line == b"bye\n":
                    break
            writer.close()

        server = await asyncio.start_unix_server(serve, str(path))
        assert await exporter.send([b"one", b"bye"]) == 2
        assert [await got.get(), await got.get()] == [b"one\n", b"bye\n"]
        await asyncio.gather(*filter(None, serving))
        while got.empty():
            await exporter.send([b"again"])
            await asyncio.sleep(0)
        assert await got.get() == b"again\n"
        await exporter.close()
        await asyncio.gather(*filter(None, serving))
        server.close()

    run(scenario())


def test_http_post(run: Run) -> None:
    async def scenario() -> None:
        got: list[tuple[str, bytes]] = []
        status = [200, 204, 503, 200]

        async def post(request: web.Request) -> web.Response:
            got.append((request.content_type, await request.read()))
            return web.Response(status=status[len(got) - 1])

        app = web.Application()
        app.router.add_post("/in", post)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
        exporter = driver(driver="http-post", http_post_url=url)
        assert await exporter.send([b"a", b"b", b"c"]) == 2
        assert await exporter.send([b"c"]) == 1
        assert [body for _, body in got] == [b"a", b"b", b"c", b"c"]
        assert got[0][0] == "application/json"
        await exporter.close()
        await runner.cleanup()
        with pytest.raises(ExporterError):
            await exporter.send([b"d"])
        await exporter.close()

    run(scenario())


@pytest.mark.parametrize("name", ["file", "unix", "http-post"])
def test_a_driver_needs_to_know_where(name: str) -> None:
    with pytest.raises(ExporterError, match="needs"):
        driver(driver=name)
