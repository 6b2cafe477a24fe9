"""How often is parity wrong? Simulated judges of many kinds, faithful runs and essential wrong mocks.

    python -m benchmarks.operating_characteristics counts.jsonl [--recordings 100] [--processes 2] [--minutes 60]

For each recording of a simulated judge (simulated_judges.py), faithful and wrong live runs are drawn from the judge
that was recorded, not from its fit. Every judge gets ten recordings, then ten more, and so on; each ten are one line of
the file, and lines that are there are not made again. `operating_report.py` makes tables and a plot of the file.

All runs of one recording fail on the same calls, so that they share one noise; which calls fail is drawn again for the
gates of errors.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.simulated_judges import Kind, SimulatedJudge, hypercube, judge_of, point_c
from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.parity.comparison import Comparison, Sample
from cj_pipeline.parity.evidence import EvidenceVerdict, evidence_of
from cj_pipeline.parity.gates import GATES, Gate, Margin
from cj_pipeline.parity.gauntlet.catalogue import DRAWN
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.wrong_mock import LeftOut
from cj_pipeline.parity.noise import Noise, differences, noise_of
from cj_pipeline.parity.power import OF_WINS, WrongMock, detection_rate, essential_rates, says_nothing_about_essays
from cj_pipeline.traces.scenario import Profile

MEASURED = ("latency_mean", "tokens_completion", "winner_share", "position_effect", "answer_agreement")
SQUARED = ("no", "parity", "covered")
EXACT = {WrongMock.OTHER_MODEL: "identity", WrongMock.LOST_FIELD: "schema"}
JUDGES, BLOCK, RUNS = 60, 10, 10


@dataclass(frozen=True, slots=True)
class Task:
    """Ten recordings of one judge. at: of the hypercube, or of the point (c). number: of the judge. block: of tens."""

    at: str
    number: int
    block: int
    kind: Kind

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells it from the others."""
        return self.at, self.number, self.block


def comparison(judge: SimulatedJudge, recordings: tuple[Answers, ...], live: Answers) -> Comparison:
    """Set a live side beside recordings."""
    items = tuple(f"e{i:03d}" for i in range(judge.kind.essays))
    return Comparison(recordings, live, items, {}, seed=int(recordings[0].latency_ms[:8].sum()))


def gates_of(case: Comparison) -> dict[Gate, Margin]:
    """Return the gates that apply, with the margins of the profile `judge`."""
    return {gate: gate.margin(case, gate.limits[Profile.JUDGE]) for gate in GATES if gate.missing(case) is None}


def noise_by_gate(case: Comparison) -> dict[str, Noise]:
    """Return the noise of the gates that apply."""
    return noise_of(case, gates_of(case))


def failed_gates(case: Comparison) -> tuple[list[str], dict[str, Noise]]:
    """Return the gates that a live side fails, and their noise."""
    noise = noise_by_gate(case)
    return [name for name, failed in failures(case, noise, case.observed).items() if failed.any()], noise


def failures(case: Comparison, noise: Mapping[str, Noise], sample: Sample) -> dict[str, np.ndarray]:
    """Return (runs,) by gate: whether each run fails it."""
    return {name: one.beyond(differences(case, one, sample)).astype(bool) for name, one in noise.items()}


def tally(kind: Kind, recordings: int, runs: int, seed: list[int], *, others: bool = False) -> Counter[str]:
    """Count verdicts over some recordings of judges of one kind, each with some faithful and some wrong live runs.

    Runs of one recording go together, so squares of what each recording counts are added up as well: they say how sure
    a share is. others: whether to try the wrong mocks that are not essential too.
    """
    rng = np.random.default_rng(seed)
    count: Counter[str] = Counter()
    for _ in range(recordings):
        judge = judge_of(kind, rng)
        recorded = tuple(judge.answers(1, rng) for _ in range(kind.recordings))
        if any(answers.answered.any() for answers in recorded):
            case = comparison(judge, recorded, judge.answers(kind.batches, rng))
            one = _counted(judge, case, runs, rng, others=others)
            count.update(one)
            count.update({f"squared {name}": n * n for name, n in one.items() if n and name.startswith(SQUARED)})
    return count


