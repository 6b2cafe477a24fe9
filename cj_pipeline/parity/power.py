"""This module asks which wrong mocks a comparison would have found: how often each fails a gate.

A comparison that lets an essential wrong mock past proves nothing when it passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cj_pipeline.bt.judgements import Draws
from cj_pipeline.mock.model.answers import BoolArray, FloatArray, RealArray
from cj_pipeline.mock.model.winner import AskedPrompts, draw_wins
from cj_pipeline.parity.comparison import Comparison, Sample, chunks
from cj_pipeline.parity.gate import Family
from cj_pipeline.parity.noise import Noise, differences

DRAWS = 2_000
MOST_MISSED = 0.05
"""Share of runs in which an essential wrong mock may get past."""


NO_TIME_MS = 5.0
"""A mean latency below which a count of milliseconds says nothing about a service."""


class WrongMock(StrEnum):
    """The wrong mocks that a proof of parity must be able to find."""

    COIN = "fair coin"
    BLIND_COIN = "blind coin with the recorded share of A"
    INVERTED = "inverted judge"
    FIRST_SHOWN = "first shown always wins"
    INSTANT = "instant answers"
    TOKENS = "tokens x1.4"
    OTHER_MODEL = "another model"
    LOST_FIELD = "a lost field"


OF_WINS = (WrongMock.COIN, WrongMock.BLIND_COIN, WrongMock.INVERTED, WrongMock.FIRST_SHOWN)


@dataclass(frozen=True, slots=True)
class Detection:
    """How often a comparison finds one wrong mock. first: the gate that finds it most often, empty for none.

    same_as_recorded: whether the wrong mock is what was recorded, so that nobody could find it.
    """

    mock: WrongMock
    rate: float
    first: str
    same_as_recorded: bool = False

    @property
    def missed(self) -> bool:
        """Whether it gets past in more than 5 % of runs."""
        return not self.same_as_recorded and 1 - self.rate > MOST_MISSED


def detections(case: Comparison, noise: Mapping[str, Noise], exact: Mapping[WrongMock, str]) -> tuple[Detection, ...]:
    """Return how often each essential wrong mock fails a gate.

    noise: of the gates that are on. exact: wrong mocks that a check of values finds every time, with its name.
    Absolute floors do not count: a number that was typed in shows nothing about the recorded judge.
    """
    found = []
    samples = _samples(case)
    for mock in (*OF_WINS, WrongMock.INSTANT, WrongMock.TOKENS):
        # Without a prompt that both sides answered, or without an answer, nothing is there to find a wrong mock by.
        rate, first = detection_rate(case, noise, samples.get(mock, []))
        found.append(Detection(mock, rate, first, _same_as_recorded(case, mock)))
    for mock in (WrongMock.OTHER_MODEL, WrongMock.LOST_FIELD):
        found.append(Detection(mock, 1.0 if mock in exact else 0.0, exact.get(mock, "")))
    return tuple(found)


def coin_rates(case: Comparison, noise: Mapping[str, Noise]) -> dict[str, float]:
    """Return how often a fair coin fails each gate of judgements."""
    if case.common is None or case.draws is None:
        return {}
    sample = Sample(wins=_wins(case, WrongMock.COIN, case.draws))
    return {name: float(_fails(case, one, sample).mean()) for name, one in noise.items() if one.gate.of_wins}


def says_nothing_about_essays(case: Comparison, found: tuple[Detection, ...]) -> bool:
    """Whether the recorded answers could be a judge's that never reads: the blind coin gets past, or all are alike."""
    recorded = case.recorded.winner[case.recorded.answered]
    alike = len(set(recorded.tolist())) == 1 and _pairs(case) >= 2
    blind = any(detection.mock is WrongMock.BLIND_COIN and detection.missed for detection in found)
    return alike or blind


