"""The claims of docs/parity.md, simulated, and the pictures of that page.

    python -m benchmarks.plain_words

Writes benchmarks/figures/plain_words.json and docs/images/parity-*.svg. The judge of every simulation has 12 essays,
66 prompts, a spread of 2 logits and latencies with a deviation of 35 %; what differs is said in the claim.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.operating_characteristics import Kind, tally
from cj_pipeline.parity.power import WrongMock
from cj_pipeline.reports.plots import BLUE, GRID, INK, VERMILION

FIGURES = Path(__file__).parent / "figures" / "plain_words.json"
IMAGES = Path(__file__).parents[1] / "docs" / "images"

ESSAYS, PROMPTS, SPREAD, SIGMA, MEAN_MS = 12, 66, 2.0, 0.35, 1600
RUNS = 4_000
SIZES = (10, 20, 40, 66, 100, 200, 400, 1000, 2000)
POWER_SIZES = ((5, 10), (8, 28), (12, 66), (16, 120))


def chances(rng: np.random.Generator, runs: int) -> np.ndarray:
    """(runs, prompts) probabilities of A, each row of another judge."""
    theta = SPREAD * rng.standard_normal((runs, ESSAYS))
    first, second = np.triu_indices(ESSAYS, 1)
    side = np.where(rng.random((runs, PROMPTS)) < 0.5, 1.0, -1.0)
    return np.asarray(1 / (1 + np.exp(-side * (theta[:, first] - theta[:, second]))))


def two_runs(repeatability: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(runs, prompts) answers of two runs of each judge."""
    chance = chances(rng, RUNS)
    fixed, answer = rng.random(chance.shape) < repeatability, rng.random(chance.shape) < chance
    first, second = (np.where(fixed, answer, rng.random(chance.shape) < chance) for _ in range(2))
    return first, second


def latency_means(size: int, rng: np.random.Generator) -> np.ndarray:
    """(runs,) differences of the mean latency of two samples, milliseconds."""
    median = MEAN_MS / np.exp(SIGMA**2 / 2)
    samples = median * np.exp(SIGMA * rng.standard_normal((2, RUNS, size)))
    first, second = samples.mean(axis=2)
    return np.asarray(first - second)


def claim_same_answers() -> dict[str, object]:
    shares = {}
    for r in (0.0, 0.7):
        first, second = two_runs(r, np.random.default_rng(1))
        shares[r] = np.quantile((first == second).mean(axis=1), [0.05, 0.5, 0.95])
    low, middle, high = shares[0.0]
    again = shares[0.7]
    return {
        "claim": "A judge asked twice does not agree with itself",
        "words": f"two runs give the same answer to {middle:.0%} of prompts (nine of ten pairs of runs: {low:.0%} to "
        f"{high:.0%}); a judge whose answer is fixed for 70 % of prompts: {again[1]:.0%} ({again[0]:.0%} to "
        f"{again[2]:.0%})",
        "values": [float(value) for value in (*shares[0.0], *again)],
    }


def claim_share() -> dict[str, object]:
    first, second = two_runs(0.0, np.random.default_rng(2))
    apart = first.mean(axis=1) - second.mean(axis=1)
    reach = float(np.quantile(np.abs(apart), 0.95))
    beyond = float((np.abs(apart) > 0.1).mean())
    return {
        "claim": "So a check of equal numbers would be red every day",
        "words": f"the share of A of two runs is apart by up to {reach:.2f} in 95 of 100 pairs, and by more than .10 "
        f"in {beyond:.0%}",
        "values": [reach, beyond],
    }


def claim_latency() -> dict[str, object]:
    rng = np.random.default_rng(3)
    beyond = [float((np.abs(latency_means(size, rng)) > 100).mean()) for size in (10, 66, 400)]
    return {
        "claim": "The fewer answers, the more two runs of one judge differ",
        "words": f"means of {MEAN_MS} ms are more than 100 ms apart in {beyond[0]:.0%} of pairs of 10 answers, "
        f"{beyond[1]:.0%} of 66, {beyond[2]:.1%} of 400",
        "values": beyond,
    }


def claim_reach() -> dict[str, object]:
    rng = np.random.default_rng(8)
    reach = [float(np.quantile(np.abs(latency_means(size, rng)), 0.95)) / MEAN_MS for size in (10, 100, 400)]
    return {
        "claim": "Four times the answers halve the noise",
        "words": f"95 of 100 pairs of means lie within {reach[0]:.0%} of each other with 10 answers on each side, "
        f"{reach[1]:.1%} with 100, {reach[2]:.1%} with 400",
        "values": reach,
    }


