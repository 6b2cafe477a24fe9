"""How long does a summary of many callbacks take, and how much memory, beside a bare DuckDB aggregate?

    python -m benchmarks.summaries [CALLBACKS]

The file is made of a committed trace, each callback under ids of its own; 300,000 callbacks (412 MB) by default. Each
row is a process of its own, so that the memory is its own; CPU seconds, for wall time depends on who else is busy.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np

from cj_pipeline.traces.summary import summarise_file
from tests.sides import ANCHORS
from tests.traces.folders import TRACES

COLUMNS = "{data: 'STRUCT(winner VARCHAR, response_time_ms BIGINT, token_usage STRUCT({}))'}".replace(
    "{}", ", ".join(f"{kind}_tokens BIGINT" for kind in ("prompt", "completion", "total"))
)
FIGURES = ", ".join(
    ["count(*)", "count(data.winner)", "quantile_cont(data.response_time_ms, [0.5, 0.95, 0.99])"]
    + [
        f"min({column}), avg({column}), max({column})"
        for column in ("data.response_time_ms", *(f"data.token_usage.{k}_tokens" for k in ("prompt", "total")))
    ]
)


def write_file(path: Path, count: int) -> None:
    """Write many callbacks: those of a trace, again and again, with new ids."""
    lines = (TRACES / ANCHORS / "llm_callbacks.jsonl").read_text(encoding="utf-8").splitlines()
    ids = [json.loads(line)["data"]["request_id"] for line in lines]
    rng = np.random.Generator(np.random.PCG64(1))
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            place = number % len(lines)
            file.write(lines[place].replace(ids[place], rng.bytes(16).hex()) + "\n")


def summary(path: Path) -> None:
    summarise_file(path, "benchmark")


def aggregate(path: Path) -> None:
    duckdb.sql(
        f"select {FIGURES} from read_json('{path}', format = 'newline_delimited', columns = {COLUMNS})"  # noqa: S608
    ).fetchall()


WAYS: dict[str, Callable[[Path], None]] = {"DuckDB aggregate": aggregate, "summarise_file": summary}


def main() -> None:
    if len(sys.argv) == 3:
        WAYS[sys.argv[1]](Path(sys.argv[2]))
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"| {sys.argv[1]} | {used.ru_utime + used.ru_stime:.1f} | {used.ru_maxrss / 1024:.0f} |")
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    with TemporaryDirectory() as folder:
        path = Path(folder) / "callbacks.jsonl"
        write_file(path, count)
        print(
            f"| {count:,} callbacks, {path.stat().st_size / 1e6:.0f} MB | CPU s | most MB |\n|---|---|---|", flush=True
        )
        for way in WAYS:
            subprocess.run([sys.executable, "-m", "benchmarks.summaries", way, str(path)], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
