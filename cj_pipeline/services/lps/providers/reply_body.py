"""This module reads a reply's body up to a limit: an endless one must not take the service's memory."""

from __future__ import annotations

import httpx

# A verdict is 1 kB; the longest thoughts that come along with one are some hundred.
MOST_BYTES = 8 * 2**20

# What described the bytes on their way, and no longer fits.
_OF_THE_TRANSFER = frozenset({"content-encoding", "transfer-encoding", "content-length"})


class ReplyTooLong(Exception):
    """A body that goes on beyond the limit."""


async def whole_reply(response: httpx.Response) -> httpx.Response:
    """Return a streamed response with its body. Raises ReplyTooLong, httpx.RequestError."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ReplyTooLong
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_TRANSFER]
    return httpx.Response(response.status_code, headers=headers, content=bytes(body))
