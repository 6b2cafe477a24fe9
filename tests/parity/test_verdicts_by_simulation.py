"""How often parity is wrong, by simulation: an excerpt of `benchmarks.operating_characteristics`."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from scipy.stats import binom

from benchmarks.operating_characteristics import tally
from benchmarks.simulated_judges import Kind, point_c
from cj_pipeline.parity.power import OF_WINS, WrongMock

ESSENTIAL = (*OF_WINS, WrongMock.INSTANT, WrongMock.TOKENS)

# Essays, pairs, position, repeatability, spread, error rate, the same prompts fail again, sigma, batches, recordings.
KINDS = (
    Kind(5, 10, 0.0, 0.0, 3.0, 0.0, False, 0.3, 3, 1),
    Kind(8, 28, 2.0, 0.9, 1.0, 0.1, True, 0.5, 2, 1),
    Kind(8, 40, -1.0, 0.5, 4.0, 0.05, False, 0.2, 4, 2),
    Kind(10, 45, 3.5, 0.2, 0.4, 0.0, False, 0.6, 1, 1),
    Kind(12, 66, 0.5, 0.7, 2.0, 0.1, False, 0.4, 1, 2),
    Kind(16, 80, -0.5, 0.3, 6.0, 0.02, True, 0.3, 2, 1),
)
# A recording costs half a second, a run next to nothing.
RECORDINGS, RUNS = 2, 40


@cache
def plausible() -> Counter[str]:
    """Verdicts over all kinds."""
    total: Counter[str] = Counter()
    for number, kind in enumerate(KINDS):
        total += tally(kind, RECORDINGS, RUNS, [1, number])
    return total


@cache
def at_point_c() -> dict[tuple[int, float], Counter[str]]:
    """Verdicts where power may not be given away, by recordings and repeatability."""
    found: dict[tuple[int, float], Counter[str]] = {}
    for number, kind in enumerate(point_c()):
        key = kind.recordings, kind.repeatability
        found[key] = found.get(key, Counter()) + tally(kind, 1, RUNS, [2, number])
    return found


def test_a_faithful_run_is_no_parity_in_at_most_one_of_a_hundred() -> None:
    count = plausible()
    # Runs of one recording fail together, so recordings count: 1 % of runs, in runs of five.
    allowed = binom.ppf(0.999, count["recordings"], 0.05)
    assert count["runs"] == len(KINDS) * RECORDINGS * RUNS
    assert count["recordings with a no"] <= allowed
    assert count["no"] / count["runs"] <= 0.03


@pytest.mark.parametrize("mock", ESSENTIAL)
def test_an_essential_wrong_mock_is_parity_in_at_most_one_of_twenty(mock: WrongMock) -> None:
    assert plausible()[f"past {mock}"] / plausible()["runs"] <= 0.05


@pytest.mark.parametrize("key", [(1, 0.0), (1, 0.7), (2, 0.0), (2, 0.7)])
def test_power_is_not_given_away(key: tuple[int, float]) -> None:
    count = at_point_c()[key]
    assert count["parity"] / count["runs"] >= 0.9
    for mock in ESSENTIAL:
        assert count[f"caught {mock}"] / count["runs"] >= 0.95, mock
