"""What docs/parity.md says is what simulations and code say."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.plain_words import CLAIMS, FIGURES
from cj_pipeline.parity.compare import ALL_CHECKS
from cj_pipeline.parity.gates import GATES
from cj_pipeline.reports.advice import ADVICE
from cj_pipeline.reports.plain_questions import QUESTIONS
from cj_pipeline.reports.rooms import REPOSITORY

PAGE = (REPOSITORY / "docs" / "parity.md").read_text(encoding="utf-8")
COMMITTED = {row["claim"]: row for row in json.loads(FIGURES.read_text(encoding="utf-8"))["claims"]}
FRESH = json.loads((FIGURES.parent / "fresh_imports.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_a_claim_comes_out_again(claim) -> None:
    again = claim()
    committed = COMMITTED[again["claim"]]
    assert again["values"] == pytest.approx(committed["values"], abs=0.005)
    assert committed["words"] in PAGE


def test_every_committed_claim_is_on_the_page() -> None:
    assert len(COMMITTED) == len(CLAIMS) + 2
    assert [claim for claim in COMMITTED if claim not in PAGE] == []


def test_a_small_recording_is_found_to_prove_little() -> None:
    found = COMMITTED["A small recording proves nothing"]["values"]
    assert found == sorted(found)
    assert found[0] < 0.5
    assert found[-1] > 0.95


def test_a_second_recording_helps_more_than_many_live_batches() -> None:
    few, many, second = COMMITTED["A second recording helps more than ten times the live batches"]["values"]
    assert few < many < second
    assert second > 0.9


def test_every_check_has_its_advice_and_no_other() -> None:
    assert set(ADVICE) == {check.name for check in ALL_CHECKS}
    assert all(red.endswith(".") and remedy.endswith(".") for red, remedy in ADVICE.values())


def test_every_gate_asks_a_question_in_plain_words() -> None:
    assert set(QUESTIONS) == {gate.name for gate in GATES}
    assert all(question.endswith("?") and len(question) < 80 for question in QUESTIONS.values())
    jargon = re.compile(r"tau|logit|correlation|deviation|quantile|percentile|wasserstein", re.IGNORECASE)
    assert [question for question in QUESTIONS.values() if jargon.search(question)] == []
    for asks, measure in ((QUESTIONS[gate.name], gate.question) for gate in GATES):
        assert f"| {asks} | {measure} |" in PAGE


def test_the_pictures_are_there_small_and_without_a_date() -> None:
    pictures = re.findall(r"\]\((images/[\w.-]+)\)", PAGE)
    assert len(pictures) == 5
    for name in pictures:
        path = REPOSITORY / "docs" / name
        assert path.stat().st_size < 60_000
        assert "<dc:date>" not in path.read_text(encoding="utf-8")


def test_a_fresh_import_is_no_parity_in_one_of_a_hundred_at_most() -> None:
    assert len(FRESH) >= 100
    assert sum(row["verdict"] == "NO PARITY" for row in FRESH) <= len(FRESH) // 100


def test_a_mode_lies_no_farther_off_than_another_recording_would() -> None:
    """The median over judges of the distance, in units of what two samples are apart in the median."""
    for measure in ("latency", "completion_tokens", "confidence"):
        ratios = sorted(row["ratios"][measure] for row in FRESH if measure in row["ratios"])
        assert ratios[len(ratios) // 2] <= 1.1, measure


def test_a_mode_foretells_better_than_a_coin_in_most_judges() -> None:
    above = [row["above_coin"] for row in FRESH if row["above_coin"] is not None]
    assert sum(value > 0 for value in above) / len(above) > 0.7
