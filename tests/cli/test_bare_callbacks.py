"""Every command that reads callbacks reads bare verdicts too, packed or not, and finds the same in them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.mock.recordings import recorded, replaying
from tests.traces.folders import ANCHORS, LOWER5, TRACES
from tests.traces.test_recordings import with_second

CALLBACKS = TRACES / ANCHORS / "llm_callbacks.jsonl"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    path = tmp_path / "bare.ndjson.gz"
    lines = [json.dumps(json.loads(line)["data"]) + "\n" for line in CALLBACKS.read_bytes().splitlines()]
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + "".join(lines).encode()))
    return path


def test_a_bare_file_has_the_summary_of_the_enveloped_one(cj_pipeline: Terminal, bare: Path) -> None:
    summary = cj_pipeline("traces", "summarise", bare).document
    assert summary == {**cj_pipeline("traces", "summarise", CALLBACKS).document, "scenario_id": "bare"}


def test_a_bare_file_is_replayed_as_the_enveloped_one(cj_pipeline: Terminal, bare: Path) -> None:
    fits = [cj_pipeline("replay", file, "--json").document["fit"] for file in (bare, CALLBACKS)]
    assert fits[0] == fits[1]


def test_a_bare_file_is_aligned_as_the_enveloped_one(cj_pipeline: Terminal, bare: Path, tmp_path: Path) -> None:
    essays = [row["essay_id"] for row in cj_pipeline("replay", bare, "--json").document["fit"]["essays"]]
    grades = tmp_path / "grades.csv"
    rows = (f"{essay},{'AB'[place % 2]}" for place, essay in enumerate(essays))
    grades.write_text("\n".join(["essay_id,grade", *rows]), encoding="utf-8")
    aligned = [cj_pipeline("align", file, "--grades", grades, "--json").document for file in (bare, CALLBACKS)]
    assert aligned[0]["tau_a"] == aligned[1]["tau_a"]


def test_parity_does_not_compare_an_envelope_that_was_never_recorded(cj_pipeline: Terminal, bare: Path) -> None:
    report = cj_pipeline("parity", bare, TRACES / ANCHORS, "--json")
    assert report.code == 3  # the same answers under the same ids: a recording against itself
    (schema,) = [check for check in report.document["checks"] if check["check"] == "schema"]
    assert schema["verdict"] == "pass"
    assert "without the envelope" in schema["sentence"]


def test_a_mode_replays_bare_lines(tmp_path: Path) -> None:
    lines = [json.dumps(json.loads(recorded(number))["data"]) for number in (1, 2)]
    recording = replaying(tmp_path, lines).recording
    assert recording is not None
    assert [answer.response_time_ms for answer in recording.answers] == [1001, 1002]


def test_a_file_without_a_usable_line_is_refused_with_its_first_complaint(
    cj_pipeline: Terminal, tmp_path: Path
) -> None:
    event = json.loads(CALLBACKS.read_bytes().splitlines()[0])
    event["data"]["request_metadata"]["essay_a_id"] = ""
    path = tmp_path / "empty_essay_id.jsonl"
    path.write_text(json.dumps(event), encoding="utf-8")
    for command in (("traces", "summarise"), ("replay",)):
        answer = cj_pipeline(*command, path)
        assert answer.code == 2
        assert (
            f"{path}:1: data.request_metadata.essay_a_id: no line is a usable callback; the first: empty" in answer.err
        )


def test_the_recordings_of_a_scenario_are_listed_validated_and_summarised(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = with_second(tmp_path / "traces")
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(folder.parent))
    (row,) = cj_pipeline("traces", "list", "--json").document
    assert (row["recordings"], row["callbacks"]) == (2, 10)
    lines = cj_pipeline("traces", "validate").out.splitlines()
    assert [line.partition(", intact")[0] for line in lines] == [
        f"{LOWER5}: 10 callbacks",
        f"{LOWER5}, recording second.run-2: 10 callbacks",
    ]
    main, second = (
        cj_pipeline("traces", "summarise", LOWER5, *chosen).document for chosen in ((), ("--recording", "second.run-2"))
    )
    assert main == second
    answer = cj_pipeline("traces", "summarise", LOWER5, "--recording", "second")
    assert answer.code == 2
    assert "has no recording 'second'. Did you mean 'second.run-2'?" in answer.err
