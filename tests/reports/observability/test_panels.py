"""Every panel of the dashboard shows what was driven, as a real Prometheus answers its queries."""

from __future__ import annotations

import math
import subprocess
from typing import Any

import httpx
import pytest

from cj_pipeline.reports.observability.dashboard import dashboard
from cj_pipeline.reports.observability.panel import Panel, new, new_by
from cj_pipeline.reports.observability.panels import ROWS
from tests.reports.observability.driven import (
    BATCHES,
    COMPARISONS,
    EXPIRED,
    LATE,
    MALFORMED,
    ORPHANS,
    UPSTREAM,
    WINDOW,
    Driven,
    until,
)

pytestmark = pytest.mark.servers("prometheus")

PANELS = {panel.title: panel for row in ROWS for panel in row.panels}


def with_window(expr: str) -> str:
    return expr.replace("$window", WINDOW)


def shown(stack: Driven, panel: Panel, *labels: str) -> dict[tuple[str, ...], float]:
    """The values of a panel with one query, by labels."""
    (query,) = panel.queries
    return stack.prometheus.values(with_window(query.expr), *labels)


@pytest.mark.parametrize("panel", PANELS.values(), ids=lambda panel: panel.title)
def test_each_query_of_a_panel_returns_numbers_and_every_label_of_its_legend(stack: Driven, panel: Panel) -> None:
    targets = [target for each in dashboard()["panels"] for target in each.get("targets", ())]
    for query in panel.queries:
        assert query.expr in [target["expr"] for target in targets]
        samples = stack.prometheus.query(with_window(query.expr))
        assert samples, query.expr
        for sample in samples:
            assert math.isfinite(float(sample["value"][1])), query.expr
            # A label that is missing would show as nothing, and two series as one.
            assert set(sample["metric"]) - {"__name__"} == {
                part.partition("}}")[0] for part in query.legend.split("{{")[1:]
            }, query.expr


def test_what_was_driven_is_what_the_panels_count(stack: Driven) -> None:
    # The failed comparisons of the batches were asked again, each as a comparison of its own.
    results = shown(stack, PANELS["Comparisons by result"], "result")
    assert results[("success",)] == BATCHES * COMPARISONS + UPSTREAM + LATE - EXPIRED
    assert results[("expired",)] == EXPIRED
    assert shown(stack, PANELS["Expired"], "provider", "expiry_reason") == {("mock", "ttl"): EXPIRED}
    assert shown(stack, PANELS["Batches by state"], "state") == {("COMPLETED",): BATCHES}
    assert shown(stack, PANELS["Queue depth"], "queue_type") == {("queued",): 0, ("total",): 0}
    requests = shown(stack, PANELS["Requests accepted and refused"], "provider", "status")
    assert requests[("openai", "queued")] == UPSTREAM
    assert requests[("mock", "failed")] == 1
    failed = results[("failure",)]
    assert requests[("mock", "queued")] == BATCHES * COMPARISONS + failed + LATE
    assert shown(stack, PANELS["Posts to the LPS"], "status") == {("queued",): BATCHES * COMPARISONS + failed}
    assert shown(stack, PANELS["Taken in and ended"], "operation", "status") == {
        ("intake", "success"): BATCHES,
        ("finalize", "success"): BATCHES,
    }


def test_what_counts_for_nothing_is_told_apart(stack: Driven) -> None:
    orphans, repeated, kept = (
        stack.prometheus.values(with_window(query.expr), query.legend.partition("{{")[2].removesuffix("}}"))
        for query in PANELS["Callbacks that count for nothing"].queries
    )
    assert orphans == {("another_lps",): ORPHANS, ("llm_provider_service",): UPSTREAM + LATE}
    assert repeated == {("late",): 1}
    assert kept == {("orphan",): ORPHANS + UPSTREAM + LATE, ("late",): 1, ("malformed",): MALFORMED}
    prompts, texts = (
        stack.prometheus.values(with_window(query.expr))
        for query in PANELS["Prompts and texts that could not be had"].queries
    )
    assert list(prompts.values()) == list(texts.values()) == [1]


