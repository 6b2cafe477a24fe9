"""This module holds the mock judge: one attempt at one request, from its draws to an answer or a failure.

It does not wait: it says how long the answer takes, and the service's adapter waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cj_pipeline.contracts.answer import ProviderAnswer, ProviderError
from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.reasons import CONFIDENCE_KNOWN, COST_KNOWN, TOKENS_KNOWN, UNKNOWN_CONFIDENCE
from cj_pipeline.mock import answers
from cj_pipeline.mock.course import LatencyCourse
from cj_pipeline.mock.draws import Draws
from cj_pipeline.mock.failures import BurstChain, cost_usd, drawn_failure, takes_ms, token_usage
from cj_pipeline.mock.fixed_failures import fixed_outcome
from cj_pipeline.mock.mode.latency import SampledLatency
from cj_pipeline.mock.mode.mode import CompletionWords, ConstantTokens, Justification, Mode, Sample
from cj_pipeline.mock.replay import ReplayBook, Replayed
from cj_pipeline.mock.request import MockRequest
from cj_pipeline.mock.samples import SampleBook
from cj_pipeline.mock.tokenizer import TokenCounter, cl100k_counter
from cj_pipeline.mock.unknown_pairs import UnknownPairWinners

MOCK_MODEL = "mock-model-v1"

# 8 to 12 words each: at 0.75 tokens a word and 10 extra, the 16 to 19 completion tokens of production's mock.
JUSTIFICATIONS = {
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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. latency_ms: how long it takes until the outcome is there."""

    latency_ms: int
    outcome: ProviderAnswer | ProviderError


class MockJudge:
    """Answers by a mode, with randomness keyed by seed, correlation id and attempt.

    Bursts of errors and the course of latencies depend on more: on what this judge was asked before. So does the winner
    of an unknown pair, where its net would have too many of one side.
    token_counter: counts tokens for a mode of tokenizer `tiktoken`; None finds cl100k_base, or falls back to words.
    """

    def __init__(self, mode: Mode, seed: int, token_counter: TokenCounter | None = None) -> None:
        self.mode = mode
        self._seed = seed
        self._bursts = BurstChain(mode.errors.bursts, seed)
        self._course = LatencyCourse(mode, seed)
        self._samples = SampleBook(mode, by_latency=self._course.drifts)
        self._of_samples = isinstance(mode.latency, SampledLatency)
        unknown = getattr(mode.winner, "unknown_pairs", None)
        self._unknown = None if unknown is None else UnknownPairWinners(unknown, seed)
        self._replays = None if mode.recording is None else ReplayBook(mode)
        self._count = (token_counter or cl100k_counter()) if mode.tokens.tokenizer == "tiktoken" else None
        self._sentences = {winner: _sentences(mode.justification, winner) for winner in Winner}
        self._counted = self._justification_tokens()

    def attempt(self, request: MockRequest, number: int) -> Attempt:
        """Return what comes of one attempt, and after how long. number: 0 for the first."""
        errors = self.mode.errors
        draws = Draws(self._seed, str(request.correlation_id), number)
        fixed = fixed_outcome(self.mode, request, self._seed)
        failure = drawn_failure(errors, draws, in_burst=self._bursts.next_call(), cost=self.mode.cost, fixed=fixed)
        try:
            replayed = self._replayed(request, draws)
        except ProviderError as unknown_essays:
            return Attempt(0, unknown_essays)
        drawn = self._course.next_call(draws.uniform("sample" if self._of_samples else "latency"))
        sampled = self._samples.draw(request, drawn if self._of_samples else draws.uniform("sample"))
        latency_ms = takes_ms(errors, failure, answers.latency_ms(self.mode, draws, replayed, sampled, drawn))
        if failure is None and replayed is not None:
            failure = replayed.failure
        if failure is not None:
            return Attempt(latency_ms, failure)
        try:
            return Attempt(latency_ms, self._answer(request, draws, replayed, sampled, latency_ms))
        except ProviderError as unanswerable:
            return Attempt(latency_ms, unanswerable)

    def _answer(
        self, request: MockRequest, draws: Draws, replayed: Replayed | None, sampled: Sample | None, latency_ms: int
    ) -> ProviderAnswer:
        winner = answers.winner(self.mode, request, draws, replayed, self._unknown)
        sentences = self._sentences[winner]
        justification = sentences[int(draws.uniform("justification") * len(sentences))]
        prompt = answers.prompt_tokens(self.mode, request, replayed, self._count)
        completion = self._counted.get(justification)
        if completion is None:
            completion = answers.completion_tokens(self.mode, justification, draws, replayed, sampled=sampled)
        told = self.mode.metadata
        marks: dict[str, Any] = {}
        usage = token_usage(prompt, completion)
        # The uniforms are drawn only where a mode needs them.
        if told.tokens_unknown and draws.uniform("tokens known") < told.tokens_unknown:
            usage, marks = token_usage(0, 0), {TOKENS_KNOWN: False, COST_KNOWN: False}
        confidence = answers.confidence(self.mode, draws, replayed, sampled)
        if told.confidence_unknown and draws.uniform("confidence known") < told.confidence_unknown:
            confidence, marks = UNKNOWN_CONFIDENCE, marks | {CONFIDENCE_KNOWN: False}
        return ProviderAnswer(
            winner=winner,
            justification=justification,
            confidence=confidence,
            model=request.model_override or self.mode.model or MOCK_MODEL,
            response_time_ms=latency_ms,
            token_usage=usage,
            cost_estimate=cost_usd(self.mode.cost, usage),
            metadata=self._metadata(usage, draws, tokens_known=TOKENS_KNOWN not in marks) | marks,
        )

    def _justification_tokens(self) -> dict[str, int]:
        """Return completion tokens by justification, where they depend on nothing else."""
        if not isinstance(self.mode.tokens.completion, CompletionWords | ConstantTokens):
            return {}
        any_draws = Draws(self._seed, "", 0)
        return {
            sentence: answers.completion_tokens(self.mode, sentence, any_draws, count=self._count)
            for sentences in self._sentences.values()
            for sentence in sentences
        }

    def _replayed(self, request: MockRequest, draws: Draws) -> Replayed | None:
        if self._replays is None:
            return None
        return self._replays.choose(*answers.essay_ids(request, "replay"), draws)

    def _metadata(self, usage: TokenUsage, draws: Draws, *, tokens_known: bool) -> dict[str, Any]:
        metadata: dict[str, Any] = {"usage": usage.model_dump()} if self.mode.metadata.usage and tokens_known else {}
        cache = self.mode.cache
        if cache.enabled and tokens_known:
            hit = draws.uniform("cache") < cache.hit_rate
            cached = {
                "cache_read_input_tokens": usage.prompt_tokens if hit else 0,
                "cache_creation_input_tokens": 0 if hit else usage.prompt_tokens,
            }
            # The cache figures are inside `usage` as well: so they are on production's wire.
            metadata = {"usage": usage.model_dump() | cached, **cached}
        if not self.mode.cost.known:
            metadata["cost_known"] = False
        if self.mode.streaming_metadata:
            metadata["streaming_simulated"] = True
        return metadata


def _sentences(said: Justification, winner: Winner) -> tuple[str, ...]:
    sentences = said.texts or JUSTIFICATIONS[winner]
    if said.characters is None:
        return sentences
    return tuple(_of_length(sentence, said.characters) for sentence in sentences)


def _of_length(sentence: str, characters: int) -> str:
    times = characters // (len(sentence) + 1) + 1
    return " ".join([sentence] * times)[:characters]
