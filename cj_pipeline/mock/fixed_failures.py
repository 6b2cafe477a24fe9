"""This module draws for which prompts it is fixed whether they fail: some texts break a judge each time."""

from __future__ import annotations

from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.mock.mode.mode import AbilityWinner, Mode
from cj_pipeline.mock.request import MockRequest


def fixed_outcome(mode: Mode, request: MockRequest, seed: int) -> bool | None:
    """Return whether a prompt always fails (True) or never does (False); None where each attempt is drawn."""
    errors = mode.errors
    if errors.repeatability == 0.0 or (essays := request.essay_ids()) is None:
        return None
    first, second = essays
    failed = errors.failed.get(first, {}).get(second, 0)
    answers = mode.winner.answers if isinstance(mode.winner, AbilityWinner) else {}
    answered = len(answers.get(first, {}).get(second, ""))
    key = ("lps", "fixed failure", seed, mode.name, first, second)
    if uniform(*key, "whether") >= share_fixed(errors.repeatability, errors.rate, failed, answered):
        return None
    return failed > 0 if failed or answered else uniform(*key, "outcome") < errors.rate


def share_fixed(repeatability: float, rate: float, failed: int, answered: int) -> float:
    """Return how probably it is fixed whether a prompt fails, given how often it failed and was answered."""
    if failed and answered:
        return 0.0
    if failed + answered < 2:
        return repeatability
    likely = rate if failed else 1.0 - rate
    fixed, free = repeatability * likely, (1.0 - repeatability) * likely ** (failed + answered)
    return fixed / (fixed + free) if fixed > 0.0 else repeatability
