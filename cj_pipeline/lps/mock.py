"""The mock provider: answers as its mode says, after as long as its mode says.

Here: one attempt from draw to answer. Not here: the draws themselves (mock_draws.py), retries (worker.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.lps import mock_draws
from cj_pipeline.lps.mock_draws import Draws
from cj_pipeline.lps.mode import Mode
from cj_pipeline.lps.provider import ProviderAnswer, ProviderError
from cj_pipeline.lps.queued_request import QueuedRequest

MOCK_MODEL = "mock-model-v1"

_RETRYABLE_STATUS = frozenset({429, 500, 502, 503, 504, 529})

# 8 to 12 words each: at 0.75 tokens a word and 10 extra, the 16 to 19 completion tokens of production's mock.
_JUSTIFICATIONS = {
    Winner.A: (
        "Essay A keeps to its question and supports every claim it makes.",
        "Essay A orders its points clearly and closes with a conclusion.",
        "The wording of Essay A is more precise and varied throughout.",
        "Essay A weighs an objection, which the other essay never does.",
        "Paragraphs in Essay A follow each other with fewer gaps.",
    ),
    Winner.B: (
        "Essay B answers the task fully and stays with it.",
        "Essay B gives concrete examples where the other essay only asserts.",
        "The argument of Essay B builds step by step to its end.",
        "Essay B has fewer language errors and reads with greater ease.",
        "Essay B shows a better grasp of its subject.",
    ),
}


class MockProvider:
    """Answers by a mode, with randomness keyed by seed, correlation id and attempt."""

    name = Provider.MOCK

    def __init__(self, mode: Mode, seed: int) -> None:
        self.mode = mode
        self._seed = seed

    async def answer(self, request: QueuedRequest, attempt: int) -> ProviderAnswer:
        """Wait the drawn latency, then answer or fail as drawn. Raises ProviderError."""
        mode = self.mode
        draws = Draws(self._seed, str(request.correlation_id), attempt)
        latency_ms = mock_draws.latency_ms(mode, draws)
        await asyncio.sleep(latency_ms / 1000)
        self._maybe_fail(draws)
        winner = mock_draws.winner(mode, request, draws)
        sentences = _JUSTIFICATIONS[winner]
        justification = sentences[int(draws.uniform("justification") * len(sentences))]
        prompt = mock_draws.prompt_tokens(mode, request)
        completion = mock_draws.completion_tokens(mode, justification, draws)
        usage = TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
        return ProviderAnswer(
            winner=winner,
            justification=justification,
            confidence=mock_draws.confidence(mode, draws),
            model=request.overrides.model_override or MOCK_MODEL,
            response_time_ms=latency_ms,
            token_usage=usage,
            cost_estimate=0.0,
            metadata=self._metadata(usage, draws),
        )

    def _maybe_fail(self, draws: Draws) -> None:
        errors = self.mode.errors
        if errors.rate == 0.0 or draws.uniform("error") >= errors.rate:
            return
        status = errors.codes[int(draws.uniform("error_code") * len(errors.codes))]
        raise ProviderError(
            ErrorCode.EXTERNAL_SERVICE_ERROR,
            f"The mock provider failed with status {status}, as its mode asks.",
            {"status_code": status},
            retryable=status in _RETRYABLE_STATUS,
        )

    def _metadata(self, usage: TokenUsage, draws: Draws) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        cache = self.mode.cache
        if cache.enabled:
            hit = draws.uniform("cache") < cache.hit_rate
            read, created = (usage.prompt_tokens, 0) if hit else (0, usage.prompt_tokens)
            cached = {"cache_read_input_tokens": read, "cache_creation_input_tokens": created}
            # The cache figures stand inside `usage` as well: so they do on production's wire.
            metadata = {"usage": usage.model_dump() | cached, **cached}
        if self.mode.streaming_metadata:
            metadata["streaming_simulated"] = True
        return metadata
