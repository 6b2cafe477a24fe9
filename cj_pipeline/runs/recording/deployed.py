"""This module reaches a real judge through a deployed LPS: a URL, and the bus on which it publishes callbacks.

The service has the keys, retries by its own settings and answers a correlation id once. What a call costs is known
from its callback alone: an answer counts with its cost, anything whose cost is unknown with its worst price.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import httpx

from cj_pipeline.bus.protocol import Bus, Subscription
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.reasons import COST_KNOWN, PRICE
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.recording.spending import CallCounter, Price, Purse, price_of
from cj_pipeline.runs.remote import CALLBACK_TOPIC, PATIENCE_S, Deployment, RetryingTransport, ServiceUnreachable
from cj_pipeline.runs.stack import Stack
from cj_pipeline.services.lps.providers.manifest import UnknownModel, load_manifest
from cj_pipeline.traces.recording_provenance import RecordedJudge

_POST_TIMEOUT_S = 30.0

# The LPS's own default for an answer, for a model that only the deployed service knows.
_UNKNOWN_MOST_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class DeployedJudge:
    """A real provider behind a deployed LPS. price: None where nobody knows it."""

    judge: RecordedJudge
    deployment: Deployment
    price: Price | None
    most_output_tokens: int

    @property
    def missing_key(self) -> str:
        """Return nothing: the service has the key."""
        return ""

    @property
    def through(self) -> Literal["deployed LPS"]:
        """Which LPS it is."""
        return "deployed LPS"

    @property
    def on_this_machine(self) -> bool:
        """Return False: where the service asks is not seen from here."""
        return False

    @property
    def answers_once(self) -> bool:
        """Return True: it may outlive a session."""
        return True

    @asynccontextmanager
    async def entered(self, purse: Purse, calls_before: int) -> AsyncIterator[tuple[Stack, CallCounter]]:
        """Yield the service as its users see it. Raises ServiceUnreachable; BadInput where its answers are a mock's."""
        transport = RetryingTransport(httpx.AsyncHTTPTransport())
        url = self.deployment.url
        async with httpx.AsyncClient(transport=transport, base_url=url, timeout=_POST_TIMEOUT_S) as client:
            await require_real(client, self.deployment)
            bus = self.deployment.open_bus()
            try:
                await _prepare(bus)

                async def listen(topic: str) -> Subscription:
                    return bus.subscribe(topic, await bus.end(topic))

                stack = Stack(client=client, bus=bus, listen=listen, callback_topic=CALLBACK_TOPIC)
                yield stack, CallCounter(self.price, self.most_output_tokens, calls_before)
            finally:
                await bus.aclose()


def deployed_judge(judge: RecordedJudge, deployment: Deployment, price: Price | None) -> DeployedJudge:
    """Return a judge behind a deployed LPS. price: None for that of the built-in manifest, where it has the model."""
    try:
        model = load_manifest().find(judge.provider, judge.model)
    except UnknownModel:
        return DeployedJudge(judge, deployment, price, judge.max_tokens or _UNKNOWN_MOST_TOKENS)
    return DeployedJudge(judge, deployment, price or price_of(model), judge.max_tokens or model.max_tokens)


def cost_of(callback: LLMComparisonResultV1) -> float | None:
    """Return what a callback says that its comparison cost, in US dollars; None where it does not say."""
    if callback.error_detail is None:
        return None if callback.request_metadata.get(COST_KNOWN) is False else callback.cost_estimate
    details = callback.error_detail.details or {}
    billed = details.get(PRICE)
    known = isinstance(billed, int | float) and details.get(COST_KNOWN) is not False
    return float(billed) if known and billed is not None else None


async def require_real(client: httpx.AsyncClient, deployment: Deployment) -> None:
    """Raise BadInput where a mock answers, ServiceUnreachable where nobody does; notice where it is not said."""
    try:
        response = await client.get("/admin/mock-mode")
        is_mock = response.json()["use_mock_llm"] if response.status_code == httpx.codes.OK else None
    except httpx.HTTPError as error:
        raise ServiceUnreachable(f"{deployment.url} does not answer ({type(error).__name__}).") from None
    except (ValueError, KeyError, TypeError):
        is_mock = None
    if is_mock is None:
        deployment.notice(f"{deployment.url} does not say whether a mock answers there.")
    elif is_mock:
        raise BadInput(
            "a mock answers there, for every provider.",
            path=deployment.url,
            field="use_mock_llm",
            remedy="Serve it with LLM_PROVIDER_SERVICE_USE_MOCK_LLM=false and the provider's key.",
        )


async def _prepare(bus: Bus) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await bus.prepare([CALLBACK_TOPIC])
    except TimeoutError:
        raise ServiceUnreachable(
            f"{bus} does not answer within {PATIENCE_S:g} s. Name the bus that the service publishes to: "
            "--kafka, or --bus."
        ) from None
