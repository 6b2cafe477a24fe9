"""`cj-pipeline traces redact`: the copy, what is said about it, and that no marker gets through anywhere."""

from __future__ import annotations

import json
import logging
import stat
from typing import TYPE_CHECKING

import click
import pytest
import yaml

from cj_pipeline.cli.redact import redact
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.scenario import SCENARIO_FILE
from cj_pipeline.traces.store import read_trace
from tests.traces.folders import GENERIC, LOWER5, TRACES, copy_of
from tests.traces.planted import everything_below, leaks
from tests.traces.redaction.planted_trace import planted_trace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CJ_PIPELINE_REDACTION_KEY_FILE", raising=False)
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*arguments: object) -> None:
    redact.main([str(argument) for argument in arguments], standalone_mode=False)


@pytest.mark.parametrize("form", [[], ["--json"], ["--justifications", "hash"]])
def test_no_planted_marker_is_in_the_copy_the_output_or_the_logs(
    form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = tmp_path / "planted"
    markers = planted_trace(source)
    assert set(leaks(markers, everything_below(source.parent))) == set(markers)
    run(source, tmp_path / "copy", *form)
    shown = capsys.readouterr()
    assert leaks(markers, everything_below(tmp_path / "copy"), shown.out, shown.err, caplog.text) == []
    trace = read_trace(tmp_path / "copy")
    assert len(trace.callbacks.events) > 100
    assert trace.provenance.redaction is not None
    assert set(trace.provenance.redaction.dropped) == {
        "error_details",
        "error_texts",
        "fields",
        "metadata_keys",
        "words",
    }


def test_a_refusal_names_no_pupil(tmp_path: Path) -> None:
    source = tmp_path / "planted"
    markers = planted_trace(source)
    path = source / SCENARIO_FILE
    scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
    scenario["net"]["items"] = scenario["net"]["items"][:2]
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    with pytest.raises(BadInput, match="not in the scenario's net") as raised:
        run(source, tmp_path / "copy")
    assert leaks(markers, str(raised.value), repr(raised.value)) == []
    assert not (tmp_path / "copy").exists()


def test_the_key_is_made_in_the_data_folder_and_used_again(
    tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(TRACES / LOWER5, tmp_path / "one", "--json")
    one = json.loads(capsys.readouterr().out)
    run(TRACES / LOWER5, tmp_path / "other", "--json")
    other = json.loads(capsys.readouterr().out)
    assert stat.S_IMODE((data_folder / "redaction.key").stat().st_mode) == 0o600
    assert one["key_id"] == other["key_id"]
    assert one["sha256"] == other["sha256"]
    assert one == {
        "folder": str(tmp_path / "one"),
        "scenario_id": "one",
        "callbacks": 10,
        "unusable_lines": 0,
        "sha256": one["sha256"],
        "policy": {"justifications": "drop", "allowed_keys": []},
        "key_id": one["key_id"],
        "dropped": {},
    }


def test_another_key_gives_other_names(tmp_path: Path) -> None:
    run(TRACES / LOWER5, tmp_path / "one")
    run(TRACES / LOWER5, tmp_path / "other", "--key", tmp_path / "other.key")
    essays = [{item.id for item in read_trace(tmp_path / name).scenario.net.items} for name in ("one", "other")]
    assert essays[0].isdisjoint(essays[1])


def test_a_key_in_the_source_is_refused(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    with pytest.raises(BadInput, match="lies in a trace folder"):
        run(folder, tmp_path / "copy", "--key", folder / "redaction.key")


def test_the_choices_stand_in_provenance(tmp_path: Path) -> None:
    run(TRACES / LOWER5, tmp_path / "copy", "--justifications", "keep", "--allow-key", "wave", "--allow-key", "note")
    provenance = read_trace(tmp_path / "copy").provenance
    assert provenance.redaction is not None
    assert provenance.redaction.policy.justifications == "keep"
    assert provenance.redaction.policy.allowed_keys == ("note", "wave")


def test_a_copy_runs_under_the_built_in_mode_where_that_names_no_essay(tmp_path: Path) -> None:
    run(TRACES / GENERIC, tmp_path / "generic")
    assert read_trace(tmp_path / "generic").scenario.mode == "cj_generic_batch"
    run(TRACES / LOWER5, tmp_path / "anchors")
    assert read_trace(tmp_path / "anchors").scenario.mode == "mode.yaml"
    assert (tmp_path / "anchors" / "mode.yaml").is_file()


def test_an_unknown_way_with_justifications_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError):
        run(TRACES / LOWER5, tmp_path / "copy", "--justifications", "translate")
