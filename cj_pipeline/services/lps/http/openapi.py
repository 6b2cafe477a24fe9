"""The service's OpenAPI document, as `GET /openapi.json` serves it.

Here: the document, its routes with every status they answer, parameters, headers. Not here: bodies
(openapi_schemas.py), examples (openapi_examples.py), the routes themselves (endpoints.py).

It tells of the instance that serves it: the providers and models that can be named there, whether there is an admin
key. What it calls valid is accepted, what it does not is refused; a test puts both to the app.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.http.health import VERSION
from cj_pipeline.services.lps.http.openapi_examples import EXAMPLES
from cj_pipeline.services.lps.http.openapi_schemas import component_schemas
from cj_pipeline.services.lps.http.refusals import RETRY_AFTER_S
from cj_pipeline.services.lps.providers.manifest import Manifest
from cj_pipeline.services.lps.settings import LpsSettings

Json = dict[str, Any]

_ABOUT = """Takes comparisons of two essays, queues them, and publishes each result as a callback on the topic that the
request names.

An unknown path is answered with 404, a method that a path does not have with 405 and `Allow`, both with a flat error.
Every response carries `X-Trace-ID` and `X-Span-ID`: those of the request's `traceparent` if it has one
(https://www.w3.org/TR/trace-context/), otherwise ids of the service's own."""

_JSON = "application/json"


def openapi_document(settings: LpsSettings, manifest: Manifest, providers: Collection[Provider]) -> Json:
    """OpenAPI 3.1. providers: those that requests may name."""
    ordered = [provider for provider in Provider if provider in providers]
    keyed = settings.admin_api_enabled and bool(
        settings.admin_api_key is not None and settings.admin_api_key.get_secret_value()
    )
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": "LLM Provider Service", "version": VERSION, "description": _ABOUT},
        "paths": _paths(settings, ordered, keyed=keyed),
        "components": {
            "schemas": component_schemas(manifest, ordered, settings.default_models()),
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
        },
    }
    if keyed:
        document["components"]["securitySchemes"] = {
            "adminKey": {"type": "apiKey", "in": "header", "name": "X-Admin-Api-Key"},
            "adminBearer": {"type": "http", "scheme": "bearer"},
        }
    return document


_HEADERS: Json = {
    "X-Trace-ID": {"required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
    "X-Span-ID": {"required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"}},
    "Retry-After": {
        "description": "Seconds. Left out where waiting will not help: the service is stopping.",
        "schema": {"type": "integer", "minimum": 1},
        "example": RETRY_AFTER_S,
    },
    "WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}},
}

_PARAMETERS: Json = {
    "traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "The caller's trace (W3C). One that is not valid is ignored.",
        "schema": {"type": "string"},
        "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    },
    "queue_id": {
        "name": "queue_id",
        "in": "path",
        "required": True,
        "description": "As the 202 told it.",
        "schema": {"type": "string", "format": "uuid"},
    },
}


def _paths(settings: LpsSettings, providers: list[Provider], *, keyed: bool) -> Json:
    unknown_id = _flat("Never accepted, or answered too long ago.", "UnknownQueueId")
    bad_id = _flat("queue_id is not a UUID.", "BadQueueId")
    store_away = _nested("The queue's store cannot be reached.", "StoreAway", "Retry-After")
    return {
        "/api/v1/comparison": {"post": _comparison(settings)},
        "/api/v1/status/{queue_id}": {
            "get": _operation(
                "status",
                "Where an accepted request stands",
                {200: _answer("What is known.", "RequestStatus"), 400: bad_id, 404: unknown_id, 503: store_away},
                parameters=["queue_id"],
            )
        },
        "/api/v1/results/{queue_id}": {
            "get": _operation(
                "results",
                "The callback of an accepted request, once there is one",
                {
                    200: _answer("The callback's envelope, as it is published: a winner or an error.", "CallbackEvent"),
                    202: _answer("Not answered yet.", "RequestStatus"),
                    400: bad_id,
                    404: unknown_id,
                    410: _flat("Answered; the callback was published and is no longer kept.", "Gone"),
                    503: store_away,
                },
                parameters=["queue_id"],
            )
        },
        "/api/v1/models": {"get": _models()},
        "/api/v1/providers": {
            "get": _operation(
                "providers", "Who can be asked, and how they have been doing", {200: _answer("All.", "ProviderList")}
            )
        },
        "/api/v1/providers/{provider}/test": {"post": _trial(providers, keyed=keyed)},
        "/admin/mock-mode": {
            "get": _operation(
                "mock_mode",
                "How the mock answers",
                {200: _answer("The mode.", "MockModeState"), **_guarded(keyed=keyed)},
                keyed=keyed,
            )
        },
        "/healthz": {
            "get": _operation(
                "healthz",
                "Whether the service does its work",
                {200: _answer("It does.", "Health"), 503: _answer("It does not; `message` says why.", "Health")},
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics",
                "Counters, for Prometheus",
                {200: _response("Text format 0.0.4.", {"text/plain": {"schema": {"type": "string"}}})},
            )
        },
        "/openapi.json": {
            "get": _operation("openapi", "This document", {200: _response("It.", _content({"type": "object"}))})
        },
    }


