"""This module holds the schema of a verdict as models are asked for it, and reads what they answer.

The winner is all that is needed: everything else degrades, and the verdict says how. What can be read in two ways is no
verdict. Production took every winner that it did not understand for Essay A; a judge that answers nonsense must not
look like one that prefers the first essay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_CHARS, MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.forgiven import Forgiven
from cj_pipeline.contracts.reasons import EXPLANATIONS, Reason
from cj_pipeline.foundation.text import storable
from cj_pipeline.services.lps.providers.cost import Usage
from cj_pipeline.services.lps.providers.replies.objects import decoded, objects_in, pairs_of
from cj_pipeline.services.lps.providers.replies.words import (
    CONFIDENCE,
    JUSTIFICATION,
    WINNER,
    is_refusal,
    key_of,
    winner_of,
)

WINNER_DESCRIPTION = "The better essay."
JUSTIFICATION_DESCRIPTION = f"Why it is better, in at most {MAX_JUSTIFICATION_WORDS} words."
CONFIDENCE_DESCRIPTION = "How sure you are, from 1 (a guess) to 5 (certain)."

# A verdict one or two levels deeper is read, lists counted; further down somebody is quoted.
_MOST_DEPTH = 3

_AS_ASKED = tuple(winner.value for winner in Winner)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A model's answer. confidence: 1 to 5, None when it is not known; justification: storable, may be empty.

    forgiven: how the answer differs from what was asked for, sorted.
    """

    winner: Winner
    justification: str
    confidence: float | None
    forgiven: tuple[Forgiven, ...] = ()


class BadReply(Exception):
    """A reply with no usable verdict in it. The problem names fields, never their content. usage: what it cost."""

    def __init__(self, reason: Reason, problem: str, *, usage: Usage | None = None, **details: str) -> None:
        self.reason = reason
        self.problem = problem
        self.usage = usage
        self.details = details
        super().__init__(problem)

    @property
    def code(self) -> ErrorCode:
        """The code of the wire."""
        return EXPLANATIONS[self.reason].codes[0]


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
    """Read a verdict from a text with JSON in it: the first whole object that names one winner. Raises BadReply."""
    found, forgiven = objects_in(text)
    if found:
        return _verdict(found, forgiven)
    if not text.strip():
        raise BadReply(Reason.EMPTY_ANSWER, "The answer is empty.")
    try:
        content = decoded(text)
    except ValueError:
        if is_refusal(text):
            raise BadReply(Reason.REFUSED, "The judge refuses to compare.") from None
        raise BadReply(Reason.UNREADABLE, "The verdict is not JSON.") from None
    # JSON in a JSON string; once, and not as deep as somebody may quote.
    if isinstance(content, str) and (found := objects_in(content)[0]):
        return _verdict(found, {Forgiven.AS_TEXT})
    raise BadReply(Reason.NO_OBJECT, "The verdict is not a JSON object.", field="verdict")


def parse_verdict(content: object) -> Verdict:
    """Read a verdict from decoded JSON. Raises BadReply."""
    return parse_verdicts([content])