def claim_many_checks() -> dict[str, object]:
    rng = np.random.default_rng(4)
    red = float((rng.random((RUNS * 10, 30)) < 0.01).any(axis=1).mean())
    return {
        "claim": "Many checks, each seldom wrong, are often wrong together",
        "words": f"of 30 checks that are each wrong in 1 of 100 runs, at least one is red in {red:.0%} of faithful "
        "runs; so gates share one rate (`benchmarks/operating_characteristics.py` measures it)",
        "values": [red],
    }


def claim_coin() -> dict[str, object]:
    rng = np.random.default_rng(5)
    first, second = two_runs(0.5, rng)
    coin = rng.random(first.shape) < first.mean(axis=1, keepdims=True)
    passes = float((np.abs(coin.mean(axis=1) - first.mean(axis=1)) <= 0.1).mean())
    same, own = float((coin == first).mean()), float((first == second).mean())
    return {
        "claim": "Equal shares prove nothing; equal answers do",
        "words": f"a coin with the recorded share of A is within .10 of it in {passes:.0%} of runs; it gives the "
        f"recorded answer to {same:.0%} of prompts, the judge itself to {own:.0%}",
        "values": [passes, same, own],
    }


def claim_two_judges() -> dict[str, object]:
    rng = np.random.default_rng(6)
    theta = SPREAD * rng.standard_normal((RUNS, ESSAYS))
    other = 0.95 * theta + np.sqrt(1 - 0.95**2) * SPREAD * rng.standard_normal((RUNS, ESSAYS))
    first, second = np.triu_indices(ESSAYS, 1)
    chance, chance_other = (1 / (1 + np.exp(-(t[:, first] - t[:, second]))) for t in (theta, other))
    agree = float((chance * chance_other + (1 - chance) * (1 - chance_other)).mean())
    own = float((0.7 + 0.3 * (chance**2 + (1 - chance) ** 2)).mean())
    return {
        "claim": "Two judges may rank alike and answer otherwise",
        "words": f"judges whose scales correlate .95 give the same answer to {agree:.0%} of prompts; a judge that "
        f"fixes 70 % of its answers agrees with itself on {own:.0%}",
        "values": [agree, own],
    }


def claim_equivalent() -> dict[str, object]:
    rng = np.random.default_rng(7)
    margin, error = 1.0, 0.3
    estimate = margin + error * rng.standard_normal(RUNS * 10)
    wrongly = float((np.abs(estimate) + 1.645 * error < margin).mean())
    return {
        "claim": "EQUIVALENT is seldom said of a drift as large as the margin",
        "words": f"where the true difference is exactly the margin, the 90 % interval lies inside it in {wrongly:.1%} "
        "of runs",
        "values": [wrongly],
    }


CLAIMS: tuple[Callable[[], dict[str, object]], ...] = (
    claim_same_answers,
    claim_share,
    claim_latency,
    claim_reach,
    claim_many_checks,
    claim_coin,
    claim_two_judges,
    claim_equivalent,
)


def coin_power() -> list[dict[str, float]]:
    """Return how often a fair coin is found, and a faithful run is PARITY, by the size of the recording."""
    rows = []
    for essays, pairs in POWER_SIZES:
        kind = Kind(essays, pairs, 0.0, 0.5, 3.0, 0.0, False, 0.3, 3, 1)
        count = tally(kind, 12, 20, [11, pairs])
        runs = count["runs"]
        rows.append(
            {
                "essays": essays,
                "pairs": pairs,
                "found": count[f"caught {WrongMock.COIN}"] / runs,
                "parity": count["parity"] / runs,
                "no_parity": count["no"] / runs,
            }
        )
    return rows


def second_recording() -> dict[str, object]:
    """Return how often a blind coin is found: with few live batches, with many, and with a second recording."""
    found = []
    for batches, recordings in ((3, 1), (30, 1), (3, 2)):
        kind = Kind(6, 15, 0.0, 0.7, 3.0, 0.0, False, 0.3, batches, recordings)
        count = tally(kind, 40, 20, [12, 15, batches, recordings])
        found.append(count[f"caught {WrongMock.BLIND_COIN}"] / count["runs"])
    return {
        "claim": "A second recording helps more than ten times the live batches",
        "words": f"of 6 essays and 15 pairs, a coin with the recorded share of A is found in {found[0]:.0%} of runs of "
        f"3 live batches, {found[1]:.0%} of 30, {found[2]:.0%} of 3 beside two recordings",
        "values": found,
    }