def test_the_share_of_attempts_that_fail_is_that_of_the_attempts_that_were_made(stack: Driven) -> None:
    reasons = shown(stack, PANELS["Failed attempts by reason"], "provider", "reason")
    assert {reason for provider, reason in reasons if provider == "mock"} == {"rate_limited", "overloaded", "truncated"}
    shares = shown(stack, PANELS["Share of attempts that fail"], "provider")
    attempts = stack.prometheus.values(
        "sum by (provider) (llm_provider_queue_processing_time_seconds_count)", "provider"
    )
    for (provider,), share in shares.items():
        failed = sum(count for (named, _), count in reasons.items() if named == provider)
        assert share == pytest.approx(failed / attempts[(provider,)])
        assert 0 < share < 1


def test_a_mean_and_a_quantile_are_those_of_the_histogram(stack: Driven) -> None:
    (mean,) = shown(stack, PANELS["Requests in a bundle"]).values()
    sums = stack.prometheus.values("sum(llm_provider_serial_bundle_items_per_call_sum)")
    calls = stack.prometheus.values("sum(llm_provider_serial_bundle_items_per_call_count)")
    assert mean == sums[()] / calls[()] > 1
    _, query = PANELS["Wait for a turn"].queries
    waits = stack.prometheus.values(with_window(query.expr), "queue_processing_mode")
    # Three of four have waited for two seconds and expired.
    assert 1 < waits[("per_request",)] < 60
    assert waits[("serial_bundle",)] > 0


def test_what_a_counter_counted_between_two_scrapes_is_not_missed(stack: Driven) -> None:
    """The first callbacks are on the first sample already, which increase() takes for what was there before."""
    counter = "llm_provider_queue_expiry_total"
    assert stack.prometheus.values(with_window(new_by("provider", counter)), "provider") == {("mock",): EXPIRED}
    assert stack.prometheus.values(f"sum({counter})") == {(): EXPIRED}
    # Of a counter that is older than the window, increase() alone speaks: nothing is new within an instant.
    older = new(counter).replace("$window", "1s")
    assert sum(stack.prometheus.values(older).values()) == 0


def alerting(stack: Driven) -> list[dict[str, Any]]:
    """The alerts that wait for nothing, as Prometheus sees them now."""
    answer = httpx.get(f"{stack.prometheus.url}/api/v1/rules", timeout=30, trust_env=False).json()
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    return [rule for rule in rules if rule["type"] == "alerting" and rule["duration"] == 0]


def test_alerts_that_the_drive_deserves_fire_and_no_others(stack: Driven) -> None:
    deserved = {
        "LpsRequestsExpire",
        "CjOrphanCallbacks",
        "CjMessagesQuarantined",
        "CjPromptsMissing",
        "CjEssaysLeftOut",
    }
    until(
        f"alerts {deserved}",
        lambda: {rule["name"] for rule in alerting(stack) if rule["state"] == "firing"} == deserved,
    )
    told = [alert["annotations"]["summary"] for rule in alerting(stack) for alert in rule["alerts"]]
    assert "3 requests to mock ended unanswered in ten minutes (ttl)." in told
    assert [words for words in told if "error expanding" in words or "<no value>" in words] == []


# Production's name of it.
ODD = "llm_provider_prompt_tokens_histogram metric name should not include type 'histogram'"


def test_promtool_finds_no_fault_in_what_the_services_expose(stack: Driven) -> None:
    answer = httpx.get(f"{stack.prometheus.url}/api/v1/targets", timeout=30, trust_env=False).json()
    urls = [target["scrapeUrl"] for target in answer["data"]["activeTargets"]]
    assert len(urls) == 3
    for url in urls:
        text = httpx.get(url, timeout=30, trust_env=False).text
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=300)
        assert [line for line in (done.stdout + done.stderr).splitlines() if line != ODD] == []
