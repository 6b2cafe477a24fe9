"""This module serves texts by their id over HTTP from a folder, in place of production's content service.

    GET /v1/content/{storage_id}    POST /v1/content    GET /healthz

The id is the SHA-256 of the text: equal texts have one id in every stack. The stack runs this module as a program.
"""

from __future__ import annotations

import re
import sys
from hashlib import sha256
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cj_pipeline.local.ports import LOOPBACK
from cj_pipeline.warehouse.files import replace_whole

CONTENT_PATH = "/v1/content"

# 256 essays of 4 kB; a longer body is no text.
MAX_TEXT_BYTES = 2**20

_STORAGE_ID = re.compile(r"[0-9a-f]{64}")


def build_app(folder: Path) -> Starlette:
    """Return the service over a folder, which is made with its first text."""

    async def get(request: Request) -> Response:
        storage_id = request.path_params["storage_id"]
        # Checked before it becomes a path.
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
        return JSONResponse({"storage_id": _store(folder, text)}, 201)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "healthy", "service": "content_service"})

    return Starlette(
        routes=[
            Route(f"{CONTENT_PATH}/{{storage_id}}", get, methods=["GET"]),
            Route(CONTENT_PATH, post, methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
        ]
    )


def _store(folder: Path, text: bytes) -> str:
    """Store a text and return its id; written to another name and renamed, so that nobody reads half of it."""
    storage_id = sha256(text).hexdigest()
    if not (folder / storage_id).exists():
        replace_whole(folder / storage_id, lambda temporary: temporary.write_bytes(text))
    return storage_id


if __name__ == "__main__":
    _port, _folder = sys.argv[1:]
    uvicorn.run(build_app(Path(_folder)), host=LOOPBACK, port=int(_port), log_level="warning")
