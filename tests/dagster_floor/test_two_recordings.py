"""This module tests a scenario with two recordings in the graph: what the terminal judges by, the graph judges by."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import AssetKey, ExecuteInProcessResult

from cj_pipeline.parity.tables import load_report
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.tables import load_answers
from cj_pipeline.traces.arrivals import arrivals
from cj_pipeline.traces.provenance import file_sha256
from cj_pipeline.traces.scenario import read_scenario
from cj_pipeline.warehouse.store import Warehouse
from tests.cli.terminal import Terminal, terminal_of
from tests.dagster_floor.floor import LOWER5, execute, red_checks, run_of
from tests.recordings import Event, with_recording


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("traces")
    with_recording(root)
    return root


@pytest.fixture(scope="module")
def result(traces: Path) -> ExecuteInProcessResult:
    return execute(LOWER5, traces / "data", traces_dir=traces)


def test_the_graph_judges_by_both_recordings(result: ExecuteInProcessResult, traces: Path) -> None:
    assert result.success
    report = load_report(run_of(result, traces / "data", LOWER5), read_scenario(traces / LOWER5 / "scenario.yaml"))
    assert report.recordings == 2
    (shown,) = (
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == AssetKey(["parity", "report"])
    )
    assert shown["recordings"].value == 2
    assert "(and 1 more recording)" in str(shown["in_words"].value)


def test_graph_and_terminal_give_the_same_numbers(
    result: ExecuteInProcessResult,
    traces: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(traces))
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path))
    cj_pipeline: Terminal = terminal_of(monkeypatch, capsys)
    shown = cj_pipeline("parity", LOWER5, "--json").document
    stored = run_of(result, traces / "data", LOWER5).read("parity_checks", "parity")
    assert shown["recorded"]["recordings"] == 2
    numbers = ("check", "verdict", "value", "noise_low", "noise_high", "n_recorded")
    assert [[one[name] for name in numbers] for one in shown["checks"]] == [
        [row[name] for name in numbers] for row in stored
    ]


def test_the_run_keeps_what_each_recording_answered(result: ExecuteInProcessResult, traces: Path) -> None:
    run = run_of(result, traces / "data", LOWER5)
    answers = load_answers(run, Side.RECORDED)
    (second,) = answers.further
    assert (answers.judge.name, second.judge.name) == (LOWER5, f"{LOWER5}/second")
    assert second.judge.sha256 == file_sha256(traces / LOWER5 / "recordings" / "second" / "llm_callbacks.jsonl")
    assert run.origin(("runs", Side.RECORDED)).answers["recorded"].answers_sha256 == answers.sha256
    counted = Warehouse(traces / "data").query(
        "select name, batch, count(*) as n from judges join callbacks using (side, batch) "
        "where side = 'recorded' group by all order by batch"
    )
    assert [tuple(row.values()) for row in counted.to_pylist()] == [(LOWER5, 0, 10), (f"{LOWER5}/second", 1, 10)]


def broken(event: Event) -> None:
    if event["data"]["winner"] == "Essay A":
        event["data"]["winner"] = "nobody"


def test_lines_of_a_further_recording_that_are_left_out_are_in_the_verdict(tmp_path: Path) -> None:
    with_recording(tmp_path, broken)
    result = execute(LOWER5, tmp_path / "data", traces_dir=tmp_path)
    assert red_checks(result) == {
        "recorded/callbacks: quarantine",
        "parity/report: recorded_lines",
        "parity/report: verdict",
    }
    assert result.success  # CANNOT TELL warns, and what was left out warns as well
    batches = Warehouse(tmp_path / "data").query("select distinct batch from quarantine").column(0).to_pylist()
    assert batches == [1]


def test_an_added_recording_is_new_to_the_sensor(traces: Path, tmp_path: Path) -> None:
    main = file_sha256(traces / LOWER5 / "llm_callbacks.jsonl")
    found = arrivals(traces, {LOWER5: main[:16]})
    assert found.new[LOWER5].sha256 != main
    assert arrivals(traces, {LOWER5: found.new[LOWER5].sha256[:16]}).new == {}
