from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lps.lab import in_lab, mode

PREFIX = "llm_provider_"

# From production: name without prefix -> its labels.
SERIES = {
    "requests": {"provider", "model", "request_type", "status"},
    "queue_depth": {"queue_type"},
    "queue_wait_time_seconds": {"queue_processing_mode", "result"},
    "queue_processing_time_seconds": {"provider", "status"},
    "comparison_callbacks": {"queue_processing_mode", "result"},
    "serial_bundle_calls": {"provider", "model"},
    "serial_bundle_items_per_call": {"provider", "model"},
}
BUCKETS = {
    "queue_wait_time_seconds": [0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600],
    "queue_processing_time_seconds": [0.1, 0.5, 1, 2, 5, 10, 30, 60],
    "serial_bundle_items_per_call": [1, 2, 4, 8, 16, 32, 64],
}


async def scrape(lab):
    response = await lab.client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name.removeprefix(PREFIX): family for family in text_string_to_metric_families(response.text)}
    return families, response.text


def value(families, family, suffix="", **labels):
    name = PREFIX + family + suffix
    return sum(s.value for s in families[family].samples if s.name == name and labels.items() <= s.labels.items())


async def eventful(lab):
    """Six accepted, of which one fails; one refused for want of room, two at the door."""
    await lab.post(0)
    await asyncio.sleep(0.5)  # the worker has begun with the first
    for number in range(1, 6):
        assert (await lab.post(number, metadata={"essay_a_id": "a"} if number == 4 else None)).status_code == 202
    assert (await lab.post(6)).status_code == 503
    assert (await lab.post_text("{}")).status_code == 400
    assert (await lab.post(7, provider_override="openai")).status_code == 400
    during, _ = await scrape(lab)
    for _ in range(6):
        await lab.next_result()
    after, text = await scrape(lab)
    return during, after, text


ABILITY = {"model": "ability", "abilities": {}, "unknown_spread": {"mean": 0, "sd": 1}}


@pytest.fixture(scope="module")
def scraped():
    of = mode(winner=ABILITY, latency={"model": "constant", "ms": 1000})
    return in_lab(eventful, of, queue_processing_mode="serial_bundle", queue_max_size=6)


def test_names_labels_and_buckets_are_productions(scraped):
    _, after, _ = scraped
    assert after.keys() == SERIES.keys()
    for name, family in after.items():
        assert {frozenset(sample.labels) - {"le"} for sample in family.samples} == {frozenset(SERIES[name])}
    for name, bounds in BUCKETS.items():
        told = {float(sample.labels["le"]) for sample in after[name].samples if "le" in sample.labels}
        assert told == {*bounds, float("inf")}


def test_every_declared_series_is_written(scraped):
    during, after, _ = scraped
    for name in SERIES:
        families = during if name == "queue_depth" else after
        assert sum(sample.value for sample in families[name].samples) > 0, f"{name} is declared and never written"


def test_depth_is_what_waits_and_what_is_being_answered(scraped):
    during, after, _ = scraped
    assert value(during, "queue_depth", queue_type="total") == 6
    assert value(during, "queue_depth", queue_type="queued") == 5
    assert value(after, "queue_depth") == 0


def test_requests_are_counted_by_what_the_door_said(scraped):
    _, after, _ = scraped
    common = {"request_type": "comparison", "model": "unknown"}
    assert value(after, "requests", "_total", provider="mock", status="queued", **common) == 6
    assert value(after, "requests", "_total", provider="mock", status="failed", **common) == 1
    assert value(after, "requests", "_total", provider="unknown", status="failed", **common) == 1
    assert value(after, "requests", "_total", provider="openai", status="failed", **common) == 1


def test_turns_callbacks_and_bundles_are_counted(scraped):
    _, after, _ = scraped
    serial = {"queue_processing_mode": "serial_bundle"}
    assert value(after, "comparison_callbacks", "_total", result="success", **serial) == 5
    assert value(after, "comparison_callbacks", "_total", result="failure", **serial) == 1
    # One alone, because the worker was idle when it came; then the five that waited for it.
    assert value(after, "serial_bundle_calls", "_total", provider="mock", model="unknown") == 2
    assert value(after, "serial_bundle_items_per_call", "_sum") == 6
    assert value(after, "serial_bundle_items_per_call", "_bucket", le="4.0") == 1
    assert value(after, "serial_bundle_items_per_call", "_bucket", le="8.0") == 2


def test_waiting_ends_when_the_requests_own_turn_starts(scraped):
    _, after, _ = scraped
    # Turns of 1 s one after another. The first waits 0 s; those posted half a second later wait .5, 1.5, 2.5 and 4.5 s
    # and succeed, or 3.5 s and fail.
    assert value(after, "queue_wait_time_seconds", "_sum", result="success") == pytest.approx(9.0)
    assert value(after, "queue_wait_time_seconds", "_sum", result="failure") == pytest.approx(3.5)
    assert value(after, "queue_processing_time_seconds", "_sum", provider="mock", status="success") == pytest.approx(5)


def test_the_text_holds_no_time_of_day(scraped):
    _, _, text = scraped
    assert "_created" not in text
    of = mode(winner=ABILITY, latency={"model": "constant", "ms": 1000})
    assert in_lab(eventful, of, queue_processing_mode="serial_bundle", queue_max_size=6)[2] == text


def test_without_bundles_no_bundle_is_counted():
    async def script(lab):
        await lab.post()
        await lab.next_result()
        families, _ = await scrape(lab)
        assert value(families, "serial_bundle_calls", "_total") == 0
        assert value(families, "comparison_callbacks", "_total", queue_processing_mode="per_request") == 1

    in_lab(script)


def test_each_service_counts_for_itself():
    async def script(lab):
        await lab.post()
        families, _ = await scrape(lab)
        return value(families, "requests", "_total")

    assert [in_lab(script), in_lab(script)] == [1, 1]