def parse_verdicts(contents: Sequence[object]) -> Verdict:
    """Read one verdict from all that a model put where a verdict belongs. Raises BadReply."""
    found: list[Any] = []
    forgiven: set[Forgiven] = set()
    for content in contents:
        if isinstance(content, str):
            objects, helped = objects_in(content)
            if not objects:
                return parse_verdict_text(content)
            found += objects
            forgiven |= helped | {Forgiven.AS_TEXT}
        elif isinstance(content, list):
            found += content
            forgiven.add(Forgiven.NESTED)
        else:
            found.append(content)
    return _verdict(found, forgiven)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One place that says who won. path: the objects around it, innermost first."""

    winner: Winner | Reason
    path: tuple[dict[str, Any], ...]
    as_asked: bool
    own_name: bool


def _verdict(found: Sequence[object], forgiven: set[Forgiven]) -> Verdict:
    objects = [one for one in found if isinstance(one, dict)]
    if not objects:
        raise BadReply(Reason.NO_OBJECT, "The verdict is not a JSON object.", field="verdict")
    readings = [reading for one in objects for reading in _readings(one, (), 1)]
    # Other words for the key count where they name an essay; `decision` may also hold a reason.
    named = [reading for reading in readings if reading.own_name or isinstance(reading.winner, Winner)] or readings
    winners = {reading.winner for reading in named}
    if len(winners) > 1:
        raise BadReply(Reason.CONTRADICTION, "The answer gives two verdicts that disagree.", field="winner")
    if not named or isinstance(named[0].winner, Reason):
        reason = named[0].winner if named and isinstance(named[0].winner, Reason) else Reason.NO_WINNER
        raise BadReply(reason, "The verdict names neither Essay A nor Essay B.", field="winner")
    first = named[0]
    forgiven = forgiven | _marks(named)
    confidence, doubt = _confidence(_values(first.path, CONFIDENCE))
    justification, lack = _justification(_values(first.path, JUSTIFICATION))
    forgiven |= {mark for mark in (doubt, lack) if mark is not None}
    if any(key_of(key) not in (None, key) for key, value in _entries(first.path) if not isinstance(value, dict)):
        forgiven |= {Forgiven.KEY_SPELLING}
    assert isinstance(first.winner, Winner)  # noqa: S101 - a reason was raised above
    return Verdict(first.winner, justification, confidence, tuple(sorted(forgiven)))


def _marks(named: Sequence[_Reading]) -> set[Forgiven]:
    marks = set()
    if len(named) > 1:
        marks.add(Forgiven.REPEATED)
    if len(named[0].path) > 1:
        marks.add(Forgiven.NESTED)
    if not named[0].as_asked:
        marks.add(Forgiven.WINNER_SPELLING)
    return marks


def _readings(content: object, around: tuple[dict[str, Any], ...], depth: int) -> Iterator[_Reading]:
    """Yield every place that says who won. depth: of this object or list, from 1."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(content, list):
        for one in content:
            yield from _readings(one, around, depth + 1)
    if not isinstance(content, dict):
        return
    path = (content, *around)
    for key, value in pairs_of(content):
        named = key_of(key) == WINNER
        if isinstance(value, dict) or (isinstance(value, list) and not named):
            yield from _readings(value, path, depth + 1)
        elif named:
            yield _Reading(winner_of(value), path, value in _AS_ASKED, own_name=key.strip().lower() == WINNER)


def _entries(path: Iterable[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    return (entry for one in path for entry in pairs_of(one))


def _values(path: Iterable[dict[str, Any]], key: str) -> list[object]:
    """Return what the innermost object that has a key says under it, once or several times."""
    for one in path:
        found = [value for name, value in pairs_of(one) if key_of(name) == key]
        if found:
            return found
    return []


def _confidence(values: Sequence[object]) -> tuple[float | None, Forgiven | None]:
    if not values or values[0] is None:
        return None, Forgiven.CONFIDENCE_MISSING
    if any(value != values[0] for value in values[1:]):
        return None, Forgiven.CONFIDENCE_TWICE
    value, mark = values[0], None
    if isinstance(value, str):
        try:
            value, mark = float(value), Forgiven.CONFIDENCE_AS_TEXT
        except ValueError:
            return None, Forgiven.CONFIDENCE_UNREADABLE
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None, Forgiven.CONFIDENCE_UNREADABLE
    # Moved to the edge of the scale, 85 of 100 would be as sure as 5 of 5, and nobody could tell.
    return (float(value), mark) if 1 <= value <= 5 else (None, Forgiven.CONFIDENCE_OUTSIDE)


def _justification(values: Sequence[object]) -> tuple[str, Forgiven | None]:
    told = next((value for value in values if isinstance(value, str) and value.strip()), None)
    if told is None:
        return "", Forgiven.JUSTIFICATION_MISSING
    kept = storable(told)
    return kept[:MAX_JUSTIFICATION_CHARS], None if kept == told else Forgiven.JUSTIFICATION_MENDED
