"""This module makes the OpenAPI document that `GET /openapi.json` serves, from the operations and their models.

It describes the instance that serves it: the providers and models that can be named there, and whether there is an
admin key. What it calls valid is accepted, what it does not is refused; a test holds the app to both.
"""

from __future__ import annotations

from collections.abc import Collection

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.http.answers import Answer, FlatError
from cj_pipeline.services.lps.http.health import VERSION
from cj_pipeline.services.lps.http.openapi_operations import (
    BROKEN,
    KEY_WANTED,
    OPERATIONS,
    SWITCHED_OFF,
)
from cj_pipeline.services.lps.http.openapi_request import narrow_request
from cj_pipeline.services.lps.http.refusals import RETRY_AFTER_S
from cj_pipeline.services.lps.providers.manifest import Manifest
from cj_pipeline.services.lps.settings import LpsSettings
from cj_pipeline.services.shared.openapi import VERSION as OPENAPI_VERSION
from cj_pipeline.services.shared.openapi import (
    Json,
    Operation,
    in_path,
    models_of,
    request_body,
    response,
    schemas_of,
)

_ABOUT = """Takes comparisons of two essays, queues them, and publishes each result as a callback on the topic that the
request names.

An unknown path is answered with 404, a method that a path does not have with 405 and `Allow`, both with a flat error.
Every response carries `X-Trace-ID` and `X-Span-ID`: those of the request's `traceparent` if it has one
(https://www.w3.org/TR/trace-context/), otherwise ids of the service's own."""

_EVERYWHERE = ("X-Trace-ID", "X-Span-ID")
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
_TRACEPARENT: Json = {
    "name": "traceparent",
    "in": "header",
    "description": "The caller's trace (W3C). One that is not valid is ignored.",
    "schema": {"type": "string"},
    "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
_SECURITY: Json = {
    "adminKey": {"type": "apiKey", "in": "header", "name": "X-Admin-Api-Key"},
    "adminBearer": {"type": "http", "scheme": "bearer"},
}


def openapi_document(settings: LpsSettings, manifest: Manifest, providers: Collection[Provider]) -> Json:
    """Return the document (OpenAPI 3.1). providers: those that requests may name."""
    ordered = [provider for provider in Provider if provider in providers]
    keyed = settings.admin_api_enabled and bool(settings.admin_key())
    schemas = _schemas()
    narrow_request(schemas, manifest, ordered, settings.default_models())
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, ordered, keyed=keyed)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "LLM Provider Service", "version": VERSION, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": schemas, "headers": _HEADERS, **({"securitySchemes": _SECURITY} if keyed else {})},
    }


def _schemas() -> Json:
    models = models_of(reply for one in OPERATIONS for reply in one.replies.values())
    shown: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ComparisonRequest, "validation"), (FlatError, "validation")]
    for model in sorted(models - {FlatError}, key=lambda model: model.__name__):
        # The answers' models have no defaults that go out; a contract is shown as it is written.
        shown.append((model, "validation" if issubclass(model, Answer) else "serialization"))
    return schemas_of(shown)


def _described(operation: Operation, providers: list[Provider], *, keyed: bool) -> Json:
    replies = dict(operation.replies) | {500: BROKEN}
    keyed = keyed and operation.wants_key
    if operation.guarded:
        replies |= {404: SWITCHED_OFF, **({401: KEY_WANTED} if keyed else {})}
    parameters = [*operation.query, _TRACEPARENT]
    if "{queue_id}" in operation.path:
        parameters.append(in_path("queue_id", {"type": "string", "format": "uuid"}))
    if "{provider}" in operation.path:
        named: Json = {"enum": [provider.value for provider in providers]} if providers else {}
        parameters.append(in_path("provider", {"type": "string", **named}))
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {str(status): response(replies[status], _EVERYWHERE) for status in sorted(replies)},
    }
    if operation.name == "comparison":
        described["requestBody"] = request_body(ComparisonRequest)
        described["responses"]["202"]["links"] = {
            name: {"operationId": name, "parameters": {"queue_id": "$response.body#/queue_id"}}
            for name in ("status", "results")
        }
    if keyed:
        described["security"] = [{name: []} for name in _SECURITY]
    return described
