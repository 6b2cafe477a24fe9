"""This module tests what a launchpad offers: an example to begin with, and the words that a field takes."""

from __future__ import annotations

from typing import Any

import pytest
from dagster import validate_run_config

from assets.capture_config import CaptureConfig
from assets.record_config import RecordConfig
from cj_pipeline.definitions import defs
from cj_pipeline.traces.redaction_policy import Justifications

FIELDS = [
    ("capture_callbacks", "capture", "justifications", "hash"),
    ("capture_callbacks", "capture", "beginning", "auto"),
    ("capture_callbacks", "capture", "profile", "eng5_anchor"),
    ("record_judge", "record", "provider", "openrouter"),
    ("record_judge", "record", "effort", "low"),
    ("record_judge", "record", "verbosity", "high"),
    ("record_judge", "record", "profile", "judge"),
]


def config_of(op: str, **more: object) -> dict[str, Any]:
    return {"ops": {op: {"config": {"scenario_id": "a", **more}}}}


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


def test_the_words_are_the_program_s_own() -> None:
    made = CaptureConfig(scenario_id="a", justifications="hash")
    assert made.word(Justifications, "justifications", made.justifications) is Justifications.HASH
    assert RecordConfig(scenario_id="a").profile == "judge"
    assert CaptureConfig(scenario_id="a").profile is None
