"""How the answer's shape is asked for, when a server refuses the first way, and how long that is remembered."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from cj_pipeline.contracts.answer import ProviderAnswer, ProviderError
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.manifest import Manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.model import Model
from cj_pipeline.services.lps.providers.registry import registered_providers
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from tests.services.lps.providers import endpoints as at
from tests.services.lps.providers.stand import queued

CHAT = "/v1/chat/completions"


def asked(
    server: at.LocalServer, times: int = 1, provider: Provider = Provider.OPENAI, **model: Any
) -> list[ProviderAnswer]:
    """The answers of one service to some comparisons, one after another."""
    entry = Model.model_validate({"model_id": "m", "provider": provider, **model})
    name = provider.value
    settings: dict[str, Any] = {
        f"{name}_base_url": "http://localhost:1/v1",
        f"{name}_default_model": "m",
        "circuit_breaker_enabled": False,
    }
    providers = registered_providers(
        ProviderSettings(**settings),
        Manifest([entry], {}),
        ProviderMetrics(CollectorRegistry()),
        transport=server.transport(),
    )

    async def main() -> list[ProviderAnswer]:
        return [await providers[provider].answer(queued(provider, model_override=None), 0) for _ in range(times)]

    return run_virtual(main())


def formats(server: at.LocalServer) -> list[str]:
    return [call.body.get("response_format", {}).get("type", "words") for call in server.received]


@pytest.mark.parametrize(
    ("takes", "refusal", "tried"),
    [
        (("json_object", "text"), at.DEEPSEEK, ["json_schema", "json_object"]),
        (("text",), at.NO_FORMAT, ["json_schema", "json_object", "words"]),
        (("json_schema",), at.LM_STUDIO, ["json_schema"]),
        (("text",), at.Refusal(501, {"error": "grammar is not implemented"}), ["json_schema", "json_object", "words"]),
    ],
)
def test_a_refused_way_is_tried_once_and_the_one_that_worked_is_kept(
    takes: tuple[str, ...], refusal: at.Refusal, tried: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    server = at.LocalServer(CHAT, at.takes(*takes, refusal=refusal), at.chat)
    with caplog.at_level(logging.WARNING):
        answers = asked(server, times=3)
    assert [answer.winner for answer in answers] == [Winner.B] * 3
    assert formats(server) == [*tried, tried[-1], tried[-1]]
    told = [record for record in caplog.records if "structured output" in record.message]
    assert len(told) == (len(tried) > 1)


def test_the_manifest_says_where_to_begin() -> None:
    server = at.LocalServer(CHAT, at.takes("text", refusal=at.LM_STUDIO), at.chat)
    asked(server, structured_output_method="json_object")
    assert formats(server) == ["json_object", "words"]


def test_what_capabilities_deny_is_not_tried() -> None:
    server = at.LocalServer(CHAT, at.takes("text", refusal=at.NO_FORMAT), at.chat)
    asked(server, capabilities={"json_mode": False})
    assert formats(server) == ["json_schema", "words"]


def test_a_server_that_ignores_the_schema_is_told_the_keys_in_words() -> None:
    (answer,) = asked(at.LocalServer(CHAT, at.no_key, at.chat, ignores_schemas=True))
    assert answer.winner is Winner.B


def test_a_refusal_of_something_else_is_final_and_teaches_nothing() -> None:
    refusals = iter([at.Refusal(400, {"error": {"message": "maximum context length is 4096 tokens"}})])
    server = at.LocalServer(CHAT, lambda *_: next(refusals, None), at.chat)
    with pytest.raises(ProviderError) as caught:
        asked(server)
    assert caught.value.failure.details["http_status"] == 400
    assert formats(server) == ["json_schema"]


def test_a_refusal_that_only_quotes_the_prompt_teaches_nothing() -> None:
    """An essay on tools and grammar: the milder ways are refused as well, and the next request begins as before."""
    quoting = at.Refusal(400, {"error": {"message": "too long: 'the tools of grammar, and response_format'"}})
    refusals = iter([quoting] * 3)
    server = at.LocalServer(CHAT, lambda *_: next(refusals, None), at.chat)
    entry = Model.model_validate({"model_id": "m", "provider": "openai"})
    providers = registered_providers(
        ProviderSettings(openai_base_url="http://localhost:1/v1", openai_default_model="m"),
        Manifest([entry], {}),
        ProviderMetrics(CollectorRegistry()),
        transport=server.transport(),
    )

    async def main() -> None:
        provider = providers[Provider.OPENAI]
        with pytest.raises(ProviderError):
            await provider.answer(queued(Provider.OPENAI, model_override=None), 0)
        await provider.answer(queued(Provider.OPENAI, model_override=None), 0)

    run_virtual(main())
    assert formats(server) == ["json_schema", "json_object", "words", "json_schema"]


def test_an_anthropic_server_without_tools_is_asked_in_words() -> None:
    refusal = at.Refusal(
        400, {"type": "error", "error": {"type": "invalid_request_error", "message": "tool_choice: ?"}}
    )
    server = at.LocalServer("/v1/messages", lambda _, body: refusal if "tools" in body else None, at.message)
    (answer,) = asked(server, provider=Provider.ANTHROPIC)
    assert answer.winner is Winner.B
    assert [sorted({"tools", "tool_choice"} & call.body.keys()) for call in server.received] == [
        ["tool_choice", "tools"],
        [],
    ]
    assert '"winner"' in server.received[-1].body["system"][-1]["text"]


def test_a_google_server_without_schemas_is_asked_by_mime_type_and_words() -> None:
    refusal = at.Refusal(400, {"error": {"code": 400, "message": "Unknown name responseSchema", "status": "INVALID"}})
    server = at.LocalServer(
        "/v1/v1beta/models/m:generateContent",
        lambda _, body: refusal if "responseSchema" in body["generationConfig"] else None,
        at.generated,
    )
    (answer,) = asked(server, provider=Provider.GOOGLE)
    assert answer.winner is Winner.B
    assert server.received[-1].body["generationConfig"]["responseMimeType"] == "application/json"
