"""Series on /metrics: production's names, labels and buckets, and each of them written by something that happens."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from functools import cache

import pytest
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from tests.services.lps.flaky import FlakyBus
from tests.services.lps.lab import TOPIC, body, in_lab, mode
from tests.services.lps.moody import SLOW, Moody, first_attempts_of, late, served_by
from tests.services.lps.providers.fakes import FAKES, KEYS
from tests.services.lps.series import SERIES

PREFIX = "llm_provider_"


async def scrape(lab):
    response = await lab.client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name.removeprefix(PREFIX): family for family in text_string_to_metric_families(response.text)}
    return families, response.text


def value(families, family, suffix="", **labels):
    name = PREFIX + family + suffix
    return sum(s.value for s in families[family].samples if s.name == name and labels.items() <= s.labels.items())


ABILITY = {"model": "ability", "abilities": {}, "unknown_spread": {"mean": 0, "sd": 1}}


async def bundled(lab):
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


async def in_jobs(lab):
    """Four in two jobs, because the first is alone when it comes."""
    for number in range(4):
        await lab.post(number, model_override="gpt-5.1" if number == 0 else None)
    for _ in range(4):
        await lab.next_result()
    return ((await scrape(lab))[0],)


async def hold(lab, number):
    """Post a request and take its claim away from the worker, which is busy, to let it run out."""
    await lab.post(number)
    (held,) = await lab.service.queue.claim(1)
    assert held.attempts == 0


async def lapsing(lab):
    """One tried again, one whose holder vanishes, one that waits too long, and a bus that refuses for a while."""
    served_by(lab, Moody(first_attempts_of(0, late()), of=mode(latency={"model": "constant", "ms": 10_000})))
    await lab.post(0)
    await asyncio.sleep(0.5)
    await hold(lab, 1)
    await lab.post(2)
    for _ in range(3):
        await lab.next_result()
    return ((await scrape(lab))[0],)


async def given_up(lab):
    """One whose holder vanished for the last time."""
    served_by(lab, Moody())
    await lab.post(0)
    await asyncio.sleep(0.5)
    await hold(lab, 1)
    told = [await lab.next_result() for _ in range(2)]
    assert told[1].error_detail.details["expiry_reason"] == "processing_timeout"
    return ((await scrape(lab))[0],)


BLOCKS = [
    {"content": "Judge.", "target": "system", "cacheable": True, "ttl": "1h"},
    {"content": "A good essay.", "cacheable": True},
    {"content": "Essay A. Essay B."},
]


async def ask_anthropic(lab, number, blocks=BLOCKS):
    asked = body(number, provider_override="anthropic", model_override="claude-haiku-4-5-20251001")
    response = await lab.client.post("/api/v1/comparison", json=asked | {"prompt_blocks": blocks})
    assert response.status_code == 202, response.text


async def for_real(lab):
    """An answer at the second ask, a call under way, blocks that cannot be cached, failures until the breaker opens."""
    lab.service.fake.then(200, {"content": [], "stop_reason": "end_turn"})
    lab.service.fake.verdict |= {"winner": "B."}
    await ask_anthropic(lab, 0)
    await asyncio.sleep(0.5)
    during, _ = await scrape(lab)
    await lab.next_result()
    await ask_anthropic(lab, 1, [BLOCKS[1], BLOCKS[0] | {"target": "user_content"}])
    assert (await lab.next_result()).error_detail.error_code == "VALIDATION_ERROR"
    fake = lab.service.fake
    for number in range(3):
        fake.then_error(500, "down")
        await ask_anthropic(lab, 2 + number)
        await lab.next_result()
    await ask_anthropic(lab, 5)
    await asyncio.sleep(1.0)
    return during, (await scrape(lab))[0]


async def with_fake(lab, fake):
    lab.service.fake = fake
    return await for_real(lab)


def slowly_bundled():
    of = mode(winner=ABILITY, latency={"model": "constant", "ms": 1000})
    return in_lab(bundled, of, queue_processing_mode="serial_bundle", queue_max_size=6, queue_high_watermark=1.0)


@cache
def scrapes():
    """What /metrics says after each script, by the script's name."""
    refusals = iter([True, True])
    flaky = FlakyBus(lambda message: next(refusals, False) if message.topic == TOPIC else True)
    fake = FAKES[Provider.ANTHROPIC](delay_s=1.0)
    return {
        "bundled": slowly_bundled(),
        "in_jobs": in_lab(in_jobs, mode(**SLOW), queue_processing_mode="batch_api"),
        "lapsing": in_lab(lapsing, bus=flaky, queue_request_ttl_hours=0.12 / 36),
        "given_up": in_lab(given_up, queue_max_retries=0),
        "for_real": in_lab(
            lambda lab: with_fake(lab, fake),
            transport=fake.transport(),
            anthropic_api_key=KEYS[Provider.ANTHROPIC],
            queue_max_retries=0,
        ),
    }


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL, logger="cj_pipeline.services.lps")


