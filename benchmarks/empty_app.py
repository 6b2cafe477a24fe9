"""An ASGI app that reads a request, says 202 and does nothing: the ceiling of any service behind the same server.

uvicorn benchmarks.empty_app:app --no-access-log --log-level warning
python -m benchmarks.load http://127.0.0.1:8000
"""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

BODY = b'{"status":"queued"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 202, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
