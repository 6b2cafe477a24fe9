"""This module puts the mock judge (cj_pipeline/mock/judge.py) behind the queue: a provider that waits as drawn."""

from __future__ import annotations

import asyncio

from cj_pipeline.contracts.answer import ProviderAnswer, ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.mock.judge import MockJudge
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.mock.tokenizer import TokenCounter
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest


class MockProvider:
    """A provider that answers as its mode says, after as long as its mode says."""

    name = Provider.MOCK
    held_s = 0.0

    def __init__(self, mode: Mode, seed: int, token_counter: TokenCounter | None = None) -> None:
        self._judge = MockJudge(mode, seed, token_counter)

    async def answer(self, request: QueuedRequest, attempt: int) -> ProviderAnswer:
        """Wait the drawn latency, then answer or fail as drawn. Raises ProviderError."""
        # Drawn before anything is awaited, so that the order of calls alone decides which ones meet a burst.
        drawn = self._judge.attempt(request, attempt)
        if drawn.latency_ms > 0:  # the workers let others on the loop have their turn among instant answers
            await asyncio.sleep(drawn.latency_ms / 1000)
        if isinstance(drawn.outcome, ProviderError):
            raise drawn.outcome
        return drawn.outcome
