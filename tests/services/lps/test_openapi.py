"""The document is true: what it calls valid is accepted, what it does not is refused, and every answer is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import jsonschema_rs
import pytest
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cj_pipeline.contracts.comparison import QueuedResponse
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.http.app import build_app
from cj_pipeline.services.lps.http.openapi_request import EXAMPLE
from tests.services.lps.lab import in_lab, lab
from tests.services.lps.providers.fakes import KEYS
from tests.services.openapi_fuzz import complaints, in_a_thread

ADMIN_KEY = "only-for-this-test"


def served(**settings: Any) -> AbstractContextManager[ASGIApp]:
    """The app of a service that runs on a loop of its own, in a thread."""

    @asynccontextmanager
    async def app() -> AsyncIterator[ASGIApp]:
        async with lab(**settings) as the_lab:
            yield build_app(the_lab.service)

    return in_a_thread(app)


def test_schemathesis_finds_nothing_wrong():
    # Every provider, played by the mock, and the routes that want a key of their own.
    with served(use_mock_llm=True, admin_api_key=ADMIN_KEY, callback_topics=["*"]) as app:
        found, checks = complaints(app, {"X-Admin-Api-Key": ADMIN_KEY})
    assert found == []
    assert checks >= {
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "positive_data_acceptance",
        "missing_required_header",
        "unsupported_method",
        "use_after_free",
        "ensure_resource_availability",
        "ignored_auth",
    }


def test_schemathesis_would_find_an_answer_that_is_not_in_the_document():
    async def always_teapot(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with served() as app:

        async def teapot_for_health(scope: Scope, receive: Receive, send: Send) -> None:
            await (always_teapot if scope["path"] == "/healthz" else app)(scope, receive, send)

        found, _ = complaints(teapot_for_health, {}, "/healthz")
    assert any(complaint.startswith("GET /healthz: status_code_conformance") for complaint in found)


def document(**settings: Any) -> dict[str, Any]:
    async def script(lab):
        return (await lab.client.get("/openapi.json")).json()

    return in_lab(script, **settings)


def test_every_route_of_the_app_is_in_the_document_and_no_other():
    async def script(lab):
        return {
            (route.path, method.lower())
            for route in build_app(lab.service).routes
            if isinstance(route, Route)
            for method in route.methods - {"HEAD"}  # the framework's own, beside each GET
        }

    routes = in_lab(script)
    assert len(routes) == 10
    paths = document()["paths"]
    assert {(path, method) for path, operations in paths.items() for method in operations} == routes


def test_every_operation_has_a_name_of_its_own_and_tells_of_its_failures():
    operations = [operation for path in document()["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == 10
    for operation in operations:
        assert "500" in operation["responses"]
        for response in operation["responses"].values():
            assert {"X-Trace-ID", "X-Span-ID"} <= response["headers"].keys()


def test_the_comparison_answers_with_these_statuses():
    responses = document()["paths"]["/api/v1/comparison"]["post"]["responses"]
    assert list(responses) == ["202", "400", "409", "413", "500", "503"]
    assert "Retry-After" in responses["503"]["headers"]


def shown_examples(schema: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """(schema, value) of each example in a schema."""
    if isinstance(schema, dict):
        for value in schema.get("examples", ()):
            yield schema, value
        for below in schema.values():
            yield from shown_examples(below)


def test_every_example_fits_its_schema():
    components = document(use_mock_llm=True, admin_api_key=ADMIN_KEY)["components"]
    shown = list(shown_examples(components["schemas"]))
    for schema, value in shown:
        jsonschema_rs.validate({**schema, "components": components}, value)
    assert EXAMPLE in [value for _, value in shown]
    assert len(shown) >= 5


def test_the_example_of_a_comparison_is_accepted():
    async def script(lab):
        response = await lab.client.post("/api/v1/comparison", json=EXAMPLE)
        assert response.status_code == 202
        assert response.json().keys() == QueuedResponse.model_fields.keys()

    in_lab(script)


@pytest.mark.parametrize(("topic", "valid"), [("a.b", True), ("..", False), (".", False), ("a b", False), ("", False)])
def test_the_document_knows_what_a_topic_can_be_called(topic, valid):
    told = document()
    schema = told["components"]["schemas"]["ComparisonRequest"] | {"components": told["components"]}
    assert jsonschema_rs.is_valid(schema, EXAMPLE | {"callback_topic": topic}) is valid


def variants(**settings: Any) -> list[dict[str, Any]]:
    return document(**settings)["components"]["schemas"]["LLMConfigOverrides"]["anyOf"]


def test_only_providers_that_are_registered_can_be_named():
    assert [variant["title"] for variant in variants()] == ["mock"]
    named = [variant["properties"]["provider_override"]["const"] for variant in variants(use_mock_llm=True)]
    assert set(named) == {provider.value for provider in Provider}


def test_the_document_tells_what_each_model_takes():
    settings = {"allow_mock_provider": False, "openai_api_key": KEYS[Provider.OPENAI]}
    told = variants(**settings)
    default = next(variant for variant in told if "(default)" in variant["title"])
    assert "gpt-5.1" in default["properties"]["model_override"]["enum"]
    assert None in default["properties"]["model_override"]["enum"]
    assert default["required"] == ["provider_override"]
    plain = next(variant for variant in told if "gpt-4.1-2025-04-14" in variant["properties"]["model_override"]["enum"])
    assert plain["required"] == ["provider_override", "model_override"]
    assert plain["properties"]["reasoning_effort"] == {"enum": ["none", None]}
    assert plain["properties"]["output_verbosity"] == {"enum": [None]}
    limit = {"type": "integer", "minimum": 1, "maximum": 16_384}
    assert plain["properties"]["max_tokens_override"]["anyOf"][0] == limit


def test_without_any_provider_the_document_still_says_what_a_request_looks_like():
    schemas = document(allow_mock_provider=False)["components"]["schemas"]
    assert "provider_override" in schemas["LLMConfigOverrides"]["properties"]


def test_a_security_scheme_is_there_only_when_a_key_is_wanted():
    open_to_all = document()
    assert "securitySchemes" not in open_to_all["components"]
    assert "401" not in open_to_all["paths"]["/admin/mock-mode"]["get"]["responses"]
    told = document(admin_api_key=ADMIN_KEY)
    assert told["components"]["securitySchemes"] == {
        "adminKey": {"type": "apiKey", "in": "header", "name": "X-Admin-Api-Key"},
        "adminBearer": {"type": "http", "scheme": "bearer"},
    }
    guarded = {
        path
        for path, operations in told["paths"].items()
        for operation in operations.values()
        if "security" in operation and "401" in operation["responses"]
    }
    assert guarded == {"/api/v1/providers/{provider}/test"}
    assert ADMIN_KEY not in str(told)
