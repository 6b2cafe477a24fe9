"""This module sets two sides of a comparison beside each other as arrays, and draws the live side anew.

Every check on answers is a function of a `Comparison` and a `Sample`. The first axis of a sample is draws: the observed
live side is a sample of one draw, noise is a sample of thousands, a wrong mock is a sample of another judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest

import numpy as np

from cj_pipeline.bt.judgements import Draws
from cj_pipeline.bt.posterior import posterior
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.mock.model.answers import Answers, BoolArray, FloatArray, IntArray, RealArray
from cj_pipeline.mock.model.errors import CodeArray, ErrorFit, draw_errors, fit_errors
from cj_pipeline.mock.model.measures import MeasureFit, draw_measures, fit_measures
from cj_pipeline.mock.model.prompt_tokens import parts_by_essay
from cj_pipeline.mock.model.repeated_errors import RepeatedErrors, draw_fixed, fit_error_repeats
from cj_pipeline.mock.model.winner import AskedPrompts, WinnerFit, draw_wins, fit_winner
from cj_pipeline.parity.common_prompts import DENSE, CommonPrompts, common_prompts

DRAWS = 8_000
# Of answers a draw times draws. Above it fewer draws do, with smoothed tails: from 250 live answers on.
_MOST_DRAWN = 2_000_000
# Values drawn at once: few stay in a processor's cache. The first draws of measures are wrong mocks' as well.
_WINS_AT_ONCE = 250_000
_MEASURES_AT_ONCE, _LEAST_AT_ONCE = 400_000, 2_000
# Of more than these in all, memory allows fewer at once.
_MOST_VALUES = 6_000_000
_CHUNK_VALUES = 1_000_000
LEAST_DRAWS = 500
_MANY_PROMPTS = 20_000


class NothingInCommon(CjPipelineError):
    """A measure of answers to common prompts was asked for where there is none."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One live side, or many drawn ones.

    wins: (d, p) answers for A, by prompt. latency_ms: (d, n) of the answers. completion_tokens, prompt_tokens: (d, m)
    of those with known tokens. confidence: (d, k) of those with a known confidence. errors: (d, c) per call, -1 for an
    answer, else the place of its code.
    A part that a check does not look at may be None.
    """

    wins: FloatArray | None = None
    latency_ms: RealArray | None = None
    completion_tokens: RealArray | None = None
    prompt_tokens: RealArray | None = None
    confidence: RealArray | None = None
    errors: CodeArray | None = None
    retries: BoolArray | None = None

    @cached_property
    def sorted_latency(self) -> RealArray:
        """(d, n) latencies of the answers of each draw, ascending."""
        assert self.latency_ms is not None  # noqa: S101  (a gate is not applicable where its part is missing)
        return np.sort(self.latency_ms, axis=1)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A recorded side, of one or more recordings, and a live side of one or more batches.

    items: ids of the net. grades: position on the scale by id, 0 the best; of graded essays only.
    repeatability: what is known of the judge from elsewhere. seed: of every draw.
    """

    recordings: tuple[Answers, ...]
    live: Answers
    items: tuple[str, ...]
    grades: Mapping[str, int]
    seed: int
    repeatability: float | None = None
    host_latency: bool = False
    """Whether the recorded latency is the load of a host, not a property of the judge."""

    @cached_property
    def by_hash(self) -> bool:
        """Whether prompts are known by their hash: where both sides have some in common."""
        recorded = {digest for answers in self.recordings for digest in answers.prompt_sha256 if digest}
        return not recorded.isdisjoint(self.live.prompt_sha256)

    @cached_property
    def winner(self) -> WinnerFit | None:
        """The recorded judge's winner part; None without a single recorded answer."""
        return fit_winner(self.recordings, self.items, by_hash=self.by_hash, repeatability=self.repeatability)

    @cached_property
    def common(self) -> CommonPrompts | None:
        """The prompts that both sides answered; None where there is none."""
        return None if self.winner is None else common_prompts(self.winner, self.live)

    @property
    def prompts(self) -> CommonPrompts:
        """The prompts that both sides answered. Raises NothingInCommon; gates on answers are then off."""
        if self.common is None:
            raise NothingInCommon("no prompt was answered on both sides.")
        return self.common

    @property
    def asked(self) -> AskedPrompts | None:
        """The prompts that both sides answered, as they were asked; None where there is none."""
        return None if self.common is None else self.common.asked

    @cached_property
    def draws(self) -> Draws | None:
        """Posterior draws of the recorded judge."""
        if self.winner is None:
            return None
        few = len(self.winner.prompts) <= _MANY_PROMPTS and len(self.items) <= DENSE
        size = DRAWS if few else LEAST_DRAWS
        return posterior(self.winner.fit, size, self.generator("posterior"))

    @cached_property
    def recorded(self) -> Answers:
        """All recordings, one after the other."""
        return joined(self.recordings)

    @cached_property
    def measures(self) -> MeasureFit | None:
        """The recorded judge's latency, tokens and confidence."""
        answered = self.recorded.answered
        if not answered.any():
            return None
        columns = self.recorded.latency_ms, self.recorded.completion_tokens, self.recorded.confidence
        latency, tokens, confidence = (column[answered] for column in columns)
        return fit_measures(latency, tokens, confidence, self.gaps(self.recorded))

    @cached_property
    def errors(self) -> ErrorFit:
        """The recorded judge's errors."""
        return fit_errors(self.recordings)

    @cached_property
    def error_repeats(self) -> RepeatedErrors | None:
        """At which prompts the recorded judge's errors come back; None where it made none."""
        return fit_error_repeats(self.recordings, by_hash=self.by_hash) if self.errors.errors else None

    @cached_property
    def observed(self) -> Sample:
        """The live side as it is: a sample of one draw."""
        return self._sample(self.live, None if self.common is None else self.common.wins[None])

    def _sample(self, side: Answers, wins: FloatArray | None) -> Sample:
        return Sample(
            wins=wins,
            latency_ms=side.latency_ms[None, side.answered],
            completion_tokens=side.completion_tokens[None, side.billed],
            prompt_tokens=side.prompt_tokens[None, side.billed],
            confidence=side.confidence[None, side.rated],
            errors=self.error_places(side)[None],
            retries=side.retry,
        )

    @cached_property
    def recorded_sample(self) -> Sample:
        """The recorded side in the form of a live one: its shares, on the prompts that the live side answered."""
        common = self.common
        return self._sample(
            self.recorded, None if common is None else (common.recorded_shares * common.asked.answers)[None]
        )

    @property
    def no_retries(self) -> str | None:
        """Why nothing can be said about retries; None where both sides have some."""
        return None if self.recorded.retry.any() and self.live.retry.any() else "a side has no call that was made again"

    def faithful(self) -> Iterator[Sample]:
        """Draw live sides that the recorded judge would give, in chunks: what a difference has to beat.

        Chunks of large comparisons differ in what parts they have: one that has all its draws is left out.
        """
        for wins, measures in zip_longest(self.drawn_wins(), self._drawn_measures()):
            yield Sample(wins=wins) if measures is None else replace(measures, wins=wins)

    def _drawn_measures(self) -> Iterator[Sample]:
        yield self.drawn_measures
        for number, draws in enumerate(self._measure_chunks[1:], start=1):
            yield self._measure_chunk(number, draws)

    @cached_property
    def drawn_measures(self) -> Sample:
        """Draws of everything but the winners; of a large comparison, as many as memory takes."""
        return self._measure_chunk(0, self._measure_chunks[0])

    @cached_property
    def _measure_chunks(self) -> tuple[int, ...]:
        draws, calls = draws_for(len(self.live)), max(len(self.live), 1)
        return tuple(chunks(draws, calls, max(_MEASURES_AT_ONCE, min(_LEAST_AT_ONCE * calls, _MOST_VALUES))))

    def _measure_chunk(self, number: int, draws: int) -> Sample:
        calls, drawn = len(self.live), None
        if self.measures is not None and self.live.answered.any():
            drawn = draw_measures(self.measures, draws, self.live_gaps, self.generator("measures", number))
        return Sample(
            latency_ms=None if drawn is None else drawn.latency_ms,
            completion_tokens=None if drawn is None else _some(drawn.completion_tokens, self.live_billed),
            prompt_tokens=None if self.expected_prompt_tokens is None else self.expected_prompt_tokens[None],
            confidence=None if drawn is None else _some(drawn.confidence, self.live_rated),
            errors=self._drawn_errors(draws, self.generator("errors", number)) if calls else None,
            retries=self.live.retry,
        )

    def _drawn_errors(self, draws: int, rng: np.random.Generator) -> CodeArray:
        repeats, prompts = self.error_repeats, self.live.prompts(by_hash=self.by_hash)
        # Where no error was recorded, nothing says that one would come back.
        fixed = None if repeats is None else lambda rates, rng: draw_fixed(repeats, prompts, rates, rng)
        return draw_errors(self.errors, draws, len(self.live), rng, fixed)

    def drawn_wins(self) -> Iterator[FloatArray]:
        """Draw (d, p) wins of a faithful judge, in chunks; nothing where no prompt was answered on both sides."""
        if self.common is None or self.draws is None:
            return
        rng, start = self.generator("wins"), 0
        for draws in chunks(len(self.draws.position), len(self.common.wins), _WINS_AT_ONCE):
            yield draw_wins(self.draws.part(slice(start, start + draws)), self.common.asked, rng)
            start += draws

    def gaps(self, answers: Answers) -> FloatArray:
        """Return (n,) log-odds between the two essays of each answer, without sign; 0 where nothing is known."""
        answered = np.flatnonzero(answers.answered)
        if self.winner is None:
            return np.zeros(len(answered))
        score = dict(zip(self.winner.items, self.winner.fit.mean.tolist(), strict=False))
        pairs = [(answers.essay_a[index], answers.essay_b[index]) for index in answered]
        return np.abs([score.get(a, 0.0) - score.get(b, 0.0) for a, b in pairs]) if pairs else np.zeros(0)

    @cached_property
    def live_gaps(self) -> FloatArray:
        """(n,) those of the live answers."""
        return self.gaps(self.live)

    @cached_property
    def live_billed(self) -> BoolArray:
        """(n,) which of the live answers have known tokens."""
        return np.asarray(self.live.billed[self.live.answered])

    @cached_property
    def live_rated(self) -> BoolArray:
        """(n,) which of the live answers have a known confidence."""
        return np.asarray(self.live.rated[self.live.answered])

    def error_places(self, answers: Answers) -> IntArray:
        """Return (n,) -1 for an answer, else the place of its code among the recorded ones; one more for a new code."""
        place = {code: index for index, code in enumerate(self.errors.codes)}
        return np.array([place.get(error, len(place)) if error else -1 for error in answers.error], dtype=np.intp)

    @cached_property
    def expected_prompt_tokens(self) -> FloatArray | None:
        """(m,) tokens that the recorded judge would bill for the live prompts: base and a part per essay."""
        answered = np.flatnonzero(self.live.billed)
        if self.prompt_token_parts is None or not len(answered):
            return None
        known = self._recorded_prompt_tokens
        keys = self.live.prompts(by_hash=self.by_hash)
        base, part = self.prompt_token_parts
        return np.array(
            [
                known.get(keys[i], base + part.get(self.live.essay_a[i], 0.0) + part.get(self.live.essay_b[i], 0.0))
                for i in answered
            ]
        )

    @cached_property
    def priced(self) -> BoolArray:
        """(m,) live answers to prompts whose tokens were recorded: of others, few pairs do not tell what an essay adds.

        All answers where none was recorded.
        """
        keys, known = self.live.prompts(by_hash=self.by_hash), self._recorded_prompt_tokens
        found = np.array([keys[i] in known for i in np.flatnonzero(self.live.billed)], dtype=np.bool_)
        return found if found.any() else np.ones_like(found)

    @cached_property
    def _recorded_prompt_tokens(self) -> dict[tuple[str, str, str], float]:
        """Mean tokens by prompt: without hashes, one pair and side may stand for prompts of different length."""
        recorded = self.recorded
        found: dict[tuple[str, str, str], tuple[float, int]] = {}
        prompts, answered = recorded.prompts(by_hash=self.by_hash), recorded.billed.tolist()
        for prompt, tokens, counts in zip(prompts, recorded.prompt_tokens.tolist(), answered, strict=True):
            if counts:
                total, times = found.get(prompt, (0.0, 0))
                found[prompt] = total + tokens, times + 1
        return {prompt: total / times for prompt, (total, times) in found.items()}

    @cached_property
    def prompt_token_parts(self) -> tuple[float, dict[str, float]] | None:
        """Base and part per essay of the recorded prompt tokens; None without an answer whose tokens are known."""
        answered = np.flatnonzero(self.recorded.billed)
        if not len(answered):
            return None
        place = {item: index for index, item in enumerate(self.items)}
        first = np.array([place[self.recorded.essay_a[i]] for i in answered])
        second = np.array([place[self.recorded.essay_b[i]] for i in answered])
        tokens = self.recorded.prompt_tokens[answered]
        parts = parts_by_essay(first, second, tokens - tokens.mean(), len(self.items))
        return float(tokens.mean()), dict(zip(self.items, parts.tolist(), strict=True))

    def generator(self, purpose: str, chunk: int = 0) -> np.random.Generator:
        """Return the generator of one purpose, and of a chunk of its draws; the same for the same comparison."""
        return np.random.default_rng([self.seed, *purpose.encode(), *([chunk] if chunk else [])])


