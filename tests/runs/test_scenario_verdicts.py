"""The four scenarios under their own modes and under wrong ones: the verdicts that the product is for."""

from __future__ import annotations

import pytest

from cj_pipeline.parity.compare import compare
from cj_pipeline.parity.verdict import Parity
from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, live, recorded, report, scenario, session_cache

ALL = (GENERIC, ANCHORS, LADDER, LOWER5)
WRONG = ("+coin", "+inverted", "+instant", "+tokens_x1_4")


def verdict(scenario_id: str, mode: str = "", *, seed: int = 42) -> Parity:
    """The verdict under an overlay on the scenario's mode, or under another mode."""
    return report(scenario_id, live(scenario_id, mode, seed)).verdict


@pytest.mark.parametrize("seed", [42, 1, 2, 3])
@pytest.mark.parametrize("scenario_id", ALL)
def test_the_faithful_mock_is_parity_under_any_seed(scenario_id: str, seed: int) -> None:
    assert verdict(scenario_id, seed=seed) is Parity.PARITY


# The answers of the generic recording took 2 to 6 ms: no time is what they took.
@pytest.mark.parametrize(
    ("scenario_id", "change"), [(of, how) for of in ALL for how in WRONG if (of, how) != (GENERIC, "+instant")]
)
def test_a_wrong_mock_is_not(scenario_id: str, change: str) -> None:
    assert verdict(scenario_id, change) is Parity.NO_PARITY


@pytest.mark.parametrize(
    ("scenario_id", "name"), [(ANCHORS, "production_hash_anchor"), (LOWER5, "production_hash_lower5")]
)
def test_nor_is_the_mock_of_production(scenario_id: str, name: str) -> None:
    assert verdict(scenario_id, name) is Parity.NO_PARITY


@pytest.mark.parametrize("scenario_id", [GENERIC, LOWER5])
def test_without_the_stated_repeatability_nobody_can_tell(scenario_id: str) -> None:
    unstated = scenario(scenario_id).model_copy(update={"judge": None})
    sides = recorded(scenario_id), live(scenario_id)
    found = compare(unstated, *sides, scenario_file="scenario.yaml", cached=session_cache())
    assert found.verdict is Parity.CANNOT_TELL
