"""This module tests `extract`, `doctor --eng5` and what `eng5` shows of a deployed batch, from the command line."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from cj_pipeline.cli.extract_text import HEADINGS, RANKING
from tests.cli.terminal import Terminal, printed_rows
from tests.eng5.nets import small_net
from tests.sides import LOWER5
from tests.traces.importing.batches import Kept, kept_batch

# The headings and the columns of the reference's extractor.
SECTIONS = (
    "BATCH STATE",
    "PAIRWISE COMPARISON RESULTS",
    "BRADLEY-TERRY RANKING & STATISTICS",
    "STUDENT GRADE PROJECTIONS",
    "SUMMARY",
)
COLUMNS = ("rank", "id", "score", "SE", "W", "L", "total", "anchor", "known_grade")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A graded batch in a CJ database."""
    return kept_batch(f"sqlite:///{tmp_path_factory.mktemp('cj')}/cj.db", graded=True)


@pytest.fixture(autouse=True)
def _no_services(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CJ_ASSESSMENT_SERVICE_DATABASE_URL", "SERVICE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HULEEDU_DB_USER", "HULEEDU_DB_HOST"):
        monkeypatch.delenv(name, raising=False)


def test_the_text_has_the_reference_s_sections_in_their_order(cj_pipeline: Terminal, kept: Kept) -> None:
    assert (HEADINGS, RANKING) == (SECTIONS, COLUMNS)
    shown = cj_pipeline("extract", "bos-1", "--database", kept.url, columns=80)
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert lines[0] == "CJ BATCH 1: bos-1"
    assert [line for line in lines if line in SECTIONS] == list(SECTIONS)
    assert "nC2 (possible pairs): 91 of 14 essays" in lines
    assert max(len(line) for line in lines) <= 80
    assert len(printed_rows(shown.out, "#")) == 120
    first = printed_rows(shown.out, "rank")[0]
    assert (first[0], first[4], first[5], first[6]) == ("1", "10", "7", "17")
    assert "comparisons: 120: 120 with a winner (100 %), 0 failed, 0 waiting" in lines


def test_a_number_and_the_sender_s_id_are_the_same_batch_and_a_file_holds_what_is_shown(
    cj_pipeline: Terminal, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_DATABASE_URL", kept.url)
    by_number = cj_pipeline("extract", "1", "--format", "json")
    assert by_number.out == cj_pipeline("extract", "bos-1", "--format", "json").out
    assert list(by_number.document) == [
        "batch_info", "batch_state", "comparisons", "bradley_terry_stats", "grade_projections", "wins_losses",
    ]  # fmt: skip
    written = cj_pipeline("extract", "1", "--format", "json", "-o", tmp_path / "batch.json")
    assert (written.code, written.out) == (0, "")
    assert json.loads((tmp_path / "batch.json").read_text()) == by_number.document
    assert cj_pipeline("extract", "1", "-o", tmp_path / "batch.txt").code == 0
    assert "BATCH STATE" in (tmp_path / "batch.txt").read_text()


def test_grades_have_a_section_only_where_there_are_some(cj_pipeline: Terminal, tmp_path: Path) -> None:
    guest = kept_batch(f"sqlite:///{tmp_path}/guest.db", 3)
    shown = cj_pipeline("extract", "bos-1", "--database", guest.url)
    assert "STUDENT GRADE PROJECTIONS" not in shown.out
    assert "SUMMARY" in shown.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("extract", "1"), "no CJ database is named"),
        (("extract", "9", "--database", "{url}"), "batch: no such batch. The newest have the numbers 1."),
        (("extract", "1", "--database", "sqlite:///nowhere.db"), "no such file"),
        (("extract", "1", "--database", "mysql://x"), "the CJ database: is not the URL"),
        (("extract", "1", "--database", "{url}", "-o", "nowhere/x"), "nowhere: there is no such folder."),
        (("eng5", "batch-state", "none", "--database", "{url}"), "no such batch"),
        (("eng5", "instructions", "--anchors", "assignment-2", "--database", "{url}"), "Did you mean 'assignment-1'?"),
        (("eng5", "positions"), "one of the three"),
        (("eng5", "positions", "a", "b"), "The report is about one run."),
        (("doctor", "stray"), "'stray' goes with --eng5"),
        (("doctor", "--eng5", "--no-such-option"), "No such option"),
    ],
)
def test_what_cannot_be_used_is_a_sentence_and_exit_code_2(
    cj_pipeline: Terminal, kept: Kept, arguments: tuple[str, ...], words: str
) -> None:
    answer = cj_pipeline(*(word.format(url=kept.url) for word in arguments))
    assert (answer.code, words in answer.err) == (2, True), answer.err


