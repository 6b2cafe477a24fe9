"""The page over all scenarios says what needs somebody first, what changed since last time, and how each check went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.parity.tables import CHECKS, report_rows
from cj_pipeline.reports.page.suite import PastRun, SuiteEntry, past_runs, suite_page
from cj_pipeline.warehouse.origin import Origin
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import PARITY_PART
from cj_pipeline.warehouse.store import Warehouse
from tests.reports.page.test_page import HOSTILE, Reader
from tests.reports.test_headline import inverted, second_run
from tests.sides import LADDER

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


def stored(warehouse: Warehouse, run_id: str, report: ParityReport, *, trial: bool = False) -> RunFolder:
    run = warehouse.run(run_id, LADDER)
    run.write(CHECKS, PARITY_PART, report_rows(report), Origin(answers={}, trial=trial))
    return run


def test_earlier_runs_are_whole_ones_of_the_same_scenario_and_no_trials(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    stored(warehouse, "one", second_run())
    stored(warehouse, "tried", inverted(), trial=True)
    run = stored(warehouse, "two", inverted())
    stored(warehouse, "later", second_run())
    assert [past.rows[0]["run_verdict"] for past in past_runs(warehouse, run)] == ["PARITY", "NO PARITY"]
