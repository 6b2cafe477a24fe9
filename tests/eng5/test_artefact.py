"""This module tests artefacts: each mode's fits the schema, agrees with its checksums, and any change is noticed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cj_pipeline.eng5.artefact.files import checksum_of, schema, schema_errors
from cj_pipeline.eng5.artefact.verify import verify
from cj_pipeline.eng5.options import RunnerMode
from cj_pipeline.eng5.runner import run
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.importing.artefact_file import read_artefact
from tests.eng5.nets import options


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run in every mode."""
    folder = tmp_path_factory.mktemp("eng5")
    for mode in RunnerMode:
        run(options(mode, folder))
    return folder / "out"


def artefact(written: Path, mode: RunnerMode) -> Any:
    return json.loads((written / f"assessment_run.{mode}.json").read_text())


def test_the_schema_is_a_schema_of_2020_12() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("mode", RunnerMode)
def test_an_artefact_of_every_mode_verifies(written: Path, mode: RunnerMode) -> None:
    found = verify(written / f"assessment_run.{mode}.json")
    assert (found.problems, found.partial) == ((), False)
    assert (found.comparisons > 0) == mode.asks


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_other_programs_agree_with_schema_and_sums(written: Path) -> None:
    for mode in RunnerMode:
        subprocess.run(["sha256sum", "-c", "--quiet", f"assessment_run.{mode}.SHA256SUMS"], cwd=written, check=True)
    command = [sys.executable, "-W", "ignore", "-m", "jsonschema", "-i", "assessment_run.execute.json"]
    subprocess.run([*command, "assessment_run.schema.json"], cwd=written, check=True)


def test_the_importer_of_artefacts_agrees_with_the_checksum(written: Path) -> None:
    _, _, checksum = read_artefact(written / "assessment_run.execute.json")
    assert checksum == "agrees"


def _winner(document: Any) -> None:
    one = document["llm_comparisons"][0]
    one["winner_id"], one["loser_id"] = one["loser_id"], one["winner_id"]


def _count(document: Any) -> None:
    document["validation"]["runner_status"]["observed_events"]["llm_comparisons"] += 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_winner, "artefact_checksum: the artefact was changed"),
        (_count, "validation.runner_status: counts"),
        (lambda document: document.pop("costs"), "schema: $"),
        (lambda document: document["metadata"].update(git_sha="UNKNOWN"), "schema: $.metadata.git_sha"),
        (lambda document: document["metadata"].update(runner_mode="later"), "schema: $.metadata.runner_mode"),
    ],
)
def test_verify_notices_a_change(written: Path, change: Callable[[Any], None], problem: str) -> None:
    document = artefact(written, RunnerMode.EXECUTE)
    change(document)
    copy = written / "changed.json"
    copy.write_text(json.dumps(document))
    assert any(problem in one for one in verify(copy).problems)


def _turn_round(document: Any) -> None:
    for one in document["llm_comparisons"]:
        one["winner_id"], one["loser_id"] = one["loser_id"], one["winner_id"]
    for row in document["bt_summary"]:
        row["wins"], row["losses"] = row["losses"], row["wins"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_turn_round, "comparison 1 differs from its event"),
        (_winner, "wins and losses of"),
        (lambda document: document["llm_comparisons"][0].update(winner_id="nobody"), "are not its two essays"),
        (lambda document: document["llm_comparisons"][0].update(tokens_prompt=1), "comparison 1 differs"),
        (lambda document: document["validation"]["manifest"].clear(), "has no event of comparison 1"),
        (
            lambda document: document["metadata"]["batching"].update(worked_off={"serial_bundle": 1}),
            "metadata.batching",
        ),
    ],
)
def test_verify_notices_a_change_under_a_new_checksum(
    written: Path, change: Callable[[Any], None], problem: str
) -> None:
    document = artefact(written, RunnerMode.EXECUTE)
    change(document)
    document["validation"]["artefact_checksum"] = checksum_of(document)
    copy = written / "changed.json"
    copy.write_text(json.dumps(document))
    assert any(problem in one for one in verify(copy).problems)


@pytest.mark.parametrize(
    "manifest", [[5], "abc", {"a": 1}, 5, [{"path": "a\0b", "sha256": ""}], [{"path": "a" * 5000}]]
)
def test_verify_says_what_is_no_manifest(written: Path, manifest: Any) -> None:
    document = artefact(written, RunnerMode.EXECUTE)
    document["validation"] |= {"manifest": manifest, "runner_status": "x"}
    document["llm_comparisons"] = 5
    copy = written / "changed.json"
    copy.write_text(json.dumps(document))
    assert "validation.manifest: is no list of files with path and sha256." in verify(copy).problems


def test_verify_notices_a_changed_event(written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    (event, *_) = sorted((folder / "events" / "comparisons").rglob("*.json"))
    event.write_text(event.read_text() + " ")
    gone = sorted((folder / "requests").glob("*.json"))
    for path in gone:
        path.unlink()
    problems = [problem for mode in RunnerMode for problem in verify(folder / f"assessment_run.{mode}.json").problems]
    assert sum("was changed" in problem for problem in problems) == 1
    assert sum("is not there" in problem for problem in problems) == len(gone) == 3


def test_standard_errors_and_counts_are_an_essays_own(written: Path) -> None:
    rows = artefact(written, RunnerMode.ANCHOR_ALIGN)["bt_summary"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert all(row["standard_error"] > 0 for row in rows)
    assert [row["comparison_count"] for row in rows] == [3] * 4


def test_a_block_that_does_not_fit_its_mode_is_refused(written: Path) -> None:
    document = artefact(written, RunnerMode.PLAN)
    document["llm_comparisons"] = artefact(written, RunnerMode.EXECUTE)["llm_comparisons"]
    assert schema_errors(document)


def test_an_artefact_names_prompts_judge_and_inputs(written: Path) -> None:
    document = artefact(written, RunnerMode.EXECUTE)
    assert document["metadata"]["judge"]["mock_mode"] == "default"
    assert document["metadata"]["prompts"]["assignment"]["text"] == "Write about the sea."
    assert document["metadata"]["prompts"]["rubric"]["text"] == "The better text is clearer."
    assert [anchor["grade"] for anchor in document["inputs"]["anchors"]] == ["A", "B", "C+", "D-"]
    # A test of anchors is about the anchors alone: no task, and no rubric but a file's.
    tested = artefact(written, RunnerMode.ANCHOR_ALIGN)["metadata"]["prompts"]
    assert (tested["assignment"], tested["rubric"]) == (None, None)


def test_what_is_no_artefact_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": 1}')
    with pytest.raises(BadInput, match="is no artefact"):
        verify(path)
