"""This module knows how models spell a winner, and the keys of a verdict. What can be read in two ways is no winner."""

from __future__ import annotations

import re

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.reasons import Reason

WINNER, JUSTIFICATION, CONFIDENCE = "winner", "justification", "confidence"

# Without blanks, underscores and case.
_KEYS = {
    **dict.fromkeys(
        (
            *("winner", "winneressay", "winningessay", "thewinner", "betteressay", "better", "bestessay"),
            *("preferred", "preferredessay", "preference", "choice", "verdict", "decision", "answer", "selected"),
        ),
        WINNER,
    ),
    **dict.fromkeys(
        ("justification", "reason", "reasons", "reasoning", "rationale", "explanation", "why", "comment"),
        JUSTIFICATION,
    ),
    **dict.fromkeys(
        ("confidence", "confidencelevel", "confidencescore", "confidencerating", "certainty", "conf"), CONFIDENCE
    ),
}

_NOISE = re.compile(r"[\s\u200b-\u200d\ufeff_:;.,!*\"'`\u00b4\u2018\u2019\u201c\u201d()\[\]<>#-]+")
_ESSAY = r"(?:(?:essay|option|text|response|answer|candidate|uppsats|essä) ?)?"
_NAMED = re.compile(
    r"(?:(?:the )?(?:winner|better|best|stronger|preferred)(?: (?:one|essay|text|option))?(?: is)? )?(?:the )?"
    rf"{_ESSAY}(?:(?P<letter>[ab])|(?P<place>first|second|left|right)(?: (?:one|essay|text|option))?)"
    r"(?: (?:is (?:the )?(?:clearly |slightly |much )?(?:better|best|stronger|superior|preferred|winner)"
    r"(?: (?:one|essay|text))?|wins|won)"
    rf"(?: than (?:the )?(?:other(?: (?:one|essay|text))?|{_ESSAY}(?P<other>[ab])))?)?"
    r"(?: (?:because|since|as)\b(?P<why>.*))?"
)
_TIES = frozenset(
    {
        *("tie", "tied", "a tie", "it is a tie", "draw", "a draw", "equal", "equally good", "both are equal", "even"),
        *("undecided", "no difference", "no winner", "neither", "neither essay", "neutral", "none", "the same", "same"),
    }
)
_LETTERS = re.compile(r"\b[ab]\b|\bfirst\b|\bsecond\b|\bleft\b|\bright\b")
_PRAISED = re.compile(
    r"\b(a|b|first|second|left|right)(?: (?:one|essay|text|option))? "
    r"(?:is (?:the )?(?:clearly |slightly |much )?(?:better|best|stronger|superior|preferred|winner)|wins|won)\b"
)
"""What a reason may say of an essay; of the other one, it contradicts the winner."""
_FIRST = frozenset({"a", "first", "left"})
_REFUSALS = re.compile(
    r"\b(?:sorry|apologi[sz]e|can ?not|can['\u2019]t|won['\u2019]t|unable to|not able to|not comfortable)\b"
    r"|\b(?:decline|refuse) to\b"
    r"|\bas an ai\b",
    re.IGNORECASE,
)


def key_of(name: object) -> str | None:
    """Return which key of a verdict a name stands for; None for any other name.

    >>> key_of("Winning_Essay"), key_of("essay_a_strengths")
    ('winner', None)
    """
    return _KEYS.get(re.sub(r"[\W_]+", "", name).lower()) if isinstance(name, str) else None


def winner_of(value: object) -> Winner | Reason:
    """Return the essay that a value names, or why it names none.

    >>> winner_of("**Essay_B**"), winner_of("Essay A is better than Essay B."), winner_of("A and B")
    (<Winner.B: 'Essay B'>, <Winner.A: 'Essay A'>, <Reason.BOTH_NAMED: 'both_named'>)
    """
    if not isinstance(value, str):
        return Reason.NO_WINNER
    text = _NOISE.sub(" ", value).strip().lower()
    found = _NAMED.fullmatch(text)
    if found is not None and found["other"] != (named := found["letter"] or found["place"]):
        if any((other in _FIRST) != (named in _FIRST) for other in _PRAISED.findall(found["why"] or "")):
            return Reason.BOTH_NAMED
        return Winner.A if named in _FIRST else Winner.B
    if text in _TIES:
        return Reason.TIE
    sides = {name in _FIRST for name in _LETTERS.findall(text)}
    return Reason.BOTH_NAMED if len(sides) == 2 or text in ("both", "both essays") else Reason.NO_WINNER


def is_refusal(text: str) -> bool:
    """Return whether words without a verdict say that there will be none."""
    return _REFUSALS.search(text[:300]) is not None
