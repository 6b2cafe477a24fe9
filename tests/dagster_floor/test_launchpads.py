"""This module tests what a launchpad offers: an example to begin with, and the words that a field takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dagster import validate_run_config

from assets.capture_config import CaptureConfig
from assets.eng5 import eng5_job_name, op_name
from assets.eng5_config import Eng5Config
from assets.eng5_experiment_config import ExperimentConfig
from assets.record_config import RecordConfig
from cj_pipeline.definitions import defs
from cj_pipeline.eng5.options import JudgeKind, RunnerMode
from cj_pipeline.traces.redaction_policy import Justifications

FIELDS = [
    ("capture_callbacks", "capture", "justifications", "hash"),
    ("capture_callbacks", "capture", "beginning", "auto"),
    ("capture_callbacks", "capture", "profile", "eng5_anchor"),
    ("record_judge", "record", "provider", "openrouter"),
    ("record_judge", "record", "effort", "low"),
    ("record_judge", "record", "verbosity", "high"),
    ("record_judge", "record", "profile", "judge"),
    ("eng5_execute", "execute", "judge", "provider"),
    ("eng5_execute", "execute", "llm_provider", "openai"),
    ("eng5_anchor_align_test", "anchor_align_test", "reasoning_effort", "low"),
    ("eng5_anchor_align_test", "anchor_align_test", "output_verbosity", "high"),
    ("eng5_plan", "plan", "llm_batching_mode", "serial_bundle"),
    ("eng5_experiment_plan", "experiment_plan", "judge", "provider"),
]


def config_of(op: str, **more: object) -> dict[str, Any]:
    named = {"scenario_id": "a"} if op in ("capture", "record") else {}
    return {"ops": {op: {"config": {**named, **more}}}}


@pytest.mark.parametrize(("job", "op", "field", "word"), FIELDS)
def test_a_field_takes_its_words_and_refuses_others_before_a_run(job: str, op: str, field: str, word: str) -> None:
    found = defs.resolve_job_def(job)
    validate_run_config(found, config_of(op, **{field: word}))
    with pytest.raises(Exception, match="not in enum type"):
        validate_run_config(found, config_of(op, **{field: f"{word}s"}))


@pytest.mark.parametrize(("job", "op"), [("capture_callbacks", "capture"), ("record_judge", "record")])
def test_the_launchpad_begins_with_an_example_that_is_valid(job: str, op: str) -> None:
    found = defs.resolve_job_def(job)
    example = found.run_config
    assert example is not None
    assert example["ops"][op]["config"]["scenario_id"].startswith("autumn_pilot")
    validate_run_config(found, dict(example))


@pytest.mark.parametrize("axis", ["provider", "effort", "verbosity", "batching"])
def test_an_axis_of_an_experiment_takes_its_words_only(axis: str) -> None:
    found = defs.resolve_job_def("eng5_experiment_plan")
    with pytest.raises(Exception, match="not in enum type"):
        validate_run_config(found, config_of("experiment_plan", **{axis: ["nonsense"]}))


@pytest.mark.parametrize("mode", RunnerMode)
def test_a_launchpad_of_the_runner_begins_with_a_run_on_the_mock(mode: RunnerMode, tmp_path: Path) -> None:
    example = defs.resolve_job_def(eng5_job_name(mode)).run_config
    assert example is not None
    validate_run_config(defs.resolve_job_def(eng5_job_name(mode)), dict(example))
    options = Eng5Config(**example["ops"][op_name(mode)]["config"]).options(mode, tmp_path)
    assert (options.judging.kind, options.batch_id) == (JudgeKind.MOCK, "autumn_pilot")


def test_the_launchpad_of_an_experiment_begins_with_a_grid_on_the_mock() -> None:
    found = defs.resolve_job_def("eng5_experiment_plan")
    assert found.run_config is not None
    validate_run_config(found, dict(found.run_config))
    source = ExperimentConfig(**found.run_config["ops"]["experiment_plan"]["config"]).source()
    assert source.grid.judge is JudgeKind.MOCK


def test_the_words_are_the_program_s_own() -> None:
    made = CaptureConfig(scenario_id="a", justifications="hash")
    assert made.word(Justifications, "justifications", made.justifications) is Justifications.HASH
    assert RecordConfig(scenario_id="a").profile == "judge"
    assert CaptureConfig(scenario_id="a").profile is None
