"""This module measures a mode on answers that it was not fitted to.

What is held out is another recording where there is one; else each of several recordings in turn; else some of the
prompts of the one recording in turn. The mock itself answers what was held out: what is measured is what it does, not
what its numbers say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from cj_pipeline.contracts.answer import ProviderAnswer
from cj_pipeline.contracts.reasons import CONFIDENCE_KNOWN, is_measured
from cj_pipeline.foundation.seeding import keyed_generator
from cj_pipeline.mock.judge import MockJudge
from cj_pipeline.mock.mode.held_out import By, Distance, HeldOut, LogLikelihood, Measure
from cj_pipeline.mock.mode.mode import FittedFrom, Mode
from cj_pipeline.mock.model.answers import Answers, FloatArray, IntArray
from cj_pipeline.mock.model.columns import chosen, joined
from cj_pipeline.mock.model.distances import (
    LEAST_FOR_P99,
    MANY,
    Values,
    distance,
    error_rate_distances,
    judged_distance,
    mean_distances,
)
from cj_pipeline.mock.model.errors import fit_errors
from cj_pipeline.mock.model.fit_mode import Constants, fitted_mode
from cj_pipeline.mock.model.likelihood import COIN, mean_and_error, scores_of
from cj_pipeline.mock.model.measures import LEAST_SHAPE
from cj_pipeline.mock.model.winner import counted

PARTS = 5
ATTEMPTS = 4_000  # of the mock, in all parts together
MOST_ATTEMPTS = 20_000
LEAST_HELD_OUT = LEAST_SHAPE
"""Held-out answers, to two prompts or more. Fewer are like the answers of any judge."""
TOO_LITTLE = (
    f"Too little could be held out to measure anything: it takes {LEAST_HELD_OUT} answers, to two prompts or more."
)


@dataclass(frozen=True, slots=True)
class Judge:
    """What is known of a judge beside its recordings.

    items: ids of the net. host_latency: whether its latency is the load of its host.
    """

    name: str
    items: tuple[str, ...]
    repeatability: float | None = None
    host_latency: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Something that is held out, and what is fitted instead. asked: what the mock is asked.

    Of a recording that is held out, its own prompts; of a part of one, all prompts of it, since a few prompts have few
    samples of a like gap.
    """

    fitted: Sequence[Answers]
    held: Sequence[Answers]
    asked: Answers


def held_out_fit(
    judge: Judge,
    constants: Constants,
    recordings: Sequence[Answers],
    held: Sequence[Answers] = (),
    *,
    fitted: Mode,
    digests: tuple[str, ...] = (),
) -> HeldOut | None:
    """Measure how well a mode that is fitted to recordings foretells others; None where too little can be held out.

    held: recordings that are not fitted to; without any, parts of the recordings are held out in turn. fitted: the
    mode that is fitted to all recordings but those. digests: of `held`.
    """
    parts = [_Part(recordings, held, joined(held))] if held else list(_parts(recordings))
    own = _fitted(judge, constants, held) if held else fitted
    if own is None:
        return None
    found = []
    for number, part in enumerate(parts):
        mode = fitted if held else _fitted(judge, constants, part.fitted)
        found.append(None if mode is None else _measured(mode, own, part, number, len(parts)))
    measured = [one for one in found if one is not None]
    if (
        sum(int(one.answers.sum()) for one in measured) < LEAST_HELD_OUT
        or sum(len(one.answers) for one in measured) < 2
    ):
        return None
    how: By = "recording" if held else "recordings in turn" if len(recordings) > 1 else "parts of the recording in turn"
    recorded = max(one.recorded for one in measured)
    names = [name for name in measured[0].distances if all(name in one.distances for one in measured)]
    return HeldOut(
        by=how,
        parts=len(measured),
        answers=sum(int(one.answers.sum()) for one in measured),
        recordings=digests,
        winners=_winners(measured),
        distances={name: _mean_distance(name, measured, recorded, judge) for name in names},
        prompt_tokens_within=_digits(max(one.within for one in measured)),
    )


