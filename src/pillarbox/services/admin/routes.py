"""What the admin service answers: OpenMetrics, health, the event catalogue, metrics, live events.

    GET    /metrics                 OpenMetrics 1.0
    GET    /health                  200 when every process reports, 503 when some do not
    GET    /api/v1/events           the catalogue; /api/v1/events/NAME one event
    GET    /api/v1/events/tail      events as they happen, one JSON object a line; ?filter=...
    GET    /api/v1/stats            every metric as JSON
    PUT    /api/v1/stats/NAME       add or replace a metric: {"filter": ..., "fields": [...], ...}
    DELETE /api/v1/stats/NAME       take a metric away
    POST   /api/v1/stats/reset      start all metrics from nothing; {"names": [...]}: these

On a UNIX socket whoever may open it is trusted; a network listener asks for ``admin_password``
(HTTP basic authentication, any user name) when there is one.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from pillarbox.events.catalogue.load import registry
from pillarbox.events.event import Event
from pillarbox.events.metrics.openmetrics import CONTENT_TYPE
from pillarbox.runtime import stats_client
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.stats_client import StatsError
from pillarbox.services.admin.http import Exchange, HttpError, reply
from pillarbox.settings.model import MetricSettings

Action = Callable[["Routes", Exchange, str], Awaitable[web.StreamResponse]]


class Routes:
    """The handler of all requests."""

    def __init__(self, ctx: ServiceContext) -> None:
        self._ctx = ctx

    async def handle(self, exchange: Exchange) -> web.StreamResponse:
        """Find what a path means and do it.  Raises HttpError."""
        if not exchange.trusted:
            self._authenticate(exchange)
        path = exchange.path.rstrip("/") or "/"
        exact = _EXACT.get(path)
        if exact is not None:
            return await self._run(exact, exchange, "")
        folder, _, name = path.rpartition("/")
        below = _BELOW.get(folder)
        if below is None or not name:
            raise HttpError(404, f"There is nothing at {exchange.path}")
        return await self._run(below, exchange, name)

    async def _run(
        self, actions: dict[str, Action], exchange: Exchange, name: str
    ) -> web.StreamResponse:
        action = actions.get("GET" if exchange.method == "HEAD" else exchange.method)
        if action is None:
            allowed = ", ".join(actions)
            raise HttpError(405, f"Only {allowed} is possible here", {"Allow": allowed})
        try:
            return await action(self, exchange, name)
        except StatsError as error:
            raise HttpError(503, f"The stats service: {error}") from error

    def _authenticate(self, exchange: Exchange) -> None:
        wanted = self._ctx.settings.admin_password
        if not wanted:
            return
        kind, _, value = exchange.request.headers.get("Authorization", "").partition(" ")
        given = b""
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(value, validate=True).partition(b":")[2]
            except ValueError:
                given = b""
        if not hmac.compare_digest(given, wanted.encode()):
            challenge = {"WWW-Authenticate": 'Basic realm="Pillarbox"'}
            raise HttpError(401, "The admin password is wanted", challenge)

    async def metrics(self, exchange: Exchange, _: str) -> web.StreamResponse:
        """OpenMetrics for Prometheus."""
        text = await stats_client.openmetrics(self._ctx.base_dir)
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def health(self, exchange: Exchange, _: str) -> web.StreamResponse:
        """Whether as many processes report as there should be; the stats service need not."""
        reporting = {n: count for n, count in self._ctx.peers.items() if n != "stats"}
        expected = sum(reporting.values())
        try:
            processes = (await stats_client.dump(self._ctx.base_dir)).processes
        except StatsError as error:
            answer = {"status": "failing", "error": f"stats: {error}", "expected": expected}
            return web.json_response(answer, status=503)
        well = processes >= expected
        answer = {
            "status": "ok" if well else "degraded",
            "processes": processes,
            "expected": expected,
            "services": reporting,
        }
        return web.json_response(answer, status=200 if well else 503)

    async def events(self, exchange: Exchange, _: str) -> web.StreamResponse:
        """The names of the catalogue, with category and description."""
        return reply(
            [{"name": e.name, "category": e.category, "doc": e.doc} for e in registry().values()]
        )

    async def event(self, exchange: Exchange, name: str) -> web.StreamResponse:
        """One event with its fields."""
        event = registry().get(name)
        if event is None:
            raise HttpError(404, f"There is no event {name}")
        return reply(_described(event))

    async def tail(self, exchange: Exchange, _: str) -> web.StreamResponse:
        """Events as they happen, until the client hangs up or the server stops."""
        watch = stats_client.tail(self._ctx.base_dir, exchange.query.get("filter", ""))
        try:
            try:
                await anext(watch)
            except StatsError as error:
                raise HttpError(400, str(error)) from error
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(exchange.request)
            async for record, lost in watch:
                value = {"lost": lost} if record is None else msgspec.to_builtins(record)
                await response.write(msgspec.json.encode(value) + b"\n")
            return response
        finally:
            await watch.aclose()  # type: ignore[attr-defined]

    async def stats(self, exchange: Exchange, _: str) -> web.StreamResponse:
        """Every metric of all processes."""
        return reply(msgspec.to_builtins(await stats_client.dump(self._ctx.base_dir)))

    async def add(self, exchange: Exchange, name: str) -> web.StreamResponse:
        """Add or replace a metric."""
        try:
            settings = msgspec.convert(await exchange.json(), MetricSettings)
            await stats_client.change(self._ctx.base_dir, add={name: settings})
        except (msgspec.ValidationError, StatsError) as error:
            raise HttpError(400, str(error)) from error
        return reply({"added": name})

    async def remove(self, exchange: Exchange, name: str) -> web.StreamResponse:
        """Take a metric away."""
        try:
            await stats_client.change(self._ctx.base_dir, remove=[name])
        except StatsError as error:
            raise HttpError(404, str(error)) from error
        return reply({"removed": name})

    async def reset(self, exchange: Exchange, _: str) -> web.StreamResponse:
        """Start metrics from nothing."""
        names = (await exchange.json()).get("names", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise HttpError(400, "names is not a list of texts")
        await stats_client.change(self._ctx.base_dir, reset=names)
        return reply({"reset": names or "all"})

    async def index(self, exchange: Exchange, _: str) -> web.StreamResponse:
        """What there is."""
        return reply({"pillarbox": [*_EXACT, *(f"{folder}/NAME" for folder in _BELOW)]})


def _described(event: Event[...]) -> dict[str, object]:
    return {
        "name": event.name,
        "category": event.category,
        "doc": event.doc,
        "fields": {name: msgspec.to_builtins(field) for name, field in event.fields.items()},
    }


_EXACT: dict[str, dict[str, Action]] = {
    "/": {"GET": Routes.index},
    "/metrics": {"GET": Routes.metrics},
    "/health": {"GET": Routes.health},
    "/api/v1/events": {"GET": Routes.events},
    "/api/v1/events/tail": {"GET": Routes.tail},
    "/api/v1/stats": {"GET": Routes.stats},
    "/api/v1/stats/reset": {"POST": Routes.reset},
}
_BELOW: dict[str, dict[str, Action]] = {
    "/api/v1/events": {"GET": Routes.event},
    "/api/v1/stats": {"PUT": Routes.add, "DELETE": Routes.remove},
}
