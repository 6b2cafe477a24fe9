"""The embedded stack gives the very answers of the CJ service's batch: the same ids, prompts and winners."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.contracts.cj_events import ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC, AssessmentResultV1
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.local.drive import DriveRequest, StackAddress, assessment_request, scenario_texts
from cj_pipeline.local.driven_batch import (
    SCORE_TOLERANCE,
    DrivenBatch,
    compare_with_embedded,
    drive,
    largest_difference,
)
from cj_pipeline.local.stack_plan import StackPlan
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.parity.verdict import Doubt, Parity
from cj_pipeline.runs.cj_service import CjAnswer
from cj_pipeline.runs.scenario_run import JudgeIdentity
from cj_pipeline.runs.virtual_time import run_virtual
from tests.services.cj.lab import LPS_URL, world
from tests.sides import ANCHORS, LOWER5, live, scenario


def served(scenario_id: str) -> tuple[AssessmentResultV1, tuple[CallbackEvent, ...]]:
    """A batch of the CJ service in front of an LPS, both in this process and in virtual time."""
    wanted = scenario(scenario_id)
    plan = StackPlan(wanted, wanted.mode, Path("traces"), Path("data"))
    request = DriveRequest(wanted, Path("traces"), load_mode(wanted.mode), "one", Path("out"), 60.0)
    texts = scenario_texts(wanted)
    event = assessment_request(request, {essay: f"text of {essay}" for essay in texts})
    elsewhere = {"database_url", "llm_provider_service_url"}
    given = {name: value for name, value in plan.cj_settings().items() if name not in elsewhere}

    async def scene() -> tuple[AssessmentResultV1, tuple[CallbackEvent, ...]]:
        given["llm_provider_service_url"] = LPS_URL
        lps = plan.lps_settings() | {"mock_latency_ms": None}
        async with world(wanted.mode, lps=lps, pair_generation_seed=None, **given) as there:
            there.texts.kept |= {f"text of {essay}": text for essay, text in texts.items()}
            async with there.service():
                await there.ask(event.model_dump_json(exclude_none=True).encode())
                await there.next_event(CJ_COMPLETED_TOPIC)
            result = AssessmentResultV1.model_validate(there.events(ASSESSMENT_RESULT_TOPIC)[0]["data"])
            messages = there.bus._logs[given["llm_provider_callback_topic"]]
            return result, tuple(_event(message.value) for message in messages)

    return run_virtual(scene())


def _event(value: bytes) -> CallbackEvent:
    event = parse_callback(value)
    assert isinstance(event, CallbackEvent)
    return event


def compared(scenario_id: str, events: tuple[CallbackEvent, ...], overlay: str = "") -> ParityReport:
    wanted = scenario(scenario_id)
    return compare_with_embedded(wanted, events, JudgeIdentity("capture", "0" * 64), load_mode(wanted.mode + overlay))


def winners(events: tuple[CallbackEvent, ...]) -> list[tuple[Any, ...]]:
    return sorted(
        (str(e.data.correlation_id), *e.data.essay_ids(), str(e.data.winner), e.data.request_metadata["prompt_sha256"])
        for e in events
    )


@pytest.mark.parametrize(("scenario_id", "comparisons"), [(LOWER5, 10), (ANCHORS, 66)])
def test_every_pair_has_the_same_prompt_and_winner_and_every_score_is_the_same(
    scenario_id: str, comparisons: int
) -> None:
    result, events = served(scenario_id)
    report = compared(scenario_id, events)
    assert len(report.recorded.events) == comparisons
    assert winners(report.live.events) == winners(report.recorded.events)
    assert [check.check.name for check in report.failed] == []
    batch = DrivenBatch("stack-x-one", CjAnswer(result, None), Path(), 1.0, report)
    assert batch.agrees
    assert not replace(batch, answer=CjAnswer(None, "timeout")).agrees


def test_another_mode_and_a_lost_and_a_doubled_callback_are_seen() -> None:
    result, events = served(LOWER5)
    inverted = compared(LOWER5, events, "+inverted")
    assert "answer_agreement" in {check.check.name for check in inverted.failed}
    for changed in (events[:-1], (*events, events[0])):
        # The embedded stack is asked what was captured; that a callback is missing is seen in the published scores.
        assert not DrivenBatch("stack", CjAnswer(result, None), Path(), 1.0, compared(LOWER5, changed)).agrees


def test_a_wrong_mock_agrees_with_itself_whatever_the_scenario_asks_of_its_judge() -> None:
    # Inverted on both sides: below every floor that the scenario and its profile set for the recorded judge.
    wanted = scenario(ANCHORS)
    events = live(ANCHORS, "+inverted").events
    report = compare_with_embedded(
        wanted, events, JudgeIdentity("capture", "0" * 64), load_mode(f"{wanted.mode}+inverted")
    )
    assert [check.check.name for check in report.failed] == []
    assert report.verdict is Parity.CANNOT_TELL
    assert Doubt.SAME_FILE in {reason.doubt for reason in report.reasons}


def test_scores_that_differ_in_the_sixth_digit_are_seen() -> None:
    replayed = compared(LOWER5, served(LOWER5)[1]).recorded
    scores = {essay.essay_id: essay.theta for essay in replayed.document.fit.essays}
    shifted = {essay: score + 2.0 for essay, score in scores.items()}
    assert largest_difference(shifted, replayed) == pytest.approx(0.0, abs=1e-12)
    first = next(iter(scores))
    difference = largest_difference(scores | {first: scores[first] + 1e-5}, replayed)
    assert difference is not None
    assert difference > SCORE_TOLERANCE
    assert largest_difference({}, replayed) is None


def test_a_label_is_good_for_one_batch(tmp_path: Path) -> None:
    wanted = scenario(LOWER5)
    request = DriveRequest(wanted, tmp_path, load_mode(wanted.mode), "used", tmp_path, 60.0)
    nowhere = StackAddress("http://127.0.0.1:9", "http://127.0.0.1:9", KafkaSettings(bootstrap_servers="127.0.0.1:9"))
    (tmp_path / f"stack_{LOWER5}_used").mkdir()
    with pytest.raises(BadInput, match=rf"stack_{LOWER5}_used: exists\. Give the batch another --label\."):
        drive(nowhere, request)
