"""Live runs: the same answers every time, in every process, at any pace."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.engine.state import Batch, State
from cj_pipeline.engine.waves.plan import plan_of
from cj_pipeline.mock.mode.files import MODES_FOLDER, load_mode
from cj_pipeline.runs.batch_run import run_batch
from cj_pipeline.runs.judges import ProviderJudge
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import (
    JudgeIdentity,
    Pace,
    StrangeEssay,
    ask_live,
    comparisons_asked,
    live_batch_id,
    placeholder_text,
    replay,
    run_live,
)
from cj_pipeline.runs.stack import embedded_stack
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.settings import LpsSettings
from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, SCENARIOS, live, recorded, scenario, trace


def again(scenario_id: str, *, seed: int | None = None, pace: Pace = Pace.VIRTUAL) -> RunRecord:
    found = trace(scenario_id)
    events = [line.event for line in found.callbacks.events]
    return run_live(found.scenario, events, load_mode(found.scenario.mode), seed=seed, pace=pace)


def test_live_runs_of_one_seed_are_byte_identical() -> None:
    assert {again(LOWER5).canonical_bytes() for _ in range(6)} == {live(LOWER5).canonical_bytes()}


def test_24_replays_of_one_trace_are_byte_identical() -> None:
    found = trace(ANCHORS)
    events = [line.event for line in found.callbacks.events]
    judge = JudgeIdentity(ANCHORS, found.sha256)
    replays = {replay(found.scenario, events, side=Side.RECORDED, judge=judge).canonical_bytes() for _ in range(24)}
    assert replays == {recorded(ANCHORS).canonical_bytes()}


def test_callbacks_about_another_scenarios_essays_are_refused_by_name() -> None:
    events = [line.event for line in trace(GENERIC).callbacks.events]
    with pytest.raises(StrangeEssay, match="essay-a-generic', which is not in the net of 'eng5_lower5"):
        replay(scenario(LOWER5), events, side=Side.RECORDED, judge=JudgeIdentity("stray", "0" * 64))


def test_another_seed_gives_other_answers() -> None:
    assert again(LOWER5, seed=43).answers_sha256() != live(LOWER5).answers_sha256()


def test_real_time_gives_the_answers_of_virtual_time_and_takes_as_long_as_its_latencies() -> None:
    # The generic scenario: 40 comparisons of 2 to 6 ms, so that real time is bearable here.
    async def timed() -> float:
        return asyncio.get_running_loop().time()

    began = asyncio.run(timed())
    real = again(GENERIC, pace=Pace.REAL)
    took_ms = (asyncio.run(timed()) - began) * 1000
    assert real.answers_sha256() == live(GENERIC).answers_sha256()
    assert took_ms >= sum(callback.response_time_ms for callback in real.pooled_callbacks)


def test_errors_are_the_same_at_any_pace_too(tmp_path: Path) -> None:
    source = (MODES_FOLDER / "cj_generic_batch.yaml").read_text(encoding="utf-8")
    failing = tmp_path / "failing.yaml"
    failing.write_text(
        source.replace("name: cj_generic_batch", "name: failing") + "errors: {rate: 0.3, codes: [400]}\n"
    )
    found, mode = trace(GENERIC), load_mode(str(failing))
    events = [line.event for line in found.callbacks.events]
    real, virtual = (run_live(found.scenario, events, mode, pace=pace) for pace in (Pace.REAL, Pace.VIRTUAL))
    codes = [callback.error_detail for callback in virtual.pooled_callbacks if callback.error_detail is not None]
    # 40 comparisons, .3 of which fail for good: no retry can help a 400. Retries would come back in the order of their
    # backoffs, which real time does not keep to the millisecond.
    assert 5 <= len(codes) <= 20
    assert real.answers_sha256() == virtual.answers_sha256()


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_a_replay_takes_the_decisions_that_were_taken_while_the_batch_ran(scenario_id: str) -> None:
    found = trace(scenario_id)
    wanted = found.scenario
    plan = plan_of([line.event.data for line in found.callbacks.events], keep_ids=False)
    essays = tuple(sorted(item.id for item in wanted.net.items))
    batch = Batch(live_batch_id(wanted, 0), wanted.batch.cj_batch_id, essays, wanted.engine, wanted.live.seed, plan)

    async def run() -> State:
        mode = wanted.service.queue_processing_mode
        settings = LpsSettings(mock_provider_seed=wanted.live.seed, queue_processing_mode=mode)
        origin = wanted.batch.started_at
        async with embedded_stack(settings, load_mode(wanted.mode), origin=origin) as stack:
            provider = wanted.provider
            judge = ProviderJudge(
                stack.client,
                stack.bus.subscribe("test.callbacks"),
                callback_topic="test.callbacks",
                overrides=LLMConfigOverrides(provider_override=Provider.MOCK, model_override=provider.model),
                texts={essay: placeholder_text(essay) for essay in essays},
                budget_s=wanted.live.callback_budget_s,
            )
            return (await run_batch(batch, judge))[0]

    while_running = run_virtual(run())
    replayed = live(scenario_id).document
    assert [(d.kind.value, d.reason, d.iteration, d.callbacks) for d in while_running.decisions] == [
        (d.kind, d.reason, d.iteration, d.callbacks) for d in replayed.decisions
    ]
    assert [d.max_score_change for d in while_running.decisions] == [d.max_score_change for d in replayed.decisions]
    assert while_running.upload_status.value == replayed.upload_status


def test_a_process_with_another_hash_seed_gives_the_same_answers() -> None:
    # Production's mock draws from hash(), which Python salts per process.
    code = f"from tests.sides import live; print(live({LOWER5!r}).answers_sha256())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == live(LOWER5).answers_sha256()


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_the_mock_is_asked_the_recorded_pairs_in_the_recorded_order_and_orientation(scenario_id: str) -> None:
    asked = [callback.essay_ids() for callback in live(scenario_id).callbacks]
    assert asked == [callback.essay_ids() for callback in recorded(scenario_id).callbacks]


@pytest.mark.parametrize(("scenario_id", "batches", "size"), [(GENERIC, 3, 12), (LOWER5, 10, 10), (ANCHORS, 3, 66)])
def test_repeats_come_as_the_scenario_orders_them(scenario_id: str, batches: int, size: int) -> None:
    record = live(scenario_id)
    assert [len(batch) for batch in record.repeats] == [size] * batches
    assert comparisons_asked(scenario(scenario_id), len(record.events)) == len(record.pooled_callbacks)
    for number, batch in enumerate(record.repeats, start=1):
        ids = {event.data.request_metadata["bos_batch_id"] for event in batch}
        assert ids == {live_batch_id(scenario(scenario_id), number)}


def test_the_clock_on_record_is_the_scenarios_and_runs_through_the_latencies() -> None:
    # 66 calls one after another: their own sum, and no more than a millisecond of anything else each.
    record = live(ANCHORS)
    began = scenario(ANCHORS).batch.started_at
    spent_ms = (record.callbacks[-1].completed_at - began).total_seconds() * 1000
    calls_ms = sum(callback.response_time_ms for callback in record.callbacks)
    assert record.callbacks[0].requested_at == began
    assert calls_ms - 66 <= spent_ms <= calls_ms + 66


def test_the_trace_is_followed_to_its_end() -> None:
    # 12 anchors: 11 waves of 6; 5 anchors: 5 waves of 2; one pair four times: a first look and three passes.
    assert [(recorded(s).document.iterations, recorded(s).document.completed) for s in (ANCHORS, LADDER, LOWER5)] == [
        (11, 66), (11, 66), (5, 10),
    ]  # fmt: skip
    generic = recorded(GENERIC).document
    assert (generic.iterations, generic.resampling_pass_count, generic.is_small_net) == (4, 3, True)
    assert [decision.kind for decision in generic.decisions] == ["RESAMPLE"] * 3 + ["FINALIZE_SCORING"]


def test_a_mock_too_slow_for_its_batch_leaves_callbacks_missing_and_the_batch_unfinished() -> None:
    record = live(ANCHORS, "+slow_x1_5")  # 66 x 2.4 s do not fit into 120 s
    assert 40 <= len(record.callbacks) < 66


def test_live_answers_bring_the_services_own_count() -> None:
    found = trace(LOWER5)
    answers = ask_live(found.scenario, [line.event for line in found.callbacks.events], load_mode(found.scenario.mode))
    counted = [s.value for s in answers.service_metrics if s.name == "llm_provider_comparison_callbacks_total"]
    assert sum(counted) == 110
    assert not [s.name for s in answers.service_metrics if s.name.endswith("_created")]
