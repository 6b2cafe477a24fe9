"""How often does the history raise a false alarm, and after how many nights does it find a drift?

    python -m benchmarks.history FILE.json [--years 50] [SCENARIO ...]

Each year has a mock of its own for each scenario under traces/: one draw from the posterior of the recorded judge,
which judges 365 nights. Gates on answers are computed from that mock's nights; the other gates draw their nights from
the faithful live sides that set the noise. The drift is .5 logits of position after 60 and after 180 nights, in
scenarios whose judge does not repeat every answer; it is looked for in all gates on answers, for 180 nights.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cj_pipeline.bt.judgements import Draws
from cj_pipeline.mock.model.answers import FloatArray
from cj_pipeline.mock.model.winner import draw_wins
from cj_pipeline.parity.check import Case
from cj_pipeline.parity.compare import gates_on
from cj_pipeline.parity.comparison import Comparison, Sample
from cj_pipeline.parity.gates import Gate
from cj_pipeline.parity.history.changes import alarm_threshold, find_changes
from cj_pipeline.parity.noise import values_of
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay, run_live
from cj_pipeline.traces.scenario import SCENARIO_FILE
from cj_pipeline.traces.store import TraceStore

TRACES = Path(__file__).parents[1] / "traces"
NIGHTS, AFTER = 365, 180
PASTS = (60, 180)
DRIFT = 0.5
DRIFTS = 20
SLOW = {"bt_se"}
"""Gates on answers that take too long for each night; they draw from the noise's own draws, as other gates do."""


def case_of(scenario_id: str) -> Case:
    """Return both sides of a scenario."""
    trace = TraceStore(TRACES).trace(scenario_id)
    events = [line.event for line in trace.callbacks.events]
    mode = scenario_mode(trace.scenario, scenario_file=trace.folder / SCENARIO_FILE)
    recorded = replay(trace.scenario, events, side=Side.RECORDED, judge=JudgeIdentity(scenario_id, trace.sha256))
    return Case(trace.scenario, recorded, run_live(trace.scenario, events, mode))


def one_mock(draws: Draws, which: int, nights: int, drift: float = 0.0) -> Draws:
    """Return one draw of the judge, once for each night."""

    def repeated(values: FloatArray) -> FloatArray:
        return np.repeat(values[which : which + 1], nights, axis=0)

    return replace(
        draws,
        theta=repeated(draws.theta),
        position=repeated(draws.position) + drift,
        spread=repeated(draws.spread),
        repeatability=repeated(draws.repeatability),
    )


def of_answers(comparison: Comparison, gates: list[Gate], mock: Draws, rng: np.random.Generator) -> list[FloatArray]:
    """Return (nights,) values of each gate on answers."""
    sample = Sample(wins=draw_wins(mock, comparison.prompts.asked, rng))
    return [gate.statistic(comparison, sample) for gate in gates]


def scenario_figures(scenario_id: str, years: int, threshold: float) -> dict[str, Any]:
    """Return the alarms of the null years of one scenario, and the nights after which its drift is found."""
    case = case_of(scenario_id)
    comparison = case.comparison
    on, _ = gates_on(case)
    gates = [gate for gate in on if not gate.constant]
    answers = [gate for gate in gates if gate.of_wins and gate.name not in SLOW]
    others = values_of(comparison, tuple(gate for gate in gates if gate not in answers))
    rng = np.random.default_rng([1, *scenario_id.encode()])
    if comparison.draws is None:
        raise SystemExit(f"{scenario_id}: nothing was answered.")
    alarms: list[int] = []
    for year in range(years):
        series = of_answers(comparison, answers, one_mock(comparison.draws, year, NIGHTS), rng)
        series += [rng.choice(values, NIGHTS) for values in others.values()]
        alarms.append(sum(len(find_changes(values.tolist(), threshold)) for values in series))
    known = case.scenario.judge is not None and case.scenario.judge.repeatability == 1
    figures: dict[str, Any] = {
        "scenario": scenario_id,
        "series": len(gates),
        "false_alarms_by_year": alarms,
        "repeats_every_answer": known,
    }
    return figures if known else figures | drift_figures(comparison, answers, threshold, rng)


def drift_figures(
    comparison: Comparison, gates: list[Gate], threshold: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Return by past, for each mock, after how many nights its drift is found; and how far the drift moves a night.

    None: not found. shift: of the position effect, in standard deviations of that mock's own nights.
    """
    if comparison.draws is None:
        return {}
    names = [gate.name for gate in gates]
    shifts: list[float] = []
    found: dict[str, list[int | None]] = {str(past): [] for past in PASTS}
    for which in range(DRIFTS):
        before, after = (
            of_answers(comparison, gates, one_mock(comparison.draws, which, nights, drift), rng)
            for nights, drift in ((max(PASTS), 0.0), (AFTER, DRIFT))
        )
        place = names.index("position_effect")
        shifts.append(round(float((after[place].mean() - before[place].mean()) / max(before[place].std(), 1e-9)), 2))
        for past in PASTS:
            firsts = [
                change.found - past + 1
                for old, new in zip(before, after, strict=True)
                for change in find_changes([*old[:past].tolist(), *new.tolist()], threshold)
                if change.found >= past
            ]
            found[str(past)].append(min(firsts, default=None))
    return {"shift": shifts, "drift_found_after_nights": found}


def median_night(found: list[int | None]) -> str:
    """Return the median of some nights in words."""
    nights = sorted(night if night is not None else AFTER + 1 for night in found)
    middle = nights[len(nights) // 2]
    return f"not within {AFTER}" if middle > AFTER else str(middle)


def drift_words(row: dict[str, Any]) -> str:
    """Return what a scenario's figures say of the drift."""
    if row["repeats_every_answer"]:
        return "every answer is repeated"
    nights = [f"{median_night(found)} (past {past})" for past, found in row["drift_found_after_nights"].items()]
    return f"{DRIFT} logits are {np.median(row['shift']):.2f} spreads, found after {', '.join(nights)} nights"


def main() -> None:
    """Simulate, write the figures, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--years", type=int, default=50)
    parser.add_argument("scenarios", nargs="*")
    options = parser.parse_args()
    known = TraceStore(TRACES).scenario_ids()
    threshold = alarm_threshold(len(known))
    rows: list[dict[str, Any]] = []
    for name in options.scenarios or known:
        rows.append(scenario_figures(name, options.years, threshold))
        row = rows[-1]
        print(f"{name}: {row['series']} series, {sum(row['false_alarms_by_year'])} false alarms in ", end="")
        print(f"{options.years} years; {drift_words(row)}", flush=True)
        by_year = np.sum([one["false_alarms_by_year"] for one in rows], axis=0).tolist()
        document = {"threshold": threshold, "years": options.years, "false_alarms_by_year": by_year, "scenarios": rows}
        options.file.write_text(json.dumps(document) + "\n", encoding="utf-8")
    print(f"in all: {sum(by_year)} false alarms in {options.years} years, most in one year {max(by_year)}")


if __name__ == "__main__":
    main()
