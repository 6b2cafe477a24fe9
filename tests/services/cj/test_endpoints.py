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
from cj_pipeline.services.cj.store.tables import anchor_essay_references
from tests.services.cj.crashing import DyingDatabase
from tests.services.cj.lab import World, request, world

INSTRUCTIONS = "/admin/v1/assessment-instructions/assignment-1"
WORDS = "words " * 20


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


def test_instructions_are_kept_replaced_and_taken_away() -> None:
    async def script() -> None:
        async with served() as (_, client):
            assert (await client.get(INSTRUCTIONS)).status_code == 404
            for text in ("Reward ideas.", "Reward words."):
                assert (await client.put(INSTRUCTIONS, json={"instructions_text": text})).status_code == 200
                assert (await client.get(INSTRUCTIONS)).json()["instructions_text"] == text
            assert (await client.delete(INSTRUCTIONS)).status_code == 204
            assert (await client.delete(INSTRUCTIONS)).status_code == 404

    run_virtual(script())


def test_what_is_registered_over_http_grades_a_batch() -> None:
    async def script() -> None:
        async with served() as (w, client):
            await client.put(INSTRUCTIONS, json={"instructions_text": "Reward ideas."})
            for grade in ("A", "C", "E", "E"):
                body = {"assignment_id": "assignment-1", "grade": grade, "essay_text": f"{grade} {WORDS}"}
                assert (await client.post("/api/v1/anchors/register", json=body)).status_code == 201
            rows = await w.rows(anchor_essay_references)
            # The second E replaces the first: a label is there once.
            assert [(row["anchor_label"], row["text_storage_id"]) for row in rows] == [
                ("A", "stored-0"),
                ("C", "stored-1"),
                ("E", "stored-3"),
            ]
            await w.ask(request(3, assignment_id="assignment-1"))
            await w.next_event(CJ_COMPLETED_TOPIC)
            assert len(w.lps.posts) > 0

    run_virtual(script())


def test_a_bad_anchor_is_refused_with_what_would_do() -> None:
    async def script() -> None:
        async with served() as (w, client):
            anchor = {"assignment_id": "a", "grade": "G", "essay_text": WORDS}
            refused = await client.post("/api/v1/anchors/register", json=anchor)
            assert refused.status_code == 400
            assert "'G' is no grade of swedish_8_anchor" in refused.json()["error"]
            short = await client.post("/api/v1/anchors/register", json={**anchor, "grade": "A", "essay_text": "Once."})
            assert short.status_code == 400
            assert "essay_text" in short.json()["error"]
            assert "Once" not in short.text
            scale = await client.put(INSTRUCTIONS, json={"instructions_text": "x", "grade_scale": "swedish_8"})
            assert "Did you mean 'swedish_8_anchor'?" in scale.json()["error"]
            assert await w.rows(anchor_essay_references) == []

    run_virtual(script())


def test_in_production_the_admins_endpoints_are_not_there() -> None:
    async def script() -> None:
        async with served(environment="production") as (_, client):
            assert (await client.get(INSTRUCTIONS)).status_code == 404
            assert (await client.put(INSTRUCTIONS, json={"instructions_text": "x"})).status_code == 404

    run_virtual(script())
