"""This module tests the recording job: a real judge's answers become a materialised partition of `trace`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance, ExecuteInProcessResult

from assets import record_config
from assets.trace import trace_version
from cj_pipeline.definitions import build_defs
from cj_pipeline.runs.recording.options import prepared
from cj_pipeline.traces.store import read_trace, trace_recordings
from resources.warehouse import WarehouseResource
from tests.runs.recording.fake_judge import TEXTS, FakeJudge

URL = "http://127.0.0.1:9/v1"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> FakeJudge:
    """A judge in this process, whatever address is configured."""
    from dataclasses import replace

    fake = FakeJudge()

    def in_process(*given: Any) -> Any:
        request, made = prepared(*given)
        return request, replace(made, open_client=fake.client)

    monkeypatch.setattr(record_config, "prepared", in_process)
    return fake


@pytest.fixture
def essays(tmp_path: Path) -> Path:
    folder = tmp_path / "essays"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@contextmanager
def ran(tmp_path: Path, **config: object) -> Iterator[tuple[ExecuteInProcessResult, DagsterInstance]]:
    """Run the job with a configuration."""
    traces = tmp_path / "traces"
    traces.mkdir(exist_ok=True)
    defs = build_defs(traces_dir=traces, resource_overrides={"warehouse": WarehouseResource(root=str(tmp_path / "d"))})
    with DagsterInstance.ephemeral() as instance:
        yield (
            defs.resolve_job_def("record_judge").execute_in_process(
                instance=instance,
                raise_on_error=False,
                run_config={
                    "ops": {"record": {"config": {"scenario_id": "recorded_one", **config}}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
            ),
            instance,
        )


def reason(result: ExecuteInProcessResult) -> str:
    (failed,) = (event for event in result.all_events if event.event_type is DagsterEventType.STEP_FAILURE)
    assert failed.step_failure_data.user_failure_data is not None
    return failed.step_failure_data.user_failure_data.description or ""


def test_a_recording_is_a_trace_and_a_materialised_partition(tmp_path: Path, essays: Path, judge: FakeJudge) -> None:
    with ran(tmp_path, essays=str(essays), model="tiny", base_url=URL, temperature=0.5) as (result, instance):
        assert result.success
        event = instance.get_latest_materialization_event(AssetKey("trace"))
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    trace = read_trace(tmp_path / "traces" / "recorded_one")
    assert materialization.partition == "recorded_one"
    assert (materialization.tags or {})["dagster/data_version"] == trace_version(trace.folder)
    shown = {name: value.value for name, value in materialization.metadata.items()}
    assert shown["answered"] == "20 of 20 (1.00)"
    assert shown["says_the_same_again"] == "10 of 10 (1.00)"
    assert shown["judge"]["temperature"] == 0.5
    assert shown["prompt"]["name"] == "plain.v1"
    assert trace.provenance.redaction is not None  # redacted unless somebody says otherwise
    assert {line.event.data.model for line in trace.callbacks.events} == {"tiny"}  # a name that was given for a model
    assert set(judge.asked.values()) == {2}


def test_started_again_with_more_runs_it_adds_the_others(tmp_path: Path, essays: Path, judge: FakeJudge) -> None:
    asked = {"essays": str(essays), "model": "tiny", "base_url": URL}
    versions = []
    for runs in (1, 3):
        with ran(tmp_path, **asked, runs=runs) as (result, instance):
            assert result.success
            event = instance.get_latest_materialization_event(AssetKey("trace"))
        assert event is not None
        assert event.asset_materialization is not None
        versions.append((event.asset_materialization.tags or {})["dagster/data_version"])
    assert set(judge.asked.values()) == {3}
    assert versions[0] != versions[1]
    with ran(tmp_path, **asked, runs=3, temperature=0.1) as (result, _):
        assert "is a recording with another temperature" in reason(result)


def test_more_is_asked_of_the_judge_of_a_recording(tmp_path: Path, essays: Path, judge: FakeJudge) -> None:
    where = {"essays": str(essays), "base_url": URL}
    with ran(tmp_path, **where, more=3) as (result, _):
        assert "recorded_one" in reason(result)  # there is none yet
    with ran(tmp_path, **where, model="tiny", temperature=0.5, runs=1) as (result, _):
        assert result.success
    with ran(tmp_path, **where, more=3, runs=3) as (result, _):
        assert "ops.record.config.runs: belongs to a recording of its own" in reason(result)
    with ran(tmp_path, **where, more=3) as (result, _):
        assert result.success
    assert sorted(judge.asked.values()) == [1] * 7 + [2] * 3
    _, recordings = trace_recordings(tmp_path / "traces" / "recorded_one")
    recorded = [recording.provenance.recorded for recording in recordings]
    assert [one.judge.temperature for one in recorded if one is not None] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "ops.record.config.essays: is missing"),
        ({"local": True, "model": "x"}, "brings its own model"),
        ({"essays": "E", "model": "x", "base_url": "http://judge.invalid"}, "budget_usd: is missing"),
        ({"essays": "E", "model": "x", "base_url": URL, "input_usd_per_million": 1.0}, "goes with input"),
        ({"essays": "E", "model": "x", "base_url": URL, "prompt": "none.v1"}, "no prompt variant"),
    ],
)
def test_a_field_that_cannot_be_meant_is_named(
    tmp_path: Path, essays: Path, config: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    given = {name: str(essays) if value == "E" else value for name, value in config.items()}
    with ran(tmp_path, **given) as (result, _):
        assert not result.success
        assert words in reason(result)
    assert not list((tmp_path / "traces").iterdir())
