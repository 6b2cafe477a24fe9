"""The document of the CJ service is true: what it calls valid is accepted, and every answer is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import pytest
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.http.endpoints import build_app
from cj_pipeline.services.cj.http.openapi import ADMIN, HEALTH, openapi_document
from tests.services.cj.lab import settings, world
from tests.services.cj.test_access import SECRET, token
from tests.services.cj.test_endpoints import served
from tests.services.openapi_fuzz import complaints, in_a_thread

REGISTER = "/api/v1/anchors/register"
# Whether an anchor can be registered depends on what is kept: its assignment and the grade scale of that.
NOT_BY_SCHEMA = {"operations": [{"include-path": REGISTER, "checks": {"positive_data_acceptance": {"enabled": False}}}]}


def in_thread(**given: Any) -> AbstractContextManager[ASGIApp]:
    @asynccontextmanager
    async def app() -> AsyncIterator[ASGIApp]:
        async with world(**given) as w, w.service() as service:
            yield build_app(service)

    return in_a_thread(app)


def test_schemathesis_finds_nothing_wrong() -> None:
    with in_thread(jwt_secret_key=SECRET) as app:
        found, checks = complaints(app, {"Authorization": f"Bearer {token()}"}, **NOT_BY_SCHEMA)
    assert found == []
    assert checks >= {
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "positive_data_acceptance",
        "unsupported_method",
        "allow_header_conformance",
        "ignored_auth",
    }


def test_schemathesis_would_find_a_field_that_is_not_in_the_document() -> None:
    with in_thread() as app:

        async def says_more(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] != "/healthz/live":
                return await app(scope, receive, send)
            await receive()
            body = b'{"service": "cj_assessment_service", "status": "healthy", "secret": 1}'
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            return await send({"type": "http.response.body", "body": body})

        found, _ = complaints(says_more, {}, "/healthz/live")
    assert any(complaint.startswith("GET /healthz/live: response_schema_conformance") for complaint in found)


@pytest.mark.parametrize("admin", [True, False])
def test_every_route_of_the_app_is_in_the_document_and_no_other(admin: bool) -> None:
    async def script() -> tuple[set[tuple[str, str]], dict[str, Any]]:
        async with world(enable_admin_endpoints=admin) as w, w.service() as service:
            routes = {
                (route.path.replace(":path}", "}"), method.lower())
                for route in build_app(service).routes
                if isinstance(route, Route)
                for method in (route.methods or set()) - {"HEAD"}
            }
            return routes, openapi_document(service.settings)["paths"]

    routes, paths = run_virtual(script())
    assert {(path, method) for path, operations in paths.items() for method in operations} == routes
    assert len(routes) == len(HEALTH) + (len(ADMIN) if admin else 0)


def test_the_document_says_where_a_token_is_wanted() -> None:
    keyed = openapi_document(settings(jwt_secret_key=SECRET))
    guarded = {one["operationId"] for path in keyed["paths"].values() for one in path.values() if "security" in one}
    assert guarded == {one.name for one in ADMIN}
    assert SECRET not in str(keyed)
    assert "securitySchemes" not in openapi_document(settings())["components"]


def test_it_is_served_to_anybody_and_so_is_the_refusal_of_an_unknown_path() -> None:
    async def script() -> None:
        async with served(jwt_secret_key=SECRET) as (_, client):
            assert (await client.get("/openapi.json")).json()["openapi"] == "3.1.0"
            unknown, wrong = await client.get("/nothing"), await client.post("/healthz")
            assert (unknown.status_code, unknown.json()) == (404, {"error": "Not Found"})
            assert (wrong.status_code, wrong.json()) == (405, {"error": "Method Not Allowed"})
            assert wrong.headers["Allow"] == "GET, HEAD"
            many = await client.patch("/admin/v1/assessment-instructions/a")
            assert (many.status_code, many.headers["Allow"]) == (405, "DELETE, GET, HEAD, PUT")

    run_virtual(script())