def test_instructions_come_with_commands_to_copy(cj_pipeline: Terminal, kept: Kept) -> None:
    shown = cj_pipeline("eng5", "instructions", "--database", kept.url)
    assert printed_rows(shown.out, "Instructions")[0][:2] == ["assignment-1", "swedish_8_anchor"]
    assert "    export ASSIGNMENT=assignment-1\n" in shown.out
    anchors = cj_pipeline("eng5", "instructions", "--anchors", "assignment-1", "--database", kept.url)
    assert len(printed_rows(anchors.out, "Anchors")) == 8
    assert "8 anchors" in anchors.out
    document = cj_pipeline("eng5", "instructions", "--database", kept.url, "--json").document
    assert document["instructions"][0]["missing"] == []


def test_the_state_of_a_batch_is_shown_with_what_to_look_at(cj_pipeline: Terminal, kept: Kept) -> None:
    shown = cj_pipeline("eng5", "batch-state", "1", "--database", kept.url)
    rows = printed_rows(shown.out, "Batch 1")
    assert ["batching", "effective", "serial_bundle"] in rows
    assert ["counters", "waiting", "0"] in rows
    assert "note: Scores are uncertain (bt_se_inflated)" in shown.out
    assert "whatever the judge had said" in shown.out
    assert cj_pipeline("eng5", "batch-state", "1", "--database", kept.url, "--json").document["flags"]


def test_what_a_database_says_is_never_markup(cj_pipeline: Terminal, kept: Kept, tmp_path: Path) -> None:
    path = tmp_path / "bad.db"
    path.write_bytes(Path(kept.url.removeprefix("sqlite:///")).read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("update cj_comparison_pairs set error_code = char(27) || '[31mred' where id = 1")
        connection.execute("update cj_batch_uploads set bos_batch_id = 'x' || char(27) || '[2J'")
    for command in (("extract", "1"), ("eng5", "batch-state", "1"), ("eng5", "positions", "--cj-batch-id", "1")):
        shown = cj_pipeline(*command, "--database", f"sqlite:///{path}")
        assert shown.code == 0
        assert "\x1b" not in shown.out


def test_places_are_shown_and_a_limit_can_be_set(cj_pipeline: Terminal, kept: Kept) -> None:
    shown = cj_pipeline("eng5", "positions", "--cj-batch-id", "1", "--database", kept.url)
    assert shown.code == 0
    assert len(printed_rows(shown.out, "Places")) == 14
    assert [row[0] for row in printed_rows(shown.out, "By kind")] == ["anchors", "students", "anchor and student"]
    command = ("eng5", "positions", LOWER5, "--max-skew")
    assert cj_pipeline(*command, "1").code == 0
    skew = max(
        abs(int(row[2]) - int(row[3])) / (int(row[2]) + int(row[3])) for row in printed_rows(shown.out, "Places")
    )
    of_batch = ("eng5", "positions", "--cj-batch-id", "1", "--database", kept.url, "--max-skew")
    assert skew > 0
    assert [cj_pipeline(*of_batch, repr(limit)).code for limit in (skew, skew - 1e-6)] == [0, 1]
    uneven = cj_pipeline(*command, "0")
    worst = max(abs(int(row[2]) - int(row[3])) for row in printed_rows(uneven.out, "Places"))
    assert (uneven.code, "was shown more unevenly than 0" in uneven.out) == ((1, True) if worst else (0, False))


def test_a_limit_that_is_no_number_is_refused(cj_pipeline: Terminal) -> None:
    for command in (
        ("eng5", "positions", LOWER5, "--max-skew", "nan"),
        ("eng5", "plan", "--budget-usd", "nan"),
        ("eng5", "plan", "--budget-usd", "inf"),
        ("eng5", "plan", "--llm-temperature", "nan"),
        ("eng5", "experiment", "--effort", "low", "--max-usd", "nan"),
        ("record", "x", "--budget-usd", "nan"),
        ("record", "x", "--temperature", "nan"),
    ):
        refused = cj_pipeline(*command)
        assert (refused.code, refused.out) == (2, ""), command
        assert f"'{command[-2]}'" in refused.err or f"{command[-2]}:" in refused.err, command


def test_doctor_looks_before_a_run_and_exits_with_1_and_the_reason(cj_pipeline: Terminal, tmp_path: Path) -> None:
    net = small_net(tmp_path / "net")
    good = cj_pipeline("doctor", "--eng5", "--net", net, "--output-dir", tmp_path / "out", "--json")
    assert (good.code, {one["problem"] for one in good.document}) == (0, {None})
    (net / "students" / "pupil_0.txt").write_text("")
    bad = cj_pipeline("doctor", "--eng5", "--net", net, "--output-dir", tmp_path / "out")
    assert (bad.code, "pupil_0.txt: holds no text" in bad.out) == (1, True)
