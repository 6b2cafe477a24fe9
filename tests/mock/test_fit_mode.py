"""A mode that is fitted to recordings says what they say, and nothing that they quote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.callback import LLMComparisonResultV1, Rejection, parse_callback
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import AbilityWinner, FittedFrom, Mode
from cj_pipeline.mock.mode.text import mode_text
from cj_pipeline.mock.model.fit_mode import mode_of
from tests.mock.recordings import failed, recorded

FROM = FittedFrom(scenario_id="spring", trace_sha256="0" * 64)
ESSAYS = [f"e{number}" for number in range(6)]
PAIRS = [(a, b) if (i + j) % 2 else (b, a) for i, a in enumerate(ESSAYS) for j, b in enumerate(ESSAYS) if i < j]


def better(pair: tuple[str, str]) -> str:
    return "Essay A" if pair[0] > pair[1] else "Essay B"


def recording(winner: Any = better, **data: Any) -> list[LLMComparisonResultV1]:
    lines = [recorded(number, *pair, winner(pair), **data) for number, pair in enumerate(PAIRS)]
    return [callback_of(line) for line in lines]


def callback_of(line: str) -> LLMComparisonResultV1:
    callback = parse_callback(line.encode())
    assert not isinstance(callback, Rejection)
    return callback.data


def fitted(*recordings: list[LLMComparisonResultV1], repeatability: float | None = None) -> Mode:
    mode = mode_of(recordings, ESSAYS, name="spring", fitted_from=FROM, repeatability=repeatability)
    assert mode is not None
    return mode


def winner_of(mode: Mode) -> AbilityWinner:
    assert isinstance(mode.winner, AbilityWinner)
    return mode.winner


def test_the_better_essay_has_the_higher_ability() -> None:
    theta = winner_of(fitted(recording())).abilities
    assert sorted(theta, key=lambda essay: theta[essay]) == ESSAYS


def test_answers_are_listed_by_sides_a_letter_each() -> None:
    answers = winner_of(fitted(recording(), recording(lambda pair: "Essay A"))).answers
    for pair in PAIRS:
        assert answers[pair[0]][pair[1]] == ("AA" if better(pair) == "Essay A" else "AB")


def test_two_equal_recordings_say_that_the_judge_repeats_itself() -> None:
    once, twice = fitted(recording()), fitted(recording(), recording())
    assert winner_of(twice).repeatability > winner_of(once).repeatability
    assert winner_of(fitted(recording(), repeatability=1.0)).repeatability == 1.0


def test_errors_keep_their_codes_reasons_and_shares() -> None:
    cut = [callback_of(failed(100 + n, *PAIRS[n], "EXTERNAL_SERVICE_ERROR", reason="truncated")) for n in range(3)]
    slow = [callback_of(failed(200, *PAIRS[5], "TIMEOUT"))]
    errors = fitted([*recording(), *cut, *slow]).errors
    assert errors.rate + errors.bursts.rate == pytest.approx(4 / 19, abs=1e-4)
    assert {(error.code, error.reason, error.share) for error in errors.codes_mix} == {
        ("EXTERNAL_SERVICE_ERROR", "truncated", 3.0),
        ("TIMEOUT", None, 1.0),
    }


@pytest.mark.parametrize(("pattern", "in_bursts"), [("x" * 20 + "." * 10, True), ("xx." * 10, False)])
def test_bursts_are_seen_also_where_most_calls_fail(pattern: str, in_bursts: bool) -> None:
    """Runs of three, two of them failures, are no bursts: fewer failures follow another than would by chance."""
    lines = [
        failed(n, *PAIRS[n % 10]) if kind == "x" else recorded(n, *PAIRS[n % 10]) for n, kind in enumerate(pattern)
    ]
    assert (fitted(list(map(callback_of, lines))).errors.bursts.rate > 0) is in_bursts


def test_a_recording_without_an_answer_fits_nothing() -> None:
    errors = [callback_of(failed(1, "e0", "e1"))]
    assert mode_of([errors], ESSAYS, name="spring", fitted_from=FROM) is None


def test_no_recorded_sentence_is_in_the_mode() -> None:
    text = mode_text(fitted(recording()), "A test.")
    assert "Visby" not in text
    assert fitted(recording()).justification.characters == len("Quotes the essay: my summer in Visby.")


def test_the_file_reads_back_as_the_mode(tmp_path: Path) -> None:
    mode = fitted(recording())
    (tmp_path / "mode.yaml").write_text(mode_text(mode, "A test."), encoding="utf-8")
    assert load_mode(str(tmp_path / "mode.yaml")) == mode


@pytest.mark.parametrize(("winner", "shown"), [("Essay A", "first"), ("Essay B", "second")])
def test_a_judge_of_positions_is_called_that(winner: str, shown: str) -> None:
    said = fitted(recording(lambda pair: winner)).description
    assert f"All 15 answers prefer the essay shown {shown}: the recording says nothing about the essays." in said
    assert "says" not in fitted(recording()).description
