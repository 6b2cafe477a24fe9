"""This module sets up the embedded LPS in front of one real provider: settings, key, manifest and meter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import yaml
from pydantic import SecretStr

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider, QueueProcessingMode
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.recording.spending import MeteredTransport, Price, Purse, price_of
from cj_pipeline.runs.stack import Stack, embedded_stack
from cj_pipeline.services.lps.providers.apis.api import max_tokens
from cj_pipeline.services.lps.providers.manifest import Manifest, Model, StructuredOutput, UnknownModel, load_manifest
from cj_pipeline.services.lps.providers.model import SHAPES
from cj_pipeline.services.lps.providers.registry import api_key
from cj_pipeline.services.lps.settings import LpsSettings, QueueBackend, settings_from_environment
from cj_pipeline.traces.recording_provenance import RecordedJudge

MANIFEST_FILE = "models.yaml"

# Sent where a server on this machine asks for none.
_NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a judge is reached. base_url: None for the provider's own.

    price: dollars a token as a person states them; None to take the manifest's.
    """

    provider: Provider
    base_url: str | None = None
    price: Price | None = None

    @property
    def on_this_machine(self) -> bool:
        """Return whether the URL leads to a loopback address."""
        host = urlsplit(self.base_url or "").hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


@dataclass(frozen=True, slots=True)
class EmbeddedJudge:
    """A real provider behind the embedded LPS, ready to be entered.

    price: None where nobody knows it; open_client: of the calls to the provider. Their time-outs come with each call.
    """

    settings: LpsSettings
    price: Price | None
    most_output_tokens: int
    open_client: Callable[[], httpx.AsyncClient] = httpx.AsyncClient

    @asynccontextmanager
    async def entered(self, purse: Purse, calls_before: int) -> AsyncIterator[tuple[Stack, MeteredTransport]]:
        """Yield the running stack and the meter of its calls."""
        meter = MeteredTransport(purse, self.price, self.most_output_tokens, self.open_client())
        meter.calls = calls_before
        async with embedded_stack(self.settings, load_mode("default"), to_providers=meter) as stack:
            yield stack, meter


def provider_of(model: str, base_url: str | None) -> Provider:
    """Return whose model it is: by the manifest, or OpenAI's API at a URL. Raises BadInput where neither tells."""
    owners = [known.provider for known in load_manifest().models(include_deprecated=True) if known.model_id == model]
    if base_url is not None:
        return Provider.OPENAI
    if not owners:
        raise BadInput(
            f"'{model}' is not in the manifest, so nobody knows where it is asked.",
            path="record",
            field="model",
            remedy="Give --base-url for a server of your own, or --provider.",
        )
    return owners[0]


def embedded_judge(judge: RecordedJudge, endpoint: Endpoint, *, concurrency: int, folder: Path) -> EmbeddedJudge:
    """Set up the embedded LPS for one judge. folder: gets a manifest where the known ones lack the model.

    Raises BadInput: no key, a base URL for a provider that has none, a setting of the environment that is none.
    """
    name = endpoint.provider.value
    environment = settings_from_environment()
    given: dict[str, object] = {
        "use_mock_llm": False,
        "allow_mock_provider": False,
        "queue_backend": QueueBackend.MEMORY,
        "queue_processing_mode": QueueProcessingMode.PER_REQUEST,
        "llm_max_concurrent_requests": concurrency,
        "publish_llm_usage_events": False,
        f"{name}_default_model": judge.model,
    }
    if endpoint.base_url is not None:
        if f"{name}_base_url" not in LpsSettings.model_fields:
            raise BadInput(f"{name} has one address only.", path="record", field="base_url", remedy="Leave it out.")
        given[f"{name}_base_url"] = endpoint.base_url
    for other in Provider:
        if other is Provider.MOCK:
            continue
        key = api_key(environment, other).get_secret_value().strip() if other is endpoint.provider else ""
        if other is endpoint.provider and not key:
            key = _key_for(endpoint)
        given[f"{other.value}_api_key"] = SecretStr(key)
    manifest = load_manifest(environment.model_manifest_path)
    model = _found(manifest, endpoint, judge.model)
    if model is None:
        model = _described(judge, endpoint)
        given["model_manifest_path"] = _manifest_file(folder, model)
    settings = LpsSettings.model_validate({**environment.model_dump(), **given})
    free = Price(0.0, 0.0) if endpoint.on_this_machine else None
    return EmbeddedJudge(
        settings=settings,
        price=endpoint.price or price_of(model) or free,
        most_output_tokens=max_tokens(LLMConfigOverrides(max_tokens_override=judge.max_tokens), settings, model),
    )


def _key_for(endpoint: Endpoint) -> str:
    if endpoint.on_this_machine:
        return _NO_KEY
    variable = f"{endpoint.provider.value.upper()}_API_KEY"
    raise BadInput("no key is set.", path="environment", field=variable, remedy=f"export {variable}=...")


def _found(manifest: Manifest, endpoint: Endpoint, model_id: str) -> Model | None:
    try:
        return manifest.find(endpoint.provider, model_id)
    except UnknownModel:
        return None


def _described(judge: RecordedJudge, endpoint: Endpoint) -> Model:
    """Return a model that no manifest describes: as plain as OpenAI-compatible servers have them."""
    price = endpoint.price
    return Model(
        model_id=judge.model,
        provider=endpoint.provider,
        display_name=judge.model,
        model_family="other",
        api_version="v1",
        structured_output_method=StructuredOutput.JSON_SCHEMA,
        max_tokens=max(4096, judge.max_tokens or 0),
        cost_per_1k_input_tokens=None if price is None else price.per_input_token * 1000,
        cost_per_1k_output_tokens=None if price is None else price.per_output_token * 1000,
        effort_shape=SHAPES[endpoint.provider][0],
        reasoning_efforts=() if judge.reasoning_effort is None else (judge.reasoning_effort.value,),
        verbosities=() if judge.output_verbosity is None else (judge.output_verbosity.value,),
    )


def _manifest_file(folder: Path, model: Model) -> Path:
    """Write a manifest of one model, and return its path."""
    described = model.model_dump(mode="json", exclude_defaults=True)
    document = {"schema_version": 1, "defaults": {model.provider.value: model.model_id}, "models": [described]}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST_FILE
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
