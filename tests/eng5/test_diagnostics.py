"""This module tests what diagnostics say of a batch: the extract by the keys its readers know, its state, places."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from cj_pipeline.eng5.alignment.case import AlignmentCase, case_of_database, case_of_record
from cj_pipeline.eng5.diagnostics.assignments import Assignment, anchors_of, assignments, hints
from cj_pipeline.eng5.diagnostics.database import diagnosed_database
from cj_pipeline.eng5.diagnostics.extract import extracted
from cj_pipeline.eng5.diagnostics.positions import positions
from cj_pipeline.eng5.diagnostics.state import batch_report
from cj_pipeline.engine.scoring.places import Places
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.importing.cj_database import cj_rows
from tests.eng5.answers import answer, case_of
from tests.sides import LOWER5, recorded, scenario
from tests.traces.importing.batches import Kept, kept_batch

# Of the reference's extractor: the blocks of its JSON, and what its readers look up in each.
KEYS = {
    "batch_info": {"id", "bos_batch_id", "status", "assignment_id", "created_at", "completed_at", "language"},
    "batch_state": {"state", "total_budget", "submitted_comparisons", "completed_comparisons", "failed_comparisons"},
    "comparisons": {"essay_a_els_id", "essay_b_els_id", "winner", "confidence", "justification", "error_code"},
    "bradley_terry_stats": {"els_essay_id", "current_bt_score", "current_bt_se", "comparison_count", "is_anchor"},
    "grade_projections": {"els_essay_id", "primary_grade", "confidence_score", "confidence_label", "grade_scale"},
    "wins_losses": {"wins", "losses", "total"},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Six essays and eight anchors in a CJ database, judged by the mock."""
    return kept_batch(f"sqlite:///{tmp_path_factory.mktemp('cj')}/cj.db", graded=True)


def changed(kept: Kept, tmp_path: Path, *statements: str) -> str:
    """A copy of the database in which something else happened."""
    path = tmp_path / "changed.db"
    shutil.copyfile(kept.url.removeprefix("sqlite:///"), path)
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    return f"sqlite:///{path}"


def test_an_extract_has_the_blocks_and_keys_of_the_reference(kept: Kept) -> None:
    document = extracted(cj_rows(kept.url, "bos-1"))
    assert list(document) == list(KEYS)
    for name, keys in KEYS.items():
        block = document[name]
        rows = [block] if name.startswith("batch_") else list(block.values()) if name == "wins_losses" else block
        assert rows
        assert [keys - row.keys() for row in rows if keys - row.keys()] == [], name
    assert (len(document["comparisons"]), len(document["grade_projections"])) == (120, 6)
    assert document["batch_state"]["max_possible_pairs_nc2"] == 14 * 13 // 2


def test_the_ranking_is_the_service_s_own_and_its_sums_are_those_of_the_comparisons(kept: Kept) -> None:
    document = extracted(cj_rows(kept.url, "bos-1"))
    stats = document["bradley_terry_stats"]
    assert [row["rank"] for row in stats] == list(range(1, 15))
    scores = [row["current_bt_score"] for row in stats]
    assert scores == sorted(kept.scores.values(), reverse=True)
    assert all(row["total"] == row["comparison_count"] for row in stats)
    assert sum(row["wins"] for row in stats) == sum(row["losses"] for row in stats) == 120
    assert {row["known_grade"] for row in stats if row["is_anchor"]} == {"F", "E", "D", "D+", "C", "C+", "B", "A"}
    assert {row["known_grade"] for row in stats if not row["is_anchor"]} == {None}


def test_an_error_is_no_win_and_no_loss(kept: Kept, tmp_path: Path) -> None:
    error = "update cj_comparison_pairs set winner = 'error', error_code = 'PROVIDER_TIMEOUT' where id <= 3"
    document = extracted(cj_rows(changed(kept, tmp_path, error), "bos-1"))
    assert sum(row["wins"] for row in document["bradley_terry_stats"]) == 117
    assert sum(one["total"] for one in document["wins_losses"].values()) == 2 * 117


def test_the_state_of_a_batch_that_is_well_names_no_problem_but_its_uncertain_scores(kept: Kept) -> None:
    report = batch_report(cj_rows(kept.url, "bos-1"))
    assert report["batching"] == {"effective": "serial_bundle", "override": None}
    assert (report["counters"]["won"], report["counters"]["waiting"]) == (120, 0)
    assert report["progress"]["successful_pairs_count"] == report["progress"]["nc2"] == 91
    assert report["anchors"] == {"in_the_batch": 8, "registered": 8}
    assert report["flags_that_no_judge_could_avoid"] == ["bt_se_inflated"]
    assert report["problems"] == ["Scores are uncertain (bt_se_inflated); a diagnosis that changed nothing."]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "update cj_comparison_pairs set winner = 'error', error_code = 'PROVIDER_TIMEOUT' where id <= 3",
            "3 comparisons failed: PROVIDER_TIMEOUT (3).",
        ),
        ("update cj_comparison_pairs set winner = null where id <= 2", "2 of its comparisons have no answer"),
        ("update cj_batch_states set completed_comparisons = 119", "The counters say 119 answers, and 120 rows"),
        ("delete from anchor_essay_references", "The assignment has no anchors"),
        (
            "update cj_batch_states set processing_metadata = "
            "json_set(processing_metadata, '$.failed_reason', json('{\"reason\": \"low_success_rate\"}'))",
            "The service failed the batch: low_success_rate.",
        ),
    ],
)
def test_what_is_wrong_with_a_batch_is_said_in_a_sentence(
    kept: Kept, tmp_path: Path, statement: str, words: str
) -> None:
    problems = batch_report(cj_rows(changed(kept, tmp_path, statement), "bos-1"))["problems"]
    assert any(words in problem for problem in problems), problems


