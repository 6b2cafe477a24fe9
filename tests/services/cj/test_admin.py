"""The admin's endpoints: production's routes and fields, by hand, and ours from before."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC
from cj_pipeline.engine.grades.scales import SCALES
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.store.tables import anchor_essay_references
from cj_pipeline.services.shared.request_body import MOST_BODY_BYTES
from tests.services.cj.lab import request
from tests.services.cj.test_endpoints import served

ROOT = "/admin/v1/assessment-instructions"
OURS = f"{ROOT}/assignment-1"
THEIRS = f"{ROOT}/assignment/assignment-1"
REGISTER = "/api/v1/anchors/register"
WORDS = "words " * 20
BODY = {"assignment_id": "assignment-1", "instructions_text": "Reward ideas.", "grade_scale": "swedish_8_anchor"}

# A desk: development, and nobody else reaches it.
DESK: dict[str, Any] = {"host": "127.0.0.1"}


async def anchor(client: httpx.AsyncClient, **given: Any) -> httpx.Response:
    body = {"assignment_id": "assignment-1", "grade": "A", "essay_text": WORDS, **given}
    return await client.post(REGISTER, json=body)


def test_instructions_are_kept_replaced_and_taken_away() -> None:
    async def script() -> None:
        async with served(**DESK) as (_, client):
            for path in (OURS, THEIRS):
                assert (await client.get(path)).status_code == 404
            for text in ("Reward ideas.", "Reward words."):
                assert (await client.put(OURS, json={"instructions_text": text})).status_code == 200
                for path in (OURS, THEIRS):
                    assert (await client.get(path)).json()["instructions_text"] == text
            for path in (OURS, THEIRS):
                await client.post(ROOT, json=BODY)
                assert (await client.delete(path)).status_code == 204
                assert (await client.delete(path)).status_code == 404

    run_virtual(script())


def test_what_the_eng5_runner_reads_before_it_starts_is_there() -> None:
    async def script() -> None:
        async with served(**DESK) as (_, client):
            made = await client.post(ROOT, json={**BODY, "grade_scale": "eng5_np_legacy_9_step"})
            assert made.status_code == 200
            uploaded = await client.post(
                "/admin/v1/student-prompts", json={"assignment_id": "assignment-1", "prompt_text": "Write."}
            )
            assert uploaded.status_code == 200
            for grade in ("A", "B", "F+"):
                assert (await anchor(client, grade=grade)).status_code == 201
            told = (await client.get(THEIRS)).json()
            assert told["grade_scale"] == "eng5_np_legacy_9_step"
            assert told["context_origin"] == "research_experiment"
            assert told["student_prompt_storage_id"] == uploaded.json()["student_prompt_storage_id"] == "stored-0"
            anchors = (await client.get("/admin/v1/anchors/assignment/assignment-1")).json()
            assert anchors["anchor_count"] == 3
            assert [row["grade"] for row in anchors["anchors"]] == ["A", "B", "F+"]

    run_virtual(script())


@pytest.mark.parametrize(
    ("path", "key", "column"),
    [
        ("/admin/v1/student-prompts", "prompt_text", "student_prompt_storage_id"),
        ("/admin/v1/judge-rubrics", "rubric_text", "judge_rubric_storage_id"),
    ],
)
def test_a_prompt_and_a_rubric_are_stored_and_given_back(path: str, key: str, column: str) -> None:
    async def script() -> None:
        async with served(**DESK) as (w, client):
            body = {"assignment_id": "assignment-1", key: "What counts."}
            assert (await client.post(path, json=body)).status_code == 404
            assert w.texts.kept == {}
            await client.post(ROOT, json=BODY)
            assert (await client.get(f"{path}/assignment/assignment-1")).status_code == 404
            assert (await client.post(path, json=body)).json()[column] == "stored-0"
            assert (await client.get(f"{path}/assignment/assignment-1")).json()[key] == "What counts."
            # New instructions leave the text where it is.
            await client.post(ROOT, json={**BODY, "instructions_text": "Reward words."})
            assert (await client.get(THEIRS)).json()[column] == "stored-0"

    run_virtual(script())


def test_a_course_has_instructions_of_its_own() -> None:
    async def script() -> None:
        async with served(**DESK) as (_, client):
            course = {"course_id": "ENG5", "instructions_text": "For all.", "grade_scale": "eng5_np_legacy_9_step"}
            assert (await client.post(ROOT, json=course)).json()["course_id"] == "ENG5"
            assert (await client.get(f"{ROOT}/course/ENG5")).json()["assignment_id"] is None
            for body in ({**course, "assignment_id": "a"}, {"instructions_text": "x"}):
                refused = await client.post(ROOT, json=body)
                assert (refused.status_code, "assignment_id or course_id" in refused.json()["error"]) == (400, True)
            assert (await client.delete(f"{ROOT}/course/ENG5")).status_code == 204
            assert (await client.get(f"{ROOT}/course/ENG5")).status_code == 404

    run_virtual(script())


def test_instructions_are_listed_the_newest_first_a_page_at_a_time() -> None:
    async def script() -> None:
        async with served(**DESK) as (_, client):
            for number in range(5):
                await client.post(ROOT, json={**BODY, "assignment_id": f"a-{number}"})
            page = (await client.get(ROOT, params={"page": "2", "page_size": "2"})).json()
            assert [item["assignment_id"] for item in page["items"]] == ["a-2", "a-1"]
            assert (page["total"], page["page"], page["page_size"]) == (5, 2, 2)
            odd = (await client.get(ROOT, params={"page": "-1", "page_size": "many"})).json()
            assert (odd["page"], len(odd["items"])) == (1, 5)

    run_virtual(script())


def test_an_anchor_is_answered_with_productions_fields_and_takes_the_assignments_scale() -> None:
    async def script() -> None:
        async with served(**DESK) as (w, client):
            unknown = await anchor(client)
            assert (unknown.status_code, "no instructions" in unknown.json()["error"]) == (400, True)
            assert w.texts.kept == {}
            await client.post(ROOT, json={**BODY, "grade_scale": "eng5_np_legacy_9_step"})
            answer = await anchor(client, grade="F+", anchor_label="lowest")
            assert answer.json() == {
                "anchor_id": 1,
                "storage_id": "stored-0",
                "status": "registered",
                "anchor_label": "lowest",
                "text_storage_id": "stored-0",
                "grade_scale": "eng5_np_legacy_9_step",
            }
            assert (await anchor(client, grade_scale="swedish_8_anchor")).status_code == 400

    run_virtual(script())


def test_what_is_registered_over_http_grades_a_batch() -> None:
    async def script() -> None:
        async with served(**DESK) as (w, client):
            await client.put(OURS, json={"instructions_text": "Reward ideas."})
            for grade in ("A", "C", "E", "E"):
                assert (await anchor(client, grade=grade, essay_text=f"{grade} {WORDS}")).status_code == 201
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
        async with served(**DESK) as (w, client):
            await client.post(ROOT, json=BODY)
            refused = await anchor(client, grade="G")
            assert refused.status_code == 400
            assert "'G' is no grade of swedish_8_anchor" in refused.json()["error"]
            short = await anchor(client, essay_text="Once.")
            assert short.status_code == 400
            assert "essay_text" in short.json()["error"]
            assert "Once" not in short.text
            scale = await client.put(OURS, json={"instructions_text": "x", "grade_scale": "swedish_8"})
            assert "Did you mean 'swedish_8_anchor'?" in scale.json()["error"]
            assert await w.rows(anchor_essay_references) == []

    run_virtual(script())


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_can_be_an_assignments(scale: str) -> None:
    async def script() -> None:
        async with served(**DESK) as (_, client):
            assert (await client.post(ROOT, json={**BODY, "grade_scale": scale})).json()["grade_scale"] == scale

    run_virtual(script())


def test_an_upload_has_a_largest_size() -> None:
    async def script() -> None:
        async with served(**DESK) as (w, client):
            await client.post(ROOT, json=BODY)
            large = await anchor(client, essay_text="x" * MOST_BODY_BYTES)
            assert (large.status_code, large.json()) == (413, {"error": "A body has at most 1,048,576 bytes."})
            fits = MOST_BODY_BYTES - len(json.dumps({"assignment_id": "assignment-1", "grade": "A", "essay_text": ""}))
            assert (await anchor(client, essay_text="x" * fits)).status_code == 201
            assert len(w.texts.kept) == 1

    run_virtual(script())


@pytest.mark.parametrize("bad", ["", "a\x00b", "x" * 256])
def test_an_id_that_no_column_holds_is_refused(bad: str) -> None:
    async def script() -> None:
        async with served(**DESK) as (_, client):
            assert (await client.post(ROOT, json={**BODY, "assignment_id": bad})).status_code == 400

    run_virtual(script())


def test_in_production_the_admins_endpoints_are_not_there() -> None:
    async def script() -> None:
        async with served(environment="production") as (_, client):
            assert (await client.get(OURS)).status_code == 404
            assert (await client.put(OURS, json={"instructions_text": "x"})).status_code == 404

    run_virtual(script())
