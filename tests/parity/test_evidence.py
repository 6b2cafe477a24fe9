"""How much a comparison proves of one gate."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks.operating_characteristics import comparison, noise_by_gate
from benchmarks.simulated_judges import Kind, judge_of
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.evidence import Evidence, EvidenceVerdict, evidence_of, holm
from cj_pipeline.parity.noise import Noise, differences
from cj_pipeline.parity.power import coin_rates

# Six hundred answers settle a latency of sigma .1 within 10 %; ten of sigma .6 do not.
MANY = Kind(25, 300, 0.0, 0.5, 3.0, 0.0, False, 0.1, 2, 2)
FEW = Kind(5, 10, 0.0, 0.5, 3.0, 0.0, False, 0.6, 1, 1)
TWO = Kind(3, 2, 0.0, 0.5, 3.0, 0.0, False, 0.3, 1, 1)


@cache
def made(kind: Kind) -> tuple[Comparison, dict[str, Noise]]:
    rng = np.random.default_rng(4)
    judge = judge_of(kind, rng)
    case = comparison(
        judge, tuple(judge.answers(1, rng) for _ in range(kind.recordings)), judge.answers(kind.batches, rng)
    )
    return case, noise_by_gate(case)


def evidence(kind: Kind, **observed: float) -> dict[str, Evidence]:
    """The evidence of a faithful run, with some differences set."""
    case, noise = made(kind)
    values = {name: float(differences(case, one, case.observed)[0]) for name, one in noise.items()}
    return evidence_of(case, noise, values | observed, coin_rates(case, noise))


def test_many_answers_that_agree_are_equivalent() -> None:
    found = evidence(MANY)
    for name in ("latency_mean", "tokens_completion", "winner_share", "error_rate"):
        assert found[name].verdict is EvidenceVerdict.EQUIVALENT, name
        assert found[name].low <= found[name].difference <= found[name].high


def test_ten_answers_settle_nothing_and_the_report_says_what_would() -> None:
    found = evidence(FEW, latency_mean=0.0)["latency_mean"]
    assert found.verdict is EvidenceVerdict.INCONCLUSIVE
    assert "Settling it takes about" in found.settling
    assert "there are 10" in found.settling


def test_two_equal_values_settle_nothing() -> None:
    case, noise = made(TWO)
    zero = dict.fromkeys(noise, 0.0)
    for name, one in evidence_of(case, noise, zero, {}).items():
        if min(one.observations) <= 2:
            assert one.verdict is EvidenceVerdict.INCONCLUSIVE, name


def test_a_gate_that_fails_is_different() -> None:
    tolerance = made(MANY)[1]["latency_mean"].tolerance
    found = evidence(MANY, latency_mean=tolerance.high * 1.01)["latency_mean"]
    assert found.verdict is EvidenceVerdict.DIFFERENT
    assert evidence(MANY, latency_mean=tolerance.high * 0.5)["latency_mean"].verdict is EvidenceVerdict.EQUIVALENT


def test_a_drift_by_the_detection_limit_is_found_in_four_of_five_runs() -> None:
    _, noise = made(MANY)
    for name in ("latency_mean", "tokens_completion", "confidence"):
        one, limit = noise[name], evidence(MANY)[name].detectable
        assert one.beyond(one.differences + limit).mean() == pytest.approx(0.8, abs=0.02), name


def test_p_values_are_adjusted_as_holm_says() -> None:
    # Holm (1979): .01 x 3, then .02 x 2, then .04, each at least as large as the one before.
    assert holm({"a": 0.04, "b": 0.01, "c": 0.02}) == pytest.approx({"b": 0.03, "c": 0.04, "a": 0.04})
    assert holm({"a": 0.9, "b": 0.6}) == pytest.approx({"b": 1.0, "a": 1.0})


def test_a_gate_that_a_coin_passes_more_often_than_not_says_so() -> None:
    assert "a fair coin would pass this gate more often than not" in evidence(FEW)["winner_share"].sentence("share")
    assert not evidence(MANY)["answer_agreement"].says_nothing
