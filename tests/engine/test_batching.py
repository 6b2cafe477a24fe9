"""Which batching mode a batch gets, and the one wave of `provider_batch_api`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import LLMBatchingMode, Provider
from cj_pipeline.engine.facts import successful_pairs
from cj_pipeline.engine.pairing.orientation import positions
from cj_pipeline.engine.state import DecisionKind, PlannedPair, UploadStatus
from cj_pipeline.engine.waves.batching import effective_mode, requested_mode
from tests.engine.batches import always_fails, batch, essays, fails_in, higher_item_wins, run

PER_REQUEST, BUNDLE, BATCH_API = LLMBatchingMode


@pytest.mark.parametrize(
    ("hint", "override", "mode"),
    [
        (None, None, None),
        ("provider_batch_api", "per_request", BATCH_API),  # the hint wins
        ("Per_Request ", None, PER_REQUEST),  # in any case
        ("nightly", "serial_bundle", BUNDLE),  # an unknown word is ignored
        (7, None, None),
        (None, "nightly", None),
    ],
)
def test_what_a_request_asks_for(hint: object, override: object, mode: LLMBatchingMode | None) -> None:
    assert requested_mode(hint, override) is mode


@pytest.mark.parametrize(
    ("setting", "requested", "provider", "allowed", "mode"),
    [
        (BUNDLE, None, None, ["openai"], BUNDLE),
        (BUNDLE, PER_REQUEST, None, ["openai"], PER_REQUEST),
        (PER_REQUEST, BATCH_API, None, ["openai"], BATCH_API),  # the default provider is on the list
        (PER_REQUEST, BATCH_API, "google", ["openai"], PER_REQUEST),  # not on the list: the setting
        (BATCH_API, None, "google", ["openai"], BUNDLE),  # and if that is the same mode: bundles
        (BATCH_API, BATCH_API, "google", ["openai"], BUNDLE),
        (BATCH_API, None, " OpenAI ", ["openai"], BATCH_API),
        (BATCH_API, None, "google", [], BATCH_API),  # an empty list is all
        (BATCH_API, None, "nobody", [], BATCH_API),
        (BATCH_API, None, "nobody", ["openai"], BUNDLE),
        (BATCH_API, None, "", ["openai"], BATCH_API),
        (BATCH_API, PER_REQUEST, "google", ["openai"], PER_REQUEST),
    ],
)
def test_what_a_batch_gets(
    setting: LLMBatchingMode,
    requested: LLMBatchingMode | None,
    provider: str | None,
    allowed: list[str],
    mode: LLMBatchingMode,
) -> None:
    settings = EngineSettings.model_validate({"llm_batching_mode": setting, "llm_batch_api_allowed_providers": allowed})
    assert effective_mode(settings, requested, provider_override=provider, default_provider=Provider.OPENAI) is mode


SINGLE = {"llm_batching_mode": "provider_batch_api"}


@pytest.mark.parametrize("number", [2, 3, 4, 7, 12])
def test_the_single_wave_holds_every_pair_once_and_then_the_batch_is_over(number: int) -> None:
    # Production stalls here: fewer pairs than budget, and neither a pass nor more may be asked.
    state = run(batch(number, **SINGLE), higher_item_wins)
    (wave,) = state.waves
    assert Counter(comparison.pair for comparison in wave.comparisons) == Counter(state.batch.pairs())
    assert {comparison.iteration for comparison in wave.comparisons} == {0}
    assert state.upload_status is UploadStatus.COMPLETE_MAX_COMPARISONS
    assert [decision.kind for decision in state.decisions] == [DecisionKind.FINALIZE_NOTHING_SCHEDULABLE]


def test_the_single_wave_fills_the_budget_evenly() -> None:
    state = run(batch(24, **SINGLE), higher_item_wins)
    assert (len(state.waves), state.submitted) == (1, 120)
    shown = positions(state)
    assert {as_a + as_b for as_a, as_b in shown.values()} == {10}
    assert max(abs(as_a - as_b) for as_a, as_b in shown.values()) <= 2
    assert state.decisions[-1].kind is DecisionKind.FINALIZE_SCORING


@pytest.mark.parametrize("budget", [3, 120])
def test_the_guard_is_asked_when_the_single_wave_is_in(budget: int) -> None:
    state = run(batch(5, max_pairwise_comparisons=budget, **SINGLE), always_fails)
    assert len(state.waves) == 1
    assert state.upload_status is UploadStatus.ERROR_PROCESSING
    assert state.decisions[-1].reason == "low_success_rate"


def test_failures_of_the_single_wave_are_not_asked_again() -> None:
    state = run(batch(12, **SINGLE), fails_in(0.1))
    assert len(state.waves) == 1
    assert len(state.pool.entries) == state.failed > 0
    assert successful_pairs(state) == 66 - state.failed


def test_a_recording_in_this_mode_is_asked_as_one_wave() -> None:
    one, two, three, four = essays(4)
    plan = ((PlannedPair(two, one), PlannedPair(three, four)), (PlannedPair(one, three),))
    state = run(batch(4, plan=plan, **SINGLE), higher_item_wins)
    asked = [(comparison.essay_a, comparison.essay_b) for comparison in state.waves[0].comparisons]
    assert (len(state.waves), asked) == (1, [(two, one), (three, four), (one, three)])


def test_the_mode_that_a_batch_was_given_beats_the_setting() -> None:
    asked = batch(6)
    given = replace(asked, resolved_batching_mode=BATCH_API)
    assert len(run(given, higher_item_wins).waves) == 1
    assert len(run(asked, higher_item_wins).waves) > 1