def _axes(height: float) -> tuple[Figure, object]:
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "parity", "font.size": 10})
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, name: str) -> None:
    figure.savefig(IMAGES / f"parity-{name}.svg", metadata={"Date": None})


def picture_of_noise() -> None:
    """How far two runs of one judge lie apart."""
    figure, axes = _axes(2.6)
    for r, colour, line in ((0.0, BLUE, "-"), (0.7, VERMILION, "--")):
        first, second = two_runs(r, np.random.default_rng(2))
        apart = first.mean(axis=1) - second.mean(axis=1)
        heights, edges = np.histogram(apart, np.arange(-0.265, 0.27, 0.0303))
        axes.stairs(heights / RUNS, edges, color=colour, linestyle=line, linewidth=1.8, label=f"fixed answers: {r:.0%}")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("share of A in one run less the share in another run of the same judge")
    axes.set_ylabel("share of pairs of runs")
    axes.legend(frameon=False)
    _save(figure, "noise")


def picture_of_size() -> None:
    """How noise shrinks with the number of answers."""
    figure, axes = _axes(2.8)
    rng = np.random.default_rng(3)
    reach = [100 * float(np.quantile(np.abs(latency_means(size, rng)), 0.95)) / MEAN_MS for size in SIZES]
    axes.plot(SIZES, reach, color=BLUE, marker="o", label="noise: 95 of 100 pairs of runs are closer")
    axes.axhline(10, color=VERMILION, linestyle="--", label="margin: 10 %")
    axes.fill_between(SIZES, np.maximum(reach, 10), 0, color=GRID, label="passes the gate")
    axes.set_xscale("log")
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.minorticks_off()
    axes.set_ylim(0)
    axes.set_xlabel("answers on each side")
    axes.set_ylabel("mean latency, % apart")
    axes.legend(frameon=False)
    _save(figure, "size")


def picture_of_evidence() -> None:
    """Three intervals and a margin."""
    figure, axes = _axes(2.2)
    rows = (("EQUIVALENT", -1.0, 3.0, "o"), ("INCONCLUSIVE", 6.0, 9.0, "s"), ("DIFFERENT", 19.0, 4.5, "D"))
    axes.axvspan(-10, 10, color=GRID)
    for place, (name, middle, reach, marker) in enumerate(rows):
        axes.errorbar(middle, -place, xerr=reach, color=INK, marker=marker, capsize=4)
        axes.annotate(name, (25.5, -place), va="center")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks([])
    axes.set_ylim(-2.6, 0.6)
    axes.set_xlim(-16, 36)
    axes.set_xlabel("difference of the two sides, %; grey: the margin; bars: where the true difference may be")
    _save(figure, "evidence")


def picture_of_power(rows: list[dict[str, float]]) -> None:
    """How large a recording must be."""
    figure, axes = _axes(2.6)
    sizes = [row["pairs"] for row in rows]
    axes.plot(sizes, [row["found"] for row in rows], color=BLUE, marker="o", label="a coin is found")
    axes.plot(
        sizes, [row["parity"] for row in rows], color=VERMILION, marker="D", linestyle="--", label="PARITY if faithful"
    )
    axes.set_ylim(0, 1.05)
    axes.set_xticks(sizes, [f"{row['pairs']:.0f}\n({row['essays']:.0f} essays)" for row in rows])
    axes.set_xlabel("recorded comparisons")
    axes.set_ylabel("share of runs")
    axes.legend(frameon=False)
    _save(figure, "power")


def main() -> None:
    """Write figures and pictures."""
    power = coin_power()
    found = ", ".join(f"{row['found']:.0%} at {row['pairs']:.0f}" for row in power)
    claims = [claim() for claim in CLAIMS]
    claims.append(
        {
            "claim": "A small recording proves nothing",
            "words": f"the share of runs in which a fair coin is found, by recorded comparisons: {found}",
            "values": [row["found"] for row in power],
        }
    )
    claims.append(second_recording())
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps({"claims": claims, "power": power}, indent=1) + "\n", encoding="utf-8")
    picture_of_noise()
    picture_of_size()
    picture_of_evidence()
    picture_of_power(power)
    for row in claims:
        print(f"{row['claim']}: {row['words']}")


if __name__ == "__main__":
    main()
