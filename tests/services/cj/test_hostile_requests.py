"""Whatever stands in a request: it gets one event, the service goes on, and the next batch completes."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC, parse_assessment_request
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.http.endpoints import build_app
from tests.services.cj.lab import request, world
from tests.services.lps.test_fuzz import HEADERS, JSON_VALUES, METHODS, NAMES, QUERIES, answered

ESSAYS = [{"essay_id": "a", "text_storage_id": "t1"}, {"essay_id": "b", "text_storage_id": "t2"}]
DEEP: Any = "x"
for _ in range(120):
    DEEP = [DEEP]

# What replaces a key of `data`, or of the envelope where the name says so; by a name that tells what is wrong.
BAD: dict[str, dict[str, Any]] = {
    "essays-missing": {"essays_for_cj": None},
    "essays-empty": {"essays_for_cj": []},
    "essays-a-word": {"essays_for_cj": "essays"},
    "essays-a-mapping": {"essays_for_cj": {"a": "b"}},
    "essay-twice": {"essays_for_cj": [*ESSAYS, ESSAYS[0]]},
    "essay-without-text": {"essays_for_cj": [{"essay_id": "a"}]},
    "essay-id-a-number": {"essays_for_cj": [{"essay_id": 1, "text_storage_id": "t"}]},
    "essay-id-with-nul": {"essays_for_cj": [{**ESSAYS[0], "essay_id": "a\x00b"}, ESSAYS[1]]},
    "essay-id-with-half-a-character": {"essays_for_cj": [{**ESSAYS[0], "essay_id": "a\ud800"}, ESSAYS[1]]},
    "essay-id-of-10000": {"essays_for_cj": [{**ESSAYS[0], "essay_id": "a" * 10_000}, ESSAYS[1]]},
    "essay-id-with-controls": {"essays_for_cj": [{**ESSAYS[0], "essay_id": "a\n\x1b[31m\u202e"}, ESSAYS[1]]},
    "storage-id-a-path": {"essays_for_cj": [{**ESSAYS[0], "text_storage_id": "/etc/passwd"}, ESSAYS[1]]},
    "storage-id-quoted-climb": {"essays_for_cj": [{**ESSAYS[0], "text_storage_id": "%2e%2e%2fx"}, ESSAYS[1]]},
    "storage-id-with-crlf": {"essays_for_cj": [{**ESSAYS[0], "text_storage_id": "a\r\nHost: y"}, ESSAYS[1]]},
    "storage-id-empty": {"essays_for_cj": [{**ESSAYS[0], "text_storage_id": ""}, ESSAYS[1]]},
    "storage-id-with-query": {"essays_for_cj": [{**ESSAYS[0], "text_storage_id": "a?b=c#d"}, ESSAYS[1]]},
    "language-null": {"language": None},
    "language-a-list": {"language": ["en"]},
    "course-a-number": {"course_code": 5},
    "user-null": {"user_id": None},
    "user-of-100000": {"user_id": "u" * 100_000},
    "org-with-nul": {"org_id": "o\x00"},
    "assignment-a-mapping": {"assignment_id": {"a": 1}},
    "assignment-climbs": {"assignment_id": "../../x"},
    "overrides-a-word": {"llm_config_overrides": "low"},
    "overrides-negative-tokens": {"llm_config_overrides": {"max_tokens_override": -1}},
    "overrides-huge-tokens": {"llm_config_overrides": {"max_tokens_override": 10**30}},
    "overrides-temperature-text": {"llm_config_overrides": {"temperature_override": "hot"}},
    "overrides-model-of-10000": {"llm_config_overrides": {"model_override": "m" * 10_000}},
    "overrides-model-null": {"llm_config_overrides": {"model_override": None, "provider_override": None}},
    "overrides-deep": {"llm_config_overrides": {"system_prompt_override": DEEP}},
    "batch-overrides-a-list": {"batch_config_overrides": [1]},
    "batch-size-a-fraction": {"batch_config_overrides": {"batch_size": 10.5}},
    "batch-size-true": {"batch_config_overrides": {"batch_size": True}},
    "batch-size-10-to-the-30": {"batch_config_overrides": {"batch_size": 10**30}},
    "deep": {"anything": DEEP},
    "prompt-with-nul": {"student_prompt_text": "a\x00"},
    "entity-type-a-number": {"entity_type": 7},
    "parent-a-list": {"parent_id": ["x"]},
}
ENVELOPES: dict[str, dict[str, Any]] = {
    "time-null": {"event_timestamp": None},
    "time-year-99999": {"event_timestamp": "99999-01-01T00:00:00Z"},
    "time-a-number": {"event_timestamp": 10**18},
    "metadata-a-list": {"metadata": [1]},
    "metadata-deep": {"metadata": {"a": DEEP}},
    "metadata-budget-nan-text": {"metadata": {"max_comparisons": "NaN"}},
    "metadata-budget-10-to-the-400": {"metadata": {"max_comparisons": 10**400}},
    "metadata-trace-a-list": {"metadata": {"traceparent": ["00"]}},
    "version-a-word": {"schema_version": "one"},
    "source-null": {"source_service": None},
}


def _message(name: str, changes: dict[str, Any], envelope: dict[str, Any]) -> bytes:
    document = json.loads(request(3))
    document["data"] |= {"entity_id": f"batch-of-{name}"} | changes
    identity = {"event_id": str(uuid5(NAMESPACE_URL, f"e{name}")), "correlation_id": str(uuid5(NAMESPACE_URL, name))}
    return json.dumps(document | identity | envelope).encode()


MESSAGES = {
    **{name: _message(name, changes, {}) for name, changes in BAD.items()},
    **{name: _message(name, {}, envelope) for name, envelope in ENVELOPES.items()},
}


def test_each_request_that_names_a_batch_gets_one_event_and_the_next_batch_completes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends: dict[str, list[str]] = {}

    async def collect(w: Any, topic: str) -> None:
        subscription = w.bus.subscribe(topic)
        while True:
            event = json.loads((await subscription.next()).value)
            ends.setdefault(event["correlation_id"], []).append(topic)

    async def script() -> None:
        async with world() as w:
            collecting = [asyncio.create_task(collect(w, topic)) for topic in (CJ_COMPLETED_TOPIC, CJ_FAILED_TOPIC)]
            async with w.service() as service:
                for message in MESSAGES.values():
                    await w.bus.publish(ASSESSMENT_REQUEST_TOPIC, message)
                good = request(3, number=99)
                await w.ask(good)
                for _ in range(600):
                    await asyncio.sleep(1.0)
                    if len(ends) > len(MESSAGES):
                        break
                await asyncio.sleep(30.0)
                assert service.running
                assert ends[json.loads(good)["correlation_id"]] == [CJ_COMPLETED_TOPIC]
            for task in collecting:
                task.cancel()

    run_virtual(script())
    for name in MESSAGES:
        assert len(ends.get(str(uuid5(NAMESPACE_URL, name)), [])) == 1, name
    assert not [record for record in caplog.records if record.exc_info]


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(json.loads(request(2))["data"])), JSON_VALUES, max_size=3),
    st.dictionaries(st.sampled_from(sorted(json.loads(request(2)))), JSON_VALUES, max_size=2),
    st.binary(max_size=3),
    st.integers(0, 2000),
)
def test_no_message_breaks_the_reader(data: Any, envelope: Any, inserted: bytes, place: int) -> None:
    document = json.loads(request(2))
    document["data"] |= data
    whole = json.dumps(document | envelope).encode(errors="replace")
    assert parse_assessment_request(whole) is not None
    assert parse_assessment_request(whole[:place] + inserted + whole[place:]) is not None


# Where an admin needs no token.
DESK: dict[str, Any] = {"host": "127.0.0.1"}

CJ_PATHS = (
    st.sampled_from(["/healthz", "/healthz/live", "/healthz/database", "/metrics", "/api/v1/anchors/register"])
    | st.builds("/admin/v1/assessment-instructions/{}".format, NAMES)
    | st.builds("/{}".format, NAMES)
)
FIELDS = ("instructions_text", "grade_scale", "context_origin", "assignment_id", "grade", "anchor_label", "essay_text")
CJ_BODIES = st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES | st.text() | st.just("words " * 30), max_size=5).map(
    lambda value: json.dumps(value).encode(errors="replace")
) | st.binary(max_size=40)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(METHODS, CJ_PATHS, QUERIES, HEADERS, st.lists(CJ_BODIES, min_size=1, max_size=2)),
        min_size=1,
        max_size=8,
    )
)
def test_any_call_of_the_service_is_answered(requests: Any) -> None:
    async def script() -> None:
        async with world(**DESK) as w, w.service() as service:
            app = build_app(service)
            for one in requests:
                status, _, told = await answered(app, *one)
                assert status < 500, (one, told)
            assert service.running

    run_virtual(script())


PUT = ("PUT", "/admin/v1/assessment-instructions/{}")
ANCHOR = ("POST", "/api/v1/anchors/register")
GOOD_ANCHOR = {"assignment_id": "a", "grade": "A", "essay_text": "words " * 30}


@pytest.mark.parametrize(
    ("call", "assignment", "body"),
    [
        (PUT, "a\x00", {"instructions_text": "x"}),
        (PUT, "a" * 256, {"instructions_text": "x"}),
        (PUT, "a\n", {"instructions_text": "x"}),
        (PUT, "a", {"instructions_text": "x\x00"}),
        (PUT, "a", {"instructions_text": "x", "grade_scale": "s" * 51}),
        (PUT, "a", {"instructions_text": "x", "student_prompt_storage_id": "s" * 256}),
        (ANCHOR, "", GOOD_ANCHOR | {"assignment_id": "a\x00"}),
        (ANCHOR, "", GOOD_ANCHOR | {"anchor_label": "l" * 51}),
        (ANCHOR, "", GOOD_ANCHOR | {"essay_text": "words " * 30 + "\x00"}),
        (ANCHOR, "", GOOD_ANCHOR | {"grade": "A\x00"}),
    ],
)
def test_what_postgresql_could_not_store_is_refused(call: Any, assignment: str, body: dict[str, str]) -> None:
    async def script() -> None:
        async with world(**DESK) as w, w.service() as service:
            method, path = call
            status, _, told = await answered(
                build_app(service), method, path.format(assignment), b"", [], [json.dumps(body).encode()]
            )
            assert status == 400, told

    run_virtual(script())


def test_a_body_without_end_is_refused() -> None:
    async def script() -> None:
        async with world(**DESK) as w, w.service() as service:
            body = [b'{"instructions_text": "'] + [b"x" * 100_000] * 11
            status, _, told = await answered(build_app(service), PUT[0], PUT[1].format("a"), b"", [], body)
            assert status == 413, told

    run_virtual(script())
