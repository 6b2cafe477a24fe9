"""Production's suites of a mocked LPS: what they ask, that a right mock passes them, and that each rule can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.remote import Deployed
from cj_pipeline.runs.stack import embedded_stack
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.settings import LpsSettings
from cj_pipeline.suites.asking import Played, play
from cj_pipeline.suites.lps import run_test
from cj_pipeline.suites.lps_rules import rules_of
from cj_pipeline.suites.profiles import PROFILES, ProfileTest
from cj_pipeline.suites.result import TestResult, Verdict
from cj_pipeline.traces.summary import Summary, read_summary
from tests.sides import TRACES, scenario

TESTS = [(name, test) for name, profile in PROFILES.items() for test in profile.tests]
EACH_TEST = pytest.mark.parametrize(("name", "test"), TESTS, ids=[f"{name}-{test.name}" for name, test in TESTS])


def recorded(name: str) -> Summary:
    return read_summary(TRACES / PROFILES[name].scenario_id)


def on_embedded(name: str, work: Callable[[Deployed], Any], overlay: str = "", **settings: Any) -> Any:
    """Work in front of an embedded LPS in virtual time. overlay: makes a wrong mock."""
    profile = PROFILES[name]
    mode = load_mode(profile.mode + overlay)

    async def script() -> Any:
        given = {"queue_processing_mode": profile.strategy, "mock_mode": mode.expression, **settings}
        async with embedded_stack(LpsSettings(use_mock_llm=True, **given), mode) as stack:
            return await work(Deployed(stack.client, stack.bus, ()))

    return run_virtual(script())


def run(name: str, test: ProfileTest, overlay: str = "", **settings: Any) -> TestResult:
    profile = PROFILES[name]
    of = scenario(profile.scenario_id)
    work = lambda lps: run_test(lps, profile, test, of, recorded(name), "one")  # noqa: E731
    result: TestResult = on_embedded(name, work, overlay, **settings)
    return result


def failed(result: TestResult) -> set[str]:
    return {rule.name for rule in result.rules if rule.verdict is Verdict.FAIL}


# What production asks, by hand: comparisons in a batch, batches, hint, topic, seconds.
ASKED = {
    ("cj-generic", "parity"): (4, 1, "per_request", "generic.v1", 30),
    ("cj-generic", "coverage"): (12, 3, "per_request", "generic.coverage.v1", 60),
    ("cj-generic-batch-api", "batch-api"): (16, 1, None, "generic.batch_api.v1", 30),
    ("eng5-anchor", "parity"): (66, 1, "per_request", "eng5_anchor.v1", 120),
    ("eng5-lower5", "parity"): (10, 1, "per_request", "eng5_lower5.v1", 60),
    ("eng5-lower5", "diagnostics"): (10, 3, "serial_bundle", "eng5_lower5.small_net_diagnostics.v1", 90),
}


def test_what_is_asked_is_what_production_asks() -> None:
    found = {
        (name, test.name): (
            len(test.pairs),
            len(test.batches),
            test.hint,
            test.topic.removeprefix("test.llm.mock_parity."),
            test.budget_s,
        )
        for name, test in TESTS
    }
    assert found == ASKED
    assert PROFILES["eng5-lower5"].tests[0].pairs[0] == ("eng5-lower5-anchor-01", "eng5-lower5-anchor-02")
    assert all(len(set(test.pairs)) == len(test.pairs) for name, test in TESTS if name.startswith("eng5"))


@EACH_TEST
def test_a_right_mock_passes(name: str, test: ProfileTest) -> None:
    result = run(name, test)
    assert failed(result) == set()
    guardrails = {rule.name for rule in result.rules if rule.name.startswith("guardrail_")}
    assert len(guardrails) >= 6


@pytest.mark.parametrize(
    ("name", "number", "overlay", "rule"),
    [
        ("cj-generic", 0, "+coin", "winners"),
        ("cj-generic", 1, "+coin", "winners"),
        ("eng5-anchor", 0, "+always_a", "winners"),
        ("eng5-anchor", 0, "+instant", "latency_mean"),
        ("eng5-anchor", 0, "+slow_x1_5", "arrivals"),
        ("eng5-lower5", 1, "+coin", "same_winners"),
        ("eng5-lower5", 1, "+always_a", "b_wins"),
    ],
)
def test_a_wrong_mock_does_not_pass(name: str, number: int, overlay: str, rule: str) -> None:
    assert rule in failed(run(name, PROFILES[name].tests[number], overlay))


def test_an_lps_of_another_strategy_breaks_the_guardrails() -> None:
    name = "cj-generic"
    assert "guardrail_bundle_calls" in failed(run(name, PROFILES[name].tests[0], queue_processing_mode="per_request"))


def changed(event: CallbackEvent, **data: Any) -> CallbackEvent:
    return event.model_copy(update={"data": event.data.model_copy(update=data)})


def turned(event: CallbackEvent) -> CallbackEvent:
    return changed(event, winner=Winner.A if event.data.winner is Winner.B else Winner.B)


def of_another_batch(event: CallbackEvent) -> CallbackEvent:
    return changed(event, request_metadata={**event.data.request_metadata, "bos_batch_id": "another"})


def tokens(event: CallbackEvent, factor: float) -> CallbackEvent:
    usage = event.data.token_usage
    more = {name: round(factor * getattr(usage, name)) + 1 for name in type(usage).model_fields}
    return changed(event, token_usage=usage.model_copy(update=more))


Change = Callable[[Played], Played]


def each(change: Callable[[CallbackEvent], CallbackEvent]) -> Change:
    return lambda played: replace(played, batches=tuple(tuple(map(change, batch)) for batch in played.batches))


def first(change: Callable[[CallbackEvent], CallbackEvent]) -> Change:
    return lambda played: replace(
        played, batches=((change(played.batches[0][0]), *played.batches[0][1:]), *played.batches[1:])
    )


BROKEN: list[tuple[str, Change]] = [
    ("arrivals", lambda played: replace(played, problem="1 of 10 callbacks did not come")),
    ("answers", first(of_another_batch)),
    ("answers", first(lambda event: changed(event, justification=""))),
    ("winners", each(lambda event: changed(event, winner=Winner.A))),
    ("b_wins", each(lambda event: changed(event, winner=Winner.A))),
    ("tokens_prompt", each(lambda event: tokens(event, 1.6))),
    ("tokens_completion", each(lambda event: tokens(event, 1.7))),
    ("tokens_total", each(lambda event: tokens(event, 0.4))),
    ("latency_mean", each(lambda event: changed(event, response_time_ms=event.data.response_time_ms + 300))),
    ("latency_p95", each(lambda event: changed(event, response_time_ms=10))),
    ("same_winners", first(turned)),
    ("same_tokens", first(lambda event: tokens(event, 1.0))),
]


@pytest.fixture(scope="module")
def diagnostics() -> Played:
    test = PROFILES["eng5-lower5"].tests[1]
    return on_embedded("eng5-lower5", lambda lps: play(lps, test, "one"))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("rule", "change"), BROKEN, ids=[f"{number}-{rule}" for number, (rule, _) in enumerate(BROKEN)]
)
def test_a_rule_breaks_for_what_it_is_about(rule: str, change: Change, diagnostics: Played) -> None:
    profile = PROFILES["eng5-lower5"]
    test = replace(profile.tests[1], all_a=rule == "same_tokens")

    def broken(played: Played) -> set[str]:
        found = rules_of(profile, test, played, recorded("eng5-lower5"))
        return {one.name for one in found if one.verdict is Verdict.FAIL}

    assert rule in broken(change(diagnostics))
    if rule not in {"same_tokens"}:
        assert broken(diagnostics) == set()


def test_a_batch_that_does_not_come_ends_the_test_in_its_time() -> None:
    name = "eng5-lower5"
    test = replace(PROFILES[name].tests[1], budget_s=5.0)

    async def work(lps: Deployed) -> tuple[Played, float]:
        began = asyncio.get_running_loop().time()
        played = await play(lps, test, "one")
        return played, asyncio.get_running_loop().time() - began

    played, took_s = on_embedded(name, work)
    assert len(played.batches) == 1
    assert "callbacks did not come within 5 s" in played.problem
    assert took_s < 10


def test_two_runs_ask_under_ids_of_their_own() -> None:
    test = PROFILES["cj-generic"].tests[0]

    async def work(lps: Deployed) -> list[Played]:
        return [await play(lps, test, label) for label in ("one", "two")]

    one, two = on_embedded("cj-generic", work)
    ids = [{event.data.correlation_id for event in played.batches[0]} for played in (one, two)]
    assert [len(each) for each in ids] == [4, 4]
    assert ids[0].isdisjoint(ids[1])
