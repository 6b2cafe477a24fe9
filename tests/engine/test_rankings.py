from __future__ import annotations

import pytest

from cj_pipeline.engine.scoring.diagnostics import Judgement, diagnose
from cj_pipeline.engine.scoring.rankings import BatchEssay, rankings
from cj_pipeline.foundation.errors import CjPipelineError


def test_rows_carry_productions_keys_and_anchors_stand_among_the_students() -> None:
    essays = [BatchEssay("s1", text_storage_id="t1"), BatchEssay("x", is_anchor=True, metadata={"known_grade": "B"})]
    rows = rankings(essays, diagnose(["s1", "x"], [Judgement("s1", "x", "x")]))
    assert [row.els_essay_id for row in rows] == ["x", "s1"]
    assert rows[0].as_dict() == {
        "rank": 1,
        "els_essay_id": "x",
        # two items, alpha 0.01, kappa 0.02: ln(1.02 / 0.02) apart
        "bradley_terry_score": pytest.approx(1.9659, abs=1e-4),
        "bradley_terry_se": 2.0,
        "comparison_count": 1,
        "is_anchor": True,
        "text_storage_id": None,
        "processing_metadata": {"known_grade": "B"},
    }
    assert rows[1].text_storage_id == "t1"


def test_equal_scores_share_a_rank_and_stand_in_order_of_their_ids() -> None:
    # a beats everybody, d loses to everybody, c and b have the same answers and met once each way
    won = ["ab", "ac", "ad", "bd", "cd", "bc", "cb"]
    answers = [Judgement(winner, loser, winner) for winner, loser in won]
    rows = rankings([BatchEssay(name) for name in "dcba"], diagnose("abcd", answers))
    assert [(row.rank, row.els_essay_id) for row in rows] == [(1, "a"), (2, "b"), (2, "c"), (4, "d")]


def test_essays_without_a_score_share_the_last_rank() -> None:
    found = diagnose("ab", [Judgement("a", "b", "b")])
    rows = rankings([BatchEssay(name) for name in "zyab"], found)
    assert [(row.rank, row.els_essay_id) for row in rows] == [(1, "b"), (2, "a"), (3, "y"), (3, "z")]
    assert (rows[3].bradley_terry_score, rows[3].bradley_terry_se, rows[3].comparison_count) == (None, None, 0)


def test_a_batch_without_answers_ties_throughout() -> None:
    rows = rankings([BatchEssay(name) for name in "cab"], diagnose("abc", []))
    assert [(row.rank, row.els_essay_id) for row in rows] == [(1, "a"), (1, "b"), (1, "c")]


def test_an_essay_listed_twice_is_refused() -> None:
    with pytest.raises(CjPipelineError, match="twice"):
        rankings([BatchEssay("a"), BatchEssay("a")], diagnose("a", []))
