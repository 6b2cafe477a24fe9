"""Real judges: one judge asked again is never NO PARITY, and another judge is found by its answers.

Some pairs run by default, all of them with CJ_PIPELINE_ALL_JUDGES=1.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import permutations
from pathlib import Path

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.mock.model.answers import Answers, answers_of
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.expected import content_key
from cj_pipeline.parity.gates import GATES, Family
from cj_pipeline.parity.noise import Noise, differences, noise_of
from cj_pipeline.parity.verdict import Doubt, Parity
from cj_pipeline.traces.scenario import Profile
from tests.parity.files import changed_copy, compared, failed, shared_file

DEVBENCH = (
    "devbench.claude-3-haiku-20240307",
    "devbench.gemini-pro",
    "devbench.gpt-3.5-turbo-0125",
    "devbench.gpt-4-0613",
)
JUDGES = (*DEVBENCH, "mtbench.gpt-4-0613")
NOISE: dict[str, dict[str, Noise]] = {}
EVERYTHING = bool(os.environ.get("CJ_PIPELINE_ALL_JUDGES"))


@cache
def answers(judge: str, run: int) -> Answers:
    events = []
    for line in shared_file("data", "judges", f"pba.{judge}.r{run}.jsonl").read_bytes().splitlines():
        event = parse_callback(line)
        assert isinstance(event, CallbackEvent)
        events.append(event.data)
    return answers_of([events])


def failed_on_answers(recordings: tuple[Answers, ...], live: Answers) -> set[str]:
    """The gates on answers and errors that a live side fails: the rest of these data is made up."""
    items = tuple(sorted({essay for one in (*recordings, live) for essay in one.essay_a + one.essay_b}))
    case = Comparison(recordings, live, items, {}, seed=1)
    gates = {
        gate: gate.margin(case, gate.limits[Profile.JUDGE])
        for gate in GATES
        if (gate.of_wins or gate.family is Family.EVENTS) and gate.missing(case) is None
    }
    # Noise follows from the recordings and from what was asked: several judges asked the same have one.
    key = content_key(case, "noise", gates)
    if key not in NOISE:
        NOISE[key] = noise_of(case, gates)
    return {name for name, one in NOISE[key].items() if one.beyond(differences(case, one, case.observed)).any()}


def sampled(cases: list[tuple[str, ...]], few: int) -> list[tuple[str, ...]]:
    return cases if EVERYTHING else cases[:: -(-len(cases) // few)]


ONE = [(judge, *runs) for judge in JUDGES for runs in permutations((1, 2, 3), 2)]
TWO = [(judge, *runs) for judge in JUDGES for runs in ((1, 2, 3), (1, 3, 2), (2, 3, 1))]


@pytest.mark.parametrize(("judge", "recorded", "live"), sampled(ONE, 5))
def test_a_judge_asked_again_is_not_another_judge(judge: str, recorded: int, live: int) -> None:
    assert failed_on_answers((answers(judge, recorded),), answers(judge, live)) == set()


@pytest.mark.parametrize(("judge", "one", "other", "live"), sampled(TWO, 4))
def test_a_judge_recorded_twice_and_asked_again_is_not_another_judge(
    judge: str, one: int, other: int, live: int
) -> None:
    assert failed_on_answers((answers(judge, one), answers(judge, other)), answers(judge, live)) == set()


@pytest.mark.parametrize(("recordings", "least"), [(1, 0.60), (2, 0.85)])
def test_another_judge_is_found_by_its_answers(recordings: int, least: float) -> None:
    runs = (1, 2, 3) if EVERYTHING else (1,)
    found = []
    for judge, other in permutations(DEVBENCH, 2):
        for live in runs:
            kept = [live] if recordings == 1 else [run for run in (1, 2, 3) if run != live]
            found.append(failed_on_answers(tuple(answers(judge, run) for run in kept), answers(other, live)))
    assert sum(bool(gates) for gates in found) / len(found) >= least
    assert set().union(*found) & {"answer_agreement", "position_effect", "winner_share"}


def small(name: str) -> Path:
    return shared_file("data", "real", f"smol.{name}.v1.jsonl")


@pytest.mark.parametrize(("recorded", "live"), [("a1", "a2"), ("a2", "a1")])
def test_a_judge_of_positions_is_itself_and_says_nothing_about_the_essays(recorded: str, live: str) -> None:
    report = compared(small(recorded), small(live), latency="host")
    assert report.verdict is Parity.CANNOT_TELL, failed(report)
    assert Doubt.NOTHING_ABOUT_ESSAYS in {reason.doubt for reason in report.reasons}
    assert any("says nothing about the essays" in reason.sentence for reason in report.reasons)


@pytest.mark.parametrize(("recorded", "live"), [("a1", "a2"), ("a2", "a1")])
def test_it_is_itself_with_the_margins_of_a_hosted_judge_too(recorded: str, live: str) -> None:
    assert compared(small(recorded), small(live)).verdict is not Parity.NO_PARITY


def test_another_prompt_and_temperature_are_another_judge() -> None:
    report = compared(small("a1"), small("b1"))
    assert report.verdict is Parity.NO_PARITY
    assert failed(report) >= {"tokens_prompt", "confidence_spread"}


def test_always_the_first_is_no_better_than_the_judge_itself(tmp_path: Path) -> None:
    def first(number: int, event: dict) -> None:
        if event["data"]["winner"] is not None:
            event["data"]["winner"] = "Essay A"

    always = compared(small("a1"), changed_copy(small("a1"), tmp_path / "always.jsonl", first))
    itself = compared(small("a1"), small("a2"))
    assert len(always.failed) >= len(itself.failed)
    assert always.verdict is not Parity.PARITY
