"""How often is parity wrong? Simulated judges of many kinds, faithful runs and essential wrong mocks.

    python -m benchmarks.operating_characteristics [--judges 60] [--recordings 100] [--runs 10] [--processes 2]

Judges are a Latin hypercube over the number of essays and pairs, position, repeatability, spread, errors, latency,
batches and recordings; `--at c` is the point whose power may not be given away (12 essays, 66 pairs, 3 batches). For
each recording, faithful and wrong live runs are drawn from the judge that was recorded, not from its fit. The table
says how often a faithful run is NO PARITY and PARITY, and how often each wrong mock is let past as PARITY.

All runs of one recording fail on the same calls, so that they share one noise; which calls fail is drawn again for the
gates of errors.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.parity.comparison import Comparison, Sample
from cj_pipeline.parity.evidence import EvidenceVerdict, evidence_of
from cj_pipeline.parity.gates import GATES
from cj_pipeline.parity.noise import Noise, differences, noise_of
from cj_pipeline.parity.power import (
    OF_WINS,
    WrongMock,
    coin_rates,
    detections,
    recorded_share,
    says_nothing_about_essays,
)
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

    def measures(self, size: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw latency, completion tokens and confidence."""
        latency = np.round(1500 * np.exp(self.kind.sigma * rng.standard_normal(size)))
        tokens = np.round(40 * np.exp(0.2 * rng.standard_normal(size)))
        return latency, tokens, rng.choice([3.0, 3.5, 4.0, 4.5], size)

    def failures(self, runs: int, batches: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (runs, calls) errors as places of their code, -1 for an answer."""
        p = len(self.first)
        failed = rng.random((runs, batches * p)) < self.kind.error_rate
        if self.kind.errors_repeat:
            failed = np.tile(self.fails, (runs, batches))
        return np.where(failed, 0, -1)

    def wins(self, case: Comparison, runs: int, mock: WrongMock | None, rng: np.random.Generator) -> np.ndarray:
        """Draw (runs, p) wins of A on the prompts of a comparison. mock: who answers; None is the judge itself."""
        assert case.asked is not None  # noqa: S101
        n = case.asked.answers.astype(int)
        if mock in (WrongMock.COIN, WrongMock.BLIND_COIN):
            return rng.binomial(n, 0.5 if mock is WrongMock.COIN else recorded_share(case.asked), (runs, len(n)))
        if mock is WrongMock.FIRST_SHOWN:
            return np.tile(n, (runs, 1))
        place = {pair: row for row, pair in enumerate(zip(self.first.tolist(), self.second.tolist(), strict=True))}
        rows = [place[pair] for pair in zip(case.asked.first.tolist(), case.asked.second.tolist(), strict=True)]
        free = rng.binomial(n, self.chance[rows], (runs, len(n)))
        wins = np.where(self.fixed[rows], self.answer[rows] * n, free)
        return n - wins if mock is WrongMock.INVERTED else wins

    def sample(self, case: Comparison, runs: int, mock: WrongMock | None, rng: np.random.Generator) -> Sample:
        """Draw live sides, one a run. mock: who answers; None is the judge itself."""
        answered = int(case.live.answered.sum())
        latency, tokens, confidence = self.measures((runs, answered), rng)
        prompt = np.tile(case.live.prompt_tokens[case.live.answered], (runs, 1))
        if mock is WrongMock.INSTANT:
            latency = np.zeros_like(latency)
        if mock is WrongMock.TOKENS:
            tokens, prompt = 1.4 * tokens, 1.4 * prompt
        wins = (
            None if case.asked is None else self.wins(case, runs, mock if mock in OF_WINS else None, rng).astype(float)
        )
        # There is one code, with place 0: the first recorded one, or the one after none.
        errors = self.failures(runs, self.kind.batches, rng)
        return Sample(wins, latency, tokens, prompt, confidence, errors, case.live.retry)

    def answers(self, batches: int, rng: np.random.Generator) -> Answers:
        """Ask every prompt once a batch."""
        drawn = np.concatenate([self.batch(rng) for _ in range(batches)])
        n, p = len(drawn), len(self.first)
        latency, tokens, confidence = self.measures((n,), rng)
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
            confidence=np.where(drawn < 0, np.nan, confidence),
            retry=np.zeros(n, dtype=np.bool_),
        )


def judge_of(kind: Kind, rng: np.random.Generator) -> SimulatedJudge:
    """Draw one judge of a kind, with its net."""
    upper = np.array(np.triu_indices(kind.essays, 1)).T
    order = rng.permutation(len(upper))
    side = rng.random(len(upper)) < 0.5
    # Beyond all pairs they are asked again with sides swapped, so that no prompt is asked twice in a batch.
    pairs = upper[np.concatenate([order, order])[: kind.pairs]]
    swapped = np.concatenate([side, ~side])[: kind.pairs]
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


def noise_by_gate(case: Comparison) -> dict[str, Noise]:
    """Return the noise of the gates that apply, with the margins of the profile `judge`."""
    return noise_of(case, {g: g.margin(case, g.limits[Profile.JUDGE]) for g in GATES if g.missing(case) is None})


def failed_gates(case: Comparison) -> tuple[list[str], dict[str, Noise]]:
    """Return the gates that a live side fails, and their noise."""
    noise = noise_by_gate(case)
    return [name for name, failed in failures(case, noise, case.observed).items() if failed.any()], noise


def failures(case: Comparison, noise: Mapping[str, Noise], sample: Sample) -> dict[str, np.ndarray]:
    """Return (runs,) by gate: whether each run fails it."""
    return {name: one.beyond(differences(case, one, sample)).astype(bool) for name, one in noise.items()}


def tally(kind: Kind, recordings: int, runs: int, seed: list[int]) -> Counter[str]:
    """Count verdicts over some recordings of judges of one kind, each with some faithful and some wrong live runs."""
    rng = np.random.default_rng(seed)
    count: Counter[str] = Counter()
    for _ in range(recordings):
        judge = judge_of(kind, rng)
        recorded = tuple(judge.answers(1, rng) for _ in range(kind.recordings))
        if not any(answers.answered.any() for answers in recorded):
            continue
        case = comparison(judge, recorded, judge.answers(kind.batches, rng))
        noise = noise_by_gate(case)
        found = detections(case, noise, EXACT)
        unproven = any(one.missed for one in found) or says_nothing_about_essays(case, found)
        faithful = judge.sample(case, runs, None, rng)
        failed = failures(case, noise, faithful)
        no = np.any(np.broadcast_arrays(*failed.values()), axis=0)
        count["runs"] += runs
        count["no"] += int(no.sum())
        count["recordings"] += 1
        count["recordings with a no"] += bool(no.any())
        count["parity"] += 0 if unproven else int((~no).sum())
        for name, row in failed.items():
            count[f"failed {name}"] += int(row.sum())
        for mock in (*OF_WINS, WrongMock.INSTANT, WrongMock.TOKENS):
            wrong = failures(case, noise, judge.sample(case, runs, mock, rng))
            caught = np.any(np.broadcast_arrays(*wrong.values()), axis=0)
            same = any(one.same_as_recorded for one in found if one.mock is mock)
            count[f"caught {mock}"] += runs if same else int(caught.sum())
            count[f"past {mock}"] += 0 if unproven or same else int((~caught).sum())
        _count_evidence(count, case, noise, faithful)
    return count


def _count_evidence(count: Counter[str], case: Comparison, noise: Mapping[str, Noise], faithful: Sample) -> None:
    """Count, over faithful runs, intervals that hold the truth, and claims that do not."""
    values = {name: differences(case, one, faithful) for name, one in noise.items()}
    for name in ("latency_mean", "tokens_completion", "winner_share", "position_effect", "answer_agreement"):
        if name in noise:
            low, high = np.quantile(noise[name].differences, [0.025, 0.975])
            count[f"covered {name}"] += int(((values[name] >= low) & (values[name] <= high)).sum())
            count[f"intervals {name}"] += len(values[name])
    for name in ("latency_mean", "tokens_completion"):
        one = noise.get(name)
        if one is not None:  # a judge that drifted by just the margin
            drifted = (values[name] + one.reference) * (1 + one.margin.high / one.reference) - one.reference
            centred = one.differences - one.differences.mean()
            inside = (drifted - np.quantile(centred, 0.05) <= one.margin.high) & (
                drifted - np.quantile(centred, 0.95) >= one.margin.low
            )
            count[f"equivalent at the margin {name}"] += int(inside.sum())
    first = {name: float(value[0]) for name, value in values.items()}
    evidence = evidence_of(case, noise, first, coin_rates(case, noise))
    count["different"] += any(one.verdict is EvidenceVerdict.DIFFERENT for one in evidence.values())


def row(kind: Kind, count: Counter[str]) -> str:
    """Return one line of the table."""
    runs = max(count["runs"], 1)
    mock = max(WrongMock, key=lambda mock: count[f"past {mock}"])
    return (
        f"{kind.essays:3d} {kind.pairs:4d} {kind.position:5.1f} {kind.repeatability:4.2f} {kind.spread:4.1f} "
        f"{kind.error_rate:4.2f} {'same' if kind.errors_repeat else 'any ':4s} {kind.batches:3d} {kind.recordings} | "
        f"{count['no'] / runs:6.2%} in {count['recordings with a no']:3d} of {count['recordings']} | "
        f"{count['parity'] / runs:6.1%} | {count[f'past {mock}'] / runs:6.2%} {mock}"
    )


def point_c() -> list[Kind]:
    """Return the kinds of judges at which power may not be given away."""
    return [
        Kind(12, 66, position, r, 3.0, 0.0, False, 0.3, 3, recordings)
        for recordings in (1, 2)
        for r in (0.0, 0.7)
        for position in (0.0, 1.0)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judges", type=int, default=60)
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--at", choices=["hypercube", "c"], default="hypercube")
    chosen = parser.parse_args()
    kinds = point_c() if chosen.at == "c" else list(hypercube(chosen.judges, np.random.default_rng(chosen.seed)))
    total: Counter[str] = Counter()
    began = time.monotonic()
    print("essays pairs position r spread errors batches recs | faithful: NO PARITY | PARITY | worst wrong mock past")
    with multiprocessing.get_context("spawn").Pool(chosen.processes) as pool:
        work = partial(_numbered, kinds=kinds, recordings=chosen.recordings, runs=chosen.runs, seed=chosen.seed)
        for kind, count in zip(kinds, pool.imap(work, range(len(kinds))), strict=True):
            total += count
            print(row(kind, count), flush=True)
    print(summary(total), f"{time.monotonic() - began:.0f} s", sep="\n")


def _numbered(number: int, kinds: list[Kind], recordings: int, runs: int, seed: int) -> Counter[str]:
    return tally(kinds[number], recordings, runs, [seed, number])


def summary(total: Counter[str]) -> str:
    """Return what the table adds up to."""
    runs = max(total["runs"], 1)
    no, parity = total["no"] / runs, total["parity"] / runs
    reach = 1.96 * math.sqrt(max(total["recordings with a no"], 1)) / max(total["recordings"], 1)
    lines = [f"faithful: NO PARITY {no:.2%} (+-{reach:.2%}), PARITY {parity:.1%}, CANNOT TELL {1 - no - parity:.1%}"]
    lines += [
        f"{mock}: NO PARITY {total[f'caught {mock}'] / runs:.1%}, PARITY {total[f'past {mock}'] / runs:.2%}"
        for mock in (*OF_WINS, WrongMock.INSTANT, WrongMock.TOKENS)
    ]
    gates = {name.removeprefix("failed "): n for name, n in total.most_common() if name.startswith("failed ")}
    lines.append(f"gates that failed in {runs} faithful runs: {gates}")
    for name in [name.removeprefix("intervals ") for name in total if name.startswith("intervals ")]:
        lines.append(f"{name}: 95 % interval right in {total[f'covered {name}'] / total[f'intervals {name}']:.1%}")
    lines += [
        f"{name}: {number / runs:.1%}" for name, number in total.items() if name.startswith("equivalent at the margin")
    ]
    lines.append(f"some gate DIFFERENT: {total['different'] / max(total['recordings'], 1):.1%} of faithful runs")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
