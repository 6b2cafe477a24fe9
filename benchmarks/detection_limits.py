"""Is a drift of just the detection limit found in 80 % of runs?

    python -m benchmarks.detection_limits [--runs 100] [--output FILE] [SCENARIO ...]
    python -m cj_pipeline.reports.reference docs

`gauntlet` finds each limit by halving, over 250 live sides that the judge model draws. Here the limit that it prints
(two digits, rounded up) is tried in two other ways. "runs": the scenario's own mock answers on the embedded stack, each
time under another seed, and what it answered drifts (mock_drifts.py). "drawn": the judge model draws 1,000 other live
sides. No drift at all is tried as well.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mock_drifts import drifted
from cj_pipeline.cli.sources import Source, find_source
from cj_pipeline.parity.check import Case
from cj_pipeline.parity.compare import gates_on
from cj_pipeline.parity.expected import expected_of
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.limits import DRIFTS, DetectionLimit, limits_of
from cj_pipeline.parity.gauntlet.wrong_mock import LeftOut
from cj_pipeline.parity.noise import Noise, differences
from cj_pipeline.parity.power import detection_rate
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.scenario_run import run_live
from cj_pipeline.warehouse.content_cache import ContentCache

SCENARIOS = (
    "eng5_anchor_align_gpt51_low_20251201",
    "eng5_anchor_ladder_20251202",
    "eng5_lower5_gpt51_low_20251202",
    "smollm2_plain_v1",
)
FIRST_SEED = 1_000
"""Of the runs; the scenarios' own seeds are smaller."""

NONE = "no drift"


def case_of(found: Source, seed: int | None = None) -> Case:
    """Set a run of the scenario's own mock beside its recordings."""
    mode = scenario_mode(found.scenario, None, scenario_file=found.scenario_file)
    live = run_live(found.scenario, found.events, mode, seed=seed)
    return Case(found.scenario, found.replayed(Side.RECORDED), live, found.further_runs())


def found_in_draws(case: Case, noise: dict[str, Noise], limit: DetectionLimit, size: float) -> float:
    """Return in what share of other draws of the judge model a drift is found."""
    drift = next(one for one in DRIFTS if one.kind == limit.kind)
    sample = drift.sample(Faithful(replace(case.comparison, seed=case.comparison.seed + 1)), size)
    return 0.0 if isinstance(sample, LeftOut) else detection_rate(case.comparison, noise, [sample])[0]


def tried(scenario: str, runs: int) -> dict[str, Any]:
    """Return what one scenario's limits promise, and what was found."""
    found, began = find_source(scenario), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        cache = ContentCache(Path(folder))
        case = case_of(found)
        gates, _ = gates_on(case)
        noise = dict(expected_of(case.comparison, gates, {}, cache).noise)
        limits = limits_of(case.comparison, noise, gates) or ()
        wanted = [(limit, size) for limit in limits for size in limit.promises]
        count: Counter[tuple[str, float]] = Counter()
        for seed in range(FIRST_SEED, FIRST_SEED + runs):
            run = case_of(found, seed)
            on, _ = gates_on(run)
            # From the cache where the mock answered what it answered in another run: where no call failed.
            of_run, live = expected_of(run.comparison, on, {}, cache).noise, run.comparison
            fails = any(one.beyond(differences(live, one, live.observed))[0] for one in of_run.values())
            count[NONE, 0.0] += bool(fails)
            for number, (limit, size) in enumerate(wanted):
                sample = drifted(limit.kind, live, size, np.random.default_rng((seed, number)))
                count[limit.kind, size] += detection_rate(live, of_run, [sample])[0] == 1.0
    return {
        "scenario": scenario,
        "runs": runs,
        "cpu": round(time.process_time() - began),
        "no_drift": count[NONE, 0.0],
        "limits": [
            {
                "kind": limit.kind,
                "sentence": limit.sentence,
                "unit": limit.unit,
                "tried": [
                    {
                        "size": size,
                        "found": count[limit.kind, size],
                        "drawn": round(found_in_draws(case, noise, limit, size), 3),
                    }
                    for size in limit.promises
                ],
            }
            for limit in limits
        ],
    }


def main() -> None:
    """Try some scenarios, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=SCENARIOS)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/figures/detection_limits.json"))
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)  # a mock that fails as its mode asks says so each time
    entries = []
    for scenario in chosen.scenarios:
        entries.append(tried(scenario, chosen.runs))
        print(json.dumps(entries[-1], indent=1), flush=True)
    chosen.output.write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
