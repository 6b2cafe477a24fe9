"""This module holds the words for how complete a trace is.

A trace is whole against an end that its reader did not choose. Where there is no such end, it is as far as was seen.
"""

from __future__ import annotations

EXPECTED_COUNT = "the expected count"
END_OF_TOPIC = "the high watermarks of the topic"
END_OF_BATCH = "the end of the batch that its source names"


def completeness_in_words(missing: tuple[str, ...], held_against: str | None) -> str:
    """Return a sentence or more. held_against: the end that was not the reader's choice; None where there is none."""
    if missing:
        return "Partial: " + " ".join(missing)
    if held_against is None:
        return "As far as seen: no count and no end of the batch was known to hold it against (--expected-count)."
    return f"Whole, held against {held_against}."
