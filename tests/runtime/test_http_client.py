"""The HTTP client against a real server: attempts, redirects, limits, proxies, TLS, events."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpserver import Answer, HttpServer, Request, http_server, response

from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.runtime.http_client import HttpClient, HttpError, HttpResponse
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.wire.http.failures import Failure

Events = list[tuple[str, dict[str, Any]]]
QUICK = {"http_client_connect_backoff_time": 0.001, "http_client_request_max_redirects": 3}


@pytest.fixture
def events() -> Iterator[Events]:
    seen: Events = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        names = ("dest_host", "dest_ip", "dest_port")
        fields = {name: scope.get(name) for name in names} | own
        seen.append((event.name, {k: v for k, v in fields.items() if v is not None}))

    subscription = bus.subscribe(Call(take), "event=http_request_*")
    yield seen
    bus.unsubscribe(subscription)


def drive(work: Callable[[HttpClient], Awaitable[Any]], **changes: Any) -> Any:
    async def main() -> Any:
        client = HttpClient(Log("t"), msgspec.structs.replace(Settings(), **QUICK | changes))
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(main())


def ask(
    answer: Answer | HttpServer, method: str = "GET", path: str = "", *, settings: Any = None,
    **options: Any,
) -> HttpResponse:  # fmt: skip
    def work(url: str) -> HttpResponse:
        return drive(
            lambda client: client.request(Scope(None), method, url + path, **options),
            **(settings or {}),
        )

    if isinstance(answer, HttpServer):
        return work(answer.url)
    with http_server(answer) as server:
        return work(server.url)


def failure(*args: Any, **options: Any) -> HttpError:
    with pytest.raises(HttpError) as caught:
        ask(*args, **options)
    return caught.value


def script(*answers: bytes | None) -> Answer:
    left = list(answers)
    return lambda request: left.pop(0)


def test_a_request_and_its_event(events: Events) -> None:
    reply = response(200, b"hello", X_Answer="42")
    with http_server(lambda _: reply) as server:
        got = ask(
            server, "post", "path?a=%20b", body=b"question", headers={"X-Mine": "1"},
            auth=("me", "pass"),
        )  # fmt: skip
        [request] = server.requests
    assert got == HttpResponse(200, {"content-length": "5", "x-answer": "42"}, b"hello")
    assert got.ok
    assert (request.method, request.target, request.body) == ("POST", "/path?a=%20b", b"question")
    assert request.headers["x-mine"] == "1"
    assert request.headers["user-agent"] == "Pillarbox"
    assert request.headers["authorization"] == "Basic bWU6cGFzcw=="
    known = {"dest_host": "127.0.0.1", "dest_ip": "127.0.0.1", "dest_port": server.port}
    expected = {
        **known, "attempts": 1, "redirects": 0, "method": "POST", "target": "/path?a=%20b",
        "status_code": 200, "net_out_bytes": request.size, "net_in_bytes": len(reply),
    }  # fmt: skip
    assert events == [("http_request_finished", expected)]


def test_a_query_that_is_a_secret(events: Events) -> None:
    ask(lambda _: response(), path="info?token=secret", hide_query=True)
    assert events[0][1]["target"] == "/info"


def test_connections_are_used_again() -> None:
    with http_server(lambda _: response()) as server:

        async def work(client: HttpClient) -> None:
            for _ in range(5):
                await client.request(Scope(None), "GET", server.url)
            assert server.connections == 1
            await asyncio.gather(*(client.request(Scope(None), "GET", server.url) for _ in "x" * 9))
            assert server.connections <= 2

        drive(work, http_client_max_parallel_connections=2)


def test_a_connection_that_was_closed_meanwhile() -> None:
    with http_server(lambda _: response()) as server:

        async def work(client: HttpClient) -> None:
            await client.request(Scope(None), "POST", server.url, body=b"x", idempotent=True)
            server.hang_up()
            await client.request(Scope(None), "POST", server.url, body=b"x", idempotent=True)

        drive(work)
        assert len(server.requests) == 2


def test_repeated_until_it_works(events: Events) -> None:
    with http_server(script(response(503), None, response(200, b"at last"))) as server:
        assert ask(server).body == b"at last"
        sizes = [request.size for request in server.requests]
    assert [(name, f["attempts"], f["status_code"]) for name, f in events] == [
        ("http_request_retried", 1, 503),
        ("http_request_retried", 2, Failure.CONNECTION_LOST),
        ("http_request_finished", 3, 200),
    ]
    assert [f["net_out_bytes"] for _, f in events] == [sizes[0], sum(sizes[:2]), sum(sizes)]


@pytest.mark.parametrize(
    ("method", "options", "sent"),
    [
        ("GET", {}, 2),
        ("POST", {}, 1),
        ("POST", {"idempotent": True}, 2),
        ("GET", {"idempotent": False}, 1),
        ("GET", {"settings": {"http_client_request_max_attempts": 1}}, 1),
    ],
)
def test_what_may_have_been_done_is_repeated_only_if_that_is_harmless(
    method: str, options: dict[str, Any], sent: int, events: Events
) -> None:
    with http_server(script(response(500), response(200))) as server:
        assert ask(server, method, **options).status == (200 if sent == 2 else 500)
        assert len(server.requests) == sent


def test_the_last_failure_is_the_answer() -> None:
    assert ask(script(*[response(503, b"no")] * 3)).body == b"no"
    assert failure(script(None, None, None)).code == Failure.CONNECTION_LOST


def test_a_service_says_when_to_come_back() -> None:
    soon = response(429, b"", Retry_After="0")
    assert ask(script(soon, response(200))).status == 200
    assert ask(script(response(429, b"", Retry_After="3600"))).status == 429


def test_redirects(events: Events) -> None:
    first = response(302, b"", Location="/two?x")
    second = response(307, b"", Location="three")
    with http_server(script(first, second, response(200, b"there"))) as server:
        got = ask(server, "POST", body=b"data", headers={"Content-Type": "text/x", "X-Mine": "1"})
        assert got.body == b"there"
        assert [(r.method, r.target, r.body) for r in server.requests] == [
            ("POST", "/", b"data"),
            ("GET", "/two?x", b""),
            ("GET", "/three", b""),
        ]
        assert "content-type" not in server.requests[1].headers
        assert server.requests[2].headers["x-mine"] == "1"
    told = [(n, f["redirects"], f["attempts"], f["status_code"], f["target"]) for n, f in events]
    assert told == [
        ("http_request_redirected", 1, 1, 302, "/"),
        ("http_request_redirected", 2, 2, 307, "/two?x"),
        ("http_request_finished", 2, 3, 200, "/three"),
    ]


def test_credentials_stay_where_they_belong() -> None:
    with http_server(lambda _: response()) as other:
        away = response(307, b"", Location=other.url)
        with http_server(lambda _: away) as server:
            ask(server, "POST", auth=("me", "pass"), headers={"Cookie": "x", "X-Mine": "1"})
        assert "authorization" in server.requests[0].headers
        assert not {"authorization", "cookie"} & set(other.requests[0].headers)
        assert other.requests[0].headers["x-mine"] == "1"


def test_redirects_that_lead_nowhere() -> None:
    again = response(302, b"", Location="/")
    assert failure(lambda _: again).code == Failure.INVALID_REDIRECT
    for place in ("file:///etc/passwd", "gopher://x/"):
        away = response(302, b"", Location=place)
        assert failure(lambda _, away=away: away).code == Failure.INVALID_REDIRECT
    assert ask(lambda _: again, settings={"http_client_request_max_redirects": 0}).status == 302


def test_nobody_there(events: Events) -> None:
    with http_server(lambda _: response()) as server:
        pass
    error = failure(server)
    assert error.code == Failure.CONNECT_FAILED
    assert [f["status_code"] for _, f in events] == [9003, 9003, 9003]
    assert [f["attempts"] for _, f in events] == [1, 2, 3]
    assert events[-1][1]["net_in_bytes"] == events[-1][1]["net_out_bytes"] == 0


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://x/", "http://a b/", "http://\r\n/"])
def test_no_urls(url: str, events: Events) -> None:
    with pytest.raises(HttpError) as caught:
        drive(lambda client: client.request(Scope(None), "GET", url))
    assert caught.value.code == Failure.INVALID_URL
    [(_, fields)] = events
    assert (fields["status_code"], fields["attempts"]) == (9001, 0)


def test_a_name_that_does_not_exist(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    from pillarbox.runtime import http_transport
    from pillarbox.runtime.dns_client import DnsError

    asked: list[tuple[Scope, str]] = []

    async def resolve(scope: Scope, host: str) -> list[str]:
        asked.append((scope, host))
        if host == "none.example":
            raise DnsError("no such name", "NXDOMAIN")
        return ["127.0.0.1"]

    monkeypatch.setattr(http_transport, "resolve", resolve)
    with pytest.raises(HttpError) as caught:
        drive(lambda client: client.request(Scope(None), "GET", "http://none.example/"))
    assert caught.value.code == Failure.HOST_LOOKUP_FAILED
    assert "no such name" in str(caught.value)
    assert asked[0][0].get("dest_host") == "none.example"
    events.clear()
    with http_server(lambda _: response()) as server:
        url = f"http://there.example:{server.port}/"
        drive(lambda client: client.request(Scope(None), "GET", url))
    [(_, fields)] = events
    assert (fields["dest_host"], fields["dest_ip"]) == ("there.example", "127.0.0.1")


def test_time_runs_out(events: Events) -> None:
    def slow(request: Request) -> bytes | None:
        import time

        time.sleep(0.5)
        return None

    assert failure(slow, timeout=0.05).code == Failure.TIMED_OUT
    assert events[-1][1]["status_code"] == 9008
    settings = {"http_client_request_timeout": 0.05, "http_client_request_max_attempts": 2}
    events.clear()
    assert failure(slow, settings=settings).code == Failure.TIMED_OUT
    assert [name for name, _ in events] == ["http_request_retried", "http_request_finished"]


def test_a_caller_that_gives_up(events: Events) -> None:
    async def work(client: HttpClient) -> None:
        with http_server(lambda _: response()) as server:
            task = asyncio.ensure_future(client.request(Scope(None), "GET", server.url))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    drive(work)
    assert [(name, fields["status_code"]) for name, fields in events] == [
        ("http_request_finished", 9000)
    ]


@pytest.mark.parametrize(
    "answer",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000 + b"\r\n\r\n", b"\xff" * 5000],
)
def test_what_is_no_response(answer: bytes) -> None:
    assert failure(lambda _: answer).code == Failure.BAD_RESPONSE


def test_half_a_response() -> None:
    cut = response(200, b"x" * 100)[:-10]
    settings = {"http_client_request_timeout": 0.05}
    error = failure(lambda _: cut, settings=settings, idempotent=False)
    assert error.code == Failure.TIMED_OUT


def test_a_response_that_is_too_long() -> None:
    settings = {"http_client_response_max_size": 1000}
    assert len(ask(lambda _: response(200, b"x" * 1000), settings=settings).body) == 1000
    error = failure(lambda _: response(200, b"x" * 1001), settings=settings)
    assert error.code == Failure.BAD_RESPONSE
    endless = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"400\r\n%s\r\n" % (b"x" * 1024) * 50
    )
    assert failure(lambda _: endless, settings=settings).code == Failure.BAD_RESPONSE


def test_nothing_is_unpacked() -> None:
    got = ask(lambda _: response(200, b"\x1f\x8b...", Content_Encoding="gzip"))
    assert got.body == b"\x1f\x8b..."


def test_a_proxy(events: Events) -> None:
    with http_server(lambda _: response(200, b"by proxy")) as proxy:
        settings = {
            "http_client_proxy_url": proxy.url,
            "http_client_proxy_username": "me",
            "http_client_proxy_password": "pass",
        }
        work = lambda client: client.request(Scope(None), "GET", "http://far.example/x")  # noqa: E731
        assert drive(work, **settings).body == b"by proxy"
        [request] = proxy.requests
    assert request.target == "http://far.example/x"
    assert request.headers["host"] == "far.example"
    assert request.headers["proxy-authorization"] == "Basic bWU6cGFzcw=="
    assert events[0][1]["dest_host"] == "far.example"


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "http"
    with http_server(lambda _: response(200, b"near"), path=path) as server:
        work = lambda client: client.request(Scope(None), "GET", "http://far.example/x")  # noqa: E731
        assert drive(work, http_client_proxy_socket_path=str(path)).body == b"near"
        assert server.requests[0].target == "/x"


def test_tls(certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with http_server(lambda _: response(200, b"secret"), tls) as server:
        trusted = {"ssl_client_ca_file": str(certificate)}
        assert ask(server, settings=trusted).body == b"secret"
        once = {"http_client_request_max_attempts": 1}
        error = failure(server, settings=once)
        assert error.code == Failure.CONNECT_FAILED
        assert "self-signed" in str(error) or "self signed" in str(error)
        unchecked = {"ssl_client_require_valid_cert": False}
        assert ask(server, settings=unchecked).body == b"secret"
        missing = {**once, "ssl_client_ca_file": "/nonexistent"}
        assert failure(server, settings=missing).code == Failure.CONNECT_FAILED


def test_who_does_not_ask_does_not_pay() -> None:
    code = "import sys, pillarbox.runtime.http_client; assert 'aiohttp' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
