"""What-if replays: the same answers under other settings, and how much of each row is evidence."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.engine_settings import EngineSettings, MetadataHint, Pairing
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.engine.effects import SubmitWave
from cj_pipeline.engine.state import Batch, Comparison, WaveKind
from cj_pipeline.reports.what_if_table import as_json, as_markdown, columns_of, notes_of, rows_of
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, StrangeEssay, replay
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.runs.what_if import Trial, WhatIf, replayed_settings, what_if
from cj_pipeline.runs.what_if_grid import MOST_VARIANTS, UnusableGrid, Variant, variants_of
from cj_pipeline.runs.what_if_judge import NothingToRecall, RecallingJudge, Recording, recording_of
from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, SCENARIOS, recorded, scenario, trace

DOCUMENT = Path(__file__).parents[2] / "docs" / "what-if.md"


def events(scenario_id: str) -> list[CallbackEvent]:
    return [line.event for line in trace(scenario_id).callbacks.events]


def tried(scenario_id: str, *assignments: str, seeds: int = 2, answers: list[CallbackEvent] | None = None) -> WhatIf:
    found = scenario(scenario_id)
    variants = variants_of(assignments, replayed_settings(found))
    return what_if(found, events(scenario_id) if answers is None else answers, variants, seeds=range(seeds))


def failed(event: CallbackEvent) -> CallbackEvent:
    """The same comparison, ended in an error."""
    data = event.data
    error = ErrorDetail(
        error_code="TIMEOUT",
        message="no answer",
        correlation_id=data.correlation_id,
        timestamp=data.completed_at,
        service="llm_provider_service",
        operation="compare",
    )
    return event.model_copy(update={"data": data.model_copy(update={"winner": None, "error_detail": error})})


def again(event: CallbackEvent, winner: str) -> CallbackEvent:
    """The same pair asked once more, a second later, with a winner of its own."""
    data = event.data
    later = UUID(int=data.correlation_id.int ^ 1)
    position = "Essay A" if data.essay_ids()[0] == winner else "Essay B"
    changes = {"correlation_id": later, "request_id": str(later), "winner": position}
    changed = type(data).model_validate(
        {**data.model_dump(), **changes, "completed_at": data.completed_at + timedelta(seconds=1)}
    )
    return event.model_copy(update={"data": changed, "correlation_id": later})


def only(result: WhatIf) -> Trial:
    """The trial of a result with one variant, the same under every seed."""
    (outcome,) = result.outcomes
    alike = {(c.comparisons, c.reason, c.tau_b, c.repeated_share, c.invented_share) for c in outcome.trials}
    assert len(alike) == 1
    return outcome.trials[0]


# --- the recording's own settings


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_under_its_own_settings_a_recording_takes_the_course_of_its_replay(scenario_id: str) -> None:
    (trial,) = tried(scenario_id).as_recorded.trials
    document = recorded(scenario_id).document
    last = document.decisions[-1]
    assert (trial.comparisons, trial.waves) == (document.submitted, document.iterations)
    assert (trial.decision, trial.reason, trial.upload_status) == (last.kind, last.reason, document.upload_status)
    assert trial.mean_se == pytest.approx(document.fit.se_summary["mean_se"])
    assert trial.max_se == pytest.approx(document.fit.se_summary["max_se"])
    assert (trial.tau_b, trial.spearman) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (trial.repeated_share, trial.invented_share, trial.success_rate) == (0.0, 0.0, 1.0)


def test_recorded_errors_are_recalled_as_errors() -> None:
    answers = [failed(event) if place in (3, 40) else event for place, event in enumerate(events(ANCHORS))]
    (trial,) = tried(ANCHORS, answers=answers).as_recorded.trials
    identity = JudgeIdentity(ANCHORS, "0" * 64)
    document = replay(scenario(ANCHORS), answers, side=Side.RECORDED, judge=identity).document
    assert (document.completed, document.failed) == (64, 2)
    assert trial.success_rate == pytest.approx(64 / 66)
    assert (trial.comparisons, trial.waves) == (document.submitted, document.iterations)
    assert trial.mean_se == pytest.approx(document.fit.se_summary["mean_se"])


def test_an_answer_that_came_twice_is_recalled_once() -> None:
    doubled = [event for event in events(LOWER5) for _ in range(2)]
    assert tried(LOWER5, answers=doubled).as_recorded == tried(LOWER5).as_recorded


# --- other settings


def test_a_smaller_budget_cuts_the_recorded_order_short() -> None:
    trial = only(tried(ANCHORS, "budget=40"))
    assert (trial.comparisons, trial.reason) == (40, "reached_cap, budget_exhausted")
    assert (trial.repeated_share, trial.invented_share) == (0.0, 0.0)
    assert trial.tau_b < 1.0


def test_a_larger_budget_finds_no_further_recorded_pair() -> None:
    trial = only(tried(ANCHORS, "budget=120"))
    assert (trial.comparisons, trial.decision) == (66, "FINALIZE_NOTHING_SCHEDULABLE")


def test_a_pairing_of_its_own_over_all_recorded_pairs_ends_at_the_recorded_scale() -> None:
    # 66 pairs, each recorded once: whatever the order, the same 66 verdicts.
    trial = only(tried(ANCHORS, "strategy=balanced", "budget=66"))
    assert (trial.comparisons, trial.repeated_share, trial.invented_share) == (66, 0.0, 0.0)
    assert trial.tau_b == pytest.approx(1.0)
    assert trial.mean_se == pytest.approx(tried(ANCHORS).as_recorded.trials[0].mean_se)


def test_more_comparisons_than_were_recorded_are_repeats_and_counted_as_such() -> None:
    # 10 pairs recorded once each, then three passes over them: 30 of 40 answers say nothing new.
    result = tried(LOWER5, "strategy=balanced", "budget=60", "floor=61")
    trial = only(result)
    assert (trial.comparisons, trial.reason) == (40, "small_cap_reached")
    assert (trial.repeated_share, trial.invented_share) == (0.75, 0.0)
    (note,) = notes_of(result)
    assert note.startswith("repeated: ")
    assert "standard errors of such rows are too small" in note


def test_pairs_that_were_not_recorded_are_invented_and_counted_as_such() -> None:
    # Half of the recording: the other 33 pairs have no verdict.
    result = tried(ANCHORS, "strategy=balanced", "budget=66", answers=events(ANCHORS)[:33], seeds=8)
    for trial in result.outcomes[0].trials:
        assert (trial.comparisons, trial.invented_share, trial.repeated_share) == (66, 0.5, 0.0)
    assert len({trial.mean_se for trial in result.outcomes[0].trials}) > 1
    assert [note.split(":")[0] for note in notes_of(result)] == ["invented"]
    assert "no evidence" in notes_of(result)[0]


def test_a_looser_threshold_ends_a_batch_as_stable() -> None:
    result = tried(ANCHORS, "stability=0.025,100", "floor=12")
    strict, loose = (outcome.trials[0] for outcome in result.outcomes)
    assert (strict.comparisons, strict.reason) == (66, "reached_cap, budget_exhausted")
    assert loose.reason == "stable"
    assert loose.comparisons < 24


def test_a_stability_that_cannot_matter_is_said_to_be_without_effect() -> None:
    # The scenario looks at stability from 67 comparisons on and allows 66.
    (note,) = notes_of(tried(ANCHORS, "stability=0.5"))
    assert note == (
        "stability: without effect where fewer comparisons are allowed (66) than have to be in before it is looked at "
        "(67). Add --what-if floor=12."
    )
    assert notes_of(tried(ANCHORS, "stability=0.5", "floor=12")) == []


def test_the_same_seeds_give_the_same_result_and_other_seeds_another_one() -> None:
    once, twice = (tried(ANCHORS, "strategy=balanced", "budget=30", seeds=4) for _ in range(2))
    assert once == twice
    assert len({trial.tau_b for trial in once.outcomes[0].trials}) > 1


def test_a_callback_about_a_stranger_is_refused_by_name() -> None:
    with pytest.raises(StrangeEssay, match="is not in the net of 'eng5_lower5_gpt51_low_20251202'"):
        tried(LOWER5, answers=events(ANCHORS))


def test_a_recording_of_errors_alone_has_no_scale() -> None:
    with pytest.raises(NothingToRecall, match="no recorded callback names a winner"):
        tried(LOWER5, answers=[failed(event) for event in events(LOWER5)])


# --- the judge


def asked(judge: RecallingJudge, first: str, second: str, times: int) -> list[str | None]:
    """Winners of one pair, asked some times in a row."""
    batch = Batch("bos-1", 1, tuple(sorted((first, second))), EngineSettings(), seed=1)
    comparisons = tuple(
        Comparison(UUID(int=number), first, second, WaveKind.COVERAGE, iteration=0) for number in range(times)
    )

    async def answers() -> list[CallbackEvent]:
        return [event async for event in judge.judge(batch, SubmitWave(WaveKind.COVERAGE, 0, comparisons))]

    found = run_virtual(answers())
    assert [event.data.correlation_id for event in found] == [UUID(int=number) for number in range(times)]
    assert {event.data.essay_ids() for event in found} == {(first, second)}
    return [event.data.winning_essay() for event in found]


def recording(answers: list[CallbackEvent], scenario_id: str = LOWER5) -> Recording:
    return recording_of(answers, [item.id for item in scenario(scenario_id).net.items], alpha=0.01)


def test_a_pair_recorded_several_times_answers_in_the_order_of_the_record() -> None:
    first = events(LOWER5)[0]
    a, b = first.data.essay_ids()
    winner = first.data.winning_essay()
    loser = b if winner == a else a
    judge = RecallingJudge(recording([*events(LOWER5), again(first, loser)]), seed=1)
    assert asked(judge, a, b, 2) == [winner, loser]
    assert (judge.recalled, judge.repeated, judge.invented) == (2, 0, 0)
    # From here on one of the two is drawn each time: 4 standard deviations of 400 tosses are 40.
    drawn = Counter(asked(judge, a, b, 400))
    assert drawn.keys() == {winner, loser}
    assert abs(drawn[winner] - 200) < 40
    assert (judge.recalled, judge.repeated, judge.invented) == (2, 400, 0)


def test_the_essay_that_won_wins_in_the_other_order_too() -> None:
    a, b = events(LOWER5)[0].data.essay_ids()
    winner = events(LOWER5)[0].data.winning_essay()
    assert asked(RecallingJudge(recording(events(LOWER5)), seed=1), b, a, 3) == [winner] * 3


def test_a_pair_that_only_failed_goes_on_failing() -> None:
    answers = [failed(event) if place == 0 else event for place, event in enumerate(events(LOWER5))]
    a, b = answers[0].data.essay_ids()
    assert asked(RecallingJudge(recording(answers), seed=1), a, b, 5) == [None] * 5


def test_an_unrecorded_pair_is_won_as_often_as_the_recorded_scale_says() -> None:
    # Two middle essays; their own comparison is taken out of the recording, the others are left.
    scores = recording(events(ANCHORS), ANCHORS).scores
    ranked = sorted(scores, key=lambda essay: scores[essay])
    a, b = sorted((ranked[4], ranked[6]))
    without = recording([event for event in events(ANCHORS) if set(event.data.essay_ids()) != {a, b}], ANCHORS)
    chance = 1 / (1 + np.exp(without.scores[b] - without.scores[a]))
    judge = RecallingJudge(without, seed=3)
    share = asked(judge, a, b, 1000).count(a) / 1000
    assert (judge.recalled, judge.repeated, judge.invented) == (0, 0, 1000)
    assert 0.0 < chance < 1.0
    assert share == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / 1000))


def test_what_a_pair_is_answered_does_not_depend_on_what_else_is_asked() -> None:
    half = recording(events(ANCHORS)[:33], ANCHORS)
    unrecorded = [event.data.essay_ids() for event in events(ANCHORS)[33:]]
    in_order, backwards = RecallingJudge(half, seed=5), RecallingJudge(half, seed=5)
    answers = {pair: asked(in_order, *pair, 3) for pair in unrecorded}
    assert answers == {pair: asked(backwards, *pair, 3) for pair in reversed(unrecorded)}


# --- settings to try


def test_values_are_combined_with_the_last_name_fastest() -> None:
    variants = variants_of(["budget=40,80", "strategy=recorded, balanced"], EngineSettings())
    assert [(v.settings.max_pairwise_comparisons, v.settings.pairing) for v in variants] == [
        (40, Pairing.RECORDED),
        (40, Pairing.BALANCED),
        (80, Pairing.RECORDED),
        (80, Pairing.BALANCED),
    ]
    assert variants[0].changes == (("max_pairwise_comparisons", "40"), ("pairing", "recorded"))


def test_every_setting_can_be_named_in_full() -> None:
    # Unset by default, which has no word.
    default = EngineSettings(pair_generation_seed=42, metadata_hints=(MetadataHint.CJ_SOURCE,))
    for name, value in default.model_dump(mode="json").items():
        text = "+".join(value) if isinstance(value, list) else str(value)
        assert variants_of([f"{name}={text}"], default) == (Variant(default, ((name, text),)),)


def test_what_is_not_named_stays_as_in_the_replay() -> None:
    (variant,) = variants_of(["alpha=0.1"], replayed_settings(scenario(LADDER)))
    assert variant.settings == scenario(LADDER).engine.model_copy(update={"bt_alpha": 0.1})


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["bugdet=3"], "--what-if bugdet: not a setting of the engine. Did you mean 'budget'?"),
        (["budget"], "--what-if 'budget': no '='"),
        (["=3"], "not a setting of the engine"),
        (["budget="], "--what-if max_pairwise_comparisons: '': "),
        (["budget=0"], "--what-if max_pairwise_comparisons: '0': Input should be greater than 0"),
        (["budget=40,many"], "--what-if max_pairwise_comparisons: 'many': "),
        (["stability=nan"], "--what-if score_stability_threshold: 'nan': Input should be a finite number"),
        (["strategy=fast"], "--what-if pairing: 'fast': Input should be 'recorded' or 'balanced'"),
        (["budget=4,4"], "--what-if budget: '4' is given twice"),
        (["budget=4", "max_pairwise_comparisons=8"], "--what-if max_pairwise_comparisons: given twice"),
        (["budget=" + ",".join(map(str, range(1, 202)))], "201 of max_pairwise_comparisons are 201 combinations"),
    ],
)
def test_a_setting_that_cannot_be_tried_is_refused_by_name(assignments: list[str], words: str) -> None:
    with pytest.raises(UnusableGrid) as refused:
        variants_of(assignments, EngineSettings())
    assert words in str(refused.value)


def test_the_number_of_combinations_is_bounded() -> None:
    many, too_many = (
        ",".join(map(str, range(1, number + 1))) for number in (MOST_VARIANTS // 2, MOST_VARIANTS // 2 + 1)
    )
    assert len(variants_of([f"budget={many}", "strategy=recorded,balanced"], EngineSettings())) == 200
    with pytest.raises(UnusableGrid, match="101 of max_pairwise_comparisons x 2 of pairing are 202 combinations"):
        variants_of([f"budget={too_many}", "strategy=recorded,balanced"], EngineSettings())


# --- what is shown


def test_the_table_has_the_recording_first_and_a_row_for_each_combination() -> None:
    result = tried(ANCHORS, "budget=40,66", "floor=12")
    # A setting with one value is no column: every row would say the same.
    assert columns_of(result)[:4] == ("what if", "budget", "ended by", "comparisons")
    assert [row[:4] for row in rows_of(result)] == [
        ["as recorded", "66", "budget", "66"],
        ["1", "40", "budget", "40"],
        ["2", "66", "budget", "66"],
    ]
    assert "(floor 12 (as recorded: 67), median (and range) of 2 seeds)" in as_markdown(result)


def test_seeds_that_differ_are_shown_with_their_range() -> None:
    result = tried(ANCHORS, "strategy=balanced", "budget=20", seeds=5)
    trials = result.outcomes[0].trials
    taus = sorted(trial.tau_b for trial in trials)
    row = dict(zip(columns_of(result), rows_of(result)[1], strict=True))
    assert taus[0] < taus[-1]
    assert row["tau-b"] == f"{taus[2]:.3g} ({taus[0]:.3g} to {taus[-1]:.3g})"
    document = as_json(result)["outcomes"][0]
    assert document["tau_b"] == {"median": taus[2], "low": taus[0], "high": taus[-1]}
    assert document["settings"] == {"pairing": "balanced", "max_pairwise_comparisons": 20}
    assert sum(document["ended_by"].values()) == len(document["courses"]) == 5


def test_the_example_in_the_document_is_what_the_command_prints() -> None:
    # Out of date? The command that stands above the table, with --markdown FILE, writes the new one.
    found = scenario(ANCHORS)
    variants = variants_of(["budget=20,40,66,120", "strategy=recorded,balanced", "floor=12"], replayed_settings(found))
    result = what_if(found, events(ANCHORS), variants, seeds=range(found.live.seed, found.live.seed + 20))
    _, _, rest = DOCUMENT.read_text(encoding="utf-8").partition("<!-- example -->\n\n")
    shown, _, _ = rest.partition("\n<!-- end of example -->")
    assert shown == as_markdown(result)


def test_two_items_of_one_pair_are_ranked_alike() -> None:
    # The smallest scenario: one pair, four verdicts for the same essay.
    trial = only(tried(GENERIC, "budget=2"))
    assert (trial.comparisons, trial.spearman, trial.tau_b) == (2, pytest.approx(1.0), pytest.approx(1.0))
