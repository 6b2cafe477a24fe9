"""How often is a real judge told from itself, and from another one?

    python -m benchmarks.real_judges FOLDER FILE.json

FOLDER holds three runs of each of some judges over the same pairs, as `pba.<set>.<judge>.r<run>.jsonl`. Each run is
compared with one or two other runs of the same judge (A/A) and of every other judge of its set, by the gates on answers
and errors: the rest of these data is made up. The counts go into FILE.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import combinations, permutations
from pathlib import Path

from cj_pipeline.mock.model.answers import Answers, answers_of
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.gates import GATES, Family
from cj_pipeline.parity.noise import differences, noise_of
from cj_pipeline.traces.reader import read_callbacks
from cj_pipeline.traces.scenario import Profile

RUNS = (1, 2, 3)


def failed_on_answers(recordings: tuple[Answers, ...], live: Answers) -> set[str]:
    """Return the gates on answers and errors that a live side fails."""
    items = tuple(sorted({essay for one in (*recordings, live) for essay in one.essay_a + one.essay_b}))
    case = Comparison(recordings, live, items, {}, seed=1)
    gates = {
        gate: gate.margin(case, gate.limits[Profile.JUDGE])
        for gate in GATES
        if (gate.of_wins or gate.family is Family.EVENTS) and gate.missing(case) is None
    }
    noise = noise_of(case, gates)
    return {name for name, one in noise.items() if one.beyond(differences(case, one, case.observed)).any()}


def judges(folder: Path) -> dict[str, dict[str, dict[int, Answers]]]:
    """Return answers by set, judge and run."""
    found: dict[str, dict[str, dict[int, Answers]]] = {}
    for path in sorted(folder.glob("pba.*.r?.jsonl")):
        group, judge = path.name.removeprefix("pba.").rsplit(".r", 1)[0].split(".", 1)
        events = read_callbacks(path, keep_bytes=False).events
        run = int(path.name.removesuffix(".jsonl")[-1])
        found.setdefault(group, {}).setdefault(judge, {})[run] = answers_of([[one.event.data for one in events]])
    return found


def counted(found: Iterable[set[str]]) -> dict[str, int]:
    """Return of how many comparisons how many fail a gate."""
    failed = [bool(gates) for gates in found]
    return {"found": sum(failed), "of": len(failed)}


def itself(runs: dict[int, Answers], recordings: int) -> Iterator[set[str]]:
    """Compare each run of a judge with one or two others of its own."""
    for live in RUNS:
        for kept in combinations([run for run in RUNS if run != live], recordings):
            yield failed_on_answers(tuple(runs[run] for run in kept), runs[live])


def another(runs: dict[int, Answers], others: dict[int, Answers], recordings: int) -> Iterator[set[str]]:
    """Compare each run of another judge with the same run of this one, or with its two other runs."""
    for live in RUNS:
        kept = [live] if recordings == 1 else [run for run in RUNS if run != live]
        yield failed_on_answers(tuple(runs[run] for run in kept), others[live])


def main(folder: str, file: str) -> None:
    """Count, print and write."""
    sets = judges(Path(folder)).values()
    counts: dict[str, dict[str, int]] = {}
    for recordings in (1, 2):
        same = (one for by_judge in sets for runs in by_judge.values() for one in itself(runs, recordings))
        counts[f"itself, {recordings} recorded"] = counted(same)
        other = (
            one
            for by_judge in sets
            for pair in permutations(by_judge.values(), 2)
            for one in another(*pair, recordings)
        )
        counts[f"another judge, {recordings} recorded"] = counted(other)
    print(json.dumps(counts, indent=1))
    Path(file).write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
