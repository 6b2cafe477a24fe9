"""This module sends calls to the queue's script: gathered, one script at a time, and again until Redis has answered.

While one script is under way the calls that come in wait, and go together as the next: 32 clients who post at the same
time cost about one round trip and one fsync. A script that was sent and not answered is sent again under its number,
which Redis carries out once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from cj_pipeline.foundation.retrying import Waits, backoff_s
from cj_pipeline.services.lps.queue.queue import QueueUnavailable

_log = logging.getLogger(__name__)

# How long a caller that can be refused waits for a Redis that is away; a restart of a small one is within it.
PATIENCE_S = 1.0
WAITS = Waits(first_s=0.05, most_s=2.0)
# Redis fsyncs within a script's reply, which a slow disk can hold up for seconds; after this it counts as gone.
REPLY_TIMEOUT_S = 5.0
# Redis serves nobody else meanwhile: 128 calls are 2 to 5 ms of it.
MOST_CALLS = 128
MOST_BYTES = 4 * 2**20

Argument = bytes | str | int | float
# Redis's reply to one call: lists of bytes, ints and None, as deep as the call's own description says.
Reply = list[Any]
OnReply = Callable[[Reply], None]


class CallRefused(Exception):
    """Redis answered, and would not do it: `code` is the first word of its error, such as WRONGTYPE."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(f"Redis refused a call of the queue: {code}")


def redis_client(url: str, *, reply_timeout_s: float | None = REPLY_TIMEOUT_S) -> Redis:
    """Return a client that never tries again: one place does, and it numbers what it sends. Replies are RESP 2."""
    return Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=reply_timeout_s,
        socket_connect_timeout=PATIENCE_S,
        socket_keepalive=True,
    )


@dataclass(slots=True, eq=False)
class Call:
    """One call. Its reply goes to `then` first, whether or not anybody waits for `reply` any more."""

    name: str
    arguments: tuple[Argument, ...]
    reply: asyncio.Future[Reply]
    then: OnReply | None
    revocable: bool
    """Once nobody waits for it, it need not happen."""

    @property
    def size_bytes(self) -> int:
        """About how much is sent."""
        return sum(len(argument) for argument in self.arguments if type(argument) is bytes)


