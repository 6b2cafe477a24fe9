"""The embedded twin has the very answers of the CJ service's batch: the same ids, prompts and winners."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.contracts.cj_events import ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC, AssessmentResultV1
from cj_pipeline.local import verdict
from cj_pipeline.local.drive import Driven, batch_id_of, request_of, scenario_texts
from cj_pipeline.local.stack_plan import cj_settings, lps_settings
from cj_pipeline.local.twin import Twin, agreement, twin_of
from cj_pipeline.local.verdict import findings
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.settings import CjSettings
from tests.services.cj.lab import LPS_URL, World, world
from tests.sides import ANCHORS, LOWER5, scenario


def settings_of(scenario_id: str) -> dict[str, Any]:
    given = cj_settings(scenario(scenario_id), {"lps": 1, "content": 2})
    return given | {"llm_provider_service_url": LPS_URL}


def served(scenario_id: str, label: str) -> tuple[Driven, tuple[CallbackEvent, ...]]:
    """A batch of the CJ service in front of an LPS, both in this process and in virtual time."""
    wanted = scenario(scenario_id)
    texts = scenario_texts(wanted)
    request = request_of(wanted, batch_id_of(wanted, label), {essay: f"text of {essay}" for essay in texts})
    given = settings_of(scenario_id)

    async def scene() -> tuple[Driven, tuple[CallbackEvent, ...]]:
        lps = lps_settings(wanted, wanted.mode)
        async with world(wanted.mode, lps=lps, pair_generation_seed=None, **_without_seed(given)) as there:
            there.texts.kept |= {f"text of {essay}": text for essay, text in texts.items()}
            async with there.service():
                await there.ask(request.model_dump_json(exclude_none=True).encode())
                ended = await there.next_event(CJ_COMPLETED_TOPIC)
            result = AssessmentResultV1.model_validate(there.events(ASSESSMENT_RESULT_TOPIC)[0]["data"])
            driven = Driven(request, int(ended["data"]["cj_assessment_job_id"]), result, None)
            return driven, callbacks(there, given["llm_provider_callback_topic"])

    return run_virtual(scene())


def _without_seed(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "pair_generation_seed"}


def callbacks(there: World, topic: str) -> tuple[CallbackEvent, ...]:
    found = []
    for message in there.bus._logs[topic]:
        event = parse_callback(message.value)
        assert isinstance(event, CallbackEvent)
        found.append(event)
    return tuple(found)


def twin(scenario_id: str, driven: Driven, **changed: Any) -> Twin:
    wanted = scenario(scenario_id)
    return twin_of(
        driven.request,
        scenario_texts(wanted),
        settings_of(scenario_id),
        lps_settings(wanted, wanted.mode) | changed,
        cj_batch_id=driven.cj_batch_id,
    )


def replayed(scenario_id: str, events: tuple[CallbackEvent, ...]) -> RunRecord:
    return replay(scenario(scenario_id), events, side=Side.RECORDED, judge=JudgeIdentity("capture", "0" * 64))


@pytest.mark.parametrize(("scenario_id", "comparisons"), [(LOWER5, 10), (ANCHORS, 66)])
def test_every_pair_has_the_same_winner_and_every_score_is_the_same(scenario_id: str, comparisons: int) -> None:
    driven, events = served(scenario_id, "one")
    embedded = twin(scenario_id, driven)
    found = agreement(events, embedded.events)
    assert found.asked == comparisons
    assert found.whole
    told = findings(driven, events, replayed(scenario_id, events), embedded)
    assert [finding.name for finding in told if not finding.holds] == []


def test_another_seed_of_the_mock_is_seen_in_the_winners_and_the_scores() -> None:
    driven, events = served(ANCHORS, "one")
    other = twin(ANCHORS, driven, mock_provider_seed=43)
    told = {finding.name: finding for finding in findings(driven, events, replayed(ANCHORS, events), other)}
    assert {name for name, finding in told.items() if not finding.holds} >= {"winners", "scores_embedded"}
    # Answers decide who meets next, so that other pairs are asked as well.
    assert "comparisons have the same winner, or the same error. Unlike: " in told["winners"].sentence


def test_a_lost_and_a_doubled_callback_are_seen() -> None:
    driven, events = served(LOWER5, "one")
    embedded = twin(LOWER5, driven)
    for changed in (events[:-1], (*events, events[0])):
        told = {f.name: f.holds for f in findings(driven, changed, replayed(LOWER5, changed), embedded)}
        assert not told["callbacks"]


def test_the_twins_settings_are_those_that_the_service_is_started_with() -> None:
    given = CjSettings.model_validate(settings_of(LOWER5))
    engine = scenario(LOWER5).engine
    assert given.engine().model_dump(exclude={"pairing", "pair_generation_seed", "bt_alpha"}) == engine.model_dump(
        exclude={"pairing", "pair_generation_seed", "bt_alpha"}
    )


def test_scores_that_differ_in_the_sixth_digit_are_told() -> None:
    published = {"one": -1.0, "two": 1.0}
    assert verdict._scores("scores", "the other", published, {"one": 1.0, "two": 3.0}).holds
    assert not verdict._scores("scores", "the other", published, {"one": -1.0, "two": 1.00001}).holds


def test_ranks_that_contradict_the_scores_and_another_end_are_seen() -> None:
    driven, events = served(LOWER5, "one")
    embedded, again = twin(LOWER5, driven), replayed(LOWER5, events)
    assert driven.result is not None
    best, worst, *others = sorted(driven.result.essay_results, key=lambda essay: (essay.rank, essay.essay_id))
    swapped = [best.model_copy(update={"rank": worst.rank}), worst.model_copy(update={"rank": best.rank}), *others]
    ranked = replace(driven, result=driven.result.model_copy(update={"essay_results": swapped}))
    told = {finding.name: finding.holds for finding in findings(ranked, events, again, embedded)}
    assert (told["ranks"], told["scores_replayed"]) == (False, True)
    failed = replace(driven, result=None, failure="timeout")
    assert not {finding.name: finding.holds for finding in findings(failed, events, again, embedded)}["outcome"]
