"""This module tests the table of what runs by launcher and workers took."""

from __future__ import annotations

from typing import Any

from cj_pipeline.reports.run_series import run_series_table


def row(what: str, seconds: float, **changed: Any) -> dict[str, Any]:
    return {
        "series": what,
        "what": what,
        "partitions": 200,
        "ended": 200,
        "seconds": seconds,
        "cpu_seconds": 1234.5,
        "failed": 0,
        "repeated": 0,
        **changed,
    }


def test_the_speed_up_is_against_the_first_series_of_as_many_scenarios() -> None:
    rows = [row("six", 60.0, partitions=6, ended=6), row("one", 1200.0), row("two", 600.0, repeated=1)]
    lines = run_series_table(rows).splitlines()[2:]
    assert lines == [
        "| six | 6 | 60 | 6.0 | 1,234 | 1.00 | 0 | 0 |",
        "| one | 200 | 1,200 | 10.0 | 1,234 | 1.00 | 0 | 0 |",
        "| two | 200 | 600 | 20.0 | 1,234 | 2.00 | 0 | 1 |",
    ]


def test_a_series_that_was_cut_off_says_how_far_it_came() -> None:
    (line,) = run_series_table([row("one", 60.0, ended=5)]).splitlines()[2:]
    assert line.startswith("| one | 5 of 200 | 60 | 5.0 |")


def test_a_series_of_which_nothing_ended_has_no_rate() -> None:
    (line,) = run_series_table([{**row("one", 0.0, ended=0), "seconds": None}]).splitlines()[2:]
    assert line.startswith("| one | 0 of 200 | 0 | 0.0 | 1,234 |  |")


def test_what_the_webserver_took_meanwhile_is_beside_it() -> None:
    rows = [row("page", 60.0, page_median_s=0.2, page_longest_s=1.5), row("two", 60.0)]
    head, _, page, other = run_series_table(rows).splitlines()
    assert head.endswith("| page of runs, s: median, longest |")
    assert page.endswith("| 0.2, 1.5 |")
    assert other.endswith("| 0 |  |")


def test_without_figures_it_says_how_to_get_them() -> None:
    assert "python -m benchmarks.celery_runs --write" in run_series_table([])
