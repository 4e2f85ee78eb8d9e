"""Exporter that posts events to an HTTP server, one request each.

The content type is that of the format.  A response outside 200-299, a timeout or no answer at all
is a failure: the event is offered again later, and the queue grows meanwhile.

Not by `runtime.http_client`: the events of its requests would be exported in turn, without end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import aiohttp

from pillarbox.runtime.exporter_api import ExporterError
from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import EventExporterSettings

TYPES: Final = {"json": "application/json", "tab-text": "text/plain; charset=utf-8"}


class HttpPostExporter:
    """Posts lines, over one connection that is kept."""

    def __init__(self, url: str, content_type: str, timeout: float) -> None:
        self._url = url
        self._headers = {"Content-Type": content_type}
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, lines: Sequence[bytes]) -> int:
        """Post the lines one by one; returns how many were taken before a failure."""
        for done, line in enumerate(lines):
            try:
                await self._post(line)
            except ExporterError:
                if done:
                    return done
                raise
        return len(lines)

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, line: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers)
        try:
            async with self._session.post(self._url, data=line) as response:
                if not 200 <= response.status < 300:
                    raise ExporterError(f"{self._url}: {response.status} {response.reason}")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise ExporterError(f"{self._url}: {reason}") from error


def make(settings: EventExporterSettings, ctx: ServiceContext) -> HttpPostExporter:
    """The driver.  Raises ExporterError without a URL."""
    if not settings.http_post_url.startswith(("http://", "https://")):
        raise ExporterError("driver http-post needs http_post_url, with http:// or https://")
    return HttpPostExporter(
        settings.http_post_url, TYPES[settings.format], settings.http_post_timeout
    )
