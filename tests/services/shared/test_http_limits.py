"""A client holds no connection, no second and no memory of a server beyond its limits, and others are answered."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cj_pipeline.services.shared import http_limits
from cj_pipeline.services.shared.http_limits import Limits, most_connections
from cj_pipeline.services.shared.http_server import HttpServer, bound, warn_when_open
from cj_pipeline.services.shared.request_body import BodyTooLarge, read_body

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_A_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
HALF_A_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{"
LONG = 20.0


async def _echo(request: Request) -> Response:
    try:
        body = await read_body(request)
    except BodyTooLarge:
        return PlainTextResponse("too large", 413)
    except ClientDisconnect:
        return PlainTextResponse("gone", 400)
    return PlainTextResponse(f"{len(body)} bytes")


async def _slow(_: Request) -> Response:
    await asyncio.sleep(1.0)
    return PlainTextResponse("at last")


async def _large(_: Request) -> Response:
    return Response(b"x" * 2**24)


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def status(self) -> int:
        """The status of the next response; 0 where the server closes without one."""
        line = await asyncio.wait_for(self.reader.readline(), LONG)
        if not line:
            return 0
        length = 0
        while header := (await self.reader.readline()).strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        await self.reader.readexactly(length)
        return int(line.split()[1])

    async def closed(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(), LONG) == b""
        except ConnectionError:
            return True


Connect = Callable[..., Awaitable[Connection]]


@asynccontextmanager
async def _server(limits: Limits) -> AsyncIterator[Connect]:
    opened: list[Connection] = []
    with closing(bound("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        async def connect(sent: bytes = b"") -> Connection:
            opened.append(Connection(*await asyncio.open_connection("127.0.0.1", port)))
            opened[-1].send(sent)
            return opened[-1]

        routes = [Route("/", _echo, methods=["GET", "POST"]), Route("/slow", _slow), Route("/large", _large)]
        server = HttpServer(Starlette(routes=routes), limits)
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield connect
        finally:
            for one in opened:
                one.writer.close()
            server.stop()
            await serving


def served(script: Callable[[Connect], Awaitable[None]], **limits: float) -> Limits:
    held = Limits(**limits)  # type: ignore[arg-type]

    async def run() -> None:
        async with _server(held) as connect:
            await script(connect)

    asyncio.run(run())
    assert (held.open, held.waiting, held.held_bytes) == (set(), {}, 0)
    return held


@pytest.mark.parametrize(
    ("begun", "limits"),
    [(b"", {"head_s": 0.1}), (HALF_A_HEAD, {"head_s": 0.1}), (HALF_A_BODY, {"body_s": 0.1})],
)
def test_what_never_becomes_whole_is_answered_with_408_and_closed(begun: bytes, limits: dict[str, float]) -> None:
    async def script(connect: Connect) -> None:
        slow = await connect(begun)
        assert await slow.status() == 408
        assert await slow.closed()
        assert await (await connect(GET)).status() == 200

    served(script, **limits)


def test_bytes_that_trickle_in_gain_no_time() -> None:
    async def script(connect: Connect) -> None:
        slow = await connect(HALF_A_HEAD)

        async def trickle() -> None:
            while True:
                slow.send(b"a")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(trickle())
        assert await slow.status() == 408
        task.cancel()

    served(script, head_s=0.2)


def test_a_second_request_on_a_connection_has_its_own_time() -> None:
    async def script(connect: Connect) -> None:
        one = await connect(GET)
        assert await one.status() == 200
        one.send(GET + GET)  # pipelined
        assert [await one.status(), await one.status()] == [200, 200]
        one.send(HALF_A_HEAD)
        assert await one.status() == 408

    served(script, head_s=0.3)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000,
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 20_000,
        b"a" * 200_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 200_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000,
    ],
)
def test_a_head_without_end_is_refused(head: bytes) -> None:
    async def script(connect: Connect) -> None:
        long = await connect(head)
        with suppress(ConnectionError):  # closed while we were still sending
            assert await long.status() in (0, 400, 431)
        assert await (await connect(GET)).status() == 200

    served(script)


def test_who_asks_is_answered_beside_as_many_silent_connections_as_may_be(caplog: pytest.LogCaptureFixture) -> None:
    async def script(connect: Connect) -> None:
        silent = [await connect([b"", HALF_A_HEAD, HALF_A_BODY][number % 3]) for number in range(60)]
        for _ in range(5):
            assert await (await connect(GET)).status() == 200
        assert await silent[0].closed()  # the oldest gave way

    with caplog.at_level(logging.WARNING):
        served(script, connections=20)
    events = [record.getMessage() for record in caplog.records if record.name == http_limits.__name__]
    assert events == ["the limit of connections is reached"]  # once, not forty times


def test_connections_that_are_being_answered_stay_at_the_limit_and_the_next_is_refused() -> None:
    async def script(connect: Connect) -> None:
        busy = [await connect(GET.replace(b"/ ", b"/slow ", 1)) for _ in range(5)]
        await asyncio.sleep(0.2)
        assert await (await connect(GET)).status() == 503
        assert [await one.status() for one in busy] == [200] * 5
        assert await (await connect(GET)).status() == 200

    served(script, connections=5)


def test_who_does_not_read_its_answer_is_cut_off() -> None:
    async def script(connect: Connect) -> None:
        slow, quick = [await connect(GET.replace(b"/ ", b"/large ", 1)) for _ in range(2)]
        assert len(await quick.reader.readexactly(2**24)) == 2**24
        await asyncio.sleep(1.5)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await slow.reader.readexactly(2**24)

    served(script, unread_s=1.0)


def test_bodies_that_are_not_whole_share_a_limit_of_bytes() -> None:
    async def script(connect: Connect) -> None:
        many = [await connect(HALF_A_BODY + b" " * 50_000) for _ in range(5)]
        refused = [one for one in many if await _refused(one)]
        assert 1 <= len(refused) <= 3
        assert await (await connect(HALF_A_BODY + b" " * 99_999)).status() in (200, 503)

    async def _refused(one: Connection) -> bool:
        try:
            return await asyncio.wait_for(one.status(), 0.3) == 503
        except TimeoutError:
            return False

    served(script, body_bytes=160_000)


def test_a_body_beyond_its_limit_is_refused_before_it_is_read() -> None:
    async def script(connect: Connect) -> None:
        for begun in (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
        ):
            assert await (await connect(begun)).status() in (400, 413)

    served(script)


def test_the_limit_leaves_descriptors_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in ((256, 128), (20, 16), (1024, 896), (4096, 1000), (resource.RLIM_INFINITY, 1000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert most_connections() == expected


@pytest.mark.parametrize(
    ("host", "guarded", "warned"),
    [
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("localhost", False, False),
        ("0.0.0.0", True, False),  # noqa: S104
        ("0.0.0.0", False, True),  # noqa: S104
        ("::", False, True),
        ("10.0.0.7", False, True),
        ("judge.example", False, True),
    ],
)
def test_a_server_that_others_reach_without_a_key_says_so(
    host: str, guarded: bool, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_when_open(host, guarded, "do things")
    assert [record.levelname for record in caplog.records] == (["WARNING"] if warned else [])
