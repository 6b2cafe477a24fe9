"""This module holds what production's suites of a mocked LPS ask, by profile: pairs, batch ids, topics, time.

What must come of it is in lps_rules.py. The names of profiles are those of production's helper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.traces.scenario import Profile

Pair = tuple[str, str]

_SERIAL = QueueProcessingMode.SERIAL_BUNDLE
_TOPICS = "test.llm.mock_parity"


@dataclass(frozen=True, slots=True)
class ProfileTest:
    """One test: the same pairs in each of some batches.

    budget_s: from the first request to the last callback of a batch; hint, model: as production sends them, None for
    none. winner_drift: how far the share of a winner may be from the recorded one in each batch, None for the profile's
    own; steady: whether all batches must use the same tokens, and each pair keep its winner; b_wins: whether B must win
    at least as often as A; all_a: whether A must win always.
    """

    name: str
    topic: str
    batches: tuple[str, ...]
    pairs: tuple[Pair, ...]
    budget_s: float
    hint: str | None = "per_request"
    model: str | None = None
    winner_drift: float | None = None
    steady: bool = False
    b_wins: bool = False
    all_a: bool = False


@dataclass(frozen=True, slots=True)
class SuiteProfile:
    """A profile: the recording whose figures count, the mock's mode, the service's strategy, and the tests."""

    scenario_id: str
    profile: Profile
    mode: str
    strategy: QueueProcessingMode
    tests: tuple[ProfileTest, ...]


def pairs_of(stem: str, essays: int) -> tuple[Pair, ...]:
    """Return every pair of so many essays, as production numbers them."""
    return tuple(combinations([f"{stem}-{number:02d}" for number in range(1, essays + 1)], 2))


_GENERIC = ("essay-a-generic", "essay-b-generic")
_ANCHORS = pairs_of("eng5-anchor", 12)
_LOWER5 = pairs_of("eng5-lower5-anchor", 5)
_GENERIC_TRACE = "cj_lps_roundtrip_mock_20251205"

PROFILES: Mapping[str, SuiteProfile] = {
    "cj-generic": SuiteProfile(
        _GENERIC_TRACE,
        Profile.GENERIC,
        "cj_generic_batch",
        _SERIAL,
        (
            ProfileTest(
                "parity", f"{_TOPICS}.generic.v1", ("bos-cj-generic-mock-parity-001",), (_GENERIC,) * 4, budget_s=30
            ),
            ProfileTest(
                "coverage",
                f"{_TOPICS}.generic.coverage.v1",
                tuple(f"bos-cj-generic-mock-coverage-{number:03d}" for number in (1, 2, 3)),
                (_GENERIC,) * 12,
                budget_s=60,
                steady=True,
                all_a=True,
            ),
        ),
    ),
    "cj-generic-batch-api": SuiteProfile(
        _GENERIC_TRACE,
        Profile.GENERIC,
        "cj_generic_batch",
        QueueProcessingMode.BATCH_API,
        (
            ProfileTest(
                "batch-api",
                f"{_TOPICS}.generic.batch_api.v1",
                ("bos-cj-generic-mock-batch-api",),
                (_GENERIC,) * 16,
                budget_s=30,
                hint=None,
                model="gpt-5.1",
            ),
        ),
    ),
    "eng5-anchor": SuiteProfile(
        "eng5_anchor_align_gpt51_low_20251201",
        Profile.ENG5_ANCHOR,
        "eng5_anchor_gpt51_low",
        _SERIAL,
        (
            ProfileTest(
                "parity", f"{_TOPICS}.eng5_anchor.v1", ("bos-eng5-anchor-mock-parity-001",), _ANCHORS, budget_s=120
            ),
        ),
    ),
    "eng5-lower5": SuiteProfile(
        "eng5_lower5_gpt51_low_20251202",
        Profile.ENG5_LOWER5,
        "eng5_lower5_gpt51_low",
        _SERIAL,
        (
            ProfileTest(
                "parity", f"{_TOPICS}.eng5_lower5.v1", ("bos-eng5-lower5-mock-parity-001",), _LOWER5, budget_s=60
            ),
            ProfileTest(
                "diagnostics",
                f"{_TOPICS}.eng5_lower5.small_net_diagnostics.v1",
                tuple(f"bos-eng5-lower5-small-net-{number:03d}" for number in (1, 2, 3)),
                _LOWER5,
                budget_s=90,
                hint="serial_bundle",
                winner_drift=0.20,
                steady=True,
                b_wins=True,
            ),
        ),
    ),
}