def all_families():
    return [families for told in scrapes().values() for families in told if isinstance(families, dict)]


def declared():
    """Names of every series that a service has, written or not."""

    async def script(lab):
        return {metric.name.removeprefix(PREFIX) for metric in lab.service.metrics.registry.collect()}

    return in_lab(script)


def written(families_list):
    """The most that any sample of each series showed; a histogram is written once something was observed."""
    most = defaultdict(float)
    for families in families_list:
        for name, family in families.items():
            for sample in family.samples:
                if family.type != "histogram" or sample.name.endswith("_count"):
                    most[name] = max(most[name], sample.value)
    return {name for name, seen in most.items() if seen > 0}


def test_the_series_are_productions_and_ours_and_no_others():
    assert declared() == SERIES.keys()


def test_every_declared_series_is_written_by_something_that_happens():
    missing = declared() - written(all_families())
    assert not missing, f"declared and never written: {', '.join(sorted(missing))}"


def test_a_planted_series_that_nothing_writes_is_found():
    async def script(lab):
        registry = lab.service.metrics.registry
        Gauge(f"{PREFIX}response_time_percentiles", "Nobody sets it.", ("provider",), registry=registry)
        Gauge(f"{PREFIX}concurrent_requests", "Nobody sets it.", registry=registry)
        names = {metric.name.removeprefix(PREFIX) for metric in registry.collect()}
        return names, (await scrape(lab))[0]

    names, families = in_lab(script)
    missing = names - written([*all_families(), families])
    assert missing == {"response_time_percentiles", "concurrent_requests"}


@pytest.mark.parametrize("name", SERIES)
def test_type_labels_and_buckets(name):
    kind, labels, buckets = SERIES[name]
    found = [families[name] for families in all_families() if name in families]
    samples = [sample for family in found for sample in family.samples]
    assert {family.type for family in found} == {kind}
    assert {frozenset(sample.labels) - {"le"} for sample in samples} == {frozenset(labels.split())}
    told = {float(sample.labels["le"]) for sample in samples if "le" in sample.labels}
    assert told == ({*buckets, float("inf")} if buckets else set())


def test_depth_is_what_waits_and_what_is_being_answered():
    during, after, _ = scrapes()["bundled"]
    assert value(during, "queue_depth", queue_type="total") == 6
    assert value(during, "queue_depth", queue_type="queued") == 5
    assert value(after, "queue_depth") == 0


def test_requests_are_counted_by_what_the_door_said():
    _, after, _ = scrapes()["bundled"]
    common = {"request_type": "comparison", "model": "default"}
    assert value(after, "requests", "_total", provider="mock", status="queued", **common) == 6
    assert value(after, "requests", "_total", provider="mock", status="failed", **common) == 1
    assert value(after, "requests", "_total", provider="openai", status="failed", **common) == 1
    unread = {**common, "model": "unknown"}
    assert value(after, "requests", "_total", provider="unknown", status="failed", **unread) == 1


def test_http_requests_are_counted_by_route_and_status():
    _, after, _ = scrapes()["bundled"]
    told = {
        (sample.labels["method"], sample.labels["endpoint"], sample.labels["status_code"]): sample.value
        for sample in after["http_requests"].samples
    }
    post = ("POST", "/api/v1/comparison")
    assert told == {(*post, "202"): 6, (*post, "503"): 1, (*post, "400"): 2, ("GET", "/metrics", "200"): 1}


def test_http_requests_are_timed_by_route():
    _, after, _ = scrapes()["bundled"]
    timed = {"method": "POST", "endpoint": "/api/v1/comparison"}
    assert value(after, "http_request_duration_seconds", "_count", **timed) == 9


def test_a_provider_is_available_until_its_breaker_opens():
    (alone,), (_, failing) = scrapes()["in_jobs"], scrapes()["for_real"]
    assert value(alone, "availability_percentage", provider="mock") == 100
    assert {sample.labels["provider"]: sample.value for sample in failing["availability_percentage"].samples} == {
        "anthropic": 0,
        "mock": 100,
    }


