"""This module lists the wrong mocks that bill other tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cj_pipeline.mock.model.answers import RealArray
from cj_pipeline.parity.comparison import Sample
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.measures import NO_ANSWER
from cj_pipeline.parity.gauntlet.wrong_mock import SAME, DrawnMock, Group, LeftOut

Change = Callable[[Faithful, RealArray, RealArray], tuple[RealArray, RealArray]]
"""Of prompt and completion tokens."""


def with_tokens(faithful: Faithful, change: Change) -> Sample | LeftOut:
    """Return live sides that bill other tokens."""
    measures = faithful.measures
    if measures.prompt_tokens is None or measures.completion_tokens is None:
        return NO_ANSWER
    completion = measures.completion_tokens
    prompt = np.broadcast_to(measures.prompt_tokens, completion.shape)
    changed = change(faithful, prompt, completion)
    if np.array_equal(changed[0], prompt) and np.array_equal(changed[1], completion):
        return SAME
    return Sample(prompt_tokens=changed[0], completion_tokens=changed[1])


def billed(factor: float) -> Change:
    """Return a change that bills every token so many times."""
    return lambda faithful, prompt, completion: (prompt * factor, completion * factor)


def _swapped(faithful: Faithful, prompt: RealArray, completion: RealArray) -> tuple[RealArray, RealArray]:
    return completion, prompt


def _constant(faithful: Faithful, prompt: RealArray, completion: RealArray) -> tuple[RealArray, RealArray]:
    mean = completion.mean(axis=1, keepdims=True)
    return np.full_like(prompt, prompt.mean()), np.broadcast_to(mean, completion.shape)


def _shuffled(faithful: Faithful, prompt: RealArray, completion: RealArray) -> tuple[RealArray, RealArray]:
    rng = faithful.generator("shuffled tokens")
    return rng.permuted(prompt, axis=1), rng.permuted(completion, axis=1)


def _mock(name: str, change: str, tokens: Change) -> DrawnMock:
    return DrawnMock(name, Group.TOKENS, change, lambda faithful: with_tokens(faithful, tokens))


MOCKS: tuple[DrawnMock, ...] = (
    _mock("tokens +10 %", "bills 10 % more tokens", billed(1.1)),
    _mock("tokens +20 %", "bills 20 % more tokens", billed(1.2)),
    _mock("tokens swapped", "takes prompt tokens for completion tokens", _swapped),
    _mock("tokens constant", "bills every comparison alike", _constant),
    _mock("tokens shuffled", "bills each comparison the tokens of another", _shuffled),
)
