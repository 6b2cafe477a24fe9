"""How long do hundreds of scenarios take with Dagster's own launcher, and with Celery workers?

    python -m benchmarks.celery_runs [--series NAME ...] [--partitions 200] [--minutes 60] [--output FILE] [--write]

Each series is a backfill of small scenarios (copies of one, each with a seed of its own) with a daemon, PostgreSQL
and, for Celery, Redis, all on this machine. A series that the output has already is not run again; one that --minutes
cut off is. --write puts the table into docs/nightly.md. Needs `make celery`, redis-server and PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dagster import DagsterInstance, DagsterRunStatus, RunRecord

from benchmarks.process_time import ProcessTime, listening_postgres
from benchmarks.runs_page import RunsPage
from cj_pipeline.local.server import Server
from cj_pipeline.reports.reference import REPOSITORY
from cj_pipeline.reports.reference import main as write_documents
from cj_pipeline.reports.run_series import FIGURES, run_series_table
from tests.dagster_floor.floor import LOWER5, TRACES
from tests.dagster_floor.machines import Machines, backfill, copies, runs_of, scenario_of, settled
from tests.postgres import fresh_database, throw_away_server
from tests.services.lps.redis_server import RedisServer, redis_binary

LOOK_S = 0.5
YOUNG_S = 1.5


@dataclass(frozen=True, slots=True)
class Series:
    """One way to execute a backfill.

    workers: Celery's, of one process each; none: Dagster's own launcher. kill: one of them in the middle. page: ask the
    webserver for its page of runs all the while. sqlite: keep runs and events there, not in PostgreSQL.
    """

    name: str
    what: str
    at_once: int
    workers: int = 0
    kill: bool = False
    page: bool = False
    sqlite: bool = False


SERIES = {
    one.name: one
    for one in (
        Series("own-1", "Dagster's own launcher, one run at a time", at_once=1),
        Series("own-2", "Dagster's own launcher, two runs at once", at_once=2),
        Series("celery-1", "Celery, one worker with one process", at_once=1, workers=1),
        Series("celery-2", "Celery, two workers with one process each", at_once=2, workers=2),
        Series("celery-2-killed", "Celery, two such, one killed in the middle", at_once=2, workers=2, kill=True),
        Series("page", "Dagster's own launcher, two at once, a page of runs every 2 s", at_once=2, page=True),
        Series("page-sqlite", "Dagster's own, two at once, that page, SQLite", at_once=2, page=True, sqlite=True),
    )
}


def measure(series: Series, partitions: int, deadline: float) -> dict[str, object]:
    """Run one series, at most until the deadline; return its row."""
    scenarios = [f"small_{number:04}" for number in range(partitions)]
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="celery-runs-", ignore_cleanup_errors=True))
        )
        server = None if series.sqlite else stack.enter_context(throw_away_server())
        broker = None
        if series.workers:
            (folder / "redis").mkdir()
            redis = stack.enter_context(RedisServer(redis_binary() or "redis-server", folder / "redis"))
            broker = redis.url
        machines = Machines(
            folder / "machines",
            postgres=server and fresh_database(server),
            broker=broker,
            concurrency__runs__max_concurrent_runs=series.at_once,
        )
        copies(TRACES / LOWER5, machines.traces, scenarios)
        instance = stack.enter_context(machines.instance())
        workers = [machines.worker(f"worker-{number}") for number in range(series.workers)]
        for one in workers:
            stack.enter_context(one)
        page = stack.enter_context(RunsPage(machines)) if series.page else None
        asked = backfill(instance, scenarios)
        others = [] if server is None else [listening_postgres(urlsplit(server).port or 0)]
        times = stack.enter_context(ProcessTime(*others))
        stack.enter_context(machines.daemon())
        row = _followed(series, instance, asked, partitions, deadline, times, workers)
        return {**row, **(page.figures() if page else {})}


def _followed(
    series: Series,
    instance: DagsterInstance,
    asked: str,
    partitions: int,
    deadline: float,
    times: ProcessTime,
    workers: list[Server],
) -> dict[str, object]:
    killed, before, shown = not series.kill, 0.0, -1
    runs: list[RunRecord] = []
    while time.monotonic() < deadline:
        runs = runs_of(instance, asked)
        started = [run for run in runs if run.start_time is not None]
        before = before if started else times.seconds()
        ended = {scenario_of(run) for run in runs if settled(run.dagster_run)}
        if len(ended) > shown:
            print(f"{series.name}: {len(ended)} of {partitions}", flush=True)
            shown = len(ended)
        if len(ended) == partitions:
            break
        if not killed and len(ended) >= partitions // 2 and (busy := _worker_of_a_young_run(runs, workers)):
            # A supervisor starts it again; its run is found at the launcher's next look.
            busy.kill()
            busy.start()
            killed = True
        time.sleep(LOOK_S)
    return _row(series, runs, partitions, times.seconds() - before)


def _worker_of_a_young_run(runs: list[RunRecord], workers: list[Server]) -> Server | None:
    """Return the worker of a run that has just started, which a kill therefore hits."""
    for run in runs:
        task = run.dagster_run.tags.get("dagster-celery/task_id")
        young = time.time() - (run.start_time or 0.0) < YOUNG_S
        if young and run.dagster_run.status is DagsterRunStatus.STARTED:
            return next((one for one in workers if f"[{task}] received" in one.log.read_text(encoding="utf-8")), None)
    return None


def _row(series: Series, runs: list[RunRecord], partitions: int, cpu_s: float) -> dict[str, object]:
    ended = [run for run in runs if settled(run.dagster_run)]
    starts = [run.start_time for run in runs if run.start_time is not None]
    ends = [run.end_time for run in ended if run.end_time is not None]
    return {
        "series": series.name,
        "what": series.what,
        "partitions": partitions,
        "ended": len({scenario_of(run) for run in ended}),
        "seconds": round(max(ends) - min(starts), 1) if starts and ends else None,
        "cpu_seconds": round(cpu_s, 1),
        "failed": sum(run.dagster_run.status is not DagsterRunStatus.SUCCESS for run in ended),
        "repeated": sum(run.dagster_run.parent_run_id is not None for run in runs),
        "processors": os.cpu_count(),
        "load_at_end": round(os.getloadavg()[1], 1),
    }


def kept_rows(output: Path) -> list[dict[str, object]]:
    """Return the rows of an output; none where it does not exist yet."""
    return json.loads(output.read_text(encoding="utf-8")) if output.exists() else []


def is_done(rows: list[dict[str, object]], series: Series, partitions: int) -> bool:
    """Return whether an output has a whole row of a series."""
    return any((row["series"], row["ended"]) == (series.name, partitions) for row in rows)


def with_row(rows: list[dict[str, object]], row: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the rows with one added or replaced, in the order of SERIES."""
    others = [one for one in rows if (one["series"], one["partitions"]) != (row["series"], row["partitions"])]
    order = list(SERIES)
    return sorted([*others, dict(row)], key=lambda one: (one["partitions"], order.index(str(one["series"]))))


def main() -> int:
    """Run the series that are missing; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0, help="of all series together")
    parser.add_argument("--output", type=Path, default=FIGURES)
    parser.add_argument("--write", action="store_true", help="put the table into docs/nightly.md")
    given = parser.parse_args()
    deadline = time.monotonic() + 60 * given.minutes
    rows = kept_rows(given.output)
    for name in given.series:
        if is_done(rows, SERIES[name], given.partitions) or time.monotonic() > deadline:
            continue
        row = measure(SERIES[name], given.partitions, deadline)
        rows = with_row(rows, row)
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
    print(run_series_table(rows))
    if given.write:
        write_documents(REPOSITORY / "docs")
    return int(not all(is_done(rows, SERIES[name], given.partitions) for name in given.series))


if __name__ == "__main__":
    sys.exit(main())
