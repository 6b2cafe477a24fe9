"""This module stands in for the servers of docs/endpoints.md: each takes what the real one takes and refuses the rest.

Here: the servers, driven through httpx.ASGITransport. Not here: assertions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.services.lps.providers.fake_api import VERDICT, Received

Check = Callable[[Request, dict[str, Any]], "Refusal | None"]


@dataclass(frozen=True)
class Refusal:
    """A server's no. body: as that server writes it."""

    status: int
    body: Any


@dataclass
class LocalServer:
    """One server. check: says no, or None; ignores_schemas: writes prose unless the prompt itself names the keys."""

    path: str
    check: Check
    reply: Callable[[str], dict[str, Any]]
    ignores_schemas: bool = False
    received: list[Received] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(routes=[Route(self.path, self._serve, methods=["POST"])])

    def transport(self) -> httpx.ASGITransport:
        return httpx.ASGITransport(self.app())

    async def _serve(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.received.append(Received(str(request.url), dict(request.headers), body))
        refusal = self.check(request, body)
        if refusal is not None:
            return JSONResponse(refusal.body, refusal.status)
        told = not self.ignores_schemas or '"winner"' in json.dumps(body.get("messages")).replace('\\"', '"')
        return JSONResponse(self.reply(json.dumps(VERDICT) if told else '{"better": "B"}'))


def chat(text: str) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 30, "total_tokens": 330},
    }


def message(text: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "thinking", "thinking": "", "signature": "c2ln"}]
    return {
        "content": [*content, {"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 300, "output_tokens": 30},
    }


def tool_call(text: str) -> dict[str, Any]:
    used = {"type": "tool_use", "id": "toolu_1", "name": "comparison_result", "input": json.loads(text)}
    return {"content": [used], "stop_reason": "tool_use", "usage": {"input_tokens": 300, "output_tokens": 30}}


def generated(text: str) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 300, "candidatesTokenCount": 30},
    }


def bearer(key: str) -> Check:
    def check(request: Request, _: dict[str, Any]) -> Refusal | None:
        if request.headers.get("authorization") == f"Bearer {key}":
            return None
        return Refusal(401, {"error": {"message": "Unauthorized", "type": "invalid_request_error", "code": None}})

    return check


def header(name: str, key: str) -> Check:
    def check(request: Request, _: dict[str, Any]) -> Refusal | None:
        if request.headers.get(name) == key:
            return None
        return Refusal(401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}})

    return check


def query(**wanted: str) -> Check:
    def check(request: Request, _: dict[str, Any]) -> Refusal | None:
        given = dict(request.query_params)
        return None if given == wanted else Refusal(404, {"error": {"code": "404", "message": "Resource not found"}})

    return check


def no_key(request: Request, _: dict[str, Any]) -> Refusal | None:
    """A server that wants no bearer token; an empty one is a malformed header to some."""
    return Refusal(400, "malformed header") if "authorization" in request.headers else None


def both(*checks: Check) -> Check:
    def check(request: Request, body: dict[str, Any]) -> Refusal | None:
        return next((refusal for one in checks if (refusal := one(request, body)) is not None), None)

    return check


def takes(*formats: str, refusal: Refusal) -> Check:
    """A server that takes these types of `response_format`, and none of the others."""

    def check(_: Request, body: dict[str, Any]) -> Refusal | None:
        asked = body.get("response_format", {}).get("type", "text")
        return None if asked in formats else refusal

    return check


def has(name: str, value: Any, status: int = 400) -> Check:
    """A server that wants this in the body. name: dotted."""

    def check(_: Request, body: dict[str, Any]) -> Refusal | None:
        at: Any = body
        for key in name.split("."):
            at = at.get(key) if isinstance(at, dict) else None
        return None if at == value else Refusal(status, {"error": {"message": f"{name} is {at!r}"}})

    return check


def lacks(*names: str) -> Check:
    """A server that refuses these fields at the top of the body, or of generationConfig."""

    def check(_: Request, body: dict[str, Any]) -> Refusal | None:
        config = body.get("generationConfig", {})
        found = [name for name in names if name in body or name in config]
        return Refusal(400, {"error": {"message": f"unexpected {found}"}}) if found else None

    return check


LM_STUDIO = Refusal(400, {"error": "'response_format.type' must be 'json_schema' or 'text'"})
DEEPSEEK = Refusal(
    400,
    {
        "error": {
            "message": "This response_format type is unavailable now",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_request_error",
        }
    },
)
NO_FORMAT = Refusal(422, {"detail": [{"loc": ["body", "response_format"], "msg": "extra fields not permitted"}]})


def adaptive_only(_: Request, body: dict[str, Any]) -> Refusal | None:
    """Claude 4.7 and later, with the refusal of a forced tool that still later ones add."""
    if body.get("thinking", {}).get("type", "adaptive") != "adaptive":
        said = '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"'
    elif "temperature" in body:
        said = "`temperature` is deprecated for this model."
    elif body.get("tool_choice", {}).get("type") in ("tool", "any"):
        said = "tool_choice forces tool use, which is not compatible with thinking."
    else:
        return None
    return Refusal(400, {"type": "error", "error": {"type": "invalid_request_error", "message": said}})
