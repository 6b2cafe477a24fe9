"""This module tests what the benchmark of launchers keeps, and how it counts processor time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.celery_runs import SERIES, is_done, kept_rows, with_row
from benchmarks.process_time import ProcessTime
from cj_pipeline.traces.store import TraceStore
from tests.dagster_floor.floor import LOWER5, TRACES
from tests.dagster_floor.machines import copies

BUSY = "import time\nwhile time.process_time() < 1.2: pass"


def row(series: str, partitions: int, ended: int) -> dict[str, object]:
    return {"series": series, "partitions": partitions, "ended": ended}


def test_a_series_that_was_cut_off_is_run_again_and_replaced(tmp_path: Path) -> None:
    own, celery = SERIES["own-1"], SERIES["celery-2"]
    rows = with_row(kept_rows(tmp_path / "none.json"), row("celery-2", 6, 6))
    rows = with_row(rows, row("own-1", 6, 2))
    assert [is_done(rows, one, 6) for one in (own, celery)] == [False, True]
    assert not is_done(rows, celery, 200)
    assert with_row(rows, row("own-1", 6, 6)) == [row("own-1", 6, 6), row("celery-2", 6, 6)]


def test_each_copy_of_a_scenario_is_whole_and_has_an_id_and_a_seed_of_its_own(tmp_path: Path) -> None:
    copies(TRACES / LOWER5, tmp_path, ["small_1", "small_2"])
    copies(TRACES / LOWER5, tmp_path, ["small_1", "small_2"])
    traces = [TraceStore(tmp_path).trace(name) for name in TraceStore(tmp_path).scenario_ids()]
    assert [(one.scenario.scenario_id, one.scenario.live.seed) for one in traces] == [("small_1", 1), ("small_2", 2)]


def test_time_of_a_process_that_has_ended_is_counted_and_that_of_the_observer_is_not() -> None:
    with ProcessTime() as times:
        begun = time.process_time()
        while time.process_time() < begun + 0.1:
            pass
        subprocess.run([sys.executable, "-c", BUSY], check=True)
        counted = times.seconds()
    assert 0 < counted < 60
    with ProcessTime() as times:
        begun = time.process_time()
        while time.process_time() < begun + 0.1:
            pass
        times._look()
        assert times.seconds() == 0
