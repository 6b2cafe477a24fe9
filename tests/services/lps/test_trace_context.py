"""Trace ids: the caller's, or one that follows from an id."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import pytest

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.contracts.topics import USAGE_COMPLETED_TOPIC, USAGE_FAILURE_TOPIC, USAGE_STARTED_TOPIC
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.queue.trace_context import TraceContext, trace_context
from tests.services.lps.lab import body, in_lab, lab, mode

IDENTITY = UUID("0da79c13-b494-8759-891a-adeb38cb4beb")
# The example of https://www.w3.org/TR/trace-context/#examples-of-http-traceparent-headers
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
OWN = TraceContext("0da79c13b4948759891aadeb38cb4beb", "891aadeb38cb4beb")


def test_a_callers_trace_is_taken_over():
    assert trace_context(IDENTITY, TRACEPARENT.encode()) == TraceContext(TRACE, SPAN)


def test_without_one_it_follows_from_the_id():
    assert trace_context(IDENTITY) == OWN
    assert OWN.headers() == {"traceparent": "00-0da79c13b4948759891aadeb38cb4beb-891aadeb38cb4beb-01"}


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        TRACE,
        TRACEPARENT.upper(),
        TRACEPARENT + "-more",
        f" {TRACEPARENT}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
    ],
)
def test_a_trace_that_is_not_valid_is_ignored(traceparent):
    assert trace_context(IDENTITY, traceparent.encode()) == OWN


ROUTES = [
    ("GET", "/api/v1/status/0da79c13-b494-8759-891a-adeb38cb4beb"),
    ("GET", "/api/v1/results/not-a-uuid"),
    ("GET", "/api/v1/models"),
    ("GET", "/api/v1/providers"),
    ("POST", "/api/v1/providers/mock/test"),
    ("POST", "/api/v1/providers/nobody/test"),
    ("GET", "/admin/mock-mode"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
    ("GET", "/healthz/"),
    ("DELETE", "/healthz"),
    ("POST", "/api/v1/comparison"),
    ("GET", "/api/v1/comparison"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_response_carries_a_trace(method, path):
    async def script(lab):
        response = await lab.client.request(method, path, headers={"traceparent": TRACEPARENT})
        assert (response.headers["X-Trace-ID"], response.headers["X-Span-ID"]) == (TRACE, SPAN)
        own = await lab.client.request(method, path)
        assert len(own.headers["X-Trace-ID"]) == 32
        assert len(own.headers["X-Span-ID"]) == 16
        assert int(own.headers["X-Trace-ID"], 16) > 0

    in_lab(script)


def test_a_request_keeps_its_trace_from_the_202_to_the_result():
    async def script(lab):
        accepted = await lab.post()
        queue_id = accepted.json()["queue_id"]
        await lab.next_result()
        traces = {
            response.headers["X-Trace-ID"]
            for response in (
                accepted,
                await lab.client.get(f"/api/v1/status/{queue_id}"),
                await lab.client.get(f"/api/v1/results/{queue_id}"),
            )
        }
        assert traces == {queue_id.replace("-", "")}

    in_lab(script)


@pytest.mark.parametrize(("rate", "ending"), [(0.0, USAGE_COMPLETED_TOPIC), (1.0, USAGE_FAILURE_TOPIC)])
def test_a_callers_trace_goes_along_to_the_callback_and_the_usage_events(rate, ending):
    async def script():
        bus = MemoryBus()
        async with lab(mode(errors={"rate": rate, "codes": [400]}), bus=bus) as the_lab:
            await the_lab.client.post("/api/v1/comparison", json=body(), headers={"traceparent": TRACEPARENT})
            assert (await the_lab.next_result()).trace_id == TRACE
            for topic in (USAGE_STARTED_TOPIC, ending):
                told = json.loads((await asyncio.wait_for(bus.subscribe(topic).next(), 60)).value)
                assert told["metadata"] == {"traceparent": TRACEPARENT}

    run_virtual(script())


def test_a_callback_of_a_request_without_a_trace_names_none():
    async def script(lab):
        await lab.post()
        return (await lab.next_result()).trace_id

    assert in_lab(script) is None
