"""This module reads a comparison from the body of `POST /api/v1/comparison`, as far as its shape goes.

Providers, models and topics are checked by admission.py.
"""

from __future__ import annotations

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.finite import all_finite
from cj_pipeline.services.lps.http.refusals import FlatRefusal, NestedRefusal, Refusal, body_too_large
from cj_pipeline.services.shared.request_body import BodyTooLarge, read_body


async def read_comparison(request: Request, most_bytes: int) -> ComparisonRequest:
    """Read a request's body. Raises Refusal (413) as soon as the body is known to be too long, or Refusal (400)."""
    try:
        body = await read_body(request, most_bytes)
    except BodyTooLarge:
        raise body_too_large(most_bytes) from None
    except ClientDisconnect:
        raise FlatRefusal(400, "Malformed JSON", details="The connection broke before the body was complete.") from None
    return parse_request(request.headers.get("content-type", ""), body)


def parse_request(content_type: str, body: bytes) -> ComparisonRequest:
    """Parse a request's body. Raises Refusal (400), which names fields and never repeats the input."""
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
    """Return whether all that is wrong is that integers are written as 4096.0, which is one in JSON."""
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
        message = problem["msg"].partition(",")[0] if problem["type"] == "uuid_parsing" else problem["msg"]
        lines.append(f"{field}: {message}")
    return FlatRefusal(400, f"Invalid request format: {'; '.join(lines)}")
