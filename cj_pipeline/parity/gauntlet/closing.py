"""This module estimates which further recording would let a comparison find a wrong mock that gets past it now.

The judge model draws what a longer recording would hold, and the wrong mock meets the noise of that comparison.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cj_pipeline.mock.model.answers import Answers, IntArray, Prompt
from cj_pipeline.mock.model.columns import taken
from cj_pipeline.mock.model.measures import draw_measures
from cj_pipeline.mock.model.winner import asked_prompts, counted, draw_wins
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.evidence import POWER
from cj_pipeline.parity.gates import Gate, Margin
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.wrong_mock import DrawnMock, LeftOut
from cj_pipeline.parity.noise import Noise, noise_of
from cj_pipeline.parity.power import detection_rate, detections

FEW = 40
FUTURES = 5
"""Recordings drawn for each length, of judges from the least to the most spread of essays that the recording allows.

Two at random promised of a judge that goes by position alone that 132 more answers find a blind coin in all runs; 40
more of the real one took it from 3 to 1 %.
"""

SURE = 0.8
"""Share of these recordings in which a wrong mock has to be found before it is promised."""

MORE_LIVE = 3
MOST_ANSWERS = 5_000
"""Above it, a comparison is not tried again with more answers."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A larger comparison, and how often it would find a wrong mock.

    recorded: further comparisons of the same judge, the recorded prompts from the first on; 0 for none.
    live: how many times as many live batches; 1 for as many as now. rate: share of runs in which it is found. sure:
    share of the drawn recordings with which it is found in 80 % of runs.
    """

    recorded: int
    live: int
    rate: float
    sure: float

    @property
    def enough(self) -> bool:
        """Whether the wrong mock would be found in 80 % of runs, whatever judge the recording allows."""
        return self.rate >= POWER and self.sure >= SURE


def closings(
    case: Comparison, gates: Mapping[Gate, Margin], blind: Sequence[DrawnMock], essential: Collection[str] = ()
) -> dict[str, Closing]:
    """Return, for each wrong mock, the smallest larger comparison that finds it; else the one that does best.

    gates: those that are on, with their margins as they are now. essential: names of essential wrong mocks to try too.
    """
    size = int(case.recorded.answered.sum()) + int(case.live.answered.sum())
    unknown = case.winner is None or case.draws is None or case.measures is None
    if unknown or size > MOST_ANSWERS or not (blind or essential):
        return {}
    found: dict[str, Closing] = {}
    still_open = {*(mock.name for mock in blind), *essential}
    recorded = len(case.recordings[0])
    plans = [(more, 1) for more in sorted({FEW, recorded, 2 * recorded})] + [(0, MORE_LIVE)]
    for more, live in plans:
        mocks = [mock for mock in blind if mock.name in still_open]
        rates = _rates(case, gates, mocks, more, live, essential=not still_open.isdisjoint(essential))
        for name in still_open:
            there = np.array(rates.get(name) or [0.0])
            closing = Closing(more, live, float(there.mean()), float((there >= POWER).mean()))
            if name not in found or (closing.enough, closing.rate) > (found[name].enough, found[name].rate):
                found[name] = closing
        still_open = {name for name in still_open if not found[name].enough}
        if not still_open:
            break
    return found


def _rates(
    case: Comparison,
    gates: Mapping[Gate, Margin],
    mocks: Sequence[DrawnMock],
    more: int,
    live: int,
    *,
    essential: bool,
) -> dict[str, list[float]]:
    """Return detection rates with some further recordings; without mocks that are left out there.

    essential: whether to try the essential mocks too.
    """
    rates: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(FUTURES if more else 1):
        larger = replace(
            case,
            recordings=(*case.recordings, *([_further(case, more, number)] if more else [])),
            live=_repeated(case.live, live),
            seed=case.seed + number,
        )
        noise = _noise(larger, gates)
        for one in detections(larger, noise, {}) if essential else ():
            rates[one.mock.value].append(one.rate)
        faithful = Faithful(larger)
        for mock in mocks:
            sample = mock.draw(faithful)
            if not isinstance(sample, LeftOut):
                rates[mock.name].append(detection_rate(larger, noise, [sample])[0])
    return dict(rates)


def _noise(case: Comparison, gates: Mapping[Gate, Margin]) -> dict[str, Noise]:
    return noise_of(case, {gate: margin for gate, margin in gates.items() if gate.missing(case) is None})


def _further(case: Comparison, size: int, number: int) -> Answers:
    """Draw another recording of the judge: the recorded calls again, from the first on."""
    rng = case.generator(f"gauntlet further recording {size} {number}")
    rows = np.arange(size) % len(case.recordings[0])
    asked = taken(case.recordings[0], rows)
    answered = asked.answered
    winner, draws, measures = case.winner, case.draws, case.measures
    assert winner is not None and draws is not None and measures is not None  # noqa: S101, PT018  (closings asks)
    # The judges of the futures lie evenly over what the posterior says of how far apart the essays are.
    by_spread = np.argsort(draws.theta.std(axis=1), kind="stable")
    one = int(by_spread[int((number + 0.5) / FUTURES * len(by_spread))])
    prompts = asked_prompts(winner, counted((asked,), by_hash=winner.by_hash))
    wins = draw_wins(draws.part(slice(one, one + 1)), prompts, rng)[0]
    drawn = draw_measures(measures, 1, case.gaps(asked), rng)
    again = replace(asked, winner=_dealt(asked, wins.astype(np.intp), by_hash=winner.by_hash))
    for name, values in (
        ("latency_ms", drawn.latency_ms[0]),
        ("completion_tokens", drawn.completion_tokens[0]),
        ("confidence", drawn.confidence[0]),
    ):
        column = getattr(again, name).copy()
        column[answered] = values
        again = replace(again, **{name: column})
    return replace(again, total_tokens=again.prompt_tokens + again.completion_tokens)


def _dealt(asked: Answers, wins: IntArray, *, by_hash: bool) -> IntArray:
    """Return who wins each call: of the calls of one prompt, the first ones are A."""
    left: dict[Prompt, int] = dict(zip(counted((asked,), by_hash=by_hash), wins.tolist(), strict=True))
    dealt = asked.winner.copy()
    for row, prompt in enumerate(asked.prompts(by_hash=by_hash)):
        if dealt[row] >= 0:
            dealt[row] = int(left[prompt] > 0)
            left[prompt] -= 1
    return dealt


def _repeated(answers: Answers, times: int) -> Answers:
    """Return the same batches some times over."""
    rows = np.tile(np.arange(len(answers)), times)
    batches = int(answers.batch.max(initial=-1)) + 1
    repeated = taken(answers, rows)
    return replace(repeated, batch=repeated.batch + np.repeat(np.arange(times), len(answers)) * batches)
