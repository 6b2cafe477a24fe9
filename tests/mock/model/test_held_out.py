"""A mode is measured on answers that it was not fitted to."""

from __future__ import annotations

import json
from math import log

import numpy as np
import pytest

from benchmarks.judge_files import JudgeKind, recording
from cj_pipeline.contracts.callback import LLMComparisonResultV1, Rejection, parse_callback
from cj_pipeline.mock.mode.held_out import HeldOut, held_out_checks
from cj_pipeline.mock.mode.mode import AbilityWinner, FittedFrom, Mode
from cj_pipeline.mock.model import held_out as held_out_module
from cj_pipeline.mock.model.answers import Answers, answers_of
from cj_pipeline.mock.model.fit_mode import Constants, constants_of, fitted_mode
from cj_pipeline.mock.model.held_out import Judge, held_out_fit
from cj_pipeline.mock.model.likelihood import COIN

READER = JudgeKind(position=0.0, spread=3.0)


def callbacks(kind: JudgeKind, seed: int = 3, run: int = 1) -> list[LLMComparisonResultV1]:
    found = []
    for line in recording(kind, seed, run):
        event = parse_callback(json.dumps(line).encode())
        assert not isinstance(event, Rejection)
        found.append(event.data)
    return found


def held_out(fitted: list[list[LLMComparisonResultV1]], held: list[list[LLMComparisonResultV1]] = []) -> HeldOut | None:  # noqa: B006
    everything = [callback for run in (*fitted, *held) for callback in run]
    items = tuple(sorted({essay for callback in everything for essay in callback.essay_ids()}))
    constants = constants_of(fitted)
    assert constants is not None
    sides = [[answers_of([run]) for run in side] for side in (fitted, held)]
    return measured(Judge("judge", items), *sides, constants)


def measured(judge: Judge, recordings: list[Answers], held: list[Answers], constants: Constants) -> HeldOut | None:
    mode = fitted_mode(
        recordings,
        constants,
        judge.items,
        name=judge.name,
        fitted_from=FittedFrom(scenario_id="x", trace_sha256="0" * 64),
        repeatability=None,
        known={},
    )
    assert mode is not None
    return held_out_fit(judge, constants, recordings, held, fitted=mode)


def failing(found: HeldOut | None) -> set[str]:
    assert found is not None
    return {row.name for row in held_out_checks(found) if not row.passed}


def test_of_one_recording_every_answer_is_held_out_once() -> None:
    found = held_out([callbacks(READER)])
    assert found is not None
    assert (found.parts, found.answers, found.by) == (5, 66, "parts of the recording in turn")
    assert failing(found) == set()
    assert found.winners.mode > COIN + 0.1
    # New prompts: there is no recorded answer to repeat.
    assert found.winners.mode == found.winners.scale


def test_of_two_recordings_each_is_held_out() -> None:
    found = held_out([callbacks(READER, run=1), callbacks(READER, run=2)])
    assert found is not None
    assert (found.parts, found.answers, found.by) == (2, 132, "recordings in turn")
    assert failing(found) == set()


def test_a_judge_that_repeats_itself_is_foretold_better_with_its_recorded_answers() -> None:
    kind = JudgeKind(repeatability=0.9, spread=1.0)
    found = held_out([callbacks(kind, run=1), callbacks(kind, run=2)], [callbacks(kind, run=3)])
    assert found is not None
    assert found.winners.above_scale > 3 * found.winners.above_scale_error
    assert failing(found) == set()


def test_a_judge_without_repeats_is_not_foretold_worse_once_there_are_two_recordings() -> None:
    kind = JudgeKind(repeatability=0.0, spread=1.0)
    found = held_out([callbacks(kind, run=1), callbacks(kind, run=2)], [callbacks(kind, run=3)])
    assert "winners_scale" not in failing(found)


def test_another_judge_is_found_out() -> None:
    other = JudgeKind(position=0.0, spread=3.0, sigma=0.8)
    assert {"winners_coin", "latency"} <= failing(held_out([callbacks(READER)], [callbacks(other, seed=9)]))


def test_errors_that_come_more_often_are_found_out() -> None:
    often = JudgeKind(position=0.0, spread=3.0, error_rate=0.4)
    assert "error_rate" in failing(held_out([callbacks(READER)], [callbacks(often, run=2)]))


def test_one_prompt_holds_nothing_out() -> None:
    assert held_out([callbacks(JudgeKind(essays=2, calls=1))]) is None


