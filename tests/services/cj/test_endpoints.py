"""The service over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import httpx

from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.http.endpoints import build_app
from tests.services.cj.crashing import DyingDatabase
from tests.services.cj.lab import World, request, world


@asynccontextmanager
async def served(
    database: DyingDatabase | None = None, **settings: Any
) -> AsyncIterator[tuple[World, httpx.AsyncClient]]:
    async with world(database=database, **settings) as w, w.service() as service:
        transport = httpx.ASGITransport(build_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://cj") as client:
            yield w, client


def test_a_service_that_works_is_healthy() -> None:
    async def script() -> None:
        async with served() as (_, client):
            answer = await client.get("/healthz")
            assert answer.status_code == 200
            assert answer.json()["status"] == "healthy"
            assert answer.json()["dependencies"]["database"] == {"kind": "sqlite", "status": "healthy"}
            # The reference's service manager drops a service without a message, and its suites then skip.
            assert (answer.json()["message"], answer.json()["version"]) == (
                "The service works.",
                version("cj-pipeline"),
            )

    run_virtual(script())


def test_probes_ask_for_what_they_need() -> None:
    async def script() -> None:
        async with served() as (w, client):
            await w.ask(request(3))
            await w.next_event(CJ_COMPLETED_TOPIC)
            assert (await client.get("/healthz/live")).status_code == 200
            assert (await client.get("/healthz/ready")).json()["status"] == "healthy"
            assert (await client.get("/healthz/database")).json()["kind"] == "sqlite"
            summary = (await client.get("/healthz/database/summary")).json()
            assert (summary["batches"], summary["total_batches"]) == ({"COMPLETED": 1}, 1)

    run_virtual(script())


def test_a_service_whose_part_has_died_is_not() -> None:
    async def script() -> None:
        database = DyingDatabase()
        async with served(database) as (w, client):
            database.die_before = database.commits + 1
            await w.ask(request(3))
            await asyncio.sleep(1.0)
            database.revive()
            for path in ("/healthz", "/healthz/ready"):
                answer = await client.get(path)
                assert (answer.status_code, answer.json()["checks"]["service_responsive"]) == (503, False)
            assert (await client.get("/healthz/live")).status_code == 200

    run_virtual(script())
