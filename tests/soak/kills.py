"""This module kills one process after another in the middle of its work, and then counts what is lost or doubled.

    python -m tests.soak.kills cj [--kills 30] [--seed 1]
    python -m tests.soak.kills materialise [--kills 30] [--seed 1]

`python -m tests.soak` does it to the LPS. The seed draws the moments; the machine decides what they hit.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from cj_pipeline.contracts.cj_events import ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.parity.tables import stored_verdicts
from cj_pipeline.warehouse.store import Warehouse
from tests.services.cj.lab import request
from tests.services.cj.test_served import CLI, PREFIXES, Process, content_service, lines

SCENARIO = "eng5_lower5_gpt51_low_20251202"
ESSAYS = 4
STANDS_STILL_S = 90.0


def kill_cj(folder: Path, kills: int, seed: int) -> list[str]:
    """Kill the CJ service so often, each time with a new batch under way. Return what is wrong afterwards."""
    bus = folder / "bus"
    bus.mkdir()
    with content_service() as texts:
        lps = Process(
            folder,
            *("lps", "serve", "--port", "0", "--host", "127.0.0.1", "--callbacks", str(bus)),
            LLM_PROVIDER_SERVICE_USE_MOCK_LLM="true",
            LLM_PROVIDER_SERVICE_MOCK_LATENCY_MS="20",
        )
        environment = {
            "CJ_ASSESSMENT_SERVICE_CONTENT_SERVICE_URL": texts,
            "CJ_ASSESSMENT_SERVICE_SUBMISSION_LEASE_SECONDS": "0.5",
            "CJ_ASSESSMENT_SERVICE_DEFAULT_LLM_PROVIDER": "mock",
        }
        arguments = ["cj", "serve", "--port", "0", "--host", "127.0.0.1", "--bus", str(bus)]
        arguments += ["--lps", f"{lps.url}/api/v1", "--database", f"sqlite:///{folder}/cj.db"]
        try:
            for number in range(kills):
                with (bus / f"{ASSESSMENT_REQUEST_TOPIC}.jsonl").open("ab") as topic:
                    topic.write(request(ESSAYS, number=number) + b"\n")
                process = Process(folder, *arguments, **environment)
                time.sleep(1.5 * uniform("kills", seed, number))
                process.end(signal.SIGKILL)
            last = Process(folder, *arguments, **environment)
            _settle(bus, folder / "cj.db", kills)
            time.sleep(2.0)  # what is doubled comes late
            code = last.end(signal.SIGTERM)
        finally:
            lps.end(signal.SIGKILL)
    wrong = [] if code == 0 else [f"the last process ended with {code}"]
    return wrong + _wrong_events(bus, kills) + _wrong_rows(folder / "cj.db", kills) + _tracebacks(folder)


def _settle(bus: Path, database: Path, batches: int) -> None:
    """Wait until every batch has ended and every event is out, or nothing has moved for long."""
    seen: tuple[object, ...] = ()
    moved = time.monotonic()
    while time.monotonic() - moved < STANDS_STILL_S:
        with sqlite3.connect(database) as connection:
            pending = connection.execute("select count(*) from event_outbox where published_at is null").fetchone()[0]
            answered = connection.execute("select count(winner) from cj_comparison_pairs").fetchone()[0]
        now = (len(_ends(bus)), pending, answered)
        if now[:2] == (batches, 0):
            return
        if now != seen:
            seen, moved = now, time.monotonic()
        time.sleep(0.2)


def _ends(bus: Path) -> dict[str, set[str]]:
    """Return the ids of the events that end a batch, by correlation id. An event may be published twice."""
    found: dict[str, set[str]] = {}
    for topic in (CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC):
        for line in lines(bus / f"{topic}.jsonl"):
            event = json.loads(line)
            found.setdefault(event["correlation_id"], set()).add(event["event_id"])
    return found


def _wrong_events(bus: Path, batches: int) -> list[str]:
    ends = _ends(bus)
    wrong = [f"{one}: {len(ids)} ends" for one, ids in ends.items() if len(ids) != 1]
    if len(ends) != batches:
        wrong.append(f"{batches} batches were asked for, {len(ends)} have ended")
    if failed := lines(bus / f"{CJ_FAILED_TOPIC}.jsonl"):
        wrong.append(f"{len(failed)} failed events")
    results = {json.loads(line)["event_id"] for line in lines(bus / f"{ASSESSMENT_RESULT_TOPIC}.jsonl")}
    return wrong if len(results) == batches else [*wrong, f"{len(results)} results of {batches} batches"]


def _wrong_rows(database: Path, batches: int) -> list[str]:
    with sqlite3.connect(database) as connection:
        states = connection.execute("select cast(state as text), count(*) from cj_batch_states group by 1").fetchall()
        doubled = connection.execute(
            "select count(*) - count(distinct request_correlation_id) from cj_comparison_pairs"
        ).fetchone()[0]
        unanswered = connection.execute("select count(*) from cj_comparison_pairs where winner is null").fetchone()[0]
        pending = connection.execute("select count(*) from event_outbox where published_at is null").fetchone()[0]
    wrong = [] if states == [("COMPLETED", batches)] else [f"states: {states}"]
    counts = {"pairs twice": doubled, "pairs without an answer": unanswered, "events not published": pending}
    return wrong + [f"{count} {what}" for what, count in counts.items() if count]


def _tracebacks(folder: Path) -> list[str]:
    return [
        f"{path.name}: {line[:300]}" for path in folder.glob("*.log") for line in lines(path) if "Traceback" in line
    ]


def kill_materialise(folder: Path, kills: int, seed: int) -> list[str]:
    """Kill `materialize` so often; after each kill the published verdict is a whole one. Return what is wrong."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    environment = inherited | {"CJ_PIPELINE_DATA_DIR": str(folder / "data")}
    first, took_s = _materialised(folder, environment)
    wrong = [] if first == 0 else [f"the first run ended with {first}"]
    seen: Counter[str] = Counter()
    for number in range(kills):
        with (folder / "materialise.log").open("ab") as log:
            process = subprocess.Popen([CLI, "materialize", SCENARIO], env=environment, stdout=log, stderr=log)
        try:
            process.wait(took_s * uniform("kills", seed, number))
        except subprocess.TimeoutExpired:
            process.kill()
        seen["ended before its kill" if process.wait() >= 0 else "killed"] += 1
        wrong += _wrong_verdict(folder / "data")
    last, _ = _materialised(folder, environment)
    wrong += [] if last == 0 else [f"the last run ended with {last}"]
    sys.stdout.write(f"{dict(seen)}\n")
    return wrong + _wrong_verdict(folder / "data") + _tracebacks(folder)


