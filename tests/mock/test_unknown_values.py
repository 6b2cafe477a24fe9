"""A judge that does not always tell its confidence or its tokens: the mock lacks them as often."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judge_files import JudgeKind
from cj_pipeline.contracts.answer import ProviderAnswer
from cj_pipeline.contracts.callback import LLMComparisonResultV1, TokenUsage
from cj_pipeline.mock.judge import MockJudge
from cj_pipeline.mock.mode.mode import FittedFrom, Mode
from cj_pipeline.mock.model.answers import answers_of
from cj_pipeline.mock.model.fit_mode import mode_of
from cj_pipeline.mock.model.held_out import _Asked
from tests.mock.model.test_held_out import callbacks

MARKS = ("confidence_known", "tokens_known")
NO_TOKENS = TokenUsage(prompt_tokens=0, completion_tokens=0, total_tokens=0)


def marked(mark: str, every: int) -> list[LLMComparisonResultV1]:
    """A recording of which each so many-th answer lacks a confidence or tokens."""
    found = []
    for number, one in enumerate(callbacks(JudgeKind(essays=24, calls=276))):
        told = {**one.request_metadata, mark: False}
        unknown: dict[str, object] = {"confidence": 3.0, "request_metadata": told}
        if mark == "tokens_known":
            unknown = {"token_usage": NO_TOKENS, "cost_estimate": 0.0, "request_metadata": told | {"cost_known": False}}
        found.append(one.model_copy(update=unknown if one.winner and number % every == 0 else {}))
    return found


def mode(recorded: list[LLMComparisonResultV1]) -> Mode:
    items = {essay for one in recorded for essay in one.essay_ids()}
    found = mode_of([recorded], items, name="x", fitted_from=FittedFrom(scenario_id="x", trace_sha256="0" * 64))
    assert found is not None
    return found


def answered(of: Mode, recorded: list[LLMComparisonResultV1]) -> list[ProviderAnswer]:
    judge = MockJudge(of, seed=1)
    asked = [_Asked(one.correlation_id, one.essay_ids()) for one in recorded]
    outcomes = [judge.attempt(one, 0).outcome for one in asked]
    return [outcome for outcome in outcomes if isinstance(outcome, ProviderAnswer)]


@pytest.mark.parametrize(("mark", "known"), [("confidence_known", "rated"), ("tokens_known", "billed")])
def test_a_mock_lacks_values_as_often_as_its_recording(mark: str, known: str) -> None:
    recorded = marked(mark, every=3)
    columns = answers_of([recorded])
    lacking = 1 - getattr(columns, known)[columns.answered].mean()
    assert lacking == pytest.approx(1 / 3, abs=0.03)
    mock = answered(mode(recorded), recorded)
    assert np.mean([one.metadata.get(mark) is False for one in mock]) == pytest.approx(lacking, abs=0.08)
    for one in mock:
        if mark == "tokens_known":
            assert (one.token_usage.total_tokens == 0) == (mark in one.metadata)
            assert (one.metadata.get("cost_known") is False) == (mark in one.metadata)
        elif mark in one.metadata:
            assert one.confidence == 3.0


def test_what_is_known_stays_what_it_was() -> None:
    whole, holes = mode(callbacks(JudgeKind(essays=24, calls=276))), mode(marked("tokens_known", every=3))
    tokens = [np.mean([sample[1] for sample in one.samples]) for one in (whole, holes)]
    assert tokens[1] == pytest.approx(tokens[0], rel=0.05)
    assert holes.cost == whole.cost
    assert min(sample[1] for sample in holes.samples) > 0
    assert whole.metadata.confidence_unknown == whole.metadata.tokens_unknown == 0.0


@pytest.mark.parametrize("mark", MARKS)
def test_a_judge_that_never_tells_is_fitted_too(mark: str) -> None:
    recorded = marked(mark, every=1)
    assert all(one.metadata.get(mark) is False for one in answered(mode(recorded), recorded))
