"""This module tests the columns that are made of callbacks."""

from __future__ import annotations

import pytest

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.mock.model.answers import answers_of
from tests.sides import LADDER, recorded

ONE = recorded(LADDER).events[0].data


@pytest.mark.parametrize(("asks", "tokens"), [(None, 300.0), (1, 300.0), (2, 150.0), ("2", 300.0), (0, 300.0)])
def test_a_prompt_that_was_asked_twice_has_the_tokens_of_one(asks: object, tokens: float) -> None:
    """The callback has the tokens of every ask; how long its prompt is does not change with their number."""
    metadata = ONE.request_metadata | ({} if asks is None else {"asks": asks})
    usage = TokenUsage(prompt_tokens=300, completion_tokens=80, total_tokens=380)
    (found,) = answers_of([[ONE.model_copy(update={"request_metadata": metadata, "token_usage": usage})]]).prompt_tokens
    assert found == tokens
