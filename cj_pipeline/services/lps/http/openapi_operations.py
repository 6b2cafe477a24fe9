"""This module lists the service's operations: the routes that the app serves and the OpenAPI document describes."""

from __future__ import annotations

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.comparison import QueuedResponse
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.http.answers import (
    FlatError,
    Health,
    MockModeState,
    ModelList,
    NestedError,
    ProviderList,
    ProviderTrial,
    RequestStatus,
    UnknownProviderError,
)
from cj_pipeline.services.shared.openapi import Operation, Reply

LISTABLE_PROVIDERS = tuple(provider for provider in Provider if provider is not Provider.MOCK)


def _flat(description: str, header: str | None = None) -> Reply:
    return Reply(description, (FlatError,), header)


BROKEN = _flat("The service broke.")
SWITCHED_OFF = _flat("The admin's routes are switched off.")
KEY_WANTED = _flat("The admin key is missing or wrong.", "WWW-Authenticate")

_BAD_ID = _flat("queue_id is not a UUID.")
_UNKNOWN_ID = _flat("Never accepted, or answered too long ago.")
_STORE_AWAY = Reply("The queue's store cannot be reached.", (NestedError,), "Retry-After")

OPERATIONS = (
    Operation(
        "comparison",
        "POST",
        "/api/v1/comparison",
        "Ask which of two essays is better",
        {
            202: Reply("Accepted; the result comes on the callback topic.", (QueuedResponse,)),
            400: Reply(
                "The request is not well formed (flat), or cannot be served (nested).", (FlatError, NestedError)
            ),
            409: _flat("The correlation id was used for another request. A repeated one is a 202."),
            413: _flat("The body is longer than MAX_REQUEST_BYTES."),
            503: Reply(
                "The queue is full, or its store cannot be reached (nested). Or the service is not running (flat).",
                (FlatError, NestedError),
                "Retry-After",
            ),
        },
    ),
    Operation(
        "status",
        "GET",
        "/api/v1/status/{queue_id}",
        "The state of an accepted request",
        {200: Reply("What is known.", (RequestStatus,)), 400: _BAD_ID, 404: _UNKNOWN_ID, 503: _STORE_AWAY},
    ),
    Operation(
        "results",
        "GET",
        "/api/v1/results/{queue_id}",
        "The callback of an accepted request, once there is one",
        {
            200: Reply("The callback's envelope, as it is published: a winner or an error.", (CallbackEvent,)),
            202: Reply("Not answered yet.", (RequestStatus,)),
            400: _BAD_ID,
            404: _UNKNOWN_ID,
            410: _flat("Answered; the callback was published and is no longer kept."),
            503: _STORE_AWAY,
        },
    ),
    Operation(
        "models",
        "GET",
        "/api/v1/models",
        "Models that can be named",
        {
            200: Reply("By provider.", (ModelList,)),
            400: Reply("A parameter is not one of its values.", (UnknownProviderError, FlatError)),
        },
        query=(
            {
                "name": "provider",
                "in": "query",
                "schema": {"type": "string", "enum": [provider.value for provider in LISTABLE_PROVIDERS]},
            },
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
        ),
    ),
    Operation(
        "providers",
        "GET",
        "/api/v1/providers",
        "The providers that can be asked, and their results so far",
        {200: Reply("All.", (ProviderList,))},
    ),
    Operation(
        "try_provider",
        "POST",
        "/api/v1/providers/{provider}/test",
        "Ask a provider one short comparison, at its price",
        {
            200: Reply("The provider answered.", (ProviderTrial,)),
            400: _flat("There is no such provider, or it is not registered."),
            429: _flat("The provider was asked too often."),
            502: _flat("The provider failed."),
            503: _flat("The provider cannot be reached."),
            504: _flat("The provider did not answer in time."),
        },
        guarded=True,
        wants_key=True,
    ),
    Operation(
        "mock_mode",
        "GET",
        "/admin/mock-mode",
        "How the mock answers",
        {200: Reply("The mode.", (MockModeState,))},
        guarded=True,
    ),
    Operation(
        "healthz",
        "GET",
        "/healthz",
        "Whether the service does its work",
        {200: Reply("It does.", (Health,)), 503: Reply("It does not; `message` says why.", (Health,))},
    ),
    Operation(
        "metrics",
        "GET",
        "/metrics",
        "Counters, for Prometheus",
        {200: Reply("Text format 0.0.4.", {"type": "string"}, media_type="text/plain")},
    ),
    Operation("openapi", "GET", "/openapi.json", "This document", {200: Reply("It.", {"type": "object"})}),
)
