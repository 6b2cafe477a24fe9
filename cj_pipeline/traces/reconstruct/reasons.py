"""This module draws sentences and confidences of a reconstruction. They rest on nothing published but the scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.foundation.seeding import KeyPart, uniform

if TYPE_CHECKING:
    from cj_pipeline.traces.reconstruct.judgements import Judgement

# At most 50 characters each, the limit that production's answer schema sets; none speaks of any essay's content.
CLOSE_REASONS = (
    "Close; slightly better organised.",
    "Close; a little more control of grammar.",
    "Similar level, but more precise vocabulary.",
    "Narrowly ahead on cohesion.",
    "Narrowly ahead: fewer distracting errors.",
    "Near equal; ideas developed a bit further.",
)
CLEAR_REASONS = (
    "Clearer argument and better control of tense.",
    "Richer vocabulary and varied sentences.",
    "Ideas are developed; the other only lists them.",
    "Well organised with few errors.",
    "Stronger structure and a clear conclusion.",
    "More accurate and easier to follow throughout.",
)
# Nine words: with production's mock tokenizer (0.75 a word, rounded up, plus 10) that is 17 completion tokens.
MOCK_REASONS = {
    Winner.A: "Essay A states its position sooner and supports it.",
    Winner.B: "Essay B states its position sooner and supports it.",
}


def model_reasons(judgement: Judgement, *key: KeyPart) -> tuple[float, str]:
    """Draw confidence (1 to 5) and justification as a language model gives them.

    Halves from 3 to 5, the part of the scale that real judges were seen to use: half a point more for every two logits
    of ability gap, upsets at the bottom.
    """
    wavering = 0.8 * (uniform(*key, "confidence") - 0.5)
    confidence = min(5.0, max(3.0, round(2 * (3.3 + judgement.gap / 4 + wavering)) / 2))
    pool = CLOSE_REASONS if confidence < 4 else CLEAR_REASONS
    return confidence, pool[int(uniform(*key, "justification") * len(pool))]


def mock_reasons(judgement: Judgement, *key: KeyPart) -> tuple[float, str]:
    """Draw confidence and justification as production's mock does: base 4.5 of 5, jitter 0.3, three decimals of 1."""
    share = round((4.5 + 0.3 * (2 * uniform(*key, "confidence") - 1)) / 5, 3)
    return round(share * 4 + 1, 3), MOCK_REASONS[Winner.A if judgement.a_wins else Winner.B]
