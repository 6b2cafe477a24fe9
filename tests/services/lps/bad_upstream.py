"""A local server that speaks Chat Completions and does all that real ones did: it is away, hangs, truncates, talks.

Here: the server. Not here: assertions.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

VERDICT = '{"winner": "Essay A", "justification": "Clear.", "confidence": 4}'
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}

# What the first call for a request meets, by its number; every further one is answered well.
MOODS = (
    *("well", "hangs", "truncates", "talks", "prose", "no_json", "page", "empty", "breaks_off", "half_a_body"),
    *("limits", "error_in_200", "contradicts", "no_usage", "refuses"),
)


def _completion(content: str | None, finish: str = "stop", usage: object = USAGE) -> bytes:
    choice = {"message": {"content": content}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


_BODIES: dict[str, tuple[int, bytes]] = {
    "well": (200, _completion(VERDICT)),
    "truncates": (200, _completion('{"winner": "Essay A", "justif', "length")),
    "talks": (200, _completion(f"<think>B? No.</think>Here you go:\n```json\n{VERDICT}\n```\nHope it helps!")),
    "prose": (200, _completion("Essay A, of course.")),
    "no_json": (200, b"upstream connect error"),
    "page": (200, b"<html>Just a moment</html>"),
    "empty": (200, b""),
    "limits": (429, b'{"error": {"code": "rate_limit_exceeded"}}'),
    "error_in_200": (200, b'{"error": {"message": "Overloaded", "code": "502"}}'),
    "contradicts": (200, _completion('{"winner": "Essay A", "winner": "Essay B"}')),
    "no_usage": (200, _completion(VERDICT, usage=None)),
    "refuses": (200, _completion("I'm sorry, I can't compare these.")),
    "away": (503, b"{}"),
}


class BadUpstream:
    """away_s: how long after the first call it answers 503. calls: how many came, by the request's number.

    unread: connections that were given up before a request arrived, as a busy machine makes them time out.
    """

    def __init__(self, away_s: float, hangs_s: float) -> None:
        self.away_s = away_s
        self.hangs_s = hangs_s
        self.calls: Counter[int] = Counter()
        self.while_away = 0
        self.unread = 0
        self._well_after: float | None = None
        self._met: set[int] = set()
        self.url = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                assert length is not None
                body = await reader.readexactly(int(length[1]))
                read += 1
                await self._answer(body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.unread += not read
        finally:
            writer.close()

    async def _answer(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        found = re.search(rb"pair (\d+)\.", body)
        assert found is not None
        number = int(found[1])
        now = asyncio.get_running_loop().time()
        self._well_after = self._well_after or now + self.away_s
        self.calls[number] += 1
        mood = "well"
        if now < self._well_after:
            self.while_away += 1
            mood = "away"
        elif number not in self._met:
            self._met.add(number)
            mood = MOODS[number % len(MOODS)]
        if mood == "hangs":
            await asyncio.sleep(self.hangs_s)
            mood = "well"
        status, content = _BODIES.get(mood, _BODIES["well"])
        if mood == "breaks_off":
            raise ConnectionError
        head = f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + (content[:20] if mood == "half_a_body" else content))
        await writer.drain()
        if mood == "half_a_body":
            raise ConnectionError


@asynccontextmanager
async def bad_upstream(away_s: float, hangs_s: float) -> AsyncIterator[BadUpstream]:
    upstream = BadUpstream(away_s, hangs_s)
    server = await asyncio.start_server(upstream._serve, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