def test_a_hosts_latency_is_shown_and_not_judged() -> None:
    fitted = callbacks(READER)
    held = [one.model_copy(update={"response_time_ms": 3 * one.response_time_ms}) for one in callbacks(READER, run=2)]
    constants = constants_of([fitted])
    items = tuple(sorted({essay for callback in fitted for essay in callback.essay_ids()}))
    assert constants is not None
    sides = [answers_of([fitted])], [answers_of([held])]
    judged, hosted = (measured(Judge("j", items, host_latency=host), *sides, constants) for host in (False, True))
    assert "latency" in failing(judged)
    assert "latency" not in failing(hosted)


def test_the_score_of_a_prompt_is_the_likelihood_of_all_its_answers() -> None:
    found = held_out([callbacks(READER)] * 1, [callbacks(READER, run=2)])
    assert found is not None
    assert found.winners.coin == pytest.approx(-log(2), abs=1e-4)
    assert found.winners.own > found.winners.scale - 0.05
    assert np.isfinite(found.winners.mode)


def of_several_texts(kind: JudgeKind, run: int, factor: float = 1.0) -> list[LLMComparisonResultV1]:
    """Three texts under each pair of ids, of other lengths, as in a benchmark of many questions."""
    found = []
    for text, longer in enumerate((1.0, 1.3, 1.7)):
        for one in callbacks(kind, run=run):
            usage = one.token_usage
            prompt = round(usage.prompt_tokens * longer * factor)
            tokens = usage.model_copy(
                update={"prompt_tokens": prompt, "total_tokens": prompt + usage.completion_tokens}
            )
            metadata = {**one.request_metadata, "prompt_sha256": f"{text}{one.request_metadata['prompt_sha256'][1:]}"}
            found.append(one.model_copy(update={"token_usage": tokens, "request_metadata": metadata}))
    return found


def test_a_pair_that_stands_for_texts_of_several_lengths_is_billed_their_mean() -> None:
    found = held_out([of_several_texts(READER, 1)], [of_several_texts(READER, 2)])
    assert "prompt_tokens" not in failing(found)
    assert found is not None
    (row,) = [row for row in held_out_checks(found) if row.name == "prompt_tokens"]
    assert "the mock bills their mean" in row.sentence


def test_other_prompt_tokens_are_found_out_although_texts_differ() -> None:
    held = of_several_texts(READER, 2, factor=1.4)
    assert "prompt_tokens" in failing(held_out([of_several_texts(READER, 1)], [held]))


def test_answers_that_are_held_out_are_not_foretold_by_having_seen_them() -> None:
    coin = callbacks(JudgeKind(essays=24, calls=276, position=0.0, spread=0.0))
    found = held_out([coin[:138]], [coin[138:]])
    assert found is not None
    assert found.answers == 138
    # Who has seen a coin's answers scores them; who has not, does not.
    assert found.winners.own > COIN
    assert found.winners.scale < COIN + 0.01


def test_parts_of_one_recording_are_held_out_of_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[set[tuple[str, str]], set[tuple[str, str]]]] = []
    measure = held_out_module._measured

    def watched(mode: Mode, own: Mode, part: held_out_module._Part, number: int, parts: int) -> object:
        assert isinstance(mode.winner, AbilityWinner)
        known = {(a, b) for a, others in mode.winner.answers.items() for b in others}
        held = {pair for answers in part.held for pair in zip(answers.essay_a, answers.essay_b, strict=True)}
        seen.append((known, held))
        return measure(mode, own, part, number, parts)

    monkeypatch.setattr(held_out_module, "_measured", watched)
    recorded = callbacks(READER)
    assert held_out([recorded]) is not None
    assert len(seen) == 5
    assert all(known.isdisjoint(held) and known for known, held in seen)
    assert set.union(*(held for _, held in seen)) == {tuple(one.essay_ids()) for one in recorded}


def test_each_of_two_recordings_is_fitted_without_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    measure = held_out_module._measured

    def watched(mode: Mode, *rest: object) -> object:
        assert isinstance(mode.winner, AbilityWinner)
        fitted.append(sum(len(letters) for others in mode.winner.answers.values() for letters in others.values()))
        return measure(mode, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(held_out_module, "_measured", watched)
    held_out([callbacks(READER, run=1), callbacks(READER, run=2)])
    assert fitted == [66, 66]
