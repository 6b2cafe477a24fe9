"""This module tests runs in front of deployed services, which a bus in a folder and two transports stand in for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.contracts.callback import CallbackEvent, EventEnvelope, callback_json
from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    AssessmentResultV1,
    CJAssessmentCompletedV1,
    CJAssessmentFailedV1,
    EssayResult,
    ProcessingMetadata,
    ProcessingSummary,
)
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC, AssessmentRequestEvent, parse_assessment_request
from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE, COMPARISON_RESULT_TOPIC, LPS_SOURCE_SERVICE
from cj_pipeline.eng5.artefact.verify import verify
from cj_pipeline.eng5.collector import NotHydrated
from cj_pipeline.eng5.deployed_run import DeployedServices, NothingToExtract, NotPublished, run_deployed
from cj_pipeline.eng5.options import CapacityError, RunnerMode, RunnerOptions
from cj_pipeline.eng5.uploads import CACHE_FILE
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.services.cj.admin_client import AdminRefused, CjAdmin
from tests.eng5.answers import NOON, answer
from tests.eng5.nets import options

ASSIGNMENT = UUID("11111111-1111-1111-1111-111111111111")
INSTRUCTIONS = {
    "grade_scale": "eng5_np_legacy_9_step",
    "student_prompt_storage_id": "p",
    "context_origin": "research_experiment",
}
ANCHOR = "ANCHOR_1"

Messages = list[tuple[str, bytes]]


class AnsweringBus(FolderBus):
    """A bus on which a CJ service answers a request in the moment in which it is published."""

    asked = 0

    def __init__(self, folder: Path, answers: Callable[[AssessmentRequestEvent], Messages]) -> None:
        super().__init__(folder)
        self._answers = answers

    async def publish(self, topic: str, value: bytes, *, key: bytes | None = None) -> None:
        await super().publish(topic, value, key=key)
        if topic == ASSESSMENT_REQUEST_TOPIC:
            request = parse_assessment_request(value)
            assert isinstance(request, AssessmentRequestEvent)
            type(self).asked += 1
            for other, message in self._answers(request):
                await super().publish(other, message)


def callback(request: AssessmentRequestEvent, first: str, second: str, **metadata: Any) -> tuple[str, bytes]:
    data = answer(first, second, first)
    batch = request.data.entity_id
    data = data.model_copy(
        update={
            "correlation_id": keyed_uuid("deployed", batch, first, second),
            "request_id": str(keyed_uuid("deployed request", batch, first, second)),
            "request_metadata": {**data.request_metadata, "bos_batch_id": batch, **metadata},
        }
    )
    event = CallbackEvent(
        event_id=keyed_uuid("event", batch, first, second),
        event_type=COMPARISON_RESULT_EVENT_TYPE,
        event_timestamp=NOON,
        source_service=LPS_SOURCE_SERVICE,
        correlation_id=data.correlation_id,
        data=data,
    )
    return COMPARISON_RESULT_TOPIC, callback_json(event)


def event(topic: str, data: Any) -> tuple[str, bytes]:
    envelope = EventEnvelope[type(data)](  # type: ignore[misc]
        event_id=keyed_uuid(topic), event_type=topic, event_timestamp=NOON, source_service="cj",
        correlation_id=keyed_uuid(topic, "c"), data=data,
    )  # fmt: skip
    return topic, envelope.model_dump_json().encode()


def end(request: AssessmentRequestEvent) -> Messages:
    batch = request.data.entity_id
    about = ProcessingMetadata(entity_id=batch, timestamp=NOON, processing_stage="completed", event="completed")
    essays = [one.essay_id for one in request.data.essays_for_cj]
    results = [
        EssayResult(
            essay_id=essay, normalized_score=0.5, letter_grade="B", confidence_score=0.5, confidence_label="MID",
            bt_score=float(-rank), rank=rank, is_anchor=essay == ANCHOR, grade="B",
        )
        for rank, essay in enumerate([*essays, ANCHOR], start=1)
    ]  # fmt: skip
    summary = ProcessingSummary(
        total_essays=2, successful=2, failed=0, successful_essay_ids=essays, failed_essay_ids=[],
        processing_time_seconds=1.0, single_essay_batch=False,
    )  # fmt: skip
    completed = CJAssessmentCompletedV1(
        entity_id=batch, timestamp=NOON, status="completed_successfully", system_metadata=about,
        cj_assessment_job_id="7", processing_summary=summary,
    )  # fmt: skip
    result = AssessmentResultV1(
        entity_id=batch, timestamp=NOON, batch_id=batch, cj_assessment_job_id="7", model_used="gpt-5.1",
        model_provider="openai", essay_results=results, assessment_metadata={}, assessed_at=NOON + timedelta(minutes=1),
    )  # fmt: skip
    return [event(CJ_COMPLETED_TOPIC, completed), event(ASSESSMENT_RESULT_TOPIC, result)]


def some(request: AssessmentRequestEvent) -> Messages:
    first, second = sorted(one.essay_id for one in request.data.essays_for_cj)[:2]
    one = callback(request, first, second)
    return [one, callback(request, second, ANCHOR), one]


def whole(request: AssessmentRequestEvent) -> Messages:
    return some(request) + end(request)


def failed(request: AssessmentRequestEvent) -> Messages:
    about = ProcessingMetadata(
        entity_id=request.data.entity_id, timestamp=NOON, processing_stage="failed", event="failed",
        error_info={"reason": "too_few_essays"},
    )  # fmt: skip
    data = CJAssessmentFailedV1(
        entity_id=request.data.entity_id, timestamp=NOON, system_metadata=about, cj_assessment_job_id="7"
    )
    return [event(CJ_FAILED_TOPIC, data)]


class Services:
    """Content service, admin and bus of a test; texts: every body that was stored."""

    def __init__(self, folder: Path, answers: Callable[[AssessmentRequestEvent], Messages], **admin: Any) -> None:
        self.texts: list[str] = []
        self.documents = {"instructions": INSTRUCTIONS, "anchors": {"anchors": [{}]}, **admin}
        self._folder, self._answers = folder, answers

    def deployed(self) -> DeployedServices:
        return DeployedServices(
            open_bus=lambda: AnsweringBus(self._folder / "bus", self._answers),
            content_url="http://content/v1/content",
            admin=CjAdmin("http://cj", "token", transport=httpx.MockTransport(self._admin)),
            content_transport=httpx.MockTransport(self._content),
        )

    def _content(self, request: httpx.Request) -> httpx.Response:
        self.texts.append(request.content.decode())
        return httpx.Response(201, json={"storage_id": f"s{len(self.texts)}"})

    def _admin(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer token"
        kind = "anchors" if "/anchors/" in request.url.path else "instructions"
        document = self.documents[kind]
        return httpx.Response(404, json={"error": "none"}) if document is None else httpx.Response(200, json=document)


@pytest.fixture(autouse=True)
def _nobody_asked_yet() -> None:
    AnsweringBus.asked = 0


def executing(tmp_path: Path, **changed: Any) -> RunnerOptions:
    given = {"assignment_id": ASSIGNMENT, "course_id": ASSIGNMENT, "await_completion": True, "timeout_s": 20.0}
    return options(RunnerMode.EXECUTE, tmp_path, **{**given, **changed})


def test_a_batch_is_asked_for_and_collected(tmp_path: Path) -> None:
    services = Services(tmp_path, whole)
    outcome = run_deployed(executing(tmp_path), services.deployed())
    assert verify(outcome.artefact).problems == ()
    document = json.loads(outcome.artefact.read_text())
    status = document["validation"]["runner_status"]
    assert (status["partial_data"], status["duplicates_skipped"]) == (False, 1)
    assert status["observed_events"] == {"llm_comparisons": 2, "assessment_results": 1, "completions": 1}
    # The service's anchors are compared as well, and it says which they are.
    anchors = [row["essay_id"] for row in document["bt_summary"] if row["is_anchor"]]
    assert anchors == [ANCHOR]
    assert all("published_theta" in row and row["standard_error"] > 0 for row in document["bt_summary"])
    (request,) = (tmp_path / "out" / "requests").glob("*.json")
    sent = json.loads(request.read_text())
    assert sent["data"]["assignment_id"] == str(ASSIGNMENT)
    assert sent["metadata"]["runner_mode"] == "execute"
    # Anchors are the service's own, and are not sent.
    assert sorted(one["essay_id"] for one in sent["data"]["essays_for_cj"]) == ["PUPIL_0", "PUPIL_1"]


def test_texts_are_stored_once(tmp_path: Path) -> None:
    services = Services(tmp_path, whole)
    run_deployed(executing(tmp_path), services.deployed())
    assert sorted(services.texts) == ["The text of pupil_0.", "The text of pupil_1."]
    run_deployed(executing(tmp_path), services.deployed())
    assert len(services.texts) == 2
    run_deployed(executing(tmp_path, force_reupload=True), services.deployed())
    assert len(services.texts) == 4
    cache = tmp_path / "out" / CACHE_FILE
    cache.write_text("not JSON")
    run_deployed(executing(tmp_path), services.deployed())
    assert len(services.texts) == 6
    assert json.loads(cache.read_text())["schema_version"] == 1


def test_a_run_that_timed_out_goes_on_and_does_not_ask_again(tmp_path: Path) -> None:
    services = Services(tmp_path, some)
    first = run_deployed(executing(tmp_path, timeout_s=0.5), services.deployed())
    assert first.answers is not None
    assert (first.answers.timed_out, len(first.answers.events)) == (True, 2)
    request = parse_assessment_request(
        json.dumps(json.loads(next((tmp_path / "out/requests").iterdir()).read_text())).encode()
    )
    assert isinstance(request, AssessmentRequestEvent)

    async def later() -> None:
        bus = FolderBus(tmp_path / "bus")
        for topic, message in end(request):
            await bus.publish(topic, message)
        await bus.aclose()

    asyncio.run(later())
    then = run_deployed(executing(tmp_path), services.deployed())
    assert then.answers is not None
    assert (then.answers.partial, len(then.answers.events), AnsweringBus.asked) == (None, 2, 1)
    assert then.answers.duplicates == 1
    assert verify(then.artefact).problems == ()


def test_what_nobody_waits_for_can_be_collected_later(tmp_path: Path) -> None:
    services = Services(tmp_path, whole)
    sent = run_deployed(executing(tmp_path, await_completion=False), services.deployed())
    assert sent.answers is not None
    assert "nobody waited" in (sent.answers.partial or "")
    assert verify(sent.artefact).problems == ()
    collected = run_deployed(executing(tmp_path), services.deployed())
    assert collected.answers is not None
    assert (len(collected.answers.events), AnsweringBus.asked) == (2, 1)


def test_a_batch_that_failed_is_said_to_have(tmp_path: Path) -> None:
    outcome = run_deployed(executing(tmp_path), Services(tmp_path, failed).deployed())
    assert outcome.answers is not None
    assert outcome.answers.partial == "the CJ service failed the batch: too_few_essays"


def test_a_test_of_anchors_sends_them_as_students_without_an_assignment(tmp_path: Path) -> None:
    asked = options(RunnerMode.ANCHOR_ALIGN, tmp_path, await_completion=True, timeout_s=20.0)
    outcome = run_deployed(asked, Services(tmp_path, whole).deployed())
    (request,) = (tmp_path / "out" / "requests").glob("*.json")
    sent = json.loads(request.read_text())
    assert "assignment_id" not in sent["data"]
    assert all(one["essay_id"].startswith("student::") for one in sent["data"]["essays_for_cj"])
    assert "system_prompt_override" not in sent["data"]["llm_config_overrides"]
    assert [path.suffix for path in outcome.reports] == [".md", ".html", ".md", ".html", ".png"]


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [({"prompt_sha256": "abc"}, "prompt_sha256 is not 64"), ({"essay_b_id": ""}, "essay_b_id: empty")],
)
def test_a_callback_that_no_artefact_can_be_made_of_stops_the_run(
    tmp_path: Path, metadata: dict[str, str], problem: str
) -> None:
    services = Services(tmp_path, lambda request: [callback(request, "PUPIL_0", "PUPIL_1", **metadata)])
    with pytest.raises(NotHydrated, match=problem):
        run_deployed(executing(tmp_path), services.deployed())


@pytest.mark.parametrize(
    ("admin", "changed", "error", "words"),
    [
        ({"instructions": None}, {}, AdminRefused, "404"),
        ({"anchors": {"anchors": []}}, {}, CapacityError, "the CJ service: no anchors"),
        ({}, {"expected_grade_scale": "eng5_np_national_9_step"}, BadInput, "is graded on eng5_np_legacy_9_step"),
        ({"instructions": {**INSTRUCTIONS, "student_prompt_storage_id": None}}, {}, BadInput, "has no student prompt"),
    ],
)
def test_the_preflight_stops_what_the_services_are_not_set_up_for(
    tmp_path: Path, admin: dict[str, Any], changed: dict[str, Any], error: type[Exception], words: str
) -> None:
    services = Services(tmp_path, whole, **admin)
    with pytest.raises(error, match=words):
        run_deployed(executing(tmp_path, **changed), services.deployed())
    assert (services.texts, AnsweringBus.asked) == ([], 0)


def test_a_request_that_the_bus_does_not_take_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    def refuse(request: AssessmentRequestEvent) -> Messages:
        raise OSError("full")

    with pytest.raises(NotPublished):
        run_deployed(executing(tmp_path), Services(tmp_path, refuse).deployed())
    outcome = run_deployed(executing(tmp_path), Services(tmp_path, whole).deployed())
    assert not outcome.partial


def test_an_extraction_needs_a_completion_and_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NothingToExtract):
        run_deployed(executing(tmp_path, auto_extract=True, timeout_s=0.5), Services(tmp_path, some).deployed())
    other = tmp_path / "other"
    wanted = replace(executing(tmp_path, auto_extract=True), output_dir=other)
    outcome = run_deployed(wanted, Services(tmp_path, whole).deployed())
    assert outcome.exit_code == 2
    extract = json.loads(outcome.artefact.read_text())["validation"]["post_run"]["eng5_db_extract"]
    assert (extract["status"], "CJ_ASSESSMENT_SERVICE_DATABASE_URL" in extract["error"]) == ("failed", True)
