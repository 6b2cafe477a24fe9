"""The page over all scenarios says what needs somebody first, what changed since last time, and how each check went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any

from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.parity.history.changes import alarm_threshold
from cj_pipeline.parity.history.history import history_of
from cj_pipeline.parity.tables import CHECKS, report_rows
from cj_pipeline.reports.page.suite import PastRun, SuiteEntry, entry_of, suite_page
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.store import Warehouse
from tests.parity.history_rows import night, nights
from tests.reports.page.test_page import HOSTILE, Reader
from tests.reports.test_headline import inverted, second_run
from tests.sides import LADDER
from tests.warehouse.rows import made, published, row

FIRST = datetime(2026, 3, 1, 2, tzinfo=UTC)


def entry(name: str, *reports: ParityReport, **about: str) -> SuiteEntry:
    runs = [PastRun(FIRST + timedelta(days=day), report_rows(one)) for day, one in enumerate(reports)]
    return SuiteEntry(name, runs, **about)


def text_of(*entries: SuiteEntry) -> str:
    return Reader(suite_page(entries)).text


def test_what_needs_somebody_comes_first() -> None:
    text = text_of(entry("calm", second_run()), entry("red", inverted()), SuiteEntry("gone", (), problem="it broke"))
    assert text.index("gone") < text.index("red") < text.index("calm")
    assert "1 of 3 scenarios came out as expected." in text
    assert "it broke" in text


def test_a_run_that_broke_off_after_its_verdict_is_shown_so_and_needs_somebody() -> None:
    text = text_of(entry("red", inverted()), entry("late", second_run(), problem="no room"))
    assert text.index("late") < text.index("red")
    assert text.count("PARITY, then broke off") == 2  # in the table on top, and with its gates
    assert "no room" in text
    assert "0 of 2 scenarios came out as expected." in text


def test_a_verdict_and_gates_that_changed_are_named_with_the_time_before() -> None:
    text = text_of(entry("red", second_run(), inverted()))
    assert "Since 2026-03-01 02:00 UTC:" in text
    assert "The verdict was PARITY, and is NO PARITY." in text
    assert "answer_agreement: pass before, fail now." in text


def test_nothing_changed_is_said_too_and_so_is_a_first_run() -> None:
    assert "Nothing changed since 2026-03-01 02:00 UTC." in text_of(entry("calm", second_run(), second_run()))
    assert "There is no earlier run to set it beside." in text_of(entry("calm", second_run()))


def test_each_check_has_a_line_over_its_runs() -> None:
    page = suite_page([entry("red", second_run(), second_run(), inverted())])
    assert 'aria-label="answer_agreement over 3 runs"' in page
    spark = page[page.index('aria-label="answer_agreement over 3 runs"') :]
    points = spark[spark.index('points="') + 8 :].split('"')[0].split()
    assert len(points) == 3
    assert points[0].split(",")[1] == points[1].split(",")[1] != points[2].split(",")[1]


def test_names_are_data() -> None:
    read = Reader(suite_page([SuiteEntry(HOSTILE, (), problem=HOSTILE)]))
    assert "script" not in read.tags
    assert "\u202e" not in read.text


def night_of(warehouse: Warehouse, run_id: str, report: ParityReport) -> RunFolder:
    """A published run with this report."""
    report_row = row("parity_reports", scenario_id=LADDER, verdict=report.verdict.value)
    return published(warehouse.run(run_id, LADDER), {CHECKS: report_rows(report), "parity_reports": [report_row]})


def test_the_past_is_the_history_which_outlives_the_folders_of_its_runs_and_has_no_trials(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "data")
    folder = night_of(warehouse, "one", second_run()).folder
    made(warehouse.run("tried", LADDER), {CHECKS: report_rows(inverted())}, trial=True)
    run = night_of(warehouse, "two", inverted())
    rmtree(folder)
    entry = entry_of(run, "two.html")
    assert [past.rows[0]["run_verdict"] for past in entry.runs] == ["PARITY", "NO PARITY"]
    text = text_of(entry)
    assert f"Not as expected since {entry.runs[-1].written_at:%Y-%m-%d}." in text
    assert f"fail since {entry.runs[-1].written_at:%Y-%m-%d}" in text
    assert "answer_agreement: pass before, fail now." in text


def test_a_trial_is_set_beside_the_history_and_is_not_in_it(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "data")
    night_of(warehouse, "one", second_run())
    entry = entry_of(made(warehouse.run("tried", LADDER), {CHECKS: report_rows(inverted())}, trial=True))
    assert (entry.history, len(entry.runs)) == (None, 2)
    assert "Not as expected since" not in text_of(entry)


def of_history(rows: Sequence[Mapping[str, Any]]) -> SuiteEntry:
    """The entry of the newest night of a history."""
    found = history_of(rows, alarm_threshold(1))
    return replace(entry("anchors", second_run(), second_run()), history=found)


def test_a_change_by_name_and_a_drift_without_one_are_said_and_the_drift_needs_somebody() -> None:
    steady = [0.1, -0.2, 0.0, 0.3, -0.1, 0.2, -0.3, 0.15, -0.15, 0.05] * 6
    before = nights(steady)
    named = of_history([*before, night(60, 0.0, mode_sha="other")])
    assert "The mode (same -> other) changed; trends start afresh." in text_of(named)
    drifted = nights([*steady, *(value + 2 for value in steady[:20])])
    alarm = next(n for n in range(60, 80) if history_of(drifted[: n + 1], alarm_threshold(1)).new_shifts)
    text = text_of(entry("calm", second_run()), of_history(drifted[: alarm + 1]))
    assert "position_effect changed about 2026-03-0" in text
    assert "1 of 2 scenarios came out as expected." in text
    assert "position_effect changed" not in text_of(of_history(drifted[: alarm + 2]))


def test_the_table_on_top_has_a_row_for_each_scenario() -> None:
    page = suite_page([entry("red", second_run(), inverted()), entry("calm", second_run(), second_run())])
    table = page[page.index("<table") : page.index("</table>")]
    assert table.count('<th scope="row">') == 2
    assert '<a href="#s1">' in table
    assert "nothing" in table