def _parts(recordings: Sequence[Answers]) -> Iterator[_Part]:
    """Yield each of several recordings with the others, or parts of one recording, by prompts."""
    if len(recordings) > 1:
        for place in range(len(recordings)):
            yield _Part([*recordings[:place], *recordings[place + 1 :]], [recordings[place]], recordings[place])
        return
    (recording,) = recordings
    prompts = recording.prompts(by_hash=True)
    number = {prompt: place for place, prompt in enumerate(sorted(set(prompts)))}
    count = min(PARTS, len(number))
    if count < 2:
        return
    shuffled = keyed_generator("held out", len(number)).permutation(len(number)) % count
    part_of = shuffled[np.array([number[prompt] for prompt in prompts])]
    # One part of many is enough: what chance gives is little, and every part is a fit of its own.
    for part in range(1 if len(recording) >= MANY else count):
        yield _Part([chosen(recording, part_of != part)], [chosen(recording, part_of == part)], recording)


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """One part. mode, scale, own: (p,) log-likelihoods by prompt, of (p,) answers.

    distances: by measure, the distance and (d,) what chance gives. recorded: answers that were fitted to. within: how
    much the prompt tokens of one pair and side differ.
    """

    mode: FloatArray
    scale: FloatArray
    own: FloatArray
    answers: FloatArray
    distances: dict[Measure, tuple[float, FloatArray]]
    recorded: int
    within: float


def _measured(mode: Mode, own: Mode, part: _Part, number: int, parts: int) -> _Measured | None:
    """Measure one part; None where nothing in it was answered. own: a mode that has seen what is held out."""
    table = counted(part.held, by_hash=False)
    if not table:
        return None
    scores = scores_of(mode, table)
    fitted, held = joined(part.fitted), joined(part.held)
    distances = _distances(mode, fitted, held, part.asked, number, parts)
    recorded = int(fitted.answered.sum())
    own_scale = scores_of(own, table).scale
    return _Measured(scores.mode, scores.scale, own_scale, scores.answers, distances, recorded, _spread_within(held))


def _fitted(judge: Judge, constants: Constants, answers: Sequence[Answers]) -> Mode | None:
    return fitted_mode(
        answers,
        constants,
        judge.items,
        name=judge.name,
        fitted_from=FittedFrom(scenario_id=judge.name, trace_sha256="0" * 64),
        repeatability=judge.repeatability,
        known={},
    )


def _distances(
    mode: Mode, fitted: Answers, held: Answers, asked: Answers, number: int, parts: int
) -> dict[Measure, tuple[float, FloatArray]]:
    rng = keyed_generator("held out", mode.name, number)
    mock = _mock_answers(mode, asked, number, parts)
    columns: dict[Measure, tuple[FloatArray, FloatArray, FloatArray]] = {
        "latency": (mock.latency_ms, held.latency_ms, fitted.latency_ms),
        "latency_p99": (mock.latency_ms, held.latency_ms, fitted.latency_ms),
        "completion_tokens": (mock.completion_tokens, held.completion_tokens, fitted.completion_tokens),
        "confidence": (mock.confidence, held.confidence, fitted.confidence),
    }
    found = {}
    for name, (of_mock, of_held, of_fitted) in columns.items():
        values = Values(_known(of_mock), _known(of_held[held.answered]), _known(of_fitted[fitted.answered]))
        if not (len(values.mock) and len(values.held) and len(values.fitted)):
            continue
        if name != "latency_p99" or min(len(values.held), len(values.fitted)) >= LEAST_FOR_P99:
            found[name] = distance(name, values, rng)
    billed_fitted, billed_held = _billed(fitted), _billed(held)
    if len(billed_fitted) and len(billed_held):
        found["prompt_tokens"] = _prompt_token_distances(mode, billed_fitted, billed_held, number, rng)
    errors = fit_errors((fitted, held))
    again = errors.stays[0] / errors.stays[1] if errors.stays[1] else 0.0
    bursts = float(np.clip(again - errors.begins[0] / errors.begins[1], 0.0, 0.95))
    calls = len(fitted), len(held)
    failed = 1.0 - float(held.answered.mean())
    chance = error_rate_distances(errors.errors, calls, bursts)
    found["error_rate"] = (abs(_error_rate(mode) - failed), chance)
    return found


def _prompt_token_distances(
    mode: Mode, fitted: Answers, held: Answers, number: int, rng: np.random.Generator
) -> tuple[float, FloatArray]:
    """Return how far the mock's prompt tokens lie from the held-out ones, pair by pair, and (d,) what chance gives.

    A pair may stand for texts of several lengths. The mock knows the pair and bills their mean, so means are compared,
    and chance is which of the texts were held out. Of texts of one length the distance is how well parts add up.
    """
    means = _pair_means(held)
    mock = _mock_answers(mode, held, number, ATTEMPTS).prompt_tokens
    apart, chance = distance("prompt_tokens", Values(_known(mock), means, means), rng)
    both = joined((fitted, held))
    in_fitted = np.arange(len(both)) < len(fitted)
    return apart, chance + mean_distances(_pair_numbers(both), both.prompt_tokens, in_fitted, len(chance), number)


