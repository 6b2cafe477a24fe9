"""This module holds the schema of a verdict as models are asked for it, and reads what they answer.

Production took every winner that it did not understand for Essay A. Here it is an error: a judge that answers nonsense
must not look like one that prefers the first essay.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any

from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode

DEFAULT_JUSTIFICATION = "The judge gave no justification."

WINNER_DESCRIPTION = "The better essay."
JUSTIFICATION_DESCRIPTION = f"Why it is better, in at most {MAX_JUSTIFICATION_WORDS} words."
CONFIDENCE_DESCRIPTION = "How sure you are, from 1 (a guess) to 5 (certain)."

_SYNONYMS = {
    **dict.fromkeys(("a", "essay a", "option a", "first", "left"), Winner.A),
    **dict.fromkeys(("b", "essay b", "option b", "second", "right"), Winner.B),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A model's answer. confidence: 1 to 5; justification: any length, never empty."""

    winner: Winner
    justification: str
    confidence: float


class BadReply(Exception):
    """A reply with no usable verdict in it. The problem names fields, never their content."""

    def __init__(self, code: ErrorCode, problem: str, **details: str) -> None:
        self.code = code
        self.problem = problem
        self.details = details
        super().__init__(problem)


def verdict_schema() -> dict[str, Any]:
    """The verdict as JSON Schema, in the part of it that strict structured output takes: no maxLength there."""
    return {
        "type": "object",
        "properties": {
            "winner": {
                "type": "string",
                "enum": [winner.value for winner in Winner],
                "description": WINNER_DESCRIPTION,
            },
            "justification": {"type": "string", "description": JUSTIFICATION_DESCRIPTION},
            "confidence": {"type": "number", "minimum": 1, "maximum": 5, "description": CONFIDENCE_DESCRIPTION},
        },
        "required": ["winner", "justification", "confidence"],
        "additionalProperties": False,
    }


def parse_verdict_text(text: str) -> Verdict:
    """A verdict from JSON text, in a code fence or not. Raises BadReply."""
    stripped = text.strip()
    # Models that are only asked for JSON, not held to a schema, like to fence it.
    if stripped.startswith("```") and stripped.endswith("```"):
        stripped = stripped.strip("`").removeprefix("json")
    try:
        content = json.loads(stripped)
    except (ValueError, RecursionError):
        raise BadReply(ErrorCode.PARSING_ERROR, "The verdict is not JSON.") from None
    return parse_verdict(content)


def parse_verdict(content: object) -> Verdict:
    """A verdict from decoded JSON. Raises BadReply for a winner or a confidence that is none."""
    if not isinstance(content, dict):
        raise _invalid("verdict", "The verdict is not a JSON object.")
    winner = _SYNONYMS.get(content["winner"].strip().lower()) if isinstance(content.get("winner"), str) else None
    if winner is None:
        raise _invalid("winner", "The verdict names neither Essay A nor Essay B.")
    confidence = content.get("confidence")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not isfinite(confidence):
        raise _invalid("confidence", "The verdict's confidence is not a number.")
    justification = content.get("justification")
    if not isinstance(justification, str) or not justification.strip():
        justification = DEFAULT_JUSTIFICATION
    return Verdict(winner=winner, justification=justification, confidence=min(5.0, max(1.0, float(confidence))))


def _invalid(field: str, problem: str) -> BadReply:
    return BadReply(ErrorCode.INVALID_RESPONSE, problem, field=field)
