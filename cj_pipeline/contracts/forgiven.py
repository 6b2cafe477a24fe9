"""This module names what a reader of verdicts forgives: each is counted, and listed in the callback's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Forgiven(StrEnum):
    """What an answer had besides, or instead of, what was asked for."""

    TEXT_AROUND = "text_around"
    CODE_FENCE = "code_fence"
    THINKING = "thinking"
    NESTED = "nested"
    AS_TEXT = "as_text"
    TRAILING_COMMA = "trailing_comma"
    QUOTES = "quotes"
    CONTROL_CHARACTERS = "control_characters"
    KEY_SPELLING = "key_spelling"
    WINNER_SPELLING = "winner_spelling"
    REPEATED = "repeated"
    CONFIDENCE_AS_TEXT = "confidence_as_text"
    CONFIDENCE_MISSING = "confidence_missing"
    CONFIDENCE_UNREADABLE = "confidence_unreadable"
    CONFIDENCE_OUTSIDE = "confidence_outside"
    CONFIDENCE_TWICE = "confidence_twice"
    JUSTIFICATION_MISSING = "justification_missing"
    JUSTIFICATION_MENDED = "justification_mended"
    USAGE_UNKNOWN = "usage_unknown"


MEANINGS: Mapping[Forgiven, str] = {
    Forgiven.TEXT_AROUND: "words before or after the JSON object",
    Forgiven.CODE_FENCE: "the object stands in a code fence",
    Forgiven.THINKING: "thoughts in tags",
    Forgiven.NESTED: "the verdict is one or two levels deeper, lists counted",
    Forgiven.AS_TEXT: "JSON as a text where an object belongs",
    Forgiven.TRAILING_COMMA: "a comma after the last entry",
    Forgiven.QUOTES: "typographic quotes in the place of plain ones",
    Forgiven.CONTROL_CHARACTERS: "a line break within a string",
    Forgiven.KEY_SPELLING: "other names of the keys, such as `Winner` or `reason`",
    Forgiven.WINNER_SPELLING: "another spelling of the winner, such as `A` or `Essay A is better`",
    Forgiven.REPEATED: "the same winner several times",
    Forgiven.CONFIDENCE_AS_TEXT: "a number as a text; it is converted",
    Forgiven.CONFIDENCE_MISSING: "no confidence; `confidence_known` is false",
    Forgiven.CONFIDENCE_UNREADABLE: "a confidence that is no number; `confidence_known` is false",
    Forgiven.CONFIDENCE_OUTSIDE: "a confidence outside 1 to 5; `confidence_known` is false",
    Forgiven.CONFIDENCE_TWICE: "two confidences that differ; `confidence_known` is false",
    Forgiven.JUSTIFICATION_MISSING: "no justification; it is empty",
    Forgiven.JUSTIFICATION_MENDED: "characters that cannot be stored; they are replaced",
    Forgiven.USAGE_UNKNOWN: "no usable count of tokens; `tokens_known` is false",
}