def _comparison(settings: LpsSettings) -> Json:
    accepted = _answer("Accepted; the result comes on the callback topic.", "QueuedResponse")
    accepted["links"] = {
        name: {"operationId": name, "parameters": {"queue_id": "$response.body#/queue_id"}}
        for name in ("status", "results")
    }
    body = _content(_ref("ComparisonRequest"), "Comparison")
    return _operation(
        "comparison",
        "Ask which of two essays is better",
        {
            202: accepted,
            400: _either(
                "The request is not well formed. Or it cannot be served (nested).", "UnknownModel", "Malformed"
            ),
            409: _flat("The correlation id was used for another request. A repeated one is a 202.", "InUse"),
            413: _flat(f"The body is longer than {settings.max_request_bytes} bytes.", "TooLarge"),
            503: _either(
                "The queue is full, or its store cannot be reached (nested). Or the service is not running.",
                "QueueFull",
                "NotRunning",
                "Retry-After",
            ),
        },
        body=body,
    )


def _models() -> Json:
    listable = [provider.value for provider in Provider if provider is not Provider.MOCK]
    return _operation(
        "models",
        "Models that can be named",
        {
            200: _answer("By provider.", "ModelList"),
            400: _response(
                "A parameter is not one of its values.",
                _content({"anyOf": [_ref("UnknownProviderError"), _ref("FlatError")]}, "UnknownListing"),
            ),
        },
        inline=[
            {"name": "provider", "in": "query", "schema": {"type": "string", "enum": listable}},
            {
                "name": "include_deprecated",
                "in": "query",
                "schema": {
                    "type": "string",
                    # Any spelling of true and false: clients' languages write them differently.
                    "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|1|0)$",
                    "default": "false",
                },
            },
        ],
    )


def _trial(providers: list[Provider], *, keyed: bool) -> Json:
    answers = {
        200: _answer("The provider answered.", "ProviderTrial"),
        400: _flat("There is no such provider, or it is not registered.", "NotRegistered"),
        **_guarded(keyed=keyed),
        429: _flat("The provider was asked too often.", "TrialFailed"),
        502: _flat("The provider failed.", "TrialFailed"),
        503: _flat("The provider cannot be reached.", "TrialFailed"),
        504: _flat("The provider did not answer in time.", "TrialFailed"),
    }
    name: Json = {"name": "provider", "in": "path", "required": True, "schema": {"type": "string"}}
    if providers:
        name["schema"]["enum"] = [provider.value for provider in providers]
    return _operation(
        "try_provider", "Ask a provider one short comparison, at its price", answers, inline=[name], keyed=keyed
    )


def _guarded(*, keyed: bool) -> dict[int, Json]:
    off = {404: _flat("The admin's routes are switched off.", "AdminDisabled")}
    if not keyed:
        return off
    refused = _flat("The admin key is missing or wrong.", "KeyRequired", "WWW-Authenticate")
    return {401: refused, **off}


def _operation(
    operation_id: str,
    summary: str,
    answers: dict[int, Json],
    *,
    parameters: tuple[str, ...] | list[str] = (),
    inline: tuple[Json, ...] | list[Json] = (),
    body: Json | None = None,
    keyed: bool = False,
) -> Json:
    answers = {**answers, 500: _flat("The service broke.", "Broke")}
    operation: Json = {
        "operationId": operation_id,
        "summary": summary,
        "parameters": [
            *({"$ref": f"#/components/parameters/{name}"} for name in (*parameters, "traceparent")),
            *inline,
        ],
        "responses": {str(status): answers[status] for status in sorted(answers)},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    if keyed:
        operation["security"] = [{"adminKey": []}, {"adminBearer": []}]
    return operation


def _answer(description: str, schema: str) -> Json:
    return _response(description, _content(_ref(schema), schema))


def _flat(description: str, example: str, *headers: str) -> Json:
    return _response(description, _content(_ref("FlatError"), example), *headers)


def _nested(description: str, example: str, *headers: str) -> Json:
    return _response(description, _content(_ref("NestedError"), example), *headers)


def _either(description: str, nested: str, flat: str, *headers: str) -> Json:
    schema = {"oneOf": [_ref("FlatError"), _ref("NestedError")]}
    return _response(description, _content(schema, nested, flat), *headers)


def _response(description: str, content: Json, *headers: str) -> Json:
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Trace-ID", "X-Span-ID", *headers)},
        "content": content,
    }


def _content(schema: Json, *examples: str) -> Json:
    media: Json = {"schema": schema}
    named = {name: {"value": EXAMPLES[name]} for name in examples if name in EXAMPLES}
    if named:
        media["examples"] = named
    return {_JSON: media}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
