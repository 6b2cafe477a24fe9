"""What the fakes of the four APIs have in common: an app, a script, a memory, and the means to refuse.

Here: the base, to be driven through httpx.ASGITransport. Not here: what each API takes (fakes.py), assertions.

Refusals quote the prompt, as real ones may: nothing of it must get any further.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cj_pipeline.contracts.enums import Provider

KEYS = {
    Provider.OPENAI: "sk-test-openai",
    Provider.ANTHROPIC: "sk-ant-test",
    Provider.GOOGLE: "AIza-test",
    Provider.OPENROUTER: "sk-or-test",
}
VERDICT = {"winner": "Essay B", "justification": "Clearer argument.", "confidence": 4}


@dataclass
class Received:
    """One call."""

    url: str
    headers: dict[str, str]
    body: dict[str, Any]


class Refused(Exception):
    """The API's no."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        self.status, self.message, self.code, self.param = status, message, code, param
        super().__init__(message)


def require(holds: object, message: str, **kwargs: Any) -> None:
    if not holds:
        raise Refused(400, message, **kwargs)


def known_keys(where: str, given: dict[str, Any], known: str) -> None:
    require(isinstance(given, dict), f"{where}: not an object")
    for key in given:
        require(key in known.split(), f"{where}: unrecognized argument '{key}'", param=key)


@dataclass
class Fake:
    """One API. verdict: what it answers; scripted: answers to give first, unchecked; delay_s: how long it takes."""

    verdict: Any = field(default_factory=lambda: dict(VERDICT))
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    delay_s: float = 0.0
    scripted: deque[Response] = field(default_factory=deque)
    received: list[Received] = field(default_factory=list)

    path = ""

    def transport(self) -> httpx.ASGITransport:
        return httpx.ASGITransport(Starlette(routes=[Route(self.path, self._serve, methods=["POST"])]))

    def then(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        """Answer the next call with this. body: JSON, or text for something else."""
        if isinstance(body, str):
            self.scripted.append(Response(body, status, headers=headers, media_type="text/html"))
        else:
            self.scripted.append(JSONResponse(body, status, headers=headers))

    def then_error(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        """Answer the next call with an error in this API's shape."""
        self.then(status, self.error_body(Refused(status, message)), headers)

    async def _serve(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.received.append(Received(str(request.url), dict(request.headers), body))
        await asyncio.sleep(self.delay_s)
        if self.scripted:
            return self.scripted.popleft()
        try:
            self.authenticate(request)
            self.check(request, body)
        except Refused as refused:
            refused.message += f" (in: {json.dumps(body)})"
            return JSONResponse(self.error_body(refused), refused.status)
        return JSONResponse(self.success(body))

    def text(self) -> str:
        """The verdict as a model writes it."""
        return self.verdict if isinstance(self.verdict, str) else json.dumps(self.verdict)

    def authenticate(self, request: Request) -> None:
        raise NotImplementedError

    def check(self, request: Request, body: dict[str, Any]) -> None:
        raise NotImplementedError

    def success(self, body: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def error_body(self, refused: Refused) -> dict[str, Any]:
        raise NotImplementedError


def check_messages(messages: Any) -> None:
    require(isinstance(messages, list) and messages, "messages: empty")
    for message in messages:
        known_keys("messages", message, "role content")
        require(message["role"] in ("system", "user"), "messages: role")
        require(isinstance(message["content"], str), "messages: content")
    require(messages[-1]["role"] == "user", "messages: no user turn")


def check_temperature(body: dict[str, Any], top: float) -> None:
    if "temperature" in body:
        require(isinstance(body["temperature"], int | float), "temperature: not a number")
        require(0 <= body["temperature"] <= top, f"temperature: not in 0..{top}")


def check_limit(limit: Any, most: int) -> None:
    require(type(limit) is int and limit >= 1, "max_tokens: not a positive integer")
    require(limit <= most, f"max_tokens is too large: this model supports at most {most}")


def check_strict_schema(schema: dict[str, Any]) -> None:
    require(schema["additionalProperties"] is False, "response_format: additionalProperties must be false")
    require(set(schema["required"]) == set(schema["properties"]), "response_format: all properties must be required")
    for name, part in schema["properties"].items():
        known_keys(f"response_format.{name}", part, "type enum description minimum maximum pattern format multipleOf")


def chat_completion(fake: Fake, body: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1764599056,
        "model": body["model"] + "-as-served",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": fake.text(), "refusal": None},
                "finish_reason": fake.stop_reason or "stop",
            }
        ],
        "usage": fake.usage or usage,
    }
