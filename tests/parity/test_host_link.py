"""A host's load moves the link between latency and tokens: by how much follows from the load, not from a recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.operating_characteristics import comparison
from benchmarks.simulated_judges import Kind, judge_of
from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.parity import statistics
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.gates import GATES, Margin
from cj_pipeline.traces.scenario import Profile

GATE = next(gate for gate in GATES if gate.name == "latency_link")


def on_a_host(noise: float, recorded_load: float, live_load: float, *, linked: bool = True) -> Comparison:
    """Two runs of a judge whose time follows its tokens. loads: by what factor each load changes."""
    rng = np.random.default_rng(7)
    judge = judge_of(Kind(12, 66, 0.0, 0.7, 3.0, 0.0, False, 0.3, 5, 1), rng)

    def timed(answers: Answers, load: float, *, linked: bool = True) -> Answers:
        n = len(answers)
        tokens = np.round(60 * np.exp(0.3 * rng.standard_normal(n)))
        swing = np.log(load) * rng.permutation((np.arange(n) + 0.5) / n)
        own = np.log(tokens) if linked else np.log(rng.permutation(tokens))
        latency = np.round(30 * np.exp(own + noise * rng.standard_normal(n) + swing))
        return replace(answers, completion_tokens=tokens, latency_ms=latency)

    case = comparison(
        judge,
        (timed(judge.answers(5, rng), recorded_load),),
        timed(judge.answers(5, rng), live_load, linked=linked),
    )
    return replace(case, host_latency=True)


def difference_and_margin(case: Comparison) -> tuple[float, Margin]:
    links = [
        float(statistics.link(s.latency_ms[None], s.completion_tokens[None])[0]) for s in (*case.recordings, case.live)
    ]
    return links[1] - links[0], GATE.margin(case, GATE.limits[Profile.JUDGE])


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.4])
@pytest.mark.parametrize("loads", [(1.0, 3.5), (3.5, 1.0), (1.0, 1.0)])
def test_a_load_that_changes_by_less_than_a_factor_of_four_stays_within_the_margin(
    noise: float, loads: tuple[float, float]
) -> None:
    apart, margin = difference_and_margin(on_a_host(noise, *loads))
    assert margin.low <= apart <= margin.high


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.4])
@pytest.mark.parametrize("load", [1.0, 3.5])
def test_a_lost_link_lies_beyond_it(noise: float, load: float) -> None:
    apart, margin = difference_and_margin(on_a_host(noise, load, load, linked=False))
    assert apart < margin.low


def test_without_a_host_the_margin_is_that_of_the_profile() -> None:
    case = replace(on_a_host(0.15, 1.0, 1.0), host_latency=False)
    assert difference_and_margin(case)[1] == Margin(-0.2, 0.2)