@pytest.mark.parametrize("processing", ["per_request", "serial_bundle", "batch_api"])
def test_labels_name_the_provider_that_was_asked_where_the_mock_stands_in(processing):
    async def script(lab):
        for number, asked in enumerate(["openai", "openai", "mock"]):
            await lab.post(number, provider_override=asked)
            await lab.next_result()
        return (await scrape(lab))[0]

    families = in_lab(script, use_mock_llm=True, queue_processing_mode=processing)
    kinds = {
        "per_request": [],
        "serial_bundle": [("serial_bundle_calls", "_total"), ("serial_bundle_items_per_call", "_count")],
        "batch_api": [("batch_api_items_per_job", "_count"), ("batch_api_job_duration_seconds", "_count")],
    }[processing]
    for name, suffix in [
        ("requests", "_total"),
        ("queue_processing_time_seconds", "_count"),
        ("cache_scope", "_total"),
        *kinds,
    ]:
        told = [value(families, name, suffix, provider=provider) for provider in ("openai", "mock")]
        assert told == [2, 1], name
    # Whoever names no model learns which one answered.
    assert value(families, "cost_dollars", "_total", model="mock-model-v1") == 0
    assert value(families, "tokens_used", "_total", provider="openai", model="mock-model-v1") > 0


def test_turns_callbacks_and_bundles_are_counted():
    _, after, _ = scrapes()["bundled"]
    serial = {"queue_processing_mode": "serial_bundle"}
    assert value(after, "comparison_callbacks", "_total", result="success", **serial) == 5
    assert value(after, "comparison_callbacks", "_total", result="failure", **serial) == 1
    # One alone, because the worker was idle when it came; then the five that waited for it.
    assert value(after, "serial_bundle_calls", "_total", provider="mock", model="unknown") == 2
    assert value(after, "serial_bundle_items_per_call", "_sum") == 6
    assert value(after, "serial_bundle_items_per_call", "_bucket", le="4.0") == 1
    assert value(after, "serial_bundle_items_per_call", "_bucket", le="8.0") == 2


def test_waiting_ends_when_the_requests_own_turn_starts():
    _, after, _ = scrapes()["bundled"]
    # Turns of 1 s one after another. The first waits 0 s; those posted half a second later wait .5, 1.5, 2.5 and 4.5 s
    # and succeed, or 3.5 s and fail.
    assert value(after, "queue_wait_time_seconds", "_sum", result="success") == pytest.approx(9.0)
    assert value(after, "queue_wait_time_seconds", "_sum", result="failure") == pytest.approx(3.5)
    assert value(after, "queue_processing_time_seconds", "_sum", provider="mock", status="success") == pytest.approx(5)


@pytest.mark.parametrize(
    ("processing", "waited_s"),
    [
        # The first attempt takes from 0 to 1 s; its retry begins 60 s after that: 60 s of waiting.
        ("per_request", 60.0),
        # In a bundle of three it ends at 3 s; being held in it is no work, so 62 s are waiting.
        ("serial_bundle", 62.0),
        ("batch_api", 62.0),
    ],
)
def test_waiting_is_the_time_between_attempts_too_and_never_the_attempts(processing, waited_s):
    async def script(lab):
        served_by(lab, Moody(first_attempts_of(0, late(60.0))))
        for number in range(1 if processing == "per_request" else 3):
            await lab.post(number)
        done = []
        while len(done) < (1 if processing == "per_request" else 3):
            done.append(await lab.next_result())
        return (await scrape(lab))[0]

    families = in_lab(script, queue_processing_mode=processing)
    # The two others of the bundle waited 1 and 2 s for their own turns.
    others = 0.0 if processing == "per_request" else 3.0
    assert value(families, "queue_wait_time_seconds", "_sum", result="success") == pytest.approx(waited_s + others)
    assert value(families, "queue_retries", "_total", provider="mock", error_code="RATE_LIMIT") == 1


def test_a_job_is_counted_when_it_is_scheduled_and_when_it_ends():
    (after,) = scrapes()["in_jobs"]
    for model, items in (("gpt-5.1", 1), ("default", 3)):
        labels = {"provider": "mock", "model": model}
        assert value(after, "batch_api_jobs", "_total", status="scheduled", **labels) == 1
        assert value(after, "batch_api_jobs", "_total", status="completed", **labels) == 1
        assert value(after, "batch_api_items_per_job", "_sum", **labels) == items
        assert value(after, "batch_api_job_duration_seconds", "_sum", **labels) == items
    assert value(after, "comparison_callbacks", "_total", queue_processing_mode="batch_api", result="success") == 4
    assert value(after, "queue_wait_time_seconds", "_count", queue_processing_mode="batch_api") == 4


