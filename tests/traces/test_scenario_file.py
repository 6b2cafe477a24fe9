"""A scenario file that does not fit is refused by file and key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cj_pipeline.contracts.engine_settings import Pairing
from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.scenario import read_scenario
from tests.traces.folders import ANCHORS, GENERIC, LADDER, LOWER5, SCENARIOS, TRACES, edit, sources_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("schema_version: 1", "schema_version: 2", "schema_version"),
        ("schema_version: 1", "schema_version: true", "schema_version"),
        ("schema_version: 1", "schema_version: 1.0", "schema_version"),
        ("[A, B,", "[A, A, B,", "net"),
        ("cj_batch_id: 147", "cj_batch_id: -1", "batch.cj_batch_id"),
        ("cj_batch_id: 147", "cj_batch_id: 9223372036854775808", "batch.cj_batch_id"),
        ("cj_batch_id: 147", "cj_batch_id: 147\n  callback_topic: ../../x", "batch.callback_topic"),
        ("cj_batch_id: 147", "cj_batch_id: 147\n  callback_topic: ..", "batch.callback_topic"),
        ("seed: 42", "seed: 9223372036854775808", "live.seed"),
        ("callback_budget_s: 60", "callback_budget_s: 1.0e+300", "live.callback_budget_s"),
        ("batches: 10", "batches: 1000000000", "live.repeats.batches"),
        ("comparisons: 10}", "comparisons: 100000000}", "live.repeats.comparisons"),
        ("comparisons: 10}", "comparisons: 1000000}", "live.repeats"),
        ("max_pairwise_comparisons: 10", "max_pairwise_comparisons: 1000000000000", "engine.max_pairwise_comparisons"),
        ("  pairing: recorded", "  metadata_hints: [cj_source, cj_source]", "engine.metadata_hints"),
        ("  pairing: recorded", "  bt_alpha: 1.0e+300", "engine.bt_alpha"),
        ("  pairing: recorded", "  retry_batch_size: 100000000", "engine.retry_batch_size"),
        ("profile: eng5_lower5", "profile: eng5_lower6", "profile"),
        ("grade: D-,", "grade: D,", "net"),
        ("D298E687", "363940D5", "net"),
        ("  name: openai", "  name: openia", "provider.name"),
        ("reasoning_effort: low", "reasoning_effort: lowest", "provider.reasoning_effort"),
        ("started_at: 2025-12-02T00:17:14Z", "started_at: 2025-12-02T00:17:14", "batch.started_at"),
        ("max_pairwise_comparisons: 10", "max_pairwise_comparisons: 0", "engine.max_pairwise_comparisons"),
        ("max_pairwise_comparisons", "max_pair_comparisons", "engine.max_pair_comparisons"),
        ("  pairing: recorded", "  llm_batching_mode: batch_api", "engine.llm_batching_mode"),
        ("live:", "service: {queue_processing_mode: batch}\nlive:", "service.queue_processing_mode"),
        ("callback_budget_s: 60", "callback_budget_s: .nan", "live.callback_budget_s"),
        ("batches: 10", "batches: 0", "live.repeats.batches"),
        ("scenario_id: eng5_lower5", "scenario_id: ENG5_lower5", "scenario_id"),
        ("scenario_id: eng5_lower5", "scenario_id: eng5_lower6", "scenario_id"),
    ],
)
def test_a_bad_value_is_refused_by_file_and_key(old: str, new: str, field: str, tmp_path: Path) -> None:
    path = sources_of(LOWER5, tmp_path) / "scenario.yaml"
    edit(path, old, new)
    with pytest.raises(BadInput) as caught:
        read_scenario(path)
    assert (caught.value.path, caught.value.field) == (path, field)
    assert caught.value.remedy


@pytest.mark.parametrize("mode", list(QueueProcessingMode))
def test_a_scenario_may_ask_for_any_way_of_working_off_the_queue(mode: QueueProcessingMode, tmp_path: Path) -> None:
    path = sources_of(LOWER5, tmp_path) / "scenario.yaml"
    edit(path, "live:", f"service: {{queue_processing_mode: {mode}}}\nlive:")
    assert read_scenario(path).service.queue_processing_mode is mode


def test_broken_yaml_is_refused_by_line(tmp_path: Path) -> None:
    path = sources_of(LOWER5, tmp_path) / "scenario.yaml"
    path.write_text("schema_version: 1\nnet: [\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"scenario\.yaml:3: not YAML"):
        read_scenario(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"scenario\.yaml: no such file"):
        read_scenario(tmp_path / "scenario.yaml")


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_a_trace_is_replayed_over_its_own_pairs(scenario_id: str) -> None:
    scenario = read_scenario(TRACES / scenario_id / "scenario.yaml")
    assert scenario.engine.pairing is Pairing.RECORDED


@pytest.mark.parametrize(
    ("scenario_id", "mode", "items", "budget_s", "cap", "repeats"),
    [
        (GENERIC, "cj_generic_batch", 2, 30, 4, (3, 12)),
        (ANCHORS, "eng5_anchor_gpt51_low", 12, 120, 66, (3, 66)),
        (LADDER, "eng5_anchor_ladder", 12, 120, 66, (3, 66)),
        (LOWER5, "eng5_lower5_gpt51_low", 5, 60, 10, (10, 10)),
    ],
)
def test_what_each_scenario_asks_for(
    scenario_id: str, mode: str, items: int, budget_s: float, cap: int, repeats: tuple[int, int]
) -> None:
    scenario = read_scenario(TRACES / scenario_id / "scenario.yaml")
    assert scenario.mode == mode
    assert len(scenario.net.items) == items
    assert scenario.live.callback_budget_s == budget_s
    assert scenario.engine.max_pairwise_comparisons == cap
    assert scenario.live.repeats is not None
    assert (scenario.live.repeats.batches, scenario.live.repeats.comparisons) == repeats


def test_the_same_anchor_has_the_same_id_in_every_scenario() -> None:
    by_label: dict[str, set[str]] = {}
    for scenario_id in (ANCHORS, LADDER, LOWER5):
        for item in read_scenario(TRACES / scenario_id / "scenario.yaml").net.items:
            by_label.setdefault(item.label, set()).add(item.id)
    assert len(by_label) == 12
    assert {len(ids) for ids in by_label.values()} == {1}
    assert by_label["vt_012_A"] == {"student::ANCHOR_ESSAY_ENG_5_78DB411E"}