def _pair_numbers(answers: Answers) -> IntArray:
    """Return (n,) which pair and side each answer is to, from 0."""
    pairs = list(zip(answers.essay_a, answers.essay_b, strict=True))
    place = {pair: index for index, pair in enumerate(dict.fromkeys(pairs))}
    return np.array([place[pair] for pair in pairs], dtype=np.intp)


def _pair_means(answers: Answers) -> FloatArray:
    """Return (n,) the mean prompt tokens of the pair and side of each answer."""
    pair = _pair_numbers(answers)
    return np.asarray((np.bincount(pair, answers.prompt_tokens) / np.bincount(pair))[pair])


def _spread_within(held: Answers) -> float:
    """Return how much prompt tokens of one pair and side differ: their deviation over the mean of all."""
    answers = _billed(held)
    if not len(answers):
        return 0.0
    within = answers.prompt_tokens - _pair_means(answers)
    return float(np.sqrt((within**2).mean()) / max(float(answers.prompt_tokens.mean()), 1e-9))


def _billed(answers: Answers) -> Answers:
    """Return the answers whose tokens are known."""
    return chosen(answers, answers.answered & ~np.isnan(answers.prompt_tokens))


def _known(values: FloatArray) -> FloatArray:
    return values[~np.isnan(values)]


def _error_rate(mode: Mode) -> float:
    """Return the share of calls that fail in the long run."""
    return 1.0 - (1.0 - mode.errors.rate) * (1.0 - mode.errors.bursts.rate)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A held-out comparison, as the mock is asked for it."""

    correlation_id: UUID
    essays: tuple[str, str]
    model_override: str | None = None
    prompt_sha256: str = "0" * 64
    user_prompt: str = ""

    def essay_ids(self) -> tuple[str, str]:
        """Return the essays shown as A and as B."""
        return self.essays


@dataclass(frozen=True, slots=True, eq=False)
class _MockAnswers:
    latency_ms: FloatArray
    prompt_tokens: FloatArray
    completion_tokens: FloatArray
    confidence: FloatArray


def _mock_answers(mode: Mode, asked: Answers, number: int, parts: int) -> _MockAnswers:
    """Let the mock answer what was asked, several times; of very many comparisons, some."""
    judge = MockJudge(mode.model_copy(update={"errors": type(mode.errors)()}), seed=number)
    essays = list(zip(asked.essay_a, asked.essay_b, strict=True))[:: -(-len(asked) // MOST_ATTEMPTS)]
    rounds = -(-ATTEMPTS // parts // len(essays))
    rows = []
    for repeat in range(max(rounds, 1)):
        for place, pair in enumerate(essays):
            outcome = judge.attempt(_Asked(UUID(int=(repeat << 64) + place), pair), 0).outcome
            if isinstance(outcome, ProviderAnswer):
                usage, told = outcome.token_usage, outcome.metadata
                tokens = (usage.prompt_tokens, usage.completion_tokens) if is_measured(told) else (np.nan, np.nan)
                confidence = np.nan if told.get(CONFIDENCE_KNOWN) is False else outcome.confidence
                rows.append((outcome.response_time_ms, *tokens, confidence))
    return _MockAnswers(*np.array(rows, dtype=float).T)


def _winners(measured: Sequence[_Measured]) -> LogLikelihood:
    mode, scale, own, answers = (
        np.concatenate([getattr(one, name) for one in measured]) for name in ("mode", "scale", "own", "answers")
    )
    total = float(answers.sum())
    above_scale, above_scale_error = mean_and_error(mode - scale, answers)
    _, above_coin_error = mean_and_error(mode - COIN * answers, answers)
    return LogLikelihood(
        mode=_digits(float(mode.sum()) / total),
        scale=_digits(float(scale.sum()) / total),
        own=_digits(float(own.sum()) / total),
        coin=_digits(COIN),
        above_scale=_digits(above_scale),
        above_scale_error=_digits(above_scale_error),
        above_coin_error=_digits(above_coin_error),
    )


def _mean_distance(name: Measure, measured: Sequence[_Measured], recorded: int, judge: Judge) -> Distance:
    value = float(np.mean([one.distances[name][0] for one in measured]))
    least = min(len(one.distances[name][1]) for one in measured)
    chance = np.mean([one.distances[name][1][:least] for one in measured], axis=0)
    judged = not (judge.host_latency and name in ("latency", "latency_p99"))
    return judged_distance(name, value, chance, recorded, judged=judged)


def _digits(value: float) -> float:
    return round(value, 4) + 0.0
