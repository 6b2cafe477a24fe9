"""Whatever bytes arrive, whatever path and headers: never a 500, never a word of an essay in what goes back."""

from __future__ import annotations

import json
import logging
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.services.lps.http.app import build_app
from tests.services.lps.lab import body, in_lab

# Not a name that a topic or a model can have; those are told back, and may be.
ESSAY = "Mein schönster Ferientag"
WORD = "schönster"

METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "QUERY", ""])
NAMES = (
    st.sampled_from([ESSAY, "mock", "openai", "0da79c13-b494-8759-891a-adeb38cb4beb", "%", "{queue_id}"]) | st.text()
)
PATHS = (
    st.sampled_from(
        ["/api/v1/comparison", "/api/v1/models", "/api/v1/providers", "/admin/mock-mode", "/healthz", "/metrics"]
    )
    | st.builds("/api/v1/status/{}".format, NAMES)
    | st.builds("/api/v1/results/{}".format, NAMES)
    | st.builds("/api/v1/providers/{}/test".format, NAMES)
    | st.builds("/{}".format, NAMES)
)
QUERIES = st.binary(max_size=30) | st.sampled_from(
    [b"provider=openai", b"provider=%FF", b"include_deprecated=1", f"provider={ESSAY}".encode()]
)
HEADER_NAMES = st.sampled_from(
    [b"content-type", b"content-length", b"traceparent", b"authorization", b"x-admin-api-key", b"x-anything"]
)
HEADERS = st.lists(
    st.tuples(
        HEADER_NAMES,
        st.sampled_from([b"application/json", b"Bearer x", b"99999999999999999999", b"-1"]) | st.binary(max_size=60),
    ),
    max_size=4,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(ESSAY),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just(ESSAY), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def comparisons(draw: st.DrawFn) -> bytes:
    """A comparison of an essay, with some of its fields replaced and perhaps cut off or with a byte changed."""
    request: dict[str, Any] = body(prompt=ESSAY) | {"prompt_blocks": [{"content": ESSAY, "cacheable": True}]}
    for at in (request, request["llm_config_overrides"]):
        fields = [*at, "user_id", "reasoning_effort", "model_override", "max_tokens_override", ESSAY]
        # What is in the metadata comes back with the result: that is what it is for.
        at |= draw(st.dictionaries(st.sampled_from(sorted(set(fields) - {"metadata"})), JSON_VALUES, max_size=2))
    text = json.dumps(request, ensure_ascii=draw(st.booleans())).encode(errors="replace")
    if draw(st.booleans()):
        return text
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(
        st.sampled_from([b"", b"\x00", b"\xff", text[place + 1 :], b"\xed\xa0\x80" + text[place:]])
    )


BODIES = (
    comparisons() | st.binary(max_size=40) | JSON_VALUES.map(lambda value: json.dumps(value).encode(errors="replace"))
)

REQUESTS = st.tuples(METHODS, PATHS, QUERIES, HEADERS, st.lists(BODIES, min_size=1, max_size=2))
POSTS = st.tuples(
    st.just("POST"),
    st.just("/api/v1/comparison"),
    st.just(b""),
    st.just([(b"content-type", b"application/json")]),
    st.lists(comparisons(), min_size=1, max_size=1),
)


async def answered(app, method, path, query, headers, chunks):
    """(status, headers, body) of one request, past any client that would refuse to send it."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting[-1]["more_body"] = False
    sent = []

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "root_path": "",
        "scheme": "http",
        "query_string": query,
        "headers": headers,
        "server": ("lps", 80),
        "client": ("test", 1),
    }
    await app(scope, receive, send)
    told = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), told


def assert_answers_without_essays(requests, **service_settings):
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]

    async def script(lab):
        app = build_app(lab.service)
        for request in requests:
            status, headers, told = await answered(app, *request)
            assert status < 500, (status, told)
            assert headers[b"x-trace-id"]
            assert WORD not in told.decode()
            assert "sch\\u00f6nster" not in told.decode()
            assert not any(WORD.encode() in value for value in headers.values())
            if headers[b"content-type"] == b"application/json":
                json.loads(told)
        assert lab.service.running

    log = logging.getLogger("cj_pipeline")
    log.addHandler(handler)
    try:
        in_lab(script, **service_settings)
    finally:
        log.removeHandler(handler)
    assert not any(WORD in line for line in logged)


@settings(max_examples=80, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=8))
def test_any_request_on_any_route_is_answered(requests):
    assert_answers_without_essays(requests)


@settings(max_examples=80, deadline=None)
@given(st.lists(POSTS, min_size=1, max_size=5))
def test_any_comparison_is_answered(requests):
    assert_answers_without_essays(requests, use_mock_llm=True, admin_api_key="k")


def test_metadata_as_deep_as_it_can_be_parsed_still_gets_its_callback():
    async def script(lab):
        accepted = 0
        for number, depth in enumerate([10, 100, 150, 190, 195, 198, 200, 250, 5000]):
            text = json.dumps(body(number)).replace('"essay-1"', "[" * depth + "]" * depth)
            response = await lab.post_text(text)
            assert response.status_code in (202, 400)
            if response.status_code == 202:
                accepted += 1
                assert (await lab.next_json())["data"]["winner"] is not None
        assert 1 <= accepted < 9

    in_lab(script)
