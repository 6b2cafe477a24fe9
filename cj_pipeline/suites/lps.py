"""This module holds a deployed LPS against production's suite of one profile of its mock."""

from __future__ import annotations

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.runs.remote import Deployed, Deployment
from cj_pipeline.suites.asking import play
from cj_pipeline.suites.deployment import NotApplicable, opened
from cj_pipeline.suites.lps_rules import guardrail_rules, rules_of
from cj_pipeline.suites.profiles import PROFILES, ProfileTest, SuiteProfile
from cj_pipeline.suites.result import SuiteResult, TestResult, skipped
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.traces.summary import Summary


async def lps_suite(
    name: str, deployment: Deployment, scenario: Scenario, recorded: Summary, label: str
) -> SuiteResult:
    """Run the tests of a profile. scenario, recorded: of its recording; label: of this run, no two of which share one.

    A deployment that runs another mode, or none, is skipped with the reason.
    """
    profile = PROFILES[name]
    results = []
    try:
        async with opened(deployment, profile.mode, profile.strategy) as lps:
            for test in profile.tests:
                results.append(await run_test(lps, profile, test, scenario, recorded, label))
    except NotApplicable as reason:
        left = profile.tests[len(results) :]
        results += [TestResult(test.name, (skipped("deployment", str(reason)),)) for test in left]
    return SuiteResult(name, deployment.url, tuple(results))


async def run_test(
    lps: Deployed, profile: SuiteProfile, test: ProfileTest, scenario: Scenario, recorded: Summary, label: str
) -> TestResult:
    """Ask a deployment for the batches of one test, and judge them."""
    played = await play(lps, test, label)
    rules = [*rules_of(profile, test, played, recorded)]
    events = sum(played.batches, ())
    rules += guardrail_rules(scenario, events, played.metrics, profile.strategy, Provider.MOCK)
    return TestResult(test.name, tuple(rules), played.seconds)
