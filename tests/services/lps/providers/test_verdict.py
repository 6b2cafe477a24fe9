from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.apis.verdict import (
    DEFAULT_JUSTIFICATION,
    BadReply,
    parse_verdict,
    parse_verdict_text,
)
from tests.services.lps.providers.fake_api import VERDICT
from tests.services.lps.providers.stand import REAL, stand

WORDS_FOR_A = ("Essay A", "essay a", "ESSAY A", "A", "a", "option a", "First", "left", " Essay A ")
WORDS_FOR_B = ("Essay B", "essay b", "ESSAY B", "B", "b", "Option B", "second", "right", "Essay B\n")
NONSENSE = (
    "Essay C",
    "",
    "neither",
    "tie",
    "both",
    "A or B",
    "essay_a",
    "Essay A and Essay B",
    "1",
    None,
    1,
    True,
    ["A"],
)


@pytest.mark.parametrize("word", WORDS_FOR_A)
def test_words_for_essay_a(word: str) -> None:
    assert parse_verdict(VERDICT | {"winner": word}).winner is Winner.A


@pytest.mark.parametrize("word", WORDS_FOR_B)
def test_words_for_essay_b(word: str) -> None:
    assert parse_verdict(VERDICT | {"winner": word}).winner is Winner.B


@pytest.mark.parametrize("word", NONSENSE)
def test_any_other_winner_is_an_error_and_never_essay_a(word: Any) -> None:
    with pytest.raises(BadReply, match="neither Essay A nor Essay B") as caught:
        parse_verdict(VERDICT | {"winner": word})
    assert caught.value.code is ErrorCode.INVALID_RESPONSE
    assert caught.value.details == {"field": "winner"}


def test_a_missing_winner_is_an_error() -> None:
    with pytest.raises(BadReply, match="neither"):
        parse_verdict({"justification": "Good.", "confidence": 3})


@given(st.text() | st.sampled_from((*WORDS_FOR_A, *WORDS_FOR_B)))
def test_no_text_but_the_known_words_names_a_winner(word: str) -> None:
    known = {each.strip().lower() for each in (*WORDS_FOR_A, *WORDS_FOR_B)}
    try:
        parse_verdict(VERDICT | {"winner": word})
    except BadReply:
        assert word.strip().lower() not in known
    else:
        assert word.strip().lower() in known


@pytest.mark.parametrize(
    ("told", "confidence"),
    [(1, 1.0), (1.0, 1.0), (3, 3.0), (4.5, 4.5), (5, 5.0), (0, 1.0), (0.9, 1.0), (-2, 1.0), (9, 5.0)],
)
def test_confidence_is_on_one_scale_from_1_to_5(told: float, confidence: float) -> None:
    # Production read 1 as a share of one, which made its least sure verdicts its surest.
    assert parse_verdict(VERDICT | {"confidence": told}).confidence == confidence


@pytest.mark.parametrize("told", ["high", "4", None, True, [4], float("nan"), float("inf")])
def test_a_confidence_that_is_no_number_is_an_error(told: Any) -> None:
    with pytest.raises(BadReply, match="confidence is not a number"):
        parse_verdict(VERDICT | {"confidence": told})


@pytest.mark.parametrize("told", [None, "", "  ", 7])
def test_a_missing_justification_is_filled_in(told: Any) -> None:
    assert parse_verdict(VERDICT | {"justification": told}).justification == DEFAULT_JUSTIFICATION


def test_a_justification_may_have_any_length() -> None:
    assert parse_verdict(VERDICT | {"justification": "x" * 5000}).justification == "x" * 5000


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```", "```\n{}\n```", "\n {} \n"])
def test_a_verdict_may_stand_in_a_code_fence(fence: str) -> None:
    assert parse_verdict_text(fence.replace("{}", json.dumps(VERDICT))).winner is Winner.B


@pytest.mark.parametrize("text", ["Essay A is better.", "{", "", "[" * 100_000])
def test_text_that_is_not_json_is_a_parsing_error_that_does_not_repeat_it(text: str) -> None:
    with pytest.raises(BadReply) as caught:
        parse_verdict_text(text)
    assert caught.value.code is ErrorCode.PARSING_ERROR
    assert str(caught.value) == "The verdict is not JSON."


@pytest.mark.parametrize("text", ["[]", "3", "null", '"Essay A"'])
def test_json_that_is_no_object_is_no_verdict(text: str) -> None:
    with pytest.raises(BadReply, match="not a JSON object") as caught:
        parse_verdict_text(text)
    assert caught.value.code is ErrorCode.INVALID_RESPONSE


@pytest.mark.parametrize("provider", REAL)
def test_an_unknown_winner_in_a_reply_is_a_failure_that_is_not_retried(provider: Provider) -> None:
    at = stand(provider)
    at.fake.verdict = VERDICT | {"winner": "Essay C"}
    failure = run_virtual(at.fails())
    assert failure.code is ErrorCode.INVALID_RESPONSE
    assert not failure.worth_retrying
    assert failure.details["error_type"] == "invalid_response"
    assert failure.details["provider"] == provider.value


@pytest.mark.parametrize("provider", REAL)
def test_a_long_justification_is_passed_on_whole(provider: Provider) -> None:
    at = stand(provider)
    at.fake.verdict = VERDICT | {"justification": "x" * 900}
    assert len(run_virtual(at.ask()).justification) == 900