def _materialised(folder: Path, environment: Mapping[str, str]) -> tuple[int, float]:
    started = time.monotonic()
    with (folder / "materialise.log").open("ab") as log:
        ended = subprocess.run([CLI, "materialize", SCENARIO], env=environment, stdout=log, stderr=log)
    return ended.returncode, time.monotonic() - started


def _wrong_verdict(data: Path) -> list[str]:
    try:
        warehouse = Warehouse(data)
        (verdict,), _ = stored_verdicts(warehouse, [SCENARIO])
        rows = warehouse.query("select count(*) as rows, count(distinct run_id) as runs from parity_checks").to_pylist()
    except Exception as error:
        return [f"the warehouse cannot be read: {type(error).__name__}: {error}"]
    whole = rows == [{"rows": verdict.checks_on + verdict.checks_off, "runs": 1}]
    return [] if whole and verdict.words == "PARITY" else [f"{verdict.words}, {rows}"]


WORK: Mapping[str, Callable[[Path, int, int], list[str]]] = {"cj": kill_cj, "materialise": kill_materialise}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", choices=sorted(WORK))
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        started = time.monotonic()
        wrong = WORK[given.work](Path(folder), given.kills, given.seed)
        sys.stdout.write("".join(f"{one}\n" for one in wrong[:40]))
        took_s = time.monotonic() - started
    sys.stdout.write(f"{given.work}: {given.kills} kills in {took_s:.0f} s, {len(wrong)} things wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
