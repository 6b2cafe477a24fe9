"""Where a provider is, what goes along with each call, and how long one may take."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.apis.api import Timeouts
from cj_pipeline.services.lps.providers.endpoint import endpoint_of, is_loopback, past_proxies, time_limits
from cj_pipeline.services.lps.providers.manifest import Manifest, load_manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.model import Model
from cj_pipeline.services.lps.providers.registry import registered_providers
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.settings import LpsSettings
from tests.services.lps.providers.stand import REAL, queued

USUAL = Timeouts(total_s=30, connect_s=5, read_s=25)


def model(**keys: Any) -> Model:
    return Model.model_validate({"model_id": "m", "provider": "openai", **keys})


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:11434/v1", True),
        ("http://127.0.0.2/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://api.localhost/v1", True),
        ("http://localhost/openai/deployments/{model}", True),
        ("https://localhost.example.org/v1", False),
        ("http://10.0.0.7:8000/v1", False),
        ("http://0.0.0.0:8000/v1", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_what_is_on_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here


@pytest.mark.parametrize("provider", REAL)
def test_a_provider_on_this_machine_needs_no_key(provider: Provider) -> None:
    def registered(url: str) -> set[Provider]:
        settings: dict[str, Any] = {f"{provider.value}_base_url": url}
        nobody = httpx.MockTransport(lambda _: httpx.Response(500))
        metrics = ProviderMetrics(CollectorRegistry())
        return set(registered_providers(ProviderSettings(**settings), load_manifest(), metrics, transport=nobody))

    assert registered("http://localhost:1/v1") == {provider}
    assert registered("http://192.168.0.9/v1") == set()


@pytest.mark.parametrize(
    ("header", "sent"),
    [("Authorization", "Bearer sk"), ("authorization", "Bearer sk"), ("api-key", "sk"), ("x-api-key", "sk")],
)
def test_the_key_goes_where_the_settings_say(header: str, sent: str) -> None:
    settings = ProviderSettings(openai_api_key="sk", openai_api_key_header=header)
    assert endpoint_of(settings, Provider.OPENAI).authorised({}, model()) == {header.lower(): sent}


def test_headers_and_query_of_model_and_settings_come_together() -> None:
    settings = ProviderSettings(
        anthropic_extra_headers={"Anthropic-Beta": "mine"}, anthropic_extra_query={"a": "1", "b": "x y"}
    )
    at = endpoint_of(settings, Provider.ANTHROPIC)
    entry = model(provider="anthropic", headers={"X-Team": "essays"}, query={"b": "2"})
    headers = at.authorised({"anthropic-beta": "ours", "anthropic-version": "1"}, entry)
    assert headers == {"anthropic-beta": "mine", "anthropic-version": "1", "x-team": "essays"}
    assert at.url("/messages", entry) == "https://api.anthropic.com/v1/messages?a=1&b=2"


@pytest.mark.parametrize(
    ("settings", "keys", "limits"),
    [
        ({"openai_api_key": "k"}, {}, (30, 5, 25)),
        ({"openai_api_key": "k", "llm_total_timeout_seconds": 120}, {}, (120, 5, 120)),
        ({"openai_api_key": "k", "llm_total_timeout_seconds": 120, "llm_read_timeout_seconds": 9}, {}, (120, 5, 9)),
        ({"openai_api_key": "k", "llm_total_timeout_seconds": 10}, {}, (10, 5, 25)),
        ({"openai_api_key": "k", "llm_connect_timeout_seconds": 1}, {"connect_timeout_s": 2}, (30, 2, 25)),
        ({"openai_api_key": "k", "llm_total_timeout_seconds": 120}, {"total_timeout_s": 60}, (60, 5, 60)),
        ({"openai_base_url": "http://localhost/v1"}, {}, (280, 5, 280)),
        ({"openai_base_url": "http://localhost/v1"}, {"total_timeout_s": 60, "read_timeout_s": 40}, (60, 5, 40)),
        ({"openai_base_url": "http://localhost/v1", "openai_api_key": "k"}, {}, (30, 5, 25)),
    ],
)
def test_the_model_counts_before_the_settings_and_they_before_what_is_usual(
    settings: dict[str, Any], keys: dict[str, Any], limits: tuple[float, ...]
) -> None:
    given = ProviderSettings(**settings)
    found = time_limits(USUAL, given, endpoint_of(given, Provider.OPENAI), model(**keys))
    assert (found.total_s, found.connect_s, found.read_s) == limits


@pytest.mark.parametrize(
    ("keys", "took", "fails"), [({"total_timeout_s": 50}, 40.0, False), ({"total_timeout_s": 30}, 40.0, True)]
)
def test_an_answer_that_takes_40_s_is_waited_for_where_the_manifest_allows_it(
    keys: dict[str, Any], took: float, fails: bool
) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(took)
        content = '{"winner": "Essay A", "justification": "j", "confidence": 3}'
        return httpx.Response(200, json={"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})

    settings = ProviderSettings(openai_api_key="k", openai_default_model="m", circuit_breaker_enabled=False)
    provider = registered_providers(
        settings,
        Manifest([model(**keys)], {}),
        ProviderMetrics(CollectorRegistry()),
        transport=httpx.MockTransport(slow),
    )[Provider.OPENAI]
    if not fails:
        assert run_virtual(provider.answer(queued(Provider.OPENAI, model_override=None), 0)).response_time_ms == 40_000
        return
    with pytest.raises(ProviderError) as caught:
        run_virtual(provider.answer(queued(Provider.OPENAI, model_override=None), 0))
    assert caught.value.failure.code is ErrorCode.TIMEOUT


def answer_of_two_servers(asked: list[httpx.Request]) -> httpx.MockTransport:
    def answered(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        content = '{"winner": "Essay A", "justification": "j", "confidence": 3}'
        return httpx.Response(200, json={"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})

    return httpx.MockTransport(answered)


@pytest.mark.parametrize("key", ["", "sk-of-openai"])
def test_two_servers_are_asked_in_one_installation_and_get_nothing_of_the_providers(key: str) -> None:
    settings = ProviderSettings(
        openai_api_key=key, openai_extra_headers={"X-Team": "essays"}, openai_extra_query={"a": "1"}
    )
    models = [
        model(model_id="gpt-5.1"),
        model(model_id="small", base_url="http://localhost:11434/v1/", headers={"X-Ours": "1"}),
        model(model_id="large", base_url="http://gpu.internal:8000/v1"),
    ]
    asked: list[httpx.Request] = []
    provider = registered_providers(
        settings, Manifest(models, {}), ProviderMetrics(CollectorRegistry()), transport=answer_of_two_servers(asked)
    )[Provider.OPENAI]
    for name in ("small", "large"):
        run_virtual(provider.answer(queued(Provider.OPENAI, model_override=name), 0))
    assert [str(request.url) for request in asked] == [
        "http://localhost:11434/v1/chat/completions",
        "http://gpu.internal:8000/v1/chat/completions",
    ]
    assert not any({"authorization", "x-team"} & request.headers.keys() for request in asked)
    assert asked[0].headers["x-ours"] == "1"
    if key:
        run_virtual(provider.answer(queued(Provider.OPENAI, model_override="gpt-5.1"), 0))
        assert asked[2].url.host == "api.openai.com"
        assert asked[2].headers["authorization"] == "Bearer sk-of-openai"
        return
    with pytest.raises(ProviderError, match="openai has no key, which gpt"):
        run_virtual(provider.answer(queued(Provider.OPENAI, model_override="gpt-5.1"), 0))
    assert len(asked) == 2


def test_a_model_on_this_machine_may_take_as_long_as_a_provider_there() -> None:
    given = ProviderSettings(openai_api_key="k")
    here = model(base_url="http://127.0.0.1:8080/v1")
    assert time_limits(USUAL, given, endpoint_of(given, Provider.OPENAI), here).total_s == 280


@pytest.mark.parametrize("url", ["gateway", "http://me:X-Evil@host/v1", "http://host/v1?key=X-Evil"])
def test_an_address_of_a_model_is_a_plain_one(url: str) -> None:
    with pytest.raises(ValidationError, match="base_url: must"):
        model(base_url=url)


def test_addresses_of_this_machine_are_asked_past_a_proxy() -> None:
    urls = ["http://localhost:1/v1", "http://[::1]:8000/v1", "http://127.0.0.2/{model}", "https://api.openai.com/v1"]
    assert past_proxies(urls) == dict.fromkeys(["all://localhost", "all://[::1]", "all://127.0.0.2"])
    httpx.AsyncClient(mounts=past_proxies(urls))


@pytest.mark.parametrize(
    "wrong",
    [
        {"google_base_url": "gateway"},
        {"openai_base_url": "https://me:X-Evil@gateway/v1"},
        {"openai_base_url": "https://gateway/v1?key=X-Evil"},
        {"openai_api_key_header": "api key"},
        {"openai_extra_headers": {"X Team": "a"}},
        {"openai_extra_headers": {"X-Team": "a\r\nX-Evil: b"}},
        {"openai_extra_query": {"a": 1}},
        {"openai_extra_query": "a=1"},
        {"llm_total_timeout_seconds": 0},
    ],
)
def test_a_setting_that_cannot_be_sent_is_refused_without_being_quoted(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        ProviderSettings(**wrong)
    assert "X-Evil" not in str(caught.value)


def test_a_call_may_not_take_longer_than_an_attempt() -> None:
    with pytest.raises(ValidationError, match="no less than llm_total_timeout_seconds, which is 301"):
        LpsSettings(llm_total_timeout_seconds=301)
    assert LpsSettings(llm_total_timeout_seconds=301, queue_processing_timeout_seconds=400)


def test_no_secret_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    secrets = {"k": "sk-secret", "h": "header-secret", "q": "query-secret"}
    settings = ProviderSettings(
        openai_api_key=secrets["k"],
        openai_extra_headers={"X-Key": secrets["h"]},
        openai_extra_query={"key": secrets["q"]},
        circuit_breaker_enabled=False,
    )

    def refuse(request: httpx.Request) -> httpx.Response:
        assert secrets["q"] in str(request.url)
        return httpx.Response(401, json={"error": {"message": f"wrong key: {secrets['k']}", "code": "invalid_api_key"}})

    provider = registered_providers(
        settings, load_manifest(), ProviderMetrics(CollectorRegistry()), transport=httpx.MockTransport(refuse)
    )[Provider.OPENAI]
    # httpx tells whole addresses at INFO; a served process does not listen to that (shared/json_logs.py).
    with caplog.at_level(logging.DEBUG, logger="cj_pipeline"), pytest.raises(ProviderError) as caught:
        run_virtual(provider.answer(queued(Provider.OPENAI), 0))
    told = repr(settings) + str(settings.model_dump()) + repr(caught.value.failure)
    told += "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records if record.name != "httpx")
    assert not any(secret in told for secret in secrets.values())
