"""This module reads the bodies of replies: what stands beside the verdict degrades, and never costs it."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from cj_pipeline.contracts.callback import LARGEST_COUNT
from cj_pipeline.contracts.reasons import Reason
from cj_pipeline.services.lps.providers.apis.verdict import BadReply
from cj_pipeline.services.lps.providers.replies.objects import decoded

Field = TypeVar("Field")


class ReplyPart(BaseModel):
    """Base of the models of replies: what is not declared is of no interest, and APIs add fields all the time."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


def _or_none(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


# A field that is None where it is not as the API documents it.
Lenient = Annotated[Field | None, WrapValidator(_or_none)]


def read_document(body: bytes) -> Any:
    """Return a body as JSON. Raises BadReply."""
    try:
        document = decoded(body)
    except ValueError:
        raise BadReply(_what_it_is(body), "The reply is not JSON.") from None
    if document in (None, "", [], {}):
        raise BadReply(Reason.EMPTY_BODY, "The reply is empty.")
    return document


def count_of(value: object) -> int | None:
    """Return a count of tokens; None for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST_COUNT:
        return None
    return int(value)


def text_of(content: object) -> str:
    """Return the words of a content that is a text or a list of parts; thoughts are parts of other types."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "".join(_part(part) for part in parts)


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type", "text") not in ("text", "output_text") or part.get("thought"):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _what_it_is(body: bytes) -> Reason:
    start = body[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        return Reason.EMPTY_BODY
    return Reason.WEB_PAGE if start.startswith(b"<") else Reason.NOT_JSON
