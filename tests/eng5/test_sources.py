"""This module tests what an alignment is made from: a CJ database, an artefact of ours or of the reference, a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.contracts.callback import Rejection, parse_callback
from cj_pipeline.eng5.alignment.case import case_of_artefact, case_of_database, case_of_record, has_order
from cj_pipeline.eng5.alignment.result import evaluate
from cj_pipeline.eng5.artefact.verify import verify
from cj_pipeline.eng5.db_extract import extract
from cj_pipeline.eng5.diagnostics.extract import extracted
from cj_pipeline.eng5.options import RunnerMode
from cj_pipeline.eng5.runner import run
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.importing.artefact import eng5_artefact
from cj_pipeline.traces.importing.cj_database import cj_rows
from tests.eng5.nets import options
from tests.sides import LOWER5, recorded, scenario
from tests.traces.importing.artefacts import artefact_of, write_artefact
from tests.traces.importing.batches import Kept, kept_batch


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Six essays and eight anchors in a CJ database, judged by the mock."""
    return kept_batch(f"sqlite:///{tmp_path_factory.mktemp('cj')}/cj.db", graded=True)


def test_a_batch_of_a_database_has_its_grades_by_either_of_its_ids(kept: Kept) -> None:
    by_sender = case_of_database(kept.url, "bos-1", None)
    assert has_order(by_sender)
    assert len(by_sender.grades) == 8
    number = cj_rows(kept.url, "bos-1").upload["id"]
    by_number = case_of_database(kept.url, str(number), None)
    assert evaluate(by_number, repeats=0).anchors == evaluate(by_sender, repeats=0).anchors


def test_an_extract_counts_no_error_as_a_win(kept: Kept, tmp_path: Path) -> None:
    rows = cj_rows(kept.url, "bos-1")
    document = extracted(rows)
    wins = sum(one["wins"] for one in document["wins_losses"].values())
    assert wins == sum(row["winner"] in ("essay_a", "essay_b") for row in rows.pairs) > 0
    assert all(one["wins"] + one["losses"] == one["total"] for one in document["wins_losses"].values())
    outcome = extract(kept.url, "bos-1", tmp_path / "extract")
    assert (outcome["status"], Path(str(outcome["output_path"])).is_file()) == ("succeeded", True)
    assert extract(kept.url, "nowhere", tmp_path / "other")["status"] == "failed"


def test_an_artefact_of_the_reference_is_read_and_verified(tmp_path: Path) -> None:
    path = write_artefact(tmp_path / "assessment_run.execute.json", artefact_of(LOWER5))
    problems = [problem for problem in verify(path).problems if not problem.startswith("manifest")]
    assert problems == []
    case = case_of_artefact(path)
    found, trace = evaluate(case, repeats=0), evaluate(case_of_record(scenario(LOWER5), recorded(LOWER5)), repeats=0)
    assert found.tau_a is not None
    assert trace.tau_a is not None
    assert (found.tau_a.value, found.judged) == (trace.tau_a.value, trace.judged)
    document = artefact_of(LOWER5)
    document["llm_comparisons"][0]["winner_id"] = document["llm_comparisons"][0]["loser_id"]
    changed = write_artefact(tmp_path / "changed.json", document)
    changed.write_text(changed.read_text().replace("gpt-5.1", "gpt-5.2"))
    assert any("does not agree" in problem for problem in verify(changed).problems)


def test_an_artefact_of_ours_is_imported_with_every_answer(tmp_path: Path) -> None:
    outcome = run(options(RunnerMode.ANCHOR_ALIGN, tmp_path))
    source = eng5_artefact(outcome.artefact)
    events = [parse_callback(found.raw) for found in source.found]
    assert not any(isinstance(event, Rejection) for event in events)
    assert len(events) == 6
    assert source.known.remarks == ()
    assert {item.grade for item in source.known.items} == {"A", "B", "C+", "D-"}


def test_an_artefact_without_an_answer_has_no_order(tmp_path: Path) -> None:
    outcome = run(options(RunnerMode.PLAN, tmp_path))
    with pytest.raises(BadInput, match="holds no answered comparison"):
        case_of_artefact(outcome.artefact)
