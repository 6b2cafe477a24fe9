from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.engine.scoring.diagnostics import Judgement, diagnose, judgements
from cj_pipeline.engine.state import Comparison, WaveKind
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.foundation.seeding import keyed_uuid
from tests.engine.batches import callback
from tests.engine.cohorts import JUDGE, perfect_ladder


def beats(*pairs: str) -> list[Judgement]:
    """'ab': a was shown first and won."""
    return [Judgement(winner, loser, winner, JUDGE) for winner, loser in pairs]


def test_three_transitive_essays_score_as_in_production_and_none_has_an_error_of_zero() -> None:
    found = diagnose("abc", perfect_ladder(["a", "b", "c"]))
    assert [essay.score for essay in found.essays] == pytest.approx([3.096, 0.221, -3.317], abs=6e-4)
    assert [essay.standard_error for essay in found.essays] == [2.0, 2.0, 2.0]
    # three comparisons that all went as expected say next to nothing about distances
    assert [essay.within_part_error for essay in found.essays] == pytest.approx([3.4466, 2.4904, 4.1198], abs=1e-4)
    assert [(essay.wins, essay.comparison_count) for essay in found.essays] == [(2, 2), (1, 2), (0, 2)]


def test_five_lower_anchors_after_four_passes_are_scored_and_flagged() -> None:
    found = diagnose("abcde", perfect_ladder(list("abcde"), rounds=4))
    assert [essay.score for essay in found.essays] == pytest.approx([6.798, 3.750, 0.426, -3.289, -7.684], abs=1e-3)
    summary = found.se_summary.as_dict()
    assert (summary["comparison_count"], summary["mean_comparisons_per_item"], summary["items_at_cap"]) == (40, 16.0, 4)
    assert summary["min_se"] == pytest.approx(1.944, abs=1e-3)
    assert found.quality_flags.as_dict() == {
        "bt_se_inflated": True,
        "comparison_coverage_sparse": False,
        "has_isolated_items": False,
    }
    assert found.reliability is not None
    assert found.reliability.reliability == pytest.approx(0.753, abs=1e-3)
    assert max(essay.infit or 0.0 for essay in found.essays) < 0.05


def test_an_essay_never_compared_is_declared_and_has_the_capped_error() -> None:
    found = diagnose("abcd", beats("ab", "bc", "ca", "ac", "cb", "ba"))
    alone = found.essays[3]
    assert found.isolated == ("d",)
    assert found.disconnected == ()
    assert (alone.score, alone.standard_error, alone.within_part_error) == (0.0, 2.0, np.inf)
    assert (alone.infit, alone.outfit, alone.comparison_count) == (None, None, 0)
    assert found.quality_flags.has_isolated_items
    # the others keep what is known of them: two comparisons with each other at p = 1/2 give 2/3
    assert [essay.standard_error for essay in found.essays[:3]] == pytest.approx([(4 / 9) ** 0.5] * 3)
    assert any("never compared" in warning for warning in found.warnings)


def test_essays_that_nothing_links_to_the_rest_are_declared_and_all_errors_are_capped() -> None:
    found = diagnose("abcde", [*beats("ab", "bc", "ca"), *beats("de", "ed")])
    assert found.disconnected == ("d", "e")
    assert [essay.part for essay in found.essays] == [0, 0, 0, 1, 1]
    assert [essay.standard_error for essay in found.essays] == [2.0] * 5
    # within their part two even comparisons give 1 / sqrt(2) from its mean
    assert found.essays[4].within_part_error == pytest.approx(0.5**0.5)
    assert found.reliability is not None
    assert found.reliability.n_items == 3
    assert any("2 parts" in warning for warning in found.warnings)


def test_of_two_parts_equally_large_neither_is_the_batch() -> None:
    found = diagnose("abcd", [*beats("ab", "ba"), *beats("cd", "dc")])
    assert found.disconnected == ("a", "b", "c", "d")
    assert found.reliability is None


@pytest.mark.parametrize("essays", ["", "a", "abc"])
def test_a_batch_without_answers_has_neutral_scores_and_capped_errors(essays: str) -> None:
    found = diagnose(essays, [])
    assert [(essay.score, essay.standard_error) for essay in found.essays] == [(0.0, 2.0)] * len(essays)
    assert found.isolated == tuple(essays)
    assert (found.reliability, found.position, found.judges) == (None, None, ())
    assert found.warnings[0] == "No comparison succeeded: every score is neutral."


def test_a_judge_who_prefers_what_comes_first_is_found_out() -> None:
    names = list("abcdef")
    fair = perfect_ladder(names)
    # the same pairs, both ways round, and whatever comes first wins
    biased = [Judgement(a, b, a, ("mock", "first-come")) for a in names for b in names if a != b]
    found = diagnose(names, fair + biased)
    assert found.position is not None
    assert found.position.logits > 3 * found.position.standard_error
    by_model = {judge.model: judge for judge in found.judges}
    assert {model: judge.comparison_count for model, judge in by_model.items()} == {"mock-model": 15, "first-come": 30}
    assert by_model["first-come"].infit > 1 > by_model["mock-model"].infit


def test_answers_without_a_judge_count_for_the_scores_and_for_no_judge() -> None:
    named = diagnose("ab", beats("ab", "ba", "ab"))
    nobody = diagnose("ab", [Judgement("a", "b", "a"), *beats("ba", "ab")])
    assert nobody.essays == named.essays
    assert [judge.comparison_count for judge in nobody.judges] == [2]


def test_judgements_are_the_successful_callbacks() -> None:
    asked = [Comparison(keyed_uuid("pair", str(n)), "x", "y", WaveKind.COVERAGE, iteration=0) for n in range(3)]
    callbacks = [callback(pair, winner) for pair, winner in zip(asked, ["x", None, "y"], strict=True)]
    assert judgements(callbacks) == [Judgement("x", "y", "x", JUDGE), Judgement("x", "y", "y", JUDGE)]


def test_an_answer_about_a_stranger_is_refused() -> None:
    with pytest.raises(CjPipelineError, match="a and z"):
        diagnose("ab", beats("az"))


def test_everything_found_is_json() -> None:
    text = json.dumps(diagnose("abcd", beats("ab", "ba")).as_dict(), allow_nan=False)
    assert json.loads(text)["essays"][3]["within_part_error"] is None


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")).filter(lambda pair: pair[0] != pair[1])),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_the_order_of_essays_and_answers_changes_nothing(pairs, shuffler) -> None:
    answers = [Judgement(a, b, a, JUDGE) for a, b in pairs]
    names = list("abcde")
    before = diagnose(names, answers)
    shuffler.shuffle(names)
    shuffler.shuffle(answers)
    assert diagnose(names, answers) == before


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=20))
@settings(max_examples=60, deadline=None)
def test_no_error_is_zero_or_above_the_cap(rows) -> None:
    names = list("abcdef")
    answers = [Judgement(names[i], names[(i + gap) % 6], names[i]) for i, gap in rows]
    found = diagnose(names, answers)
    assert all(0 < essay.standard_error <= 2.0 for essay in found.essays)
    assert found.se_summary.min_se > 0
    assert set(found.isolated) == {essay.essay_id for essay in found.essays if essay.comparison_count == 0}
