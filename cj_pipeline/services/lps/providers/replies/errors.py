"""This module finds the error in a reply, whatever its shape, and the words that say which it is.

Nothing of what an API says in prose is passed on: messages quote the prompt. Their first words are compared with a
table, and that is all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cj_pipeline.services.lps.providers.apis.identifiers import identifier
from cj_pipeline.services.lps.providers.replies.objects import decoded

# Enough for every API's own words, which come first, and little of a prompt that is quoted after them.
_MOST_WORDS = 240


@dataclass(frozen=True, slots=True)
class ErrorWords:
    """What a reply says about its error. kind, number: its type and code as they are, None where they are prose.

    names: all names in it, lower-case. prose: its first words, lower-case. parts: the error object itself.
    """

    kind: str | None = None
    number: str | None = None
    names: frozenset[str] = frozenset()
    prose: str = ""
    parts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int | None:
        """The HTTP status that its code is, as a number or as text."""
        number = self.number or ""
        return int(number) if number.isascii() and number.isdigit() and len(number) == 3 and number[0] in "45" else None


NOTHING = ErrorWords()

# Where the four APIs have what they answer, and where others have a complaint.
_ANSWERS = frozenset({"choices", "content", "candidates", "promptFeedback"})
_COMPLAINTS = frozenset({"message", "detail", "msg", "code", "statusCode", "status_code"})


def error_in(document: object) -> ErrorWords | None:
    """Return the error of a decoded body, None when it carries none."""
    found = _error_object(document)
    return None if found is None else _words(found)


def error_in_bytes(body: bytes) -> ErrorWords:
    """Return what a failed reply says; nothing where it says nothing that can be read."""
    try:
        document = decoded(body)
    except ValueError:
        return NOTHING
    found = _error_object(document)
    return NOTHING if found is None else _words(found)


def _error_object(document: object) -> Mapping[str, Any] | None:
    if isinstance(document, list):
        document = next((one for one in document if isinstance(one, dict)), None)
    if not isinstance(document, dict):
        return None
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    errors = document.get("errors")
    several = errors[0] if isinstance(errors, list) and errors else None
    for error in (document.get("error"), choice.get("error"), several):
        if isinstance(error, dict) and error:
            return error
        if isinstance(error, str) and error.strip():
            return {"message": error}
    if document.get("type") == "error" or document.get("object") == "error":
        return document
    # Gateways and frameworks put message, detail or code at the top, where an API has its answer.
    return document if _ANSWERS.isdisjoint(document) and not _COMPLAINTS.isdisjoint(document) else None


def _words(error: Mapping[str, Any]) -> ErrorWords:
    named = [error.get(key) for key in ("type", "status", "code", "statusCode", "reason", "error_type")]
    prose = next((text for key in ("message", "detail", "msg") if isinstance(text := error.get(key), str)), "")
    if identifier(prose):
        named.append(prose)
    names = {name.lower() for name in (identifier(one) for one in (*named, *_in_details(error))) if name is not None}
    return ErrorWords(
        kind=identifier(error.get("type") or error.get("status")),
        number=identifier(error.get("code") or error.get("statusCode") or error.get("status_code")),
        names=frozenset(names),
        prose=prose[:_MOST_WORDS].lower(),
        parts=error,
    )


def _in_details(error: Mapping[str, Any]) -> Iterator[object]:
    """The names that Google and gateways give in lists of details: `reason: API_KEY_INVALID`, a quota's id."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        yield detail.get("reason")
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict):
                yield violation.get("quotaId")