def test_errors_are_answers_and_a_batch_that_is_over_waits_for_nothing(kept: Kept, tmp_path: Path) -> None:
    failed = (
        "update cj_comparison_pairs set winner = 'error', error_code = 'TIMEOUT' where id <= 3",
        "update cj_batch_states set completed_comparisons = 117, failed_comparisons = 3",
    )
    problems = batch_report(cj_rows(changed(kept, tmp_path, *failed), "bos-1"))["problems"]
    assert not any("The counters say" in problem for problem in problems)
    assert any("3 comparisons failed: TIMEOUT (3)." in problem for problem in problems)
    nothing = "delete from cj_comparison_pairs"
    over = batch_report(cj_rows(changed(kept, tmp_path, nothing), "bos-1"))["problems"]
    begun = "update cj_batch_uploads set status = 'PERFORMING_COMPARISONS'"
    open_ = batch_report(cj_rows(changed(kept, tmp_path, nothing, begun), "bos-1"))["problems"]
    assert [any("Nothing was asked yet" in problem for problem in one) for one in (over, open_)] == [False, True]


def test_a_batch_in_the_middle_says_how_many_answers_it_waits_for_and_since_when(kept: Kept, tmp_path: Path) -> None:
    statements = (
        "update cj_batch_uploads set status = 'PERFORMING_COMPARISONS'",
        "update cj_comparison_pairs set winner = null where id > 100",
        "update cj_batch_states set completed_comparisons = 100",
    )
    problems = batch_report(cj_rows(changed(kept, tmp_path, *statements), "bos-1"))["problems"]
    assert problems[0].startswith("20 comparisons wait for an answer; the last activity was at 2025-12-01 08:00:")


def test_a_database_of_production_s_older_tables_is_extracted_too(kept: Kept, tmp_path: Path) -> None:
    lacking = [
        "alter table cj_processed_essays drop column current_bt_se",
        "alter table cj_batch_states drop column current_iteration",
        "drop table grade_projections",
    ]
    rows = cj_rows(changed(kept, tmp_path, *lacking), "bos-1")
    assert extracted(rows)["grade_projections"] == []
    assert batch_report(rows)["counters"]["current_iteration"] is None


def test_instructions_are_listed_with_what_keeps_a_run_from_taking_them(kept: Kept, tmp_path: Path) -> None:
    (one,) = assignments(kept.url)
    assert (one.assignment_id, one.anchors, one.missing) == ("assignment-1", 8, ())
    assert hints([one])[0] == "export ASSIGNMENT=assignment-1"
    bare = changed(kept, tmp_path, "delete from anchor_essay_references",
                   "update assessment_instructions set student_prompt_storage_id = null")  # fmt: skip
    (lacking,) = assignments(bare)
    assert lacking.missing == ("student prompt", "anchors")
    assert [hint.split()[1:3] for hint in hints([lacking])[1:]] == [["cj", "admin"], ["eng5", "register-anchors"]]
    assert anchors_of(bare, "assignment-1") == []
    with pytest.raises(BadInput, match="'assignment-2' has neither instructions nor anchors"):
        anchors_of(kept.url, "assignment-2")


def test_the_newest_twenty_are_listed_the_newest_first(kept: Kept, tmp_path: Path) -> None:
    columns = "assignment_id, instructions_text, grade_scale, context_origin, created_at"
    more = [
        f"insert into assessment_instructions ({columns}) "  # noqa: S608
        f"select 'later-{day:02d}', 'x', grade_scale, context_origin, '2026-01-{day:02d} 00:00:00' "
        "from assessment_instructions where assignment_id = 'assignment-1'"
        for day in range(1, 25)
    ]
    listed = assignments(changed(kept, tmp_path, *more))
    assert [one.assignment_id for one in listed] == [f"later-{day:02d}" for day in range(24, 4, -1)]


def test_hints_for_no_instructions_say_how_to_make_some() -> None:
    assert "instructions set" in hints([])[0]
    course = Assignment(None, "eng5", "swedish_8_anchor", None, None, None, 0, None)
    assert hints([course]) == hints([])


