"""This module holds a deployed CJ service, and the LPS behind it, against production's suites."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from cj_pipeline.bus.protocol import Subscription
from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.runs.cj_service import NotFinished, ask_cj, store_texts
from cj_pipeline.runs.record import Sample
from cj_pipeline.runs.remote import Deployed, Deployment, ServiceUnreachable, counted_since, metrics_of
from cj_pipeline.runs.service_metrics import parse_metrics, since
from cj_pipeline.suites.cj_cases import CASES, CjCase, bos_batch_id, request_of, text_of
from cj_pipeline.suites.cj_rules import CjPlayed, rules_of
from cj_pipeline.suites.deployment import NotApplicable, opened
from cj_pipeline.suites.lps_rules import guardrail_rules
from cj_pipeline.suites.result import SuiteResult, TestResult, held, skipped
from cj_pipeline.traces.scenario import Scenario

# After the end of a batch: for callbacks that nobody should send any more.
_AFTERWARDS_S = 2.0
_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class CjAddress:
    """Where a CJ service is. content_url: takes texts, as `http://HOST:PORT/v1/content`; lps: with the bus of both."""

    url: str
    content_url: str
    callback_topic: str
    lps: Deployment


async def cj_suite(name: str, address: CjAddress, scenario_of: Callable[[str], Scenario], label: str) -> SuiteResult:
    """Run the batches of a suite. scenario_of: a scenario by its id; label: of this run, no two of which share one.

    A deployment that is set up otherwise, or away, is skipped with the reason.
    """
    results = []
    for case in CASES[name]:
        try:
            async with opened(address.lps, case.mode, case.strategy) as lps:
                results.append(await _test(case, address, lps, scenario_of(case.scenario_id), label))
        except (NotApplicable, ServiceUnreachable) as reason:
            results.append(TestResult(case.name, (skipped("deployment", str(reason)),)))
    return SuiteResult(name, address.url, tuple(results))


async def _test(case: CjCase, address: CjAddress, lps: Deployed, scenario: Scenario, label: str) -> TestResult:
    loop = asyncio.get_running_loop()
    began, batch = loop.time(), bos_batch_id(case, label)
    before, lps_before = await _cj_metrics(address.url), await metrics_of(lps.client)
    storage_ids = await store_texts(address.content_url, {essay: text_of(essay) for essay in case.essays})
    events: list[CallbackEvent] = []
    reading = asyncio.create_task(_callbacks(await lps.listen(address.callback_topic), batch, events))
    try:
        answer = await ask_cj(lps, request_of(case, storage_ids, label), case.budget_s)
        await asyncio.sleep(_AFTERWARDS_S)
    except NotFinished as error:
        limit = f"completed within {case.budget_s:g} s"
        return TestResult(case.name, (held("completed", False, str(error), limit),), loop.time() - began)
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    counted = since(before, await _cj_metrics(address.url))
    played = CjPlayed(case, batch, answer, tuple(events), counted)
    rules = [*rules_of(played)]
    lps_counted = await counted_since(lps.client, lps_before, len(events))
    provider = await _default_provider(lps)
    rules += guardrail_rules(scenario, played.events, lps_counted, case.strategy, provider)
    return TestResult(case.name, tuple(rules), loop.time() - began)


async def _callbacks(topic: Subscription, batch: str, events: list[CallbackEvent]) -> None:
    """Collect the callbacks of a batch until cancelled; the topic may be shared."""
    while True:
        event = parse_callback((await topic.next()).value)
        if not isinstance(event, Rejection) and event.data.request_metadata.get("bos_batch_id") == batch:
            events.append(event)


async def _cj_metrics(url: str) -> tuple[Sample, ...]:
    """Return what the CJ service has counted. Raises NotApplicable where none answers."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S) as client:
            health = (await client.get("/healthz")).raise_for_status().json()
            if "message" not in health:
                raise NotApplicable(f"{url}/healthz says no 'message': that is no CJ service.")
            return parse_metrics((await client.get("/metrics")).raise_for_status().text)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError) as error:
        raise NotApplicable(f"{url}: no CJ service answers there ({type(error).__name__}).") from None


async def _default_provider(lps: Deployed) -> Provider:
    """Return whom the LPS takes for the default, which is the label that the guardrails look for."""
    try:
        document = (await lps.client.get(lps.client.base_url.join("/admin/mock-mode"))).json()
        return Provider(document["default_provider"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return Provider.MOCK