def _samples(case: Comparison) -> dict[WrongMock, list[Sample]]:
    measures = case.drawn_measures
    samples: dict[WrongMock, list[Sample]] = {}
    if case.common is not None and case.draws is not None:
        samples |= {mock: [Sample(wins=_wins(case, mock, case.draws))] for mock in OF_WINS}
    if measures.latency_ms is not None:
        samples[WrongMock.INSTANT] = [Sample(latency_ms=np.zeros((1, measures.latency_ms.shape[1])))]
        samples[WrongMock.TOKENS] = [
            Sample(completion_tokens=_scaled(measures.completion_tokens), prompt_tokens=_scaled(measures.prompt_tokens))
        ]
    return samples


def _scaled(tokens: RealArray | None) -> RealArray | None:
    return None if tokens is None else tokens[:DRAWS] * 1.4


def _wins(case: Comparison, mock: WrongMock, draws: Draws) -> FloatArray:
    """(d, p) wins of a wrong mock; of many prompts as many draws as memory takes, which then say more each."""
    asked, rng = case.prompts.asked, case.generator(mock.value)
    size = next(chunks(min(DRAWS, len(draws.position)), len(asked.first)))
    if mock is WrongMock.FIRST_SHOWN:
        return asked.answers[None]
    if mock is WrongMock.INVERTED:
        return asked.answers - draw_wins(draws.part(slice(size)), asked, rng)
    return _coin(asked, 0.5 if mock is WrongMock.COIN else recorded_share(asked), size, rng)


def _coin(asked: AskedPrompts, share: float, size: int, rng: np.random.Generator) -> FloatArray:
    return np.asarray(rng.binomial(asked.answers.astype(np.int64), share, (size, len(asked.answers))), dtype=float)


def recorded_share(asked: AskedPrompts) -> float:
    """Return the recorded share of A over the prompts that both sides answered."""
    return float(asked.recorded_wins.sum() / asked.recorded.sum())


def _same_as_recorded(case: Comparison, mock: WrongMock) -> bool:
    """Nobody can tell: always the first of a judge that does, a blind coin on one pair, no time of next to none."""
    if mock is WrongMock.TOKENS:
        return bool(case.recorded.answered.any()) and not case.recorded.billed.any()
    if mock is WrongMock.INSTANT:
        latency = case.recorded.latency_ms[case.recorded.answered]
        return bool(len(latency)) and float(latency.mean()) <= NO_TIME_MS
    if case.asked is None:
        return False
    if mock is WrongMock.FIRST_SHOWN:
        return recorded_share(case.asked) == 1.0
    return mock is WrongMock.BLIND_COIN and _pairs(case) == 1


def _pairs(case: Comparison) -> int:
    """How many pairs of essays were recorded, whoever was shown first."""
    return len(set(map(frozenset, zip(case.recorded.essay_a, case.recorded.essay_b, strict=True))))


def detection_rate(case: Comparison, noise: Mapping[str, Noise], samples: list[Sample]) -> tuple[float, str]:
    """Return in what share of draws a wrong mock fails a gate, and the gate that finds it most often, empty for none.

    samples: with the parts that the mock changes; gates of other parts do not count.
    """
    caught: dict[str, list[BoolArray]] = {}
    for sample in samples:
        for name, one in noise.items():
            if _has_parts(one, sample):
                caught.setdefault(name, []).append(_fails(case, one, sample))
    if not caught:
        return 0.0, ""
    rows = {name: np.concatenate(parts) for name, parts in caught.items()}
    size = max(len(row) for row in rows.values())
    full = {name: np.broadcast_to(row, (size,)) if len(row) == 1 else row for name, row in rows.items()}
    rate = float(np.any(list(full.values()), axis=0).mean())
    first = max(full, key=lambda name: float(full[name].mean()))
    return rate, first if full[first].any() else ""


def _fails(case: Comparison, noise: Noise, sample: Sample) -> BoolArray:
    """Return (d,) whether a gate fails."""
    return noise.beyond(differences(case, noise, sample)).astype(bool)


def _has_parts(noise: Noise, sample: Sample) -> bool:
    # Engine: fewer draws than the others, and none of these mocks is about it.
    return noise.gate.family is not Family.ENGINE and noise.gate.reads(sample)