def test_what_lapses_is_counted_by_what_became_of_it():
    (lapsed,), (gone,) = scrapes()["lapsing"], scrapes()["given_up"]
    mode_label = {"provider": "mock", "queue_processing_mode": "per_request"}
    assert value(lapsed, "queue_reclaimed", "_total", **mode_label) == 1
    assert value(lapsed, "queue_expiry", "_total", expiry_reason="ttl", **mode_label) == 2
    assert value(gone, "queue_expiry", "_total", expiry_reason="processing_timeout", **mode_label) == 1
    assert value(gone, "queue_expiry_age_seconds", "_sum", **mode_label) == pytest.approx(300.0)
    assert value(gone, "comparison_callbacks", "_total", result="expired") == 1
    assert value(gone, "queue_wait_time_seconds", "_count", result="expired") == 1


def test_a_callback_counts_once_the_bus_has_it():
    (after,) = scrapes()["lapsing"]
    assert value(after, "callback_publish_failures", "_total") == 2
    assert value(after, "comparison_callbacks", "_total") == 3
    assert value(after, "usage_events_dropped", "_total") > 0


def test_a_real_provider_is_counted():
    during, after = scrapes()["for_real"]
    haiku = {"provider": "anthropic", "model": "claude-haiku-4-5-20251001"}
    assert value(during, "connection_pool_active", provider="anthropic") == 1
    assert value(after, "connection_pool_active", provider="anthropic") == 0
    assert value(after, "prompt_cache_tokens", "_total", direction="read", **haiku) == 2000
    assert value(after, "prompt_cache_events", "_total", result="hit", **haiku) == 1
    assert value(after, "prompt_ttl_violations", "_total", **haiku) == 1
    assert value(after, "errors", "_total", error_type="server_error", **haiku) == 3
    assert value(after, "api_errors", "_total", provider="anthropic", http_status_code="500") == 3
    circuit = {"service": "llm_provider_service", "circuit_name": "llm_anthropic"}
    assert value(after, "circuit_breaker_state", **circuit) == 1
    assert value(after, "circuit_breaker_state_changes", "_total", from_state="closed", to_state="open", **circuit) == 1
    assert value(after, "circuit_breaker_calls", "_total", result="failure", **circuit) == 3
    assert value(after, "verdict_retries", "_total", provider="anthropic", reason="empty_answer") == 1
    assert value(after, "verdict_forgiven", "_total", forgiven="winner_spelling", **haiku) == 1
    failed = {"provider": "anthropic", "error_code": "EXTERNAL_SERVICE_ERROR", "reason": "server_error"}
    assert value(after, "failure_reasons", "_total", **failed) == 3
    assert value(after, "queue_held", "_total", provider="anthropic") == 1
    assert value(after, "cost_dollars", "_total", **haiku) > 0


def test_a_mock_error_is_no_answer_of_a_real_one():
    _, after, _ = scrapes()["bundled"]
    assert "errors" not in {name for name, family in after.items() if family.samples}


def test_the_text_holds_no_time_of_day_and_is_the_same_in_an_equal_run():
    _, _, text = scrapes()["bundled"]
    assert "_created" not in text
    assert slowly_bundled()[2] == text


def test_no_label_holds_what_a_client_may_choose_freely():
    async def script(lab):
        await lab.post(0, model_override="Zwetschgendatschi", metadata={"bos_batch_id": "Zwetschgendatschi"})
        await lab.client.get("/api/v1/status/Zwetschgendatschi")
        await lab.client.get("/Zwetschgendatschi")
        await lab.next_result()
        return (await scrape(lab))[1]

    text = in_lab(script)
    assert "Zwetschgendatschi" not in text
    assert 'model="other"' in text


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


def test_a_failure_is_processing_time_of_its_own_status():
    broken = ProviderError(ErrorCode.PARSING_ERROR, "No winner.")

    async def script(lab):
        served_by(lab, Moody(first_attempts_of(0, broken)))
        for number in range(2):
            await lab.post(number)
            await lab.next_result()
        families, text = await scrape(lab)
        assert json.dumps("No winner.") not in text
        return [value(families, "queue_processing_time_seconds", "_count", status=s) for s in ("failure", "success")]

    assert in_lab(script) == [1, 1]
