"""The replies of the four APIs in all the shapes they come in: what stands beside the verdict never costs it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cj_pipeline.contracts.answer import ProviderAnswer
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.runs.virtual_time import run_virtual
from tests.services.lps.providers.fake_api import VERDICT
from tests.services.lps.providers.stand import Stand, stand

OTHER = VERDICT | {"winner": "Essay A"}
TEXT, OTHER_TEXT = json.dumps(VERDICT), json.dumps(OTHER)
COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def chat(message: Any = None, *, usage: Any = COUNTS, **choice: Any) -> dict[str, Any]:
    said = {"content": TEXT} if message is None else message
    return {"choices": [{"message": said, "finish_reason": "stop", **choice}], "usage": usage}


def tool(*inputs: Any, name: str = "comparison_result", **message: Any) -> dict[str, Any]:
    content = [{"type": "tool_use", "id": "t", "name": name, "input": one} for one in inputs]
    return {"type": "message", "content": content, "stop_reason": "tool_use", **message}


def google(*texts: str, **rest: Any) -> dict[str, Any]:
    content = [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"} for text in texts]
    return {"candidates": content, "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5}, **rest}


READ: list[tuple[Provider, dict[str, Any]]] = [
    (Provider.OPENAI, chat()),
    (Provider.OPENAI, chat({"content": [{"type": "text", "text": TEXT}]})),
    (Provider.OPENAI, chat({"content": [{"type": "reasoning", "text": OTHER_TEXT}, {"type": "text", "text": TEXT}]})),
    (Provider.OPENAI, chat({"content": [TEXT[:9], {"text": TEXT[9:]}]})),
    (Provider.OPENAI, chat({"content": VERDICT})),
    (Provider.OPENAI, chat({"content": TEXT, "reasoning_content": OTHER_TEXT, "role": 7, "refusal": {}})),
    (Provider.OPENAI, chat({"content": None, "tool_calls": [{"function": {"arguments": TEXT}}, 3]})),
    (Provider.OPENAI, chat({"content": TEXT, "tool_calls": "none"})),
    (Provider.OPENAI, chat(finish_reason=4, index="x", logprobs=[[]])),
    (Provider.OPENAI, {"choices": [{"text": TEXT}], "model": None, "created": "now"}),
    (Provider.OPENAI, {"choices": [{"message": {"content": TEXT}}] * 2}),
    (Provider.ANTHROPIC, tool(VERDICT)),
    (Provider.ANTHROPIC, tool(VERDICT, name="comparison-result")),
    (Provider.ANTHROPIC, tool(TEXT, usage="none", stop_reason=None)),
    (Provider.ANTHROPIC, tool(None, VERDICT, 3)),
    (Provider.ANTHROPIC, tool({"comparison_result": VERDICT})),
    (Provider.ANTHROPIC, {"content": [{"type": "text", "text": f"Here: {TEXT}"}, {"nonsense": 1}, "words"]}),
    (Provider.ANTHROPIC, {"content": TEXT}),
    (Provider.GOOGLE, google(TEXT)),
    (Provider.GOOGLE, google(TEXT, TEXT, usageMetadata={"promptTokenCount": "ten"})),
    (Provider.GOOGLE, google(TEXT) | {"promptFeedback": 3, "modelVersion": {}}),
    (Provider.GOOGLE, {"candidates": [{"content": {"parts": [{"text": None}, {"text": TEXT, "extra": 1}]}}]}),
]


def asked(provider: Provider, body: Any) -> Stand:
    at = stand(provider, llm_bad_verdict_retries=0)
    at.fake.then(200, body)
    return at


def answer(provider: Provider, body: Any) -> ProviderAnswer:
    return run_virtual(asked(provider, body).ask())


@pytest.mark.parametrize(("provider", "body"), READ)
def test_what_stands_beside_a_verdict_does_not_cost_it(provider: Provider, body: dict[str, Any]) -> None:
    found = answer(provider, body)
    assert (found.winner, found.confidence) == (Winner.B, 4.0)


TWO: list[tuple[Provider, dict[str, Any]]] = [
    (Provider.OPENAI, {"choices": [{"message": {"content": TEXT}}, {"message": {"content": OTHER_TEXT}}]}),
    (Provider.OPENAI, chat({"content": TEXT, "tool_calls": [{"function": {"arguments": OTHER_TEXT}}]})),
    (Provider.ANTHROPIC, tool(VERDICT, OTHER)),
    (
        Provider.ANTHROPIC,
        tool(VERDICT) | {"content": [*tool(VERDICT)["content"], {"type": "text", "text": OTHER_TEXT}]},
    ),
    (Provider.GOOGLE, google(TEXT, OTHER_TEXT)),
    (Provider.GOOGLE, google(TEXT + OTHER_TEXT)),
]


@pytest.mark.parametrize(("provider", "body"), TWO)
def test_two_answers_that_disagree_are_none_wherever_they_stand(provider: Provider, body: dict[str, Any]) -> None:
    assert run_virtual(asked(provider, body).fails()).details["reason"] == "contradiction"


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        [],
        {},
        COUNTS | {"completion_tokens": None},
        COUNTS | {"prompt_tokens": -1},
        COUNTS | {"prompt_tokens": 1e300},
        COUNTS | {"completion_tokens": True},
        {"total_tokens": 15},
    ],
)
def test_tokens_that_are_not_told_are_not_known_and_not_zero(usage: Any) -> None:
    found = answer(Provider.OPENAI, chat(usage=usage))
    assert found.winner is Winner.B
    assert (found.metadata["tokens_known"], found.metadata["cost_known"]) == (False, False)
    assert "usage" not in found.metadata


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10, "completion_tokens": 5},
        COUNTS | {"prompt_tokens": 10.0},
        COUNTS | {"prompt_tokens_details": 3},
    ],
)
def test_what_can_be_worked_out_is_known(usage: Any) -> None:
    found = answer(Provider.OPENAI, chat(usage=usage))
    assert found.token_usage.total_tokens == 15
    assert "tokens_known" not in found.metadata


def test_a_status_of_success_other_than_200_is_one() -> None:
    at = stand(Provider.OPENAI)
    at.fake.then(201, chat())
    assert run_virtual(at.ask()).winner is Winner.B
