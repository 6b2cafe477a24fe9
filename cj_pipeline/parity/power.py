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
from cj_pipeline.mock.model.winner import AskedPrompts, draw_wins, free_wins
from cj_pipeline.parity.comparison import Comparison, Sample, chunks
from cj_pipeline.parity.gate import Family
from cj_pipeline.parity.noise import Noise, differences

DRAWS = 2_000
MOST_MISSED = 0.05
"""Share of runs in which an essential wrong mock may get past."""


_WINS_AT_ONCE = 6_000_000

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
    """Return how often each essential wrong mock fails a gate. See `essential_rates`."""
    return essential_rates(case, noise, exact)[0]


def coin_rates(case: Comparison, noise: Mapping[str, Noise]) -> dict[str, float]:
    """Return how often a fair coin fails each gate of judgements."""
    coin = _samples(case).get(WrongMock.COIN)
    return {} if coin is None else _means(_failures(case, noise, coin))


def essential_rates(
    case: Comparison, noise: Mapping[str, Noise], exact: Mapping[WrongMock, str]
) -> tuple[tuple[Detection, ...], dict[str, float]]:
    """Return how often each essential wrong mock fails a gate, and how often a fair coin fails each of judgements.

    noise: of the gates that are on. exact: wrong mocks that a check of values finds every time, with its name.
    Absolute floors do not count: a number that was typed in shows nothing about the recorded judge.
    """
    found: list[Detection] = []
    coin: dict[str, float] = {}
    samples = _samples(case)
    for mock in (*OF_WINS, WrongMock.INSTANT, WrongMock.TOKENS):
        failed: dict[str, BoolArray] = {}
        if mock in samples:
            failed = _failures(case, noise, samples[mock], every_gate=mock is WrongMock.COIN)
        if mock is WrongMock.COIN:
            coin = _means(failed)
        # Without a prompt that both sides answered, or without an answer, nothing is there to find a wrong mock by.
        found.append(Detection(mock, *_rate(noise, failed), _same_as_recorded(case, mock)))
    for mock in (WrongMock.OTHER_MODEL, WrongMock.LOST_FIELD):
        found.append(Detection(mock, 1.0 if mock in exact else 0.0, exact.get(mock, "")))
    return tuple(found), coin


def says_nothing_about_essays(case: Comparison, found: tuple[Detection, ...]) -> bool:
    """Whether the recorded answers could be a judge's that never reads: the blind coin gets past, or all are alike."""
    recorded = case.recorded.winner[case.recorded.answered]
    alike = len(set(recorded.tolist())) == 1 and _pairs(case) >= 2
    blind = any(detection.mock is WrongMock.BLIND_COIN and detection.missed for detection in found)
    return alike or blind


def _samples(case: Comparison) -> dict[WrongMock, Sample]:
    measures = case.drawn_measures
    samples: dict[WrongMock, Sample] = {}
    if case.common is not None and case.draws is not None:
        samples |= {mock: Sample(wins=_wins(case, mock, case.draws)) for mock in OF_WINS}
    if measures.latency_ms is not None:
        samples[WrongMock.INSTANT] = Sample(latency_ms=np.zeros((1, measures.latency_ms.shape[1])))
        samples[WrongMock.TOKENS] = Sample(
            completion_tokens=_scaled(measures.completion_tokens), prompt_tokens=_scaled(measures.prompt_tokens)
        )
    return samples


def _scaled(tokens: RealArray | None) -> RealArray | None:
    return None if tokens is None else tokens[:DRAWS] * 1.4


def _wins(case: Comparison, mock: WrongMock, draws: Draws) -> FloatArray:
    """(d, p) wins of a wrong mock; of many prompts as many draws as memory takes, which then say more each."""
    asked, rng = case.prompts.asked, case.generator(mock.value)
    size = next(chunks(min(DRAWS, len(draws.position)), len(asked.first), _WINS_AT_ONCE))
    if mock is WrongMock.FIRST_SHOWN:
        return asked.answers[None]
    if mock is WrongMock.INVERTED:
        return asked.answers - draw_wins(draws.part(slice(size)), asked, rng)
    return _coin(asked, 0.5 if mock is WrongMock.COIN else recorded_share(asked), size, rng)


def _coin(asked: AskedPrompts, share: float, size: int, rng: np.random.Generator) -> FloatArray:
    chance = np.broadcast_to(np.float32(share), (size, len(asked.answers)))
    return free_wins(rng.random(chance.shape, dtype=np.float32) < chance, chance, asked.answers, rng)


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
    parts = [_failures(case, noise, sample) for sample in samples]
    names = parts[0] if parts else {}
    return _rate(noise, {name: np.concatenate([part[name] for part in parts]) for name in names})


def _failures(
    case: Comparison, noise: Mapping[str, Noise], sample: Sample, *, every_gate: bool = True
) -> dict[str, BoolArray]:
    """Return (d,) whether each gate fails that reads a part of the sample; (1,) for a gate without chance.

    every_gate: False ends with a gate that fails in every draw, which no other gate can better.
    """
    failed: dict[str, BoolArray] = {}
    for name, one in noise.items():
        if one.gate.reads(sample):
            failed[name] = one.beyond(differences(case, one, sample)).astype(bool)
            if not every_gate and failed[name].all():
                break
    return failed


def _means(failed: Mapping[str, BoolArray]) -> dict[str, float]:
    return {name: float(row.mean()) for name, row in failed.items()}


def _rate(noise: Mapping[str, Noise], failed: Mapping[str, BoolArray]) -> tuple[float, str]:
    """Return in what share of draws any gate fails, and the gate that does most often, empty for none."""
    # Engine: fewer draws than the others, and none of these mocks is about it.
    rows = {name: row for name, row in failed.items() if noise[name].gate.family is not Family.ENGINE}
    if not rows:
        return 0.0, ""
    rate = float(np.any(np.broadcast_arrays(*rows.values()), axis=0).mean())
    means = _means(rows)
    first = max(means, key=lambda name: means[name])
    return rate, first if means[first] else ""
