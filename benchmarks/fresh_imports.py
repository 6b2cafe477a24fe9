"""Is a fresh import, with nothing but defaults, ever NO PARITY with the mock that was calibrated to it?

    python -m benchmarks.fresh_imports [--cases 100] [--output benchmarks/figures/fresh_imports.json]

Each case is a simulated judge: its callbacks are imported from a file, which calibrates a mode, and compared with the
mock under that mode. What the held-out fit of each mode measured is counted as well. A case that is in the output
already is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.judge_files import JudgeKind, write
from cj_pipeline.cli.main import main as terminal
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.held_out import held_out_checks


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/figures/fresh_imports.json"))
    given = parser.parse_args()
    rows = json.loads(given.output.read_text()) if given.output.exists() else []
    done = {row["case"] for row in rows}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    for case in range(given.cases):
        if case not in done:
            started = time.process_time()
            rows.append(run(case))
            given.output.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
            print(case, rows[-1]["verdict"], rows[-1]["failed"], f"{time.process_time() - started:.1f} s", flush=True)
    show(rows)