def _some(values: RealArray, where: BoolArray) -> RealArray:
    return values if where.all() else values[:, where]


def draws_for(values: int) -> int:
    """How many draws a measure of this many values a draw gets."""
    return int(min(DRAWS, max(LEAST_DRAWS, _MOST_DRAWN // max(values, 1))))


def chunks(draws: int, values: int, at_once: int) -> Iterator[int]:
    """Cut some draws of this many values into parts of so many at once; at least one draw a part."""
    most = at_once if draws * values <= _MOST_VALUES else _CHUNK_VALUES
    size = max(1, most // max(values, 1))
    for start in range(0, draws, size):
        yield min(size, draws - start)


def joined(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several recordings as one, with batches numbered through."""
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(int(part.batch.max(initial=-1)) + 1 for part in parts[:-1])])
    batch = np.concatenate([part.batch + offset for part, offset in zip(parts, offsets, strict=True)])

    def texts(name: str) -> tuple[str, ...]:
        return tuple(text for part in parts for text in getattr(part, name))

    def numbers(name: str) -> FloatArray:
        return np.concatenate([getattr(part, name) for part in parts])

    retry: BoolArray = np.concatenate([part.retry for part in parts])
    return Answers(
        batch=batch,
        essay_a=texts("essay_a"),
        essay_b=texts("essay_b"),
        prompt_sha256=texts("prompt_sha256"),
        winner=np.concatenate([part.winner for part in parts]),
        error=texts("error"),
        latency_ms=numbers("latency_ms"),
        prompt_tokens=numbers("prompt_tokens"),
        completion_tokens=numbers("completion_tokens"),
        total_tokens=numbers("total_tokens"),
        confidence=numbers("confidence"),
        retry=retry,
    )
