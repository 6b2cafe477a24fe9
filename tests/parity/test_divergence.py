"""When the two sides part ways, the report names where."""

from __future__ import annotations

from tests.parity.test_every_check_can_fail import changed, flipped, without_last_callback
from tests.sides import ANCHORS, LOWER5, live, recorded, result, scenario


def test_the_first_different_answer_is_named_with_both_winners() -> None:
    wrong = changed(recorded(LOWER5), flipped, every=10)  # the first of ten
    outcome = result(LOWER5, "decisions", wrong).outcome
    first = recorded(LOWER5).callbacks[0]
    labels = {item.id: item.label for item in scenario(LOWER5).net.items}
    shown_a, shown_b = (labels[essay] for essay in first.essay_ids())
    winner = labels[first.winning_essay() or ""]
    other = shown_b if winner == shown_a else shown_a
    assert outcome is not None
    assert f"wave 1, comparison 1, {shown_a} against {shown_b}: {winner}, live {other}" in outcome.sentence


def test_the_wave_is_counted_from_the_recording() -> None:
    wrong = changed(recorded(LOWER5), lambda data: flipped(data) if data == recorded(LOWER5).callbacks[5] else data)
    outcome = result(LOWER5, "decisions", wrong).outcome
    assert outcome is not None
    assert "first different answer: wave 3, comparison 6, " in outcome.sentence  # 5 essays: 2 comparisons a wave


def test_the_same_answers_are_said_to_be_the_same() -> None:
    outcome = result(ANCHORS, "decisions", recorded(ANCHORS)).outcome
    assert outcome is not None
    assert outcome.sentence == "11 decisions, COMPLETE_STABLE; every common comparison has the same answer"


def test_a_batch_that_ends_otherwise_is_named_by_its_first_different_decision() -> None:
    outcome = result(LOWER5, "decisions", without_last_callback(live(LOWER5))).outcome
    assert outcome is not None
    assert outcome.sentence.startswith("decision 5 is FINALIZE_SCORING, live FINALIZE_NOTHING_SCHEDULABLE")
