"""The LOWER5 net under the engine's own pairing: production's strong small-net suite, on the embedded stack."""

from __future__ import annotations

from collections import Counter

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.contracts.enums import Provider, QueueProcessingMode
from cj_pipeline.engine.pairing.orientation import positions
from cj_pipeline.engine.state import Batch, State, WaveKind
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.batch_run import run_batch
from cj_pipeline.runs.judges import ProviderJudge
from cj_pipeline.runs.record import RunRecord, Side, document_of
from cj_pipeline.runs.recorded_answers import answer_columns
from cj_pipeline.runs.stack import embedded_stack
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.settings import LpsSettings
from tests.sides import LOWER5, scenario

SETTINGS = EngineSettings(
    pairing=Pairing.BALANCED,
    max_pairwise_comparisons=60,
    min_resampling_net_size=5,
    max_resampling_passes_for_small_net=3,
    min_comparisons_for_stability_check=61,
)


def small_net_run() -> tuple[State, RunRecord]:
    async def run() -> tuple[State, RunRecord]:
        essays = tuple(sorted(item.id for item in scenario(LOWER5).net.items))
        batch = Batch("small-net", 1, essays, SETTINGS, seed=42)
        settings = LpsSettings(queue_processing_mode=QueueProcessingMode.SERIAL_BUNDLE)
        async with embedded_stack(settings, load_mode("eng5_lower5_gpt51_low")) as stack:
            judge = ProviderJudge(
                stack.client,
                stack.bus.subscribe("test.callbacks"),
                callback_topic="test.callbacks",
                overrides=LLMConfigOverrides(provider_override=Provider.MOCK),
                texts=dict.fromkeys(essays, "text"),
                budget_s=90,
            )
            state, events = await run_batch(batch, judge)
        answers = answer_columns(event.data for event in events)
        document = document_of(state, answers, scenario_id=LOWER5, side=Side.LIVE, judge="mock", judge_sha256="0" * 64)
        return state, RunRecord(document=document, events=events)

    return run_virtual(run())


def test_ten_pairs_and_three_passes_over_them_make_forty_comparisons() -> None:
    state, record = small_net_run()
    document = record.document
    assert (document.submitted, document.completed, document.failed) == (40, 40, 0)
    assert Counter(c.kind for c in state.comparisons()) == {WaveKind.COVERAGE: 10, WaveKind.RESAMPLING: 30}
    assert document.resampling_pass_count == 3
    assert document.small_net_cap_reached
    assert document.coverage.max_possible_pairs == document.coverage.successful_pairs_count == 10
    assert document.coverage.unique_coverage_complete
    assert document.upload_status == "COMPLETE_STABLE"


def test_every_essay_is_shown_as_often_on_either_side() -> None:
    # Production's fairness limit is a skew of 0.1; its own best run reached 8 and 8.
    state, _ = small_net_run()
    assert set(positions(state).values()) == {(8, 8)}
    shown = {(c.essay_a, c.essay_b) for c in state.comparisons()}
    assert all((second, first) in shown for first, second in shown)


def test_the_record_carries_what_production_reports_of_a_small_net() -> None:
    _, record = small_net_run()
    assert record.document.fit.se_summary.keys() >= {
        "mean_se", "max_se", "mean_comparisons_per_item", "isolated_items",
    }  # fmt: skip
    assert record.document.fit.se_summary["mean_comparisons_per_item"] == 16
    assert record.document.fit.quality_flags.keys() == {
        "bt_se_inflated", "comparison_coverage_sparse", "has_isolated_items",
    }  # fmt: skip
