"""The held-out fit as Dagster shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import AssetCheckResult, AssetCheckSeverity, AssetKey, DagsterInstance, materialize

from assets.calibrate import QUESTIONS, calibration_asset, held_out_results
from assets.partitions import ScenarioPartitions
from benchmarks.judge_files import JudgeKind
from cj_pipeline.mock.mode.files import load_mode
from resources.trace_store import TraceStoreResource
from tests.mock.model.test_held_out import callbacks, held_out
from tests.sides import LOWER5, TRACES


def results_of(fitted: JudgeKind, held: JudgeKind) -> dict[str, AssetCheckResult]:
    found = held_out([callbacks(fitted)], [callbacks(held, run=2)])
    mode = load_mode("default").model_copy(update={"held_out": found})
    return {str(result.check_name): result for result in held_out_results("a", mode)}


def test_every_check_passes_for_the_same_judge() -> None:
    kind = JudgeKind(calls=132, spread=3.0)
    assert {name for name, result in results_of(kind, kind).items() if not result.passed} == set()


@pytest.mark.parametrize(
    ("check", "other"),
    [
        ("winners_coin", JudgeKind(calls=132, spread=3.0, position=-12.0)),
        ("latency", JudgeKind(calls=132, spread=3.0, sigma=1.1)),
        ("latency_p99", JudgeKind(calls=132, spread=3.0, sigma=1.6)),
        ("error_rate", JudgeKind(calls=132, spread=3.0, error_rate=0.5)),
    ],
)
def test_a_check_can_fail(check: str, other: JudgeKind) -> None:
    result = results_of(JudgeKind(calls=132, spread=3.0), other)[check]
    assert not result.passed
    assert result.description


def test_a_judge_that_does_not_repeat_itself_fails_the_check_of_recorded_answers() -> None:
    kind = JudgeKind(essays=24, calls=276, spread=0.5, repeatability=0.0)
    assert not results_of(kind, kind)["winners_scale"].passed


def test_without_a_held_out_answer_every_check_is_off_and_says_so() -> None:
    results = list(held_out_results("a", None))
    assert [result.check_name for result in results] == list(QUESTIONS)
    assert {result.description for result in results} == {"a: off: too little can be held out."}
    # Neither green nor red.
    assert {(result.passed, result.severity) for result in results} == {(False, AssetCheckSeverity.WARN)}


def test_the_asset_shows_mode_origins_and_fit() -> None:
    asset = calibration_asset(ScenarioPartitions(TRACES))
    store = TraceStoreResource(root=str(TRACES))
    with DagsterInstance.ephemeral() as instance:
        ran = materialize([asset], resources={"trace_store": store}, partition_key=LOWER5, instance=instance)
    (shown,) = ran.asset_materializations_for_node("calibration")
    assert shown.asset_key == AssetKey("calibration")
    assert {"description", "origins", "held_out", "mode"} <= set(shown.metadata)
    assert {check.check_name for check in ran.get_asset_check_evaluations()} == set(QUESTIONS)
    assert Path(TRACES / LOWER5 / "mode.yaml").exists() is False