def _counted(
    judge: SimulatedJudge, case: Comparison, runs: int, rng: np.random.Generator, *, others: bool
) -> Counter[str]:
    """Count the verdicts of one recording. All runs share its fit, its draws and its noise."""
    gates = gates_of(case)
    noise = noise_of(case, gates)
    found, _ = essential_rates(case, noise, EXACT)
    unproven = any(one.missed for one in found) or says_nothing_about_essays(case, found)
    faithful = judge.sample(case, runs, rng)
    failed = failures(case, noise, faithful)
    no = np.any(np.broadcast_arrays(*failed.values()), axis=0)
    count = Counter({"runs": runs, "recordings": 1, "no": int(no.sum()), "recordings with a no": int(no.any())})
    count["parity"] = 0 if unproven else int((~no).sum())
    count.update({f"failed {name}": int(row.sum()) for name, row in failed.items()})
    same = {one.mock for one in found if one.same_as_recorded}
    for mock in (*OF_WINS, WrongMock.INSTANT, WrongMock.TOKENS):
        changed = judge.changed_by(mock, case, faithful, rng)
        # The other gates see the faithful run.
        seen = {name: one for name, one in noise.items() if set(one.gate.parts) & set(changed)}
        wrong = failed | failures(case, seen, replace(faithful, **changed))
        caught = np.any(np.broadcast_arrays(*wrong.values()), axis=0)
        count[f"caught {mock}"] = runs if mock in same else int(caught.sum())
        count[f"past {mock}"] = 0 if unproven or mock in same else int((~caught).sum())
    if others:
        count.update(_others(case, noise))
    _count_evidence(count, case, noise, faithful)
    return count


def _others(case: Comparison, noise: Mapping[str, Noise]) -> Counter[str]:
    """Count in how many of 1,000 draws each wrong mock that is not essential is found."""
    side, count = Faithful(case), Counter[str]()
    for mock in DRAWN:
        sample = mock.draw(side)
        if not isinstance(sample, LeftOut):
            count[f"tried {mock.name}"] = 1000
            count[f"found {mock.name}"] = round(1000 * detection_rate(case, noise, [sample])[0])
    return count


def _count_evidence(count: Counter[str], case: Comparison, noise: Mapping[str, Noise], faithful: Sample) -> None:
    """Count, over faithful runs, intervals that hold the truth, and claims that do not."""
    values = {name: differences(case, noise[name], faithful) for name in MEASURED if name in noise}
    for name, value in values.items():
        low, high = np.quantile(noise[name].differences, [0.025, 0.975])
        count[f"covered {name}"] += int(((value >= low) & (value <= high)).sum())
        count[f"intervals {name}"] += len(value)
    for name in ("latency_mean", "tokens_completion"):
        one = noise.get(name)
        if one is not None:  # a judge that drifted by just the margin
            drifted = (values[name] + one.reference) * (1 + one.margin.high / one.reference) - one.reference
            centred = one.differences - one.differences.mean()
            inside = (drifted - np.quantile(centred, 0.05) <= one.margin.high) & (
                drifted - np.quantile(centred, 0.95) >= one.margin.low
            )
            count[f"equivalent at the margin {name}"] += int(inside.sum())
    first = {name: float(differences(case, one, faithful)[0]) for name, one in noise.items()}
    evidence = evidence_of(case, noise, first, {})
    count["different"] += any(one.verdict is EvidenceVerdict.DIFFERENT for one in evidence.values())


def tasks(recordings: int) -> list[Task]:
    """Return all there is to do, the first ten recordings of every judge before the second ten of any."""
    kinds = [
        *(("c", number, kind) for number, kind in enumerate(point_c())),
        *(("hypercube", number, kind) for number, kind in enumerate(hypercube(JUDGES, np.random.default_rng(1)))),
    ]
    return [Task(at, number, block, kind) for block in range(recordings // BLOCK) for at, number, kind in kinds]


def line_of(task: Task) -> str:
    """Count the verdicts of one task; as a line of JSON."""
    began = time.process_time()
    seed = [1, *task.at.encode(), task.number, task.block]
    count = tally(task.kind, BLOCK, RUNS, seed, others=task.at == "c" and task.block == 0)
    took = round(time.process_time() - began, 1)
    return json.dumps(
        {"at": task.at, "number": task.number, "block": task.block, "cpu": took, "kind": asdict(task.kind)}
        | {"counts": dict(sorted(count.items()))}
    )


def main() -> None:
    """Add lines to the file until all are there, or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60.0, help="end after so long, with what there is")
    chosen = parser.parse_args()
    lines = chosen.file.read_text(encoding="utf-8").splitlines() if chosen.file.exists() else []
    done = {(entry["at"], entry["number"], entry["block"]) for entry in map(json.loads, lines)}
    end = time.monotonic() + 60 * chosen.minutes
    left = [task for task in tasks(chosen.recordings) if task.key not in done]
    with (
        chosen.file.open("a", encoding="utf-8") as file,
        multiprocessing.get_context("spawn").Pool(chosen.processes) as pool,
    ):
        for number, line in enumerate(pool.imap_unordered(line_of, left), start=1):
            file.write(line + "\n")
            file.flush()
            print(f"{number} of {len(left)}", flush=True)
            if time.monotonic() > end:
                break


if __name__ == "__main__":
    main()
