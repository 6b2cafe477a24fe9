"""The suites against both services as processes of their own, in real time: nothing of them is in this process."""

from __future__ import annotations

from functools import cache

import pytest

from tests.services.cj.suites import cases, suites
from tests.services.cj.suites.cases import Case
from tests.services.cj.suites.evidence import Evidence
from tests.services.cj.suites.rules import Rule, require
from tests.services.cj.suites.served import TwoProcesses

# Forty answers of 1.6 s take a minute one after another, in bundles too; each by itself and ten at a time, a wave is
# over after its slowest. Bundles of more than one are what the callbacks suite is served with.
IN_A_HURRY = (("serial_bundle_max_requests_per_call", 1), ("llm_max_concurrent_requests", 10))

SERVED: dict[str, tuple[TwoProcesses, Case, tuple[Rule, ...]]] = {
    "small-net": (TwoProcesses(lps=IN_A_HURRY), cases.SMALL_NET, suites.SMALL_NET),
    "callbacks": (TwoProcesses(), cases.CALLBACKS, suites.CALLBACKS),
    "resampling": (TwoProcesses(), cases.RESAMPLING, suites.RESAMPLING),
    "provider-batch": (TwoProcesses(), cases.PROVIDER_BATCH, suites.PROVIDER_BATCH),
}


@cache
def played(name: str) -> Evidence:
    target, case, _ = SERVED[name]
    return target.run(case)


# What the other two show of served processes, these two show as well, and the embedded targets have all four.
LONG = pytest.mark.servers("services")


@pytest.mark.parametrize(
    "name",
    [
        "callbacks",
        "provider-batch",
        pytest.param("small-net", marks=LONG),
        pytest.param("resampling", marks=LONG),
    ],
)
def test_served_batches_keep_every_rule_of_their_suite(name: str) -> None:
    require(played(name), SERVED[name][2])


def test_bundles_of_a_served_batch_hold_more_than_one() -> None:
    evidence = played("callbacks")
    items = sum(s.value for s in evidence.lps_metrics if s.name == "llm_provider_serial_bundle_items_per_call_sum")
    calls = sum(s.value for s in evidence.lps_metrics if s.name == "llm_provider_serial_bundle_calls_total")
    assert items == evidence.answered > calls
