"""Is a fresh import, with nothing but defaults, ever NO PARITY with the mock that was calibrated to it?

    python -m benchmarks.fresh_imports --again [--cases 100] [--processes 2] [--output FILE]
    python -m cj_pipeline.reports.reference docs

Each case is a simulated judge: its callbacks are imported from a file, which calibrates a mode, and compared with the
mock under that mode. What the held-out fit of each mode measured is counted as well. Without --again, a case that is in
the output already is not run again. Exits with 1 when more than one in a hundred is NO PARITY.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import sys
import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.judge_files import JudgeKind, write
from cj_pipeline.cli.main import main as terminal
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.held_out import held_out_checks
from cj_pipeline.parity.verdict import Parity

MOST_NO_PARITY = 0.01
"""Share of faithful mocks that may be turned down."""


def kind_of(case: int) -> JudgeKind:
    """Draw what the judge of a case is like: the ranges of the operating characteristics."""
    rng = np.random.default_rng((case, 7))
    essays = int(rng.integers(5, 31))
    return JudgeKind(
        essays=essays,
        calls=int(np.clip(rng.integers(10, 200), essays, essays * (essays - 1) // 2)),
        spread=float(np.exp(rng.uniform(np.log(0.3), np.log(6)))),
        position=float(rng.uniform(-2, 4)),
        repeatability=float(rng.uniform(0, 0.95)),
        error_rate=float(rng.choice([0.0, 0.05, 0.12])),
        sigma=float(rng.uniform(0.1, 0.6)),
    )


def run(case: int) -> dict[str, object]:
    """Import and compare one judge; return the verdict, what failed, and the held-out fit."""
    kind = kind_of(case)
    with tempfile.TemporaryDirectory() as name, patch.dict("os.environ", {"CJ_PIPELINE_TRACES_DIR": name}):
        folder = Path(name)
        source = write(folder / "source.jsonl", kind, case, 1)
        _call("traces", "import", "case", "--from-folder", str(source), "--no-redact", "--output-dir", name)
        report = json.loads(_call("parity", str(folder / "case"), "--json"))
        mode = load_mode(str(folder / "case" / "mode.yaml"))
    held = mode.held_out
    rows = () if held is None else held_out_checks(held)
    return {
        "case": case,
        "essays": kind.essays,
        "calls": kind.calls,
        "verdict": report["verdict"],
        "failed": [check["check"] for check in report["checks"] if check["verdict"] == "fail"],
        "held_out_failed": [row.name for row in rows if not row.passed],
        "ratios": {}
        if held is None
        else {
            measure: round(one.value / one.typical, 3)
            for measure, one in held.distances.items()
            if one.typical and measure != "error_rate"
        },
        "above_coin": None if held is None else round(held.winners.mode - held.winners.coin, 4),
    }


def _call(*arguments: str) -> str:
    printed = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
        patch.object(sys, "argv", ["x", *arguments]),
    ):
        terminal()
    return printed.getvalue()


def show(rows: list[dict[str, object]]) -> None:
    """Print the counts."""
    verdicts = Counter(str(row["verdict"]) for row in rows)
    failing = Counter(name for row in rows for name in row["failed"])  # type: ignore[attr-defined]
    held = Counter(name for row in rows for name in row["held_out_failed"])  # type: ignore[attr-defined]
    ratios: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row["ratios"].items():  # type: ignore[attr-defined]
            ratios.setdefault(name, []).append(value)
    print(f"{len(rows)} fresh imports: {dict(verdicts)}; gates that failed: {dict(failing)}")
    print(f"held-out checks that failed: {dict(held)}")
    for name, values in ratios.items():
        print(f"  {name}: median distance {np.median(values):.2f} of what two samples are apart in the median")


def main() -> int:
    """Run the cases that are missing; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--again", action="store_true", help="run every case, whatever the output holds")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/figures/fresh_imports.json"))
    given = parser.parse_args()
    rows = [] if given.again or not given.output.exists() else json.loads(given.output.read_text(encoding="utf-8"))
    done = {row["case"] for row in rows}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        for row in pool.imap_unordered(run, [case for case in range(given.cases) if case not in done]):
            rows = sorted([*rows, row], key=lambda one: one["case"])
            given.output.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
            print(row["case"], row["verdict"], row["failed"], flush=True)
    show(rows)
    return int(sum(row["verdict"] == Parity.NO_PARITY for row in rows) > MOST_NO_PARITY * len(rows))


if __name__ == "__main__":
    sys.exit(main())
