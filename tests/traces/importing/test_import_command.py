"""`import` in the terminal: one source, a table or JSON, and an exit code that says how whole the trace is."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cj_pipeline.cli.imports import import_command
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.store import read_trace
from tests.parity.test_error_values import failing
from tests.traces.folders import LOWER5, TRACES
from tests.traces.importing.artefacts import artefact_of, write_artefact
from tests.traces.importing.batches import kept_batch
from tests.traces.planted import SUCCESS, everything_below, leaks, plant


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(TRACES))
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("CJ_PIPELINE_REDACTION_KEY_FILE", raising=False)


def run(tmp_path: Path, *arguments: object) -> Result:
    given = ["imported", "--output-dir", str(tmp_path / "traces"), *map(str, arguments)]
    return CliRunner().invoke(import_command, given)


def kept_callbacks(tmp_path: Path, *more: str) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    lines = (TRACES / LOWER5 / "llm_callbacks.jsonl").read_text()
    (folder / "kept.jsonl").write_text(lines + "".join(f"{line}\n" for line in more))
    return folder


def test_a_whole_folder_exits_with_0_and_says_how_to_go_on(tmp_path: Path) -> None:
    result = run(tmp_path, "--from-folder", kept_callbacks(tmp_path))
    assert result.exit_code == 0, result.output
    assert "As far as seen: no count and no end of the batch was known" in result.output
    assert f"Next: cj-pipeline parity {tmp_path / 'traces' / 'imported'}" in result.output
    assert len(read_trace(tmp_path / "traces" / "imported").callbacks.events) == 10
    assert (tmp_path / "data" / "redaction.key").stat().st_mode & 0o777 == 0o600


def test_an_import_of_two_judges_names_both(tmp_path: Path) -> None:
    folder = kept_callbacks(tmp_path)
    lines = (folder / "kept.jsonl").read_text().splitlines()
    other = [json.loads(line) for line in lines[:4]]
    for number, event in enumerate(other):
        event["data"].update(provider="google", model="gemini-pro", request_id=f"other-{number}")
    (folder / "kept.jsonl").write_text("\n".join([*lines, *map(json.dumps, other)]) + "\n")
    result = run(tmp_path, "--from-folder", folder, "--no-redact")
    assert "Fitted to 14 answers of openai gpt-5.1 (10) and google gemini-pro (4)." in result.output


def test_an_import_without_an_answer_says_what_happened(tmp_path: Path) -> None:
    folder = tmp_path / "outage"
    folder.mkdir()
    failing(folder / "outage.jsonl", 1, every=1)
    result = run(tmp_path, "--from-folder", folder)
    assert result.exit_code == 0, result.output
    assert "No callback is an answer (66 TIMEOUT): no mode is fitted to it, and parity with it " in result.output


def test_a_count_that_is_met_makes_it_whole_and_another_makes_it_partial(tmp_path: Path) -> None:
    folder = kept_callbacks(tmp_path)
    whole = run(tmp_path / "a", "--from-folder", folder, "--expected-count", 10)
    assert (whole.exit_code, "Whole, held against the expected count." in whole.output) == (0, True)
    partial = run(tmp_path / "b", "--from-folder", folder, "--expected-count", 66)
    assert (partial.exit_code, "Partial: 66 callbacks were expected" in partial.output) == (3, True)


def test_a_fifo_in_a_folder_is_named_and_makes_it_partial(tmp_path: Path) -> None:
    folder = kept_callbacks(tmp_path)
    os.mkfifo(folder / "pipe.jsonl")
    result = run(tmp_path, "--from-folder", folder)
    assert result.exit_code == 3
    assert "pipe.jsonl is a FIFO and was not read." in result.output


def test_a_partial_one_exits_with_3_and_says_what_is_missing(tmp_path: Path) -> None:
    result = run(tmp_path, "--from-folder", kept_callbacks(tmp_path, "nonsense"), "--json")
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert document["partial"] is True
    assert document["missing"] == ["1 of what was found are no usable callbacks; quarantine.jsonl says why."]
    assert document["counts"]["malformed"] == 1
    assert sum(document["counts"].values()) == document["read"] == 11
    # The file's name is not shown where there is redaction: it may be a pupil's.
    assert document["notes"][0].startswith("Quarantined: file 1 of 1, line 11: ")


def test_scores_of_a_database_are_held_against_a_replay(tmp_path: Path) -> None:
    kept = kept_batch(f"sqlite:///{tmp_path}/cj.db", 5, mode="eng5_anchor_ladder")
    result = run(tmp_path, "--from-database", kept.url, "--batch", "bos-1", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["stored_scores"] == 5
    assert document["score_correlation"] == pytest.approx(1.0)
    assert document["score_largest_difference_logits"] < 1e-9


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Give one of --from-folder, --from-artefact and --from-database"),
        (("--from-folder", ".", "--from-artefact", "a.json"), "Give one of"),
        (("--from-database", "sqlite:///cj.db"), "--from-database needs --batch."),
        (("--from-artefact", "a.json", "--batch", "1"), "An artefact holds one batch; leave --batch out."),
    ],
)
def test_not_exactly_one_source_is_a_mistake_in_usage(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2
    assert told in result.output


def test_a_mode_that_names_essays_is_not_taken_over_by_a_trace_that_renames_them(tmp_path: Path) -> None:
    folder = kept_callbacks(tmp_path)
    refused = run(tmp_path, "--from-folder", folder, "--like", LOWER5)
    assert isinstance(refused.exception, BadInput)
    assert "names essays, and a redacted trace has pseudonyms for them" in str(refused.exception)
    assert run(tmp_path, "--from-folder", folder, "--like", LOWER5, "--mode", "default").exit_code == 0


def test_no_planted_name_comes_through_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    messages, markers = plant()
    folder = tmp_path / f"of {markers[0]}"
    folder.mkdir()
    for number, message in enumerate(messages):
        (folder / f"{markers[number - 1]}.json").write_bytes(message)
    for arguments in ((), ("--json",), ("--justifications", "hash")):
        name = tmp_path / f"out{len(arguments)}{'hash' in arguments}"
        # Several batches, planted ones among them: refused, and the one that is meant then.
        refused = run(name, "--from-folder", folder, *arguments)
        assert isinstance(refused.exception, BadInput)
        result = run(name, "--from-folder", folder, "--batch", "batch", *arguments)
        assert result.exit_code == 3, result.output
        trace = read_trace(name / "traces" / "imported")
        assert len(trace.callbacks.events) > 100
        said = (result.output, str(refused.exception), caplog.text)
        assert leaks(markers, everything_below(name / "traces"), *said) == []


def planted_artefact(markers: list[str]) -> dict[str, Any]:
    """A marker in every text of an artefact that it may say anything in."""
    artefact = artefact_of()
    names = iter(markers)
    essays: dict[str, str] = {}
    for comparison in artefact["llm_comparisons"]:
        for key in ("winner_id", "loser_id", "essay_a_id", "essay_b_id"):
            essay = comparison[key]
            comparison[key] = (
                essays.setdefault(essay, f"student::{next(names)}") if essay not in essays else essays[essay]
            )
        comparison["request_id"] = next(names)
        comparison["justification"] = next(names)
        comparison["model"] = next(names)
        comparison["failure_reason"] = next(names)
        comparison["note"] = next(names)
    failed = artefact["llm_comparisons"][0]
    failed |= {"status": "failed", "error_code": next(names).upper(), "correlation_id": next(names)}
    artefact["llm_comparisons"][1]["winner_id"] = next(names)
    for anchor in artefact["inputs"]["anchors"]:
        essay = essays[f"student::{anchor['anchor_id']}"]
        anchor |= {"anchor_id": essay.removeprefix("student::"), "file_name": next(names), "source_path": next(names)}
    for row in artefact["bt_summary"]:
        row["essay_id"] = essays[row["essay_id"]]
    for key in ("assignment_id", "course_id", "batch_uuid", "batch_id", "course_code", "runner_mode"):
        artefact["metadata"][key] = next(names)
    artefact["metadata"]["llm_config_overrides"] = {"reasoning_effort": next(names), "system_prompt": next(names)}
    artefact["inputs"]["instructions"]["content"] = next(names)
    return artefact


def test_no_planted_name_comes_through_an_artefact(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    markers = [f"Qvistberg{number:04d}z" for number in range(200)]
    folder = tmp_path / "given"
    folder.mkdir()
    path = write_artefact(folder / f"{markers[199]}.json", planted_artefact(markers))
    result = run(tmp_path, "--from-artefact", path)
    assert result.exit_code == 3, result.output  # one record contradicts itself
    assert len(read_trace(tmp_path / "traces" / "imported").callbacks.events) == 9
    assert leaks(markers, everything_below(tmp_path / "traces"), result.output, caplog.text) == []


def test_no_planted_name_comes_through_a_database(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = kept_batch(f"sqlite:///{tmp_path}/cj.db", 6, graded=True)
    caplog.set_level(logging.DEBUG)
    markers = [f"Qvistberg{number:04d}z" for number in range(40)]
    connection = sqlite3.connect(tmp_path / "cj.db")
    essays = [row[0] for row in connection.execute("SELECT els_essay_id FROM cj_processed_essays")]
    for essay, marker in zip(essays, markers, strict=False):
        name = marker if essay.startswith("essay") else f"ANCHOR_{marker}"
        for statement in (
            "UPDATE cj_processed_essays SET els_essay_id = ?2 WHERE els_essay_id = ?1",
            "UPDATE cj_comparison_pairs SET essay_a_els_id = ?2 WHERE essay_a_els_id = ?1",
            "UPDATE cj_comparison_pairs SET essay_b_els_id = ?2 WHERE essay_b_els_id = ?1",
        ):
            connection.execute(statement, (essay, name))
    connection.execute(
        "UPDATE cj_comparison_pairs SET justification = ?, processing_metadata = json_set(processing_metadata, "
        "'$.model', ?, '$.more', ?)",
        markers[20:23],
    )
    connection.execute(
        "UPDATE cj_comparison_pairs SET winner = 'error', error_code = ?, error_service = ?, "
        "error_details = json_object(?, ?, 'operation', ?) WHERE id = 4",
        (markers[23].upper(), *markers[24:28]),
    )
    connection.execute("UPDATE cj_comparison_pairs SET winner = ? WHERE id = 5", (markers[28],))
    connection.execute(
        "UPDATE cj_batch_uploads SET bos_batch_id = ?, status = ?", (markers[29], f"COMPLETE {markers[30]}")
    )
    connection.execute("UPDATE cj_processed_essays SET processing_metadata = json_set(processing_metadata, "
                       "'$.anchor_label', ?) WHERE is_anchor", (markers[31],))  # fmt: skip
    connection.commit()
    connection.close()
    result = run(tmp_path, "--from-database", kept.url, "--batch", "1")
    assert result.exit_code == 3, result.output  # a winner that is none
    assert len(read_trace(tmp_path / "traces" / "imported").callbacks.events) == 119
    assert leaks(markers, everything_below(tmp_path / "traces"), result.output, caplog.text) == []


def test_without_redaction_everything_is_as_it_came(tmp_path: Path) -> None:
    document = json.loads(json.dumps(SUCCESS))
    document["event_id"] = document["correlation_id"] = document["data"]["correlation_id"] = (
        "00000001-0000-4000-8000-000000000001"
    )
    document["data"]["request_id"] = "anna's first"
    (tmp_path / "anna.json").write_text(json.dumps(document))
    result = run(tmp_path, "--from-folder", tmp_path / "anna.json", "--no-redact")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "traces" / "imported" / "llm_callbacks.jsonl").read_text()) == document
    assert "Redaction: none; essay ids and texts are as they came" in result.output
    assert not (tmp_path / "data").exists()
