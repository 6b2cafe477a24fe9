"""The service over HTTP: an ASGI app around a service object.

Here: posting a comparison, from bytes to bytes, and the way to the other routes (endpoints.py). Not here: what happens
to an accepted request (service.py and below), the shapes of refusals (refusals.py).

The app starts nothing: whoever serves it enters the service first. Every endpoint is a coroutine; a plain function
would be run in a thread, which a virtual-time loop cannot wait for.

POST /api/v1/comparison is served without the framework: it is nearly all of the traffic, and routing, request and
response objects took longer than everything else that is done for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.finite import all_finite
from cj_pipeline.services.lps.http.endpoints import COMPARISON_PATH, framework_app
from cj_pipeline.services.lps.http.refusals import FlatRefusal, NestedRefusal, Refusal, body_too_large, refusal_of
from cj_pipeline.services.lps.queue.trace_context import TraceContext, sent_trace, trace_of
from cj_pipeline.services.lps.service import LlmProviderService


def build_app(service: LlmProviderService) -> ASGIApp:
    """The app of one service."""
    return _App(service)


def parse_request(content_type: str, body: bytes) -> ComparisonRequest:
    """A request from its HTTP body. Raises Refusal (400), which names fields and never repeats the input."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise FlatRefusal(400, "No JSON data provided", details="Send the request as application/json.")
    try:
        request = _validated(body)
    except ValidationError as error:
        raise _refusal(error, body) from None
    if not all_finite(request):  # a callback could not echo it
        raise FlatRefusal(400, "Malformed JSON", details="NaN and Infinity are not JSON.")
    return request


def _validated(body: bytes) -> ComparisonRequest:
    try:
        # Strict: neither "4096" nor true is the number that the document asks for.
        return ComparisonRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        if not _only_whole_floats(error):
            raise
    return ComparisonRequest.model_validate_json(body)


def _only_whole_floats(error: ValidationError) -> bool:
    """Whether all that is wrong is that integers are written as 4096.0, which is one in JSON."""
    return all(
        problem["type"] == "int_type" and isinstance(problem["input"], float) and problem["input"].is_integer()
        for problem in error.errors(include_url=False, include_context=False)
    )


def _refusal(error: ValidationError, body: bytes) -> Refusal:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if body.strip() in (b"", b"null") or b"".join(body.split()) == b"{}":
        return FlatRefusal(400, "No JSON data provided")
    if problems[0]["type"] == "json_invalid":
        return FlatRefusal(400, "Malformed JSON", details="The body is not valid JSON.")
    if [(problem["loc"], problem["type"]) for problem in problems] == [(("callback_topic",), "string_too_short")]:
        return NestedRefusal(
            400,
            ErrorCode.CONFIGURATION_ERROR,
            "callback_topic must not be empty.",
            correlation_id=None,
            details={"config_key": "callback_topic"},
        )
    lines = []
    for problem in problems:
        field = ".".join(str(part) for part in problem["loc"]) or "(body)"
        # After the comma the UUID parser quotes the character it stumbled over.
        told = problem["msg"].partition(",")[0] if problem["type"] == "uuid_parsing" else problem["msg"]
        lines.append(f"{field}: {told}")
    return FlatRefusal(400, f"Invalid request format: {'; '.join(lines)}")


class _App:
    """The ASGI callable."""

    def __init__(self, service: LlmProviderService) -> None:
        self._service = service
        self._framework = framework_app(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == COMPARISON_PATH and scope["method"] == "POST":
            await self._comparison(scope, receive, send)
        else:
            await self._framework(scope, receive, send)

    async def _comparison(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        content_type, sent, length = "", None, None
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value.decode("latin-1")
            elif name == b"traceparent":
                sent = sent_trace(value)
            elif name == b"content-length":
                length = value
        parsed: ComparisonRequest | None = None
        try:
            body = await _read(receive, length, service.settings.max_request_bytes)
            parsed = parse_request(content_type, body)
            queued = await service.submit(parsed, sent)
        except Exception as error:
            refusal = refusal_of(error, f"POST {COMPARISON_PATH}")
            self._count_refusal(parsed)
            trace = sent or trace_of(refusal.correlation_id or uuid4())
            await _respond(send, refusal.status, refusal.json(service.clock.now()), trace, refusal.headers)
            service.metrics.responded("POST", COMPARISON_PATH, refusal.status)
            return
        # By hand: an id and a topic, both of them checked, need no escaping.
        accepted = (
            f'{{"queue_id":"{queued.queue_id}","status":"queued","message":"Request queued. The result will be '
            f'published to {queued.request.callback_topic}.","estimated_wait_minutes":null}}'
        )
        await _respond(send, 202, accepted.encode(), queued.trace, None)
        service.metrics.responded("POST", COMPARISON_PATH, 202)

    def _count_refusal(self, parsed: ComparisonRequest | None) -> None:
        overrides = parsed.llm_config_overrides if parsed is not None else None
        if overrides is None or overrides.provider_override is None:
            self._service.metrics.refused()
            return
        registered = self._service.providers.get(overrides.provider_override)
        provider = overrides.provider_override if registered is None else registered.name
        self._service.metrics.refused(provider, self._service.model_label(overrides.model_override))


async def _read(receive: Receive, length: bytes | None, most: int) -> bytes:
    """The body. Raises Refusal (413) as soon as it is known to be too long."""
    # 18 digits: Python refuses to read a number of more than 4,300.
    if length is not None and length.isdigit() and (len(length) > 18 or int(length) > most):
        raise body_too_large(most)
    message = await receive()
    if not message.get("more_body", False):
        return _checked(message, most)
    chunks, size = [_checked(message, most)], len(message.get("body", b""))
    while message.get("more_body", False):
        message = await receive()
        chunks.append(_checked(message, most))
        size += len(chunks[-1])
        if size > most:
            raise body_too_large(most)
    return b"".join(chunks)


def _checked(message: Message, most: int) -> bytes:
    body: bytes = message.get("body", b"")
    if len(body) > most:
        raise body_too_large(most)
    return body


async def _respond(
    send: Send,
    status: int,
    body: bytes,
    trace: TraceContext,
    extra: Mapping[str, str] | None,
) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-trace-id", trace.trace_id.encode()),
        (b"x-span-id", trace.span_id.encode()),
    ]
    if extra:
        headers += [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
