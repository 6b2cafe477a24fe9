"""Large comparisons: drawn in chunks, with fewer draws, and without the engine, they say what small ones say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.large_parity import net_of, write_run
from benchmarks.operating_characteristics import comparison, noise_by_gate
from benchmarks.simulated_judges import Kind, judge_of
from cj_pipeline.cli import sources
from cj_pipeline.cli.sources import find_source
from cj_pipeline.parity import comparison as comparisons
from cj_pipeline.parity.compare import ParityReport, compare
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.verdict import Parity
from cj_pipeline.runs.record import NOT_REPLAYED, Side


def judged(kind: Kind, seed: int = 8) -> Comparison:
    rng = np.random.default_rng(seed)
    judge = judge_of(kind, rng)
    recordings = tuple(judge.answers(1, rng) for _ in range(kind.recordings))
    return comparison(judge, recordings, judge.answers(kind.batches, rng))


def test_chunks_of_few_draws_set_the_limits_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    case = judged(Kind(12, 60, 0.5, 0.6, 2.0, 0.1, False, 0.3, 2, 2))
    many = noise_by_gate(case)
    monkeypatch.setattr(comparisons, "_MOST_VALUES", 20_000)
    monkeypatch.setattr(comparisons, "_CHUNK_VALUES", 20_000)
    monkeypatch.setattr(comparisons, "LEAST_DRAWS", 600)
    few = noise_by_gate(replace(case))
    assert few.keys() == many.keys()
    for name in ("answer_agreement", "winner_share", "position_effect", "confidence", "latency_mean", "tokens_spread"):
        limits, others = (one[name].tolerance for one in (few, many))
        # One judge in ten has a slow part, so a far quantile of 600 latencies wanders more than one of a bell curve.
        near = (1.2 if name == "latency_mean" else 0.8) * float(many[name].differences.std())
        assert limits.low == pytest.approx(others.low, abs=near), name
        assert limits.high == pytest.approx(others.high, abs=near), name
        assert len(few[name].differences) == len(many[name].differences)


def test_of_more_than_200_essays_a_faithful_run_passes_and_a_coin_does_not() -> None:
    case = judged(Kind(201, 1_000, 0.3, 0.6, 2.0, 0.0, False, 0.3, 1, 2), seed=0)
    noise = noise_by_gate(case)
    observed = {name: one.gate.statistic(case, case.observed) - one.reference for name, one in noise.items()}
    assert not [name for name, one in noise.items() if one.beyond(observed[name]).any()]
    coin = replace(case.observed, wins=np.random.default_rng(1).integers(0, 2, (1, len(case.prompts.wins))) * 1.0)
    agreement = noise["answer_agreement"]
    assert agreement.beyond(agreement.gate.statistic(case, coin) - agreement.reference).all()


def test_one_step_is_near_the_refit_where_there_are_many_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    case = judged(Kind(30, 435, 0.3, 0.0, 1.5, 0.0, False, 0.3, 1, 1))
    wins = case.observed.wins
    assert wins is not None
    fitted = case.prompts.refit(wins)
    step = case.winner.fit.mean + case.prompts.step(wins)
    assert np.abs(fitted - step).max() < 0.45  # logits; the scores have a standard error of .45
    assert np.corrcoef(fitted[0], step[0])[0, 1] > 0.99


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    net = net_of(120, 12)
    recorded, again = tmp_path / "recorded.jsonl", tmp_path / "again.jsonl"
    write_run(recorded, net, 1)
    write_run(again, net, 2)
    return recorded, again


def report_on(recorded: Path, live: Path) -> ParityReport:
    found, other = find_source(str(recorded)), find_source(str(live))
    sides = found.to_compare(Side.RECORDED), other.to_compare(Side.LIVE, found.scenario)
    return compare(found.scenario, *sides, scenario_file=recorded)


def test_without_the_engine_the_verdict_and_every_check_are_the_same(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_engine = report_on(*files)
    monkeypatch.setattr(sources, "MOST_REPLAYED", 0)
    without = report_on(*files)
    assert without.recorded.document.upload_status == NOT_REPLAYED
    assert with_engine.recorded.document.upload_status != NOT_REPLAYED
    assert without.results == with_engine.results
    assert without.verdict is with_engine.verdict is not Parity.NO_PARITY


def test_equal_answers_are_not_proven_by_an_engine_that_did_not_run(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_REPLAYED", 0)
    report = report_on(files[0], files[0])
    (decisions,) = (result for result in report.results if result.check.name == "decisions")
    assert "without the engine" in decisions.reason
