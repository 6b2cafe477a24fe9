"""When the two sides part ways, the report names where."""

from __future__ import annotations

from cj_pipeline.parity.check import Case
from cj_pipeline.parity.divergence import first_divergence_sentence
from cj_pipeline.runs.record import RunRecord
from tests.parity.test_every_check_can_fail import changed, flipped
from tests.sides import ANCHORS, LOWER5, recorded, result, scenario


def first_difference(scenario_id: str, other: RunRecord) -> str:
    return first_divergence_sentence(Case(scenario(scenario_id), recorded(scenario_id), other))


def test_the_first_different_answer_is_named_with_both_winners() -> None:
    wrong = changed(recorded(LOWER5), flipped, every=10)  # the first of ten
    first = recorded(LOWER5).callbacks[0]
    labels = {item.id: item.label for item in scenario(LOWER5).net.items}
    shown_a, shown_b = (labels[essay] for essay in first.essay_ids())
    winner = labels[first.winning_essay() or ""]
    other = shown_b if winner == shown_a else shown_a
    expected = f"comparison 1, {shown_a} against {shown_b}: {winner}, live {other}"
    assert expected in first_difference(LOWER5, wrong)


def test_the_comparison_is_counted_from_the_recording() -> None:
    sixth = recorded(LOWER5).callbacks[5]
    wrong = changed(recorded(LOWER5), lambda data: flipped(data) if data == sixth else data)
    assert "first different answer: comparison 6, " in first_difference(LOWER5, wrong)


def test_the_same_answers_are_said_to_be_the_same() -> None:
    outcome = result(ANCHORS, "decisions", recorded(ANCHORS)).outcome
    assert outcome is not None
    assert outcome.sentence == "11 decisions, COMPLETE_STABLE; every common comparison has the same answer"


def test_where_answers_differ_the_engine_may_decide_otherwise() -> None:
    found = result(LOWER5, "decisions", changed(recorded(LOWER5), flipped, every=10))
    assert found.outcome is None
    assert "see the first divergence" in found.reason
