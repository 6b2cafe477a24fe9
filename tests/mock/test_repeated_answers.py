"""A judge repeats itself: of some prompts the answer is fixed, and a recorded one is the one that was recorded."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.mock import answers
from cj_pipeline.mock.draws import Draws
from cj_pipeline.mock.mode.mode import Mode
from tests.services.lps.lab import correlation_id, mode, queued

EVEN = {"model": "ability", "abilities": {}, "unknown_spread": {"mean": 0.0, "sd": 0.0}}


def repeating(**winner: object) -> Mode:
    return mode(winner=EVEN | winner)


def letters(of: Mode, pair: tuple[str, str], batches: int, seed: int = 42) -> str:
    given = []
    for number in range(batches):
        request = queued(number, metadata={"essay_a_id": pair[0], "essay_b_id": pair[1]})
        winner = answers.winner(of, request, Draws(seed, str(correlation_id(number)), 0))
        given.append("A" if winner is Winner.A else "B")
    return "".join(given)


PAIRS = [(f"a{number}", f"b{number}") for number in range(200)]


def test_a_judge_of_repeatability_1_gives_every_batch_the_same_answer() -> None:
    given = [letters(repeating(repeatability=1.0), pair, 5) for pair in PAIRS]
    assert all(len(set(one)) == 1 for one in given)
    # Both answers occur: what is fixed is drawn from the scale (200 fair coins, so 60 to 140 is 5 standard errors).
    assert 60 < sum(one[0] == "A" for one in given) < 140


def test_so_many_prompts_have_a_fixed_answer() -> None:
    given = [letters(repeating(repeatability=0.6), pair, 12) for pair in PAIRS]
    # Of 12 free answers to an even pair none in 2,000 is all alike; 200 draws have a standard error of .035.
    assert sum(len(set(one)) == 1 for one in given) / len(PAIRS) == pytest.approx(0.6, abs=0.1)


def test_another_seed_fixes_other_prompts() -> None:
    of = repeating(repeatability=0.5)
    fixed = [{pair for pair in PAIRS if len(set(letters(of, pair, 12, seed))) == 1} for seed in (1, 2)]
    assert fixed[0] != fixed[1]


def test_a_fixed_answer_to_a_recorded_pair_is_the_recorded_one_for_these_sides() -> None:
    of = repeating(repeatability=1.0, answers={"x": {"y": "A"}, "y": {"x": "A"}, "p": {"q": "BB"}})
    assert letters(of, ("x", "y"), 3) == "AAA"
    assert letters(of, ("y", "x"), 3) == "AAA"
    assert letters(of, ("p", "q"), 3) == "BBB"


def test_a_prompt_that_was_answered_differently_is_never_fixed() -> None:
    of = repeating(repeatability=1.0, answers={"x": {"y": "AB"}})
    assert set(letters(of, ("x", "y"), 30)) == {"A", "B"}


def test_the_more_equal_answers_the_likelier_they_are_fixed() -> None:
    # One of repeatability .5 against a fair coin: .5 / (.5 + .5 x .5^(n-1)).
    assert answers.share_fixed(0.5, 0.5, "") == 0.5
    assert answers.share_fixed(0.5, 0.5, "A") == 0.5
    assert answers.share_fixed(0.5, 0.5, "AA") == pytest.approx(2 / 3)
    assert answers.share_fixed(0.5, 0.5, "BBB") == pytest.approx(0.8)
    assert answers.share_fixed(0.0, 0.5, "AA") == 0.0
    assert answers.share_fixed(1.0, 1.0, "B") == 1.0


def test_an_inverted_mock_inverts_what_is_fixed() -> None:
    of = repeating(repeatability=1.0, answers={"x": {"y": "A"}}, invert=True)
    assert letters(of, ("x", "y"), 3) == "BBB"


@pytest.mark.parametrize("given", ["", "a", "AC", "A B"])
def test_answers_are_letters(given: str) -> None:
    with pytest.raises(ValidationError):
        repeating(answers={"x": {"y": given}})
