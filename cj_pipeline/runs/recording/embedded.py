"""This module sets up the embedded LPS in front of one real provider: settings, key, manifest and meter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import httpx
import yaml

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider, QueueBackend, QueueProcessingMode
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.recording.spending import MeteredTransport, Price, Purse, price_of
from cj_pipeline.runs.stack import Stack, embedded_stack
from cj_pipeline.services.lps.providers.apis.api import max_tokens, temperature
from cj_pipeline.services.lps.providers.endpoint import past_proxies
from cj_pipeline.services.lps.providers.manifest import Manifest, UnknownModel, load_manifest
from cj_pipeline.services.lps.providers.model import Model
from cj_pipeline.services.lps.providers.registry import api_of
from cj_pipeline.services.lps.settings import LpsSettings, settings_from_environment
from cj_pipeline.traces.recording_provenance import RecordedJudge

MANIFEST_FILE = "models.yaml"


@dataclass(frozen=True, slots=True)
class EmbeddedJudge:
    """A real provider behind the embedded LPS, ready to be entered.

    judge: as it will be asked, with what the settings add; on_this_machine: whether its address is a loopback one;
    price: None where nobody knows it; open_client: of the calls to the provider. Their time-outs come with each call.
    """

    judge: RecordedJudge
    settings: LpsSettings
    on_this_machine: bool
    price: Price | None
    most_output_tokens: int
    missing_key: str = ""
    open_client: Callable[[], httpx.AsyncClient] = httpx.AsyncClient

    @property
    def through(self) -> Literal["embedded LPS"]:
        """Which LPS it is."""
        return "embedded LPS"

    @property
    def answers_once(self) -> bool:
        """Return False: what it was asked ends with this process."""
        return False

    @asynccontextmanager
    async def entered(self, purse: Purse, calls_before: int) -> AsyncIterator[tuple[Stack, MeteredTransport]]:
        """Yield the running stack and the meter of its calls."""
        meter = MeteredTransport(purse, self.price, self.most_output_tokens, self.open_client())
        meter.calls = calls_before
        async with embedded_stack(self.settings, load_mode("default"), to_providers=meter) as stack:
            yield stack, meter


def provider_of(model: str, base_url: str | None) -> Provider:
    """Return whose model it is: by the manifest, or OpenAI's API at a URL. Raises BadInput where neither tells."""
    if base_url is not None:
        return Provider.OPENAI
    environment = settings_from_environment()
    known = load_manifest(environment.model_manifest_path).models(include_deprecated=True)
    owners = [one.provider for one in known if one.model_id == model]
    if not owners:
        raise BadInput(
            f"'{model}' is not in the manifest, so nobody knows where it is asked.",
            path="record",
            field="model",
            remedy="Give --base-url for a server of your own, or --provider.",
        )
    return owners[0]


def embedded_judge(
    judge: RecordedJudge,
    *,
    base_url: str | None,
    price: Price | None,
    concurrency: int,
    folder: Path,
    queue_mode: QueueProcessingMode = QueueProcessingMode.PER_REQUEST,
) -> EmbeddedJudge:
    """Set up the embedded LPS for one judge; keys and everything else come from its environment variables.

    base_url, price: None for the environment's and the manifest's. folder: gets a manifest for a model that none
    describes. Raises BadInput: a setting of the environment that cannot be used.
    """
    provider, environment = judge.provider, settings_from_environment()
    given: dict[str, object] = {
        "use_mock_llm": False,
        "allow_mock_provider": False,
        "queue_backend": QueueBackend.MEMORY,
        "queue_processing_mode": queue_mode,
        "llm_max_concurrent_requests": concurrency,
        "publish_llm_usage_events": False,
        f"{provider}_default_model": judge.model,
        **({} if base_url is None else {f"{provider}_base_url": base_url}),
    }
    model = _found(load_manifest(environment.model_manifest_path), provider, judge.model)
    if model is None or (base_url is not None and model.base_url is not None):
        model = _described(judge, price) if model is None else model.model_copy(update={"base_url": None})
        given["model_manifest_path"] = _manifest_file(folder, model)
    settings = LpsSettings.model_validate({**environment.model_dump(), **given})
    endpoint = api_of(settings, provider).endpoint.of(model)
    lacks_a_key = model.base_url is None and endpoint.needs_a_key and not endpoint.has_a_key
    asked = LLMConfigOverrides(temperature_override=judge.temperature, max_tokens_override=judge.max_tokens)
    most = max_tokens(asked, settings, model)
    return EmbeddedJudge(
        judge=judge.model_copy(update={"temperature": temperature(asked, settings, model), "max_tokens": most}),
        settings=settings,
        on_this_machine=endpoint.on_this_machine,
        price=price or price_of(model) or (Price(0.0, 0.0) if endpoint.on_this_machine else None),
        most_output_tokens=most,
        missing_key=f"{provider.value.upper()}_API_KEY" if lacks_a_key else "",
        open_client=partial(httpx.AsyncClient, mounts=past_proxies([endpoint.base_url])),
    )


def _found(manifest: Manifest, provider: Provider, model_id: str) -> Model | None:
    try:
        return manifest.find(provider, model_id)
    except UnknownModel:
        return None


def _described(judge: RecordedJudge, price: Price | None) -> Model:
    """Return a model that no manifest describes, as those of its provider usually are."""
    stated: dict[str, object] = {"provider": judge.provider, "model_id": judge.model}
    if judge.max_tokens is not None:
        stated["max_tokens"] = judge.max_tokens
    if price is not None:
        stated["cost_per_1k_input_tokens"] = price.per_input_token * 1000
        stated["cost_per_1k_output_tokens"] = price.per_output_token * 1000
    if judge.reasoning_effort is not None:
        stated["reasoning_efforts"] = (judge.reasoning_effort.value,)
    if judge.output_verbosity is not None:
        stated["verbosities"] = (judge.output_verbosity.value,)
    return Model.model_validate(stated)


def _manifest_file(folder: Path, model: Model) -> Path:
    """Write a manifest of one model, and return its path."""
    described = model.model_dump(mode="json", exclude_defaults=True)
    document = {"schema_version": 1, "defaults": {model.provider.value: model.model_id}, "models": [described]}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST_FILE
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
