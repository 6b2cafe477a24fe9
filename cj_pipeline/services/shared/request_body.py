"""This module reads the body of a request, up to a limit."""

from __future__ import annotations

from starlette.requests import Request

MOST_BODY_BYTES = 2**20


class BodyTooLarge(Exception):
    """A body is longer than the limit."""


async def read_body(request: Request, most_bytes: int = MOST_BODY_BYTES) -> bytes:
    """Return a request's body. Raises BodyTooLarge as soon as that is known, and ClientDisconnect."""
    # 18 digits: Python refuses to read a number of more than 4,300.
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most_bytes):
        raise BodyTooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise BodyTooLarge
    return bytes(body)
