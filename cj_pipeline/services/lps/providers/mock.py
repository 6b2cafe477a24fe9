"""The mock provider: answers as its mode says, after as long as its mode says.

Here: one attempt from draw to answer. Not here: the draws themselves (mock_draws.py), failures (mock_failures.py),
retries (worker.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

from cj_pipeline.contracts.answer import ProviderAnswer
from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.mock import answers as mock_draws
from cj_pipeline.mock.draws import Draws
from cj_pipeline.mock.failures import BurstChain, drawn_failure, takes_ms
from cj_pipeline.mock.mode.mode import CompletionWords, ConstantTokens, Mode
from cj_pipeline.mock.replay import ReplayBook, Replayed
from cj_pipeline.mock.tokenizer import TokenCounter, cl100k_counter
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

MOCK_MODEL = "mock-model-v1"

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
    """Answers by a mode, with randomness keyed by seed, correlation id and attempt.

    Bursts of errors are the one thing that depends on more: on how many calls this provider had before.
    token_counter: counts tokens for a mode of tokenizer `tiktoken`; None finds cl100k_base, or falls back to words.
    """

    name = Provider.MOCK

    def __init__(self, mode: Mode, seed: int, token_counter: TokenCounter | None = None) -> None:
        self.mode = mode
        self._seed = seed
        self._bursts = BurstChain(mode.errors.bursts, seed)
        self._replays = None if mode.recording is None else ReplayBook(mode)
        self._count = (token_counter or cl100k_counter()) if mode.tokens.tokenizer == "tiktoken" else None
        self._counted = self._justification_tokens()

    async def answer(self, request: QueuedRequest, attempt: int) -> ProviderAnswer:
        """Wait the drawn latency, then answer or fail as drawn. Raises ProviderError."""
        mode = self.mode
        draws = Draws(self._seed, str(request.correlation_id), attempt)
        # Before anything is awaited, so that the order of calls alone decides which ones meet a burst.
        failure = drawn_failure(mode.errors, draws, in_burst=self._bursts.next_call())
        replayed = self._replayed(request, draws)
        latency_ms = takes_ms(mode.errors, failure, mock_draws.latency_ms(mode, draws, replayed))
        if (
            latency_ms > 0
        ):  # the workers see to it that a run of instant answers lets others on the loop have their turn
            await asyncio.sleep(latency_ms / 1000)
        if failure is None and replayed is not None:
            failure = replayed.failure
        if failure is not None:
            raise failure
        winner = mock_draws.winner(mode, request, draws, replayed)
        sentences = _JUSTIFICATIONS[winner]
        justification = sentences[int(draws.uniform("justification") * len(sentences))]
        prompt = mock_draws.prompt_tokens(mode, request, replayed, self._count)
        completion = self._counted.get(justification)
        if completion is None:
            completion = mock_draws.completion_tokens(mode, justification, draws, replayed)
        return ProviderAnswer(
            winner=winner,
            justification=justification,
            confidence=mock_draws.confidence(mode, draws, replayed),
            model=request.overrides.model_override or MOCK_MODEL,
            response_time_ms=latency_ms,
            token_usage=TokenUsage(
                prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
            ),
            cost_estimate=0.0,
            metadata=self._metadata(prompt, completion, draws),
        )

    def _justification_tokens(self) -> dict[str, int]:
        """Completion tokens by justification, where they depend on nothing else."""
        if not isinstance(self.mode.tokens.completion, CompletionWords | ConstantTokens):
            return {}
        any_draws = Draws(self._seed, "", 0)
        return {
            sentence: mock_draws.completion_tokens(self.mode, sentence, any_draws, count=self._count)
            for sentences in _JUSTIFICATIONS.values()
            for sentence in sentences
        }

    def _replayed(self, request: QueuedRequest, draws: Draws) -> Replayed | None:
        if self._replays is None:
            return None
        return self._replays.choose(*mock_draws.essay_ids(request, "replay"), draws)

    def _metadata(self, prompt: int, completion: int, draws: Draws) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        cache = self.mode.cache
        if cache.enabled:
            hit = draws.uniform("cache") < cache.hit_rate
            cached = {
                "cache_read_input_tokens": prompt if hit else 0,
                "cache_creation_input_tokens": 0 if hit else prompt,
            }
            usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
            # The cache figures stand inside `usage` as well: so they do on production's wire.
            metadata = {"usage": usage | cached, **cached}
        if self.mode.streaming_metadata:
            metadata["streaming_simulated"] = True
        return metadata
