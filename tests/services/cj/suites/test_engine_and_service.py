"""The four suites where they take no time: the engine before an embedded LPS, and the CJ service in this process."""

from __future__ import annotations

import pytest

from tests.services.cj.suites import cases, rules, suites
from tests.services.cj.suites.cases import Case
from tests.services.cj.suites.rules import Rule, require
from tests.services.cj.suites.targets import ENGINE, IN_PROCESS, Engine, InProcess, ran

EMBEDDED = pytest.mark.parametrize("target", [ENGINE, IN_PROCESS], ids=lambda target: target.name)


@EMBEDDED
@pytest.mark.parametrize(
    ("case", "suite"),
    [
        (cases.CALLBACKS, suites.CALLBACKS),
        (cases.RESAMPLING, suites.RESAMPLING),
        (cases.TWICE, suites.TWICE),
        (cases.SMALL_NET, suites.SMALL_NET),
        (cases.PROVIDER_BATCH, suites.PROVIDER_BATCH),
    ],
    ids=lambda argument: argument.name if isinstance(argument, Case) else "",
)
def test_a_batch_keeps_every_rule_of_its_suite(target: Engine | InProcess, case: Case, suite: tuple[Rule, ...]) -> None:
    require(ran(target, case.name), suite)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_small_net_is_fair_under_any_seed(seed: int) -> None:
    require(ENGINE.run(cases.SMALL_NET.with_engine(pair_generation_seed=seed)), suites.SMALL_NET)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_regular_batch_is_fair_under_any_seed(seed: int) -> None:
    require(ENGINE.run(cases.RESAMPLING.with_engine(pair_generation_seed=seed)), suites.RESAMPLING)


def test_the_default_budget_of_120_is_not_enough_for_fairness_nor_for_a_pass() -> None:
    # 10 comparisons each leave some essay twice as often in one place; production saw skews of .6 with it.
    case = cases.RESAMPLING.with_engine(max_pairwise_comparisons=120)
    evidence = ENGINE.run(case)
    assert rules.broken(evidence, suites.CALLBACKS) == {}
    assert (evidence.total, evidence.resampling_pass_count, evidence.unique_coverage_complete) == (120, 0, False)
    assert "the_whole_budget_is_used" in rules.broken(evidence, suites.RESAMPLING)


def test_engine_and_service_ask_as_much_in_as_many_waves() -> None:
    for case in (cases.RESAMPLING, cases.SMALL_NET, cases.PROVIDER_BATCH):
        one, other = ran(ENGINE, case.name), ran(IN_PROCESS, case.name)
        assert (one.total, one.iterations) == (other.total, other.iterations)
        assert one.is_small_net is other.is_small_net


def test_a_provider_that_is_not_allowed_batch_jobs_gets_bundles() -> None:
    # What the request asks for is a wish: the service's own mode is left where the provider cannot have it.
    case = cases.PROVIDER_BATCH.with_engine(llm_batch_api_allowed_providers=("anthropic",))
    evidence = IN_PROCESS.run(case)
    assert evidence.batching_mode == "serial_bundle"
    assert {"the_mode_is_kept", "there_is_one_wave"} <= rules.broken(evidence, suites.PROVIDER_BATCH).keys()
