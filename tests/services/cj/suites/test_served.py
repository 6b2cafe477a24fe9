"""The suites against both services as processes of their own, in real time: nothing of them is in this process."""

from __future__ import annotations

import asyncio
from functools import cache

import pytest

from cj_pipeline.runs.virtual_time import run_real
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
def played() -> dict[str, Evidence | BaseException]:
    """All of them at the same time: the small net does little but wait for its answers."""

    async def work() -> list[Evidence | BaseException]:
        return await asyncio.gather(*(target.play(case) for target, case, _ in SERVED.values()), return_exceptions=True)

    return dict(zip(SERVED, run_real(work()), strict=True))


@pytest.mark.parametrize("name", SERVED)
def test_served_batches_keep_every_rule_of_their_suite(name: str) -> None:
    evidence = played()[name]
    if isinstance(evidence, BaseException):
        raise evidence
    require(evidence, SERVED[name][2])


def test_bundles_of_a_served_batch_hold_more_than_one() -> None:
    evidence = played()["callbacks"]
    assert isinstance(evidence, Evidence)
    items = sum(s.value for s in evidence.lps_metrics if s.name == "llm_provider_serial_bundle_items_per_call_sum")
    calls = sum(s.value for s in evidence.lps_metrics if s.name == "llm_provider_serial_bundle_calls_total")
    assert items == evidence.answered > calls
