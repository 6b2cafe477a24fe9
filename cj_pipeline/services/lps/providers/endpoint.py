"""This module says where an API is, and what goes along with each call: key, headers, query, time limits.

Each provider's can be put anywhere: a gateway, Azure, a server on this machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

import httpx
from pydantic import SecretStr

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.model import Model
from cj_pipeline.services.lps.providers.settings import BASE_URLS, ProviderSettings

# A model on this machine writes a few tokens a second, and the first answer waits for it to be loaded.
_ON_THIS_MACHINE_S = 280.0
# The name of a deployment is part of Azure's address.
MODEL_PLACE = "{model}"
_NO_KEY = SecretStr("")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: for the whole call, for a connection, and between two bytes of the reply."""

    total_s: float
    connect_s: float
    read_s: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one provider's API is. is_the_providers_own: whether nobody stands in for it, or in front of it."""

    provider: Provider
    base_url: str
    key: SecretStr
    key_header: str
    headers: Mapping[str, SecretStr]
    query: Mapping[str, SecretStr]
    is_the_providers_own: bool

    @property
    def on_this_machine(self) -> bool:
        """Whether calls never leave this machine; they then go past any proxy of the environment, too."""
        return is_loopback(self.base_url)

    @property
    def needs_a_key(self) -> bool:
        """Whether it cannot be asked without one: a server on this machine can."""
        return not self.on_this_machine

    @property
    def has_a_key(self) -> bool:
        """Whether there is one."""
        return bool(self.key.get_secret_value().strip())

    @property
    def can_be_asked(self) -> bool:
        """Whether there is a key, or none is needed."""
        return self.has_a_key or not self.needs_a_key

    def of(self, model: Model | None) -> Endpoint:
        """Return where a model is asked. Nothing that is for the provider goes along to an address of the model's."""
        if model is None or model.base_url is None:
            return self
        base_url = model.base_url.rstrip("/")
        return replace(self, base_url=base_url, key=_NO_KEY, headers={}, query={}, is_the_providers_own=False)

    def url(self, path: str, model: Model | None = None) -> str:
        """Return the address of a path below the base URL, with whatever the query is to hold."""
        at = self.of(model)
        base = at.base_url if model is None else at.base_url.replace(MODEL_PLACE, model.model_id)
        query = {name: value.get_secret_value() for name, value in at.query.items()}
        if model is not None:
            query |= model.query
            if self.provider is Provider.OPENAI and model.api_version != "v1":
                query.setdefault("api-version", model.api_version)
        url = base + path
        return str(httpx.URL(url).copy_merge_params(query)) if query else url

    def authorised(self, own: Mapping[str, str], model: Model | None = None) -> dict[str, str]:
        """Return the headers of a call. own: those of the API itself; the settings' and the model's go over them."""
        at = self.of(model)
        headers = httpx.Headers(own)
        headers.update({name: value.get_secret_value() for name, value in at.headers.items()})
        headers.update({} if model is None else model.headers)
        key = at.key.get_secret_value().strip()
        if key:
            headers[self.key_header] = f"Bearer {key}" if self.key_header.lower() == "authorization" else key
        return dict(headers)


def endpoint_of(settings: ProviderSettings, provider: Provider) -> Endpoint:
    """Return where a real provider is, by the settings. Raises KeyError for the mock."""
    base_url, key, key_header, headers, query = {
        Provider.OPENAI: (
            settings.openai_base_url,
            settings.openai_api_key,
            settings.openai_api_key_header,
            settings.openai_extra_headers,
            settings.openai_extra_query,
        ),
        Provider.ANTHROPIC: (
            settings.anthropic_base_url,
            settings.anthropic_api_key,
            settings.anthropic_api_key_header,
            settings.anthropic_extra_headers,
            settings.anthropic_extra_query,
        ),
        Provider.GOOGLE: (
            settings.google_base_url,
            settings.google_api_key,
            settings.google_api_key_header,
            settings.google_extra_headers,
            settings.google_extra_query,
        ),
        Provider.OPENROUTER: (
            settings.openrouter_base_url,
            settings.openrouter_api_key,
            settings.openrouter_api_key_header,
            settings.openrouter_extra_headers,
            settings.openrouter_extra_query,
        ),
    }[provider]
    return Endpoint(
        provider=provider,
        base_url=base_url or BASE_URLS[provider],
        key=key,
        key_header=key_header,
        headers=headers,
        query=query,
        is_the_providers_own=base_url in (None, BASE_URLS[provider]),
    )


def is_loopback(url: str) -> bool:
    """Return whether a URL is of this machine.

    >>> is_loopback("http://localhost:11434/v1"), is_loopback("http://10.0.0.7:8000/v1")
    (True, False)
    """
    host = httpx.URL(url.replace(MODEL_PLACE, "model")).host
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def past_proxies(urls: Iterable[str]) -> dict[str, None]:
    """Return those of some addresses that are of this machine, as a client is told to ask them past any proxy."""
    hosts = (httpx.URL(url.replace(MODEL_PLACE, "model")).host for url in urls if is_loopback(url))
    return {f"all://[{host}]" if ":" in host else f"all://{host}": None for host in hosts}


def time_limits(usual: Timeouts, settings: ProviderSettings, endpoint: Endpoint, model: Model) -> Timeouts:
    """Return how long a call may take: as the model's entry says, else the settings, else what is usual there.

    usual: the provider's. Where a server on this machine is asked without a key, it is a model on this machine.
    """
    endpoint = endpoint.of(model)
    if endpoint.on_this_machine and not endpoint.has_a_key:
        usual = Timeouts(total_s=_ON_THIS_MACHINE_S, connect_s=usual.connect_s, read_s=_ON_THIS_MACHINE_S)
    total = model.total_timeout_s or settings.llm_total_timeout_seconds
    return Timeouts(
        total_s=total or usual.total_s,
        connect_s=model.connect_timeout_s or settings.llm_connect_timeout_seconds or usual.connect_s,
        # Who allows more for the whole means the silence of a model that writes nothing before it has thought.
        read_s=model.read_timeout_s or settings.llm_read_timeout_seconds or max(usual.read_s, total or 0.0),
    )