@pytest.mark.parametrize(
    ("given", "environment", "url"),
    [
        ("sqlite:///x.db", {"CJ_ASSESSMENT_SERVICE_DATABASE_URL": "sqlite:///y.db"}, "sqlite:///x.db"),
        (None, {"CJ_ASSESSMENT_SERVICE_DATABASE_URL": "sqlite:///y.db", "HULEEDU_DB_USER": "u"}, "sqlite:///y.db"),
        (
            None,
            {"HULEEDU_DB_USER": "u", "HULEEDU_DB_PASSWORD": "p/w", "CJ_ASSESSMENT_SERVICE_DB_NAME": "cj"},
            "postgresql://u:p%2Fw@localhost:5434/cj",
        ),
        (
            None,
            {
                "HULEEDU_DB_USER": "u",
                "HULEEDU_DB_HOST": "db",
                "HULEEDU_CJ_DB_PORT": "1",
                "HULEEDU_DB_PORT": "2",
                "CJ_ASSESSMENT_SERVICE_DB_NAME": "cj",
            },
            "postgresql://u@db:1/cj",
        ),
    ],
)
def test_the_database_is_found_as_the_reference_s_scripts_find_it(
    given: str | None, environment: dict[str, str], url: str
) -> None:
    assert diagnosed_database(given, environment) == url


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "no CJ database is named"),
        ({"HULEEDU_DB_USER": "u", "HULEEDU_DB_PASSWORD": "secret"}, "HULEEDU_DB_.* alone name no database"),
        ({"HULEEDU_DB_HOST": "db"}, "HULEEDU_DB_USER: is not set"),
    ],
)
def test_half_of_a_database_is_refused_without_its_password(environment: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput, match=words) as refused:
        diagnosed_database(None, environment)
    assert "secret" not in str(refused.value)


def test_places_are_counted_per_essay_and_each_comparison_once() -> None:
    case = case_of([("a", "b"), ("b", "c")], {"a": "A", "b": "B"})
    twice = replace(case, callbacks=(*case.callbacks, *case.callbacks))
    found = positions(twice)
    assert {one.essay_id: one.places for one in found.essays} == {
        "a": Places(0, 1, 0, 1),
        "b": Places(2, 0, 1, 0),
        "c": Places(0, 1, 0, 0),
    }
    assert [(group.kind, group.shown) for group in found.groups] == [("anchors", 1), ("anchor and student", 1)]
    assert found.worst is not None
    assert found.worst.places.skew == 1.0


def test_anchors_that_are_always_shown_first_are_seen() -> None:
    callbacks = tuple(answer("ANCHOR_1", f"s{n}", "ANCHOR_1" if n % 4 else f"s{n}", n) for n in range(40))
    labels = {essay: essay for one in callbacks for essay in one.essay_ids()}
    found = positions(AlignmentCase("t", "t", callbacks, labels, {}, ("A",)))
    (mixed,) = found.groups
    assert mixed.anchor_first is not None
    assert (mixed.kind, mixed.anchor_first.value, mixed.first_won.value) == ("anchor and student", 1.0, 0.75)
    assert mixed.anchor_first.low is not None
    assert mixed.anchor_first.low > 0.9


def test_pairs_that_come_back_in_one_order_are_counted() -> None:
    callbacks = tuple(answer(a, b, a, n) for n, (a, b) in enumerate([("x", "y"), ("x", "y"), ("x", "z"), ("z", "x")]))
    found = positions(AlignmentCase("t", "t", callbacks, {}, {}, ("A",)))
    assert (found.repeated, found.one_order) == (2, 1)


def test_places_of_a_database_and_of_a_trace_have_their_anchors(kept: Kept) -> None:
    found = positions(case_of_database(kept.url, "bos-1", None))
    assert [one.anchor for one in found.essays] == [True] * 8 + [False] * 6
    assert sum(group.shown for group in found.groups) == 120
    assert sum(one.places.as_a for one in found.essays) == sum(one.places.as_b for one in found.essays) == 120
    of_trace = positions(case_of_record(scenario(LOWER5), recorded(LOWER5)))
    assert [(group.kind, group.shown) for group in of_trace.groups] == [("anchors", 10)]


def test_a_batch_in_postgresql_is_extracted_as_one_in_sqlite_is(kept: Kept, postgres_url: str) -> None:
    other = kept_batch(postgres_url, graded=True)
    there, here = extracted(cj_rows(other.url, "bos-1")), extracted(cj_rows(kept.url, "bos-1"))
    assert [row["known_grade"] for row in there["bradley_terry_stats"] if row["is_anchor"]]
    assert there["wins_losses"].keys() == here["wins_losses"].keys()
    assert there["bradley_terry_stats"][0].keys() == here["bradley_terry_stats"][0].keys()
    assert batch_report(cj_rows(other.url, "bos-1"))["counters"]["won"] == 120
    assert assignments(other.url)[0].anchors == 8
