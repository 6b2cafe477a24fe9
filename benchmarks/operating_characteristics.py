"""How often is parity wrong? Simulated judges of many kinds, faithful runs and essential wrong mocks.

    python -m benchmarks.operating_characteristics [--judges 60] [--recordings 100] [--runs 10] [--seed 1]

Judges are a Latin hypercube over the number of essays and pairs, position, repeatability, spread, errors, latency,
batches and recordings. For each judge recordings are drawn, and for each recording faithful live runs; the table says
how often a faithful run is NO PARITY, how often it is PARITY, and how often each wrong mock is let past as PARITY.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.gates import GATES
from cj_pipeline.parity.noise import differences, noise_of
from cj_pipeline.parity.power import WrongMock, detections, says_nothing_about_essays
from cj_pipeline.traces.scenario import Profile

EXACT = {WrongMock.OTHER_MODEL: "identity", WrongMock.LOST_FIELD: "schema"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of judge and of comparison."""

    essays: int
    pairs: int
    position: float
    repeatability: float
    spread: float
    error_rate: float
    errors_repeat: bool
    sigma: float
    batches: int
    recordings: int


def hypercube(count: int, rng: np.random.Generator) -> Iterator[Kind]:
    """Draw kinds of judges: each range is cut into `count` strata, and each stratum is taken once."""
    columns = [(rng.permutation(count) + rng.random(count)) / count for _ in range(9)]
    for at in np.array(columns).T:
        essays = round(5 * (50 / 5) ** at[0])
        most = essays * (essays - 1) // 2
        pairs = round(10 * (300 / 10) ** at[1])
        yield Kind(
            essays=essays,
            pairs=int(min(max(pairs, essays), 2 * most)),
            position=-2 + 6 * at[2],
            repeatability=0.95 * at[3],
            spread=0.3 * (6 / 0.3) ** at[4],
            error_rate=0.15 * at[5],
            errors_repeat=bool(at[5] * 10 % 1 < 0.5),
            sigma=0.1 + 0.5 * at[6],
            batches=1 + int(10 * at[7]),
            recordings=1 + int(2 * at[8]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedJudge:
    """One judge: what is special to each prompt is drawn once."""

    kind: Kind
    first: np.ndarray
    second: np.ndarray
    chance: np.ndarray
    fixed: np.ndarray
    answer: np.ndarray
    fails: np.ndarray

    def batch(self, rng: np.random.Generator) -> np.ndarray:
        """(p,) 1 for A, 0 for B, -1 for an error."""
        free = rng.random(len(self.chance)) < self.chance
        winner = np.where(self.fixed, self.answer, free).astype(np.intp)
        failed = self.fails if self.kind.errors_repeat else rng.random(len(winner)) < self.kind.error_rate
        return np.where(failed, -1, winner)

    def answers(self, batches: int, rng: np.random.Generator, winners: np.ndarray | None = None) -> Answers:
        """Ask every prompt once a batch. winners: of another judge, (batches, p)."""
        drawn = np.concatenate([self.batch(rng) for _ in range(batches)]) if winners is None else winners.ravel()
        n, p = len(drawn), len(self.first)
        latency = np.round(1500 * np.exp(self.kind.sigma * rng.standard_normal(n)))
        tokens = np.round(40 * np.exp(0.2 * rng.standard_normal(n)))
        prompt = np.tile(1000.0 + 7 * self.first + 5 * self.second, batches)
        return Answers(
            batch=np.repeat(np.arange(batches), p),
            essay_a=tuple(f"e{i:03d}" for i in np.tile(self.first, batches)),
            essay_b=tuple(f"e{i:03d}" for i in np.tile(self.second, batches)),
            prompt_sha256=("",) * n,
            winner=drawn,
            error=tuple("EXTERNAL_SERVICE_ERROR" if w < 0 else "" for w in drawn),
            latency_ms=latency,
            prompt_tokens=prompt,
            completion_tokens=tokens,
            total_tokens=prompt + tokens,
            confidence=np.where(drawn < 0, np.nan, rng.choice([3.0, 3.5, 4.0, 4.5], n)),
            retry=np.zeros(n, dtype=np.bool_),
        )


def judge_of(kind: Kind, rng: np.random.Generator) -> SimulatedJudge:
    """Draw one judge of a kind, with its net."""
    upper = np.array(np.triu_indices(kind.essays, 1)).T
    order = np.concatenate([rng.permutation(len(upper)), rng.permutation(len(upper))])[: kind.pairs]
    pairs = upper[order]
    swapped = rng.random(len(pairs)) < 0.5
    swapped[len(upper) :] = ~swapped[: max(0, len(pairs) - len(upper))]
    first, second = np.where(swapped, pairs[:, 1], pairs[:, 0]), np.where(swapped, pairs[:, 0], pairs[:, 1])
    theta = rng.normal(0, kind.spread, kind.essays)
    chance = 1 / (1 + np.exp(-(theta[first] - theta[second] + kind.position)))
    p = len(first)
    return SimulatedJudge(
        kind,
        first,
        second,
        chance,
        rng.random(p) < kind.repeatability,
        rng.random(p) < chance,
        rng.random(p) < kind.error_rate,
    )


def comparison(judge: SimulatedJudge, recordings: tuple[Answers, ...], live: Answers) -> Comparison:
    """Set a live side beside recordings."""
    items = tuple(f"e{i:03d}" for i in range(judge.kind.essays))
    return Comparison(recordings, live, items, {}, seed=int(recordings[0].latency_ms[:8].sum()))


def failed_gates(case: Comparison) -> tuple[list[str], dict]:
    """Return the gates that a live side fails, and their noise."""
    gates = {gate: gate.margin(case, gate.limits[Profile.JUDGE]) for gate in GATES if gate.missing(case) is None}
    noise = noise_of(case, gates)
    failed = [name for name, one in noise.items() if one.beyond(differences(case, one, case.observed)).any()]
    return failed, noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judges", type=int, default=60)
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at", choices=["hypercube", "c"], default="hypercube")
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    if chosen.at == "c":
        kinds = [Kind(12, 66, p, r, 3.0, 0.0, False, 0.3, 3, n) for n in (1, 2) for r in (0.0, 0.7) for p in (0.0, 1.0)]
    else:
        kinds = list(hypercube(chosen.judges, rng))
    total: Counter[str] = Counter()
    why: Counter[str] = Counter()
    began = time.monotonic()
    print("essays pairs position r spread errors batches recordings | faithful NO PARITY, PARITY | wrong mocks past")
    for kind in kinds:
        count: Counter[str] = Counter()
        for _ in range(chosen.recordings):
            judge = judge_of(kind, rng)
            recordings = tuple(judge.answers(1, rng) for _ in range(kind.recordings))
            if not any(answers.answered.any() for answers in recordings):
                continue
            for _ in range(chosen.runs):
                case = comparison(judge, recordings, judge.answers(kind.batches, rng))
                failed, noise = failed_gates(case)
                found = detections(case, noise, EXACT, {})
                unproven = any(one.missed for one in found) or says_nothing_about_essays(case, found)
                count["runs"] += 1
                count["no"] += bool(failed)
                count["parity"] += not failed and not unproven
                why.update(failed)
                for one in found:
                    count[f"past {one.mock}"] += 0 if unproven or one.same_as_recorded else 1 - one.rate
        total += count
        runs = max(count["runs"], 1)
        worst = max((count[f"past {mock}"] / runs for mock in WrongMock), default=0.0)
        print(
            f"{kind.essays:3d} {kind.pairs:4d} {kind.position:5.1f} {kind.repeatability:4.2f} {kind.spread:4.1f} "
            f"{kind.error_rate:4.2f} {kind.batches:3d} {kind.recordings} | {count['no'] / runs:6.2%} "
            f"{count['parity'] / runs:6.1%} | {worst:.2%}",
            flush=True,
        )
    runs = total["runs"]
    reach = 1.96 * math.sqrt(max(total["no"], 1)) / runs
    print(f"pooled: NO PARITY {total['no'] / runs:.2%} (+-{reach:.2%}), PARITY {total['parity'] / runs:.1%} of {runs}")
    print("gates that failed:", dict(why), f"{time.monotonic() - began:.0f} s")
    for mock in WrongMock:
        print(f"  {mock}: PARITY in {total[f'past {mock}'] / runs:.2%}")


if __name__ == "__main__":
    main()
