"""Every block of docs/endpoints.md works: against a local server that behaves like the one that the block is about."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from cj_pipeline.contracts.answer import ProviderAnswer
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.manifest import check_time_limits, load_manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.registry import registered_providers
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.settings import settings_from_environment
from cj_pipeline.services.shared.http_server import HttpServer, bound
from tests.house import REPOSITORY
from tests.services.lps.providers import endpoints as at
from tests.services.lps.providers.fake_api import Received
from tests.services.lps.providers.stand import queued

PAGE = (REPOSITORY / "docs" / "endpoints.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """What a section of the page says to set, and the manifest that it shows."""

    variables: dict[str, str]
    manifest: str | None


def blocks() -> dict[str, Block]:
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        name, _, text = section.partition("\n")
        shells = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        if not shells:
            continue
        manifests = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        assigned = re.findall(r"^export (\w+)=(?:'(.*)'|(\S+))$", shells[0], re.MULTILINE)
        assert len(assigned) == len(shells[0].strip().splitlines())
        found[name] = Block(
            {variable: quoted or bare for variable, quoted, bare in assigned}, manifests[0] if manifests else None
        )
    return found


BLOCKS = blocks()
CHAT = "/v1/chat/completions"


def openai(request: Any, body: dict[str, Any]) -> at.Refusal | None:
    return at.both(
        at.bearer("sk-..."),
        at.takes("json_schema", "json_object", "text", refusal=at.NO_FORMAT),
        at.lacks("max_tokens"),
    )(request, body)


SERVERS: dict[str, tuple[str, Callable[[], at.LocalServer]]] = {
    # name of the section: (host and path that must be asked, the server)
    "OpenAI": (f"https://api.openai.com{CHAT}", lambda: at.LocalServer(CHAT, openai, at.chat)),
    "Azure OpenAI, by deployment": (
        "https://resource.openai.azure.com/openai/deployments/essays-gpt-4o/chat/completions?api-version=2024-10-21",
        lambda: at.LocalServer(
            "/openai/deployments/essays-gpt-4o/chat/completions",
            at.both(at.no_key, at.header("api-key", "..."), at.query(**{"api-version": "2024-10-21"})),
            at.chat,
        ),
    ),
    "Azure OpenAI, v1": (
        "https://resource.openai.azure.com/openai/v1/chat/completions",
        lambda: at.LocalServer(
            "/openai/v1/chat/completions",
            at.both(at.no_key, at.header("api-key", "..."), at.lacks("temperature")),
            at.chat,
        ),
    ),
    "Anthropic": (
        "https://api.anthropic.com/v1/messages",
        lambda: at.LocalServer(
            "/v1/messages", at.both(at.header("x-api-key", "sk-ant-..."), at.adaptive_only), at.message
        ),
    ),
    "A gateway before Anthropic": (
        "https://gateway.example.org/anthropic/v1/messages",
        lambda: at.LocalServer(
            "/anthropic/v1/messages", at.both(at.bearer("sk-gateway-..."), at.header("x-team", "essays")), at.tool_call
        ),
    ),
    "Google": (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-3-pro-preview:generateContent",
        lambda: at.LocalServer(
            "/v1beta/models/gemini-3-pro-preview:generateContent",
            at.both(
                at.header("x-goog-api-key", "AIza..."),
                at.has("generationConfig.thinkingConfig", {"thinkingLevel": "low"}),
                at.lacks("responseSchema"),
            ),
            at.generated,
        ),
    ),
    "A gateway before Google": (
        "https://gateway.example.org/google/v1beta/models/gemini-2.5-flash-preview-05-20:generateContent?project=essays",
        lambda: at.LocalServer(
            "/google/v1beta/models/gemini-2.5-flash-preview-05-20:generateContent",
            at.both(at.header("x-goog-api-key", "..."), at.query(project="essays")),
            at.generated,
        ),
    ),
    "OpenRouter": (
        "https://openrouter.ai/api/v1/chat/completions",
        lambda: at.LocalServer(
            "/api/v1/chat/completions",
            at.both(
                at.bearer("sk-or-..."),
                at.has("provider.order", ["deepseek"]),
                at.has("provider.allow_fallbacks", False),
            ),
            at.chat,
        ),
    ),
    "Ollama": (
        f"http://localhost:11434{CHAT}",
        lambda: at.LocalServer(CHAT, at.no_key, at.chat, ignores_schemas=True),
    ),
    "vLLM": (
        f"http://vllm.internal:8000{CHAT}",
        lambda: at.LocalServer(
            CHAT,
            at.both(at.bearer("token-abc"), at.has("chat_template_kwargs.enable_thinking", False), at.has("top_k", 20)),
            at.chat,
        ),
    ),
    "llama.cpp": (
        f"http://127.0.0.1:8080{CHAT}",
        lambda: at.LocalServer(CHAT, at.both(at.no_key, at.has("cache_prompt", True)), at.chat),
    ),
    "LM Studio": (
        f"http://localhost:1234{CHAT}",
        lambda: at.LocalServer(CHAT, at.takes("json_schema", "text", refusal=at.LM_STUDIO), at.chat),
    ),
    "Anything else that speaks Chat Completions": (
        "https://api.deepseek.com/v1/chat/completions",
        lambda: at.LocalServer(
            CHAT, at.both(at.bearer("..."), at.takes("json_object", "text", refusal=at.DEEPSEEK)), at.chat
        ),
    ),
}
# What the requests to these ask for.
EFFORT = {"Google": "none", "vLLM": "none", "Anthropic": "high", "OpenAI": "low", "Azure OpenAI, v1": "low"}


def asked(
    block: Block, server: at.LocalServer, folder: Path, monkeypatch: pytest.MonkeyPatch, effort: str | None
) -> ProviderAnswer:
    """The answer to one comparison, by the settings and the manifest of a block, with its default model."""
    for variable, value in block.variables.items():
        monkeypatch.setenv(variable, value)
    path = None
    if block.manifest is not None:
        path = folder / "models.yaml"
        path.write_text(block.manifest, encoding="utf-8")
    settings = settings_from_environment(circuit_breaker_enabled=False)
    manifest = load_manifest(path)
    check_time_limits(manifest, settings.queue_processing_timeout_seconds, path)
    providers = registered_providers(
        settings, manifest, ProviderMetrics(CollectorRegistry(), manifest), transport=server.transport()
    )
    ((name, provider),) = providers.items()
    return run_virtual(provider.answer(queued(name, model_override=None, reasoning_effort=effort), 0))


def test_every_block_has_its_server_and_the_other_way_round() -> None:
    assert set(BLOCKS) == set(SERVERS)


@pytest.mark.parametrize("name", SERVERS)
def test_a_block_gets_an_answer_at_the_first_call(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, make = SERVERS[name]
    server = make()
    answer = asked(BLOCKS[name], server, tmp_path, monkeypatch, EFFORT.get(name))
    assert answer.winner is Winner.B
    assert [call.url for call in server.received] == [url]


def first_call(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, effort: str | None = None) -> Received:
    server = SERVERS[name][1]()
    asked(BLOCKS[name], server, folder, monkeypatch, effort)
    return server.received[0]


def test_new_claude_is_asked_to_think_adaptively(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = first_call("Anthropic", tmp_path, monkeypatch, "low").body
    assert body["thinking"] == {"type": "adaptive"}
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert not {"tools", "tool_choice", "temperature"} & body.keys()


def test_a_template_without_a_system_turn_gets_its_text_in_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = first_call("Anything else that speaks Chat Completions", tmp_path, monkeypatch).body
    assert [turn["role"] for turn in body["messages"]] == ["user"]
    assert body["messages"][0]["content"].startswith("Answer with one JSON object")


def test_a_server_on_this_machine_is_asked_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "authorization" not in first_call("Ollama", tmp_path, monkeypatch).headers


def test_a_model_of_price_zero_costs_nothing_and_that_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asked(BLOCKS["Ollama"], SERVERS["Ollama"][1](), tmp_path, monkeypatch, None)
    assert answer.cost_estimate == 0.0
    assert "cost_known" not in answer.metadata
    assert answer.token_usage.total_tokens == 330


@pytest.mark.parametrize("provider", [Provider.OPENAI, Provider.ANTHROPIC])
def test_no_key_leaves_its_own_providers_address(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of two providers at once: each call carries one key, its own."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-anthropic")
    server = {
        Provider.OPENAI: at.LocalServer(CHAT, at.bearer("sk-of-openai"), at.chat),
        Provider.ANTHROPIC: at.LocalServer("/v1/messages", at.header("x-api-key", "sk-of-anthropic"), at.tool_call),
    }[provider]
    settings = settings_from_environment(circuit_breaker_enabled=False)
    providers = registered_providers(
        settings, load_manifest(), ProviderMetrics(CollectorRegistry()), transport=server.transport()
    )
    run_virtual(providers[provider].answer(queued(provider), 0))
    others = {"sk-of-openai", "sk-of-anthropic"} - {f"sk-of-{provider.value}"}
    assert not any(other in value for other in others for value in server.received[0].headers.values())


@pytest.mark.parametrize("name", ["Ollama", "llama.cpp", "LM Studio"])
def test_a_server_on_this_machine_is_asked_over_a_socket(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same block with the port of a server that listens, no transport in between, and past a proxy."""
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    listening = bound("127.0.0.1", 0)
    variables = dict(BLOCKS[name].variables)
    variables["LLM_PROVIDER_SERVICE_OPENAI_BASE_URL"] = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    path = tmp_path / "models.yaml"
    path.write_text(BLOCKS[name].manifest or "", encoding="utf-8")
    settings = ProviderSettings(
        **{variable.removeprefix("LLM_PROVIDER_SERVICE_").lower(): value for variable, value in variables.items()}
    )

    async def main() -> ProviderAnswer:
        server = HttpServer(SERVERS[name][1]().app())
        serving = asyncio.create_task(server.serve([listening]))
        manifest = load_manifest(path)
        (provider,) = registered_providers(settings, manifest, ProviderMetrics(CollectorRegistry())).values()
        try:
            return await provider.answer(queued(Provider.OPENAI, model_override=None), 0)
        finally:
            await provider.aclose()
            server.stop()
            await serving

    assert asyncio.run(main()).winner is Winner.B
