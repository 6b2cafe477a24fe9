"""This module estimates what a recording costs and how long it takes, before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cj_pipeline.runs.recording.books import JudgeBehindLps
from cj_pipeline.runs.recording.draft import RecordingDraft, is_unfinished
from cj_pipeline.runs.recording.prompts import PromptVariant
from cj_pipeline.runs.recording.request import RecordingRequest
from cj_pipeline.runs.recording.spending import BYTES_PER_TOKEN, TYPICAL_COMPLETION_TOKENS

# An answer of a hosted model of today without reasoning; it is replaced by what is measured.
TYPICAL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is still to be done, and the most that was spent so far.

    usd, most_usd: for the rest, as a typical and as the longest answers cost; None where the price is unknown.
    tokens: of one prompt, about.
    """

    comparisons: int
    answered: int
    prompt_tokens: float
    usd: float | None
    most_usd: float | None
    spent_usd: float
    seconds: float


def typical_prompt_tokens(prompt: PromptVariant, texts: Mapping[str, str]) -> float:
    """Return about how many tokens a prompt about two of these texts has."""
    around = len((prompt.system + prompt.context() + prompt.question).encode())
    pair_bytes = 2 * sum(len(text.encode()) for text in texts.values()) / len(texts) + around
    return pair_bytes / BYTES_PER_TOKEN + 100


def estimated(request: RecordingRequest, judge: JudgeBehindLps, seconds_an_answer: float = TYPICAL_SECONDS) -> Estimate:
    """Return the estimate; of a recording that was begun, of what is left. Raises BadInput as RecordingDraft does."""
    answered, spent = 0, 0.0
    if is_unfinished(request.target):
        with RecordingDraft(request) as draft:
            answered, spent = sum(run.taken for run in draft.runs), draft.exposure_usd
    left = request.comparisons_a_run * request.runs - answered
    prompt_tokens = typical_prompt_tokens(request.prompt, request.essays.texts)
    price, most = judge.price, judge.most_output_tokens
    return Estimate(
        comparisons=left,
        answered=answered,
        prompt_tokens=prompt_tokens,
        usd=None if price is None else left * price.of(prompt_tokens, min(most, TYPICAL_COMPLETION_TOKENS)),
        most_usd=None if price is None else left * price.of(prompt_tokens, most),
        spent_usd=spent,
        seconds=left * seconds_an_answer / request.concurrency,
    )