class ScriptCalls:
    """Calls of one instance to one script.

    key: its KEYS[1]; head: makes its arguments before the calls from the script's number, for each sending.
    """

    def __init__(self, url: str, script: str, key: str, head: Callable[[int], Sequence[Argument]]) -> None:
        self._redis = redis_client(url)
        self._script = self._redis.register_script(script)
        self._key = key
        self._head = head
        self._number = 0
        self._pending: deque[Call] = deque()
        self._under_way = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sender: asyncio.Task[None] | None = None
        self.back_since = float("-inf")
        """When an outage last ended, on the loop's clock."""

    async def open(self) -> None:
        """Connect. Raises QueueUnavailable."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._redis.script_load(self._script.script)
        except (RedisError, OSError) as error:
            await self._redis.aclose()
            # The type alone: the text may repeat a URL with its password.
            raise QueueUnavailable(f"Redis cannot be reached ({type(error).__name__})") from None
        self._sender = asyncio.create_task(self._send(), name="lps-redis-calls")

    async def close(self, *keys: str) -> None:
        """Send what is still to be sent, delete keys, and disconnect; all that within a second, or without Redis."""
        if self._sender is not None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._idle.wait()
                    await self._redis.delete(*keys)
            except (RedisError, OSError) as error:
                _log.warning("closing without Redis (%s); %d calls wait", type(error).__name__, len(self._pending))
            self._sender.cancel()
            await asyncio.wait([self._sender])
            sender, self._sender = self._sender, None
            if not sender.cancelled():
                sender.result()  # it ended by itself, so with an error
        await self._redis.aclose()

    def submit(self, name: str, *arguments: Argument, then: OnReply | None = None) -> asyncio.Future[Reply]:
        """Have a call made, even if nobody waits for its reply. The reply may be CallRefused."""
        return self._submit(name, arguments, then, revocable=False)

    async def ask(self, name: str, *arguments: Argument, then: OnReply | None = None) -> Reply:
        """Make a call that can be done without. Raises QueueUnavailable."""
        reply = self._submit(name, arguments, then, revocable=True)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await reply
        except TimeoutError:
            raise QueueUnavailable(f"Redis has not answered for {PATIENCE_S:g} s") from None
        except CallRefused as refused:
            raise QueueUnavailable(str(refused)) from None

    async def tell(self, name: str, *arguments: Argument, then: OnReply | None = None) -> Reply:
        """Make a call, however long it takes. It is made even if the wait for it is cancelled."""
        while True:
            try:
                return await asyncio.shield(self.submit(name, *arguments, then=then))
            except CallRefused as refused:
                _log.error("%s", refused)
                await asyncio.sleep(WAITS.most_s)

    def _submit(
        self, name: str, arguments: tuple[Argument, ...], then: OnReply | None, *, revocable: bool
    ) -> asyncio.Future[Reply]:
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending.append(Call(name, arguments, reply, then, revocable))
        self._idle.clear()
        self._wake.set()
        return reply

    async def _send(self) -> None:
        while True:
            if not self._pending:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            calls = self._next_calls()
            if calls:
                self._number += 1
                for call, (done, reply) in zip(calls, await self._exchange(calls), strict=True):
                    _deliver(call, bool(done), reply)

    def _next_calls(self) -> list[Call]:
        calls: list[Call] = []
        size_bytes = 0
        while self._pending and len(calls) < MOST_CALLS and size_bytes < MOST_BYTES:
            call = self._pending.popleft()
            if not call.reply.cancelled():
                calls.append(call)
                size_bytes += call.size_bytes
        return calls

    async def _exchange(self, calls: Sequence[Call]) -> list[tuple[int, Reply]]:
        """Send calls until there is a reply."""
        failures = 0
        while True:
            try:
                replies: list[tuple[int, Reply]] = await self._script(keys=[self._key], args=self._arguments(calls))
                break
            except Exception as error:
                # Whatever it is: were this to end, every caller of the queue would wait for ever.
                failures += 1
                # The type alone, here and elsewhere: redis-py's texts can repeat arguments.
                if not isinstance(error, RedisError | OSError):
                    _log.error("a call of the queue broke on the way (%s); trying again", type(error).__name__)
                elif failures == 1:
                    _log.warning("Redis does not answer (%s); trying again until it does", type(error).__name__)
            await self._redis.connection_pool.disconnect()
            await asyncio.sleep(backoff_s(failures, WAITS))
        if failures:
            self.back_since = asyncio.get_running_loop().time()
            _log.info("Redis answers again")
        return replies

    def _arguments(self, calls: Sequence[Call]) -> list[Argument]:
        arguments = list(self._head(self._number))
        for call in calls:
            # Each keeps its position, by which a script that is sent again finds what was done.
            if call.revocable and call.reply.cancelled():
                arguments += ("nothing", 0)
            else:
                arguments += (call.name, len(call.arguments), *call.arguments)
        return arguments


def _deliver(call: Call, done: bool, reply: Reply | bytes) -> None:
    if not done:
        if not call.reply.done():
            code = bytes(reply).partition(b" ")[0].decode("ascii", "replace")
            call.reply.set_exception(CallRefused(code))
            call.reply.exception()  # without this asyncio logs an error that nobody waits for
        return
    assert isinstance(reply, list)  # noqa: S101 - the script says so
    # Empty also for a call that was revoked before it was sent again: then nothing happened, and nothing follows.
    if call.then is not None and reply:
        try:
            call.then(reply)
        except Exception:
            _log.exception("a reply of the queue's script could not be used")
    if not call.reply.done():
        call.reply.set_result(reply)
