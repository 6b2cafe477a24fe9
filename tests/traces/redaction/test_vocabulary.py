"""Which words may stay, and that no text makes the question take long."""

from __future__ import annotations

import pytest

from cj_pipeline.traces.redaction.vocabulary import is_model


@pytest.mark.parametrize(
    "name", ["gpt-5.1", "gpt-5-mini-2025-08-07", "claude-haiku-4-5-20251001", "anthropic/claude-3.5-sonnet", "o3-mini"]
)
def test_names_of_models_stay(name: str) -> None:
    assert is_model(name)


@pytest.mark.parametrize("name", ["gpt-asa", "asa-lindqvist", "gpt-5.1-asa", "claude-haiku-4-5 Bo Ek", ""])
def test_what_has_another_word_in_it_does_not(name: str) -> None:
    assert not is_model(name)


@pytest.mark.parametrize("unit", ["1.", "1-", "-1", "mini-", "1.1-"])
def test_a_long_name_that_fails_at_its_end_is_told_at_once(unit: str) -> None:
    # Twice as long for each dot more, it held a capture for good: 40 of them are 300 years.
    assert not is_model(f"gpt-{unit * 2_000}!")
