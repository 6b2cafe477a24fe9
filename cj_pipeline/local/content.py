"""A content service for one machine: stored texts over HTTP, by their id.

Here: `GET /v1/content/{storage_id}`, `POST /v1/content`, `GET /healthz`, over files in a folder. Not here: who asks for
texts (cj/service/content.py), whose texts they are.

The id is the SHA-256 of the text: the same text has the same id in every stack, and a file that is there is whole.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cj_pipeline.services.shared.http_server import HttpServer, bound

CONTENT_PATH = "/v1/content"

# 256 essays of 4 kB; a body beyond it is no text.
MAX_TEXT_BYTES = 2**20

_STORAGE_ID = re.compile(r"[0-9a-f]{64}")


def build_app(folder: Path) -> Starlette:
    """The service over a folder, which is made with its first text."""

    async def get(request: Request) -> Response:
        storage_id = request.path_params["storage_id"]
        # Before it becomes a path.
        if _STORAGE_ID.fullmatch(storage_id) is None or not (file := folder / storage_id).is_file():
            return JSONResponse({"error": "no text of this id"}, 404)
        return PlainTextResponse(file.read_bytes())

    async def post(request: Request) -> Response:
        text = b""
        async for part in request.stream():
            text += part
            if len(text) > MAX_TEXT_BYTES:
                return JSONResponse({"error": f"a text has at most {MAX_TEXT_BYTES} bytes"}, 413)
        try:
            text.decode()
        except UnicodeDecodeError:
            return JSONResponse({"error": "a text is UTF-8"}, 400)
        return JSONResponse({"storage_id": keep(folder, text)}, 201)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "healthy", "service": "content_service"})

    return Starlette(
        routes=[
            Route(f"{CONTENT_PATH}/{{storage_id}}", get, methods=["GET"]),
            Route(CONTENT_PATH, post, methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
        ]
    )


def keep(folder: Path, text: bytes) -> str:
    """Store a text; its id. Written whole to another name and renamed: nobody reads half of it."""
    storage_id = sha256(text).hexdigest()
    if not (folder / storage_id).exists():
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".")
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        Path(name).rename(folder / storage_id)
    return storage_id


def serve(folder: Path, host: str, port: int, *, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT. ready: called with the base URL. Raises CannotServe."""

    async def run() -> None:
        server = HttpServer(build_app(folder))
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, server.stop)
        serving = asyncio.create_task(server.serve([listening]), name="content-http")
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if server.started:
            ready(server.url())
        await serving

    with closing(bound(host, port)) as listening:
        asyncio.run(run())
