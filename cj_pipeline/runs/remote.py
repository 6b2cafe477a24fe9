"""This module reaches a deployed LPS for a live run: its URL, and the bus on which it publishes callbacks.

The people who deployed the service chose its seed, its strategy and its concurrency; a run takes them as they are. The
mode is checked, because a run under another mode would be compared with the wrong expectations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256

import httpx

from cj_pipeline.bus.protocol import Bus, Message, Subscription
from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.retrying import RETRYABLE_STATUSES, Waits, retry
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.record import Sample
from cj_pipeline.runs.service_metrics import parse_metrics, since

# A restart of the service, and a queue that is full for a moment, are waited out; a minute is neither.
PATIENCE_S = 60.0

# Callbacks of runs in front of a deployed service: no CJ service reads it.
CALLBACK_TOPIC = "cj_pipeline.parity.callbacks.v1"

CALLBACKS_COUNTED = "llm_provider_comparison_callbacks_total"
COUNTING_S = 5.0

_WAITS = Waits(first_s=0.25, most_s=5.0)
_POST_TIMEOUT_S = 30.0


class ServiceUnreachable(CjPipelineError):
    """Nothing answers where an LPS was said to be."""


class NoCallbacks(CjPipelineError):
    """A deployed service took a whole batch and answered nothing."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed LPS. url: its base; open_bus: a new client of its bus, closed with the run.

    notice: called with a sentence about what could not be made sure of; takes_mode: whether who asks has an option
    --mode, which a message may then advise.
    """

    url: str
    open_bus: Callable[[], Bus]
    notice: Callable[[str], None] = lambda _: None
    takes_mode: bool = False


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment in use. metrics_before: of the service's whole life up to now."""

    client: httpx.AsyncClient
    bus: Bus
    metrics_before: tuple[Sample, ...]

    async def listen(self, topic: str) -> Subscription:
        """Return a reader of what is published to a topic from now on, each message once.

        The topic may be shared and hold millions. Raises ServiceUnreachable when the bus does not answer for a minute.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                end = await self.bus.end(topic)
        except TimeoutError:
            raise ServiceUnreachable(
                f"{self.bus} does not answer within {PATIENCE_S:g} s. Name the bus that the service publishes to: "
                "--kafka, or --bus."
            ) from None
        return DistinctMessages(self.bus.subscribe(topic, end))


class DistinctMessages:
    """A subscription that passes over redeliveries.

    A callback that a service publishes again, because its broker or itself died at the wrong moment, is the same to the
    byte. That says something of the transport and nothing of the judge; an answer that differs is passed on.
    """

    def __init__(self, inner: Subscription) -> None:
        self._inner = inner
        self._seen: set[bytes] = set()

    async def next(self) -> Message:
        """Return the next message that has not come before."""
        while True:
            message = await self._inner.next()
            digest = sha256(message.value).digest()
            if digest not in self._seen:
                self._seen.add(digest)
                return message


def fresh_label() -> str:
    """Return a label that no run had before: the time in UTC, to the microsecond.

    A service answers a correlation id once, and these follow from batch id and seed: a second run under one label gets
    no callbacks.
    """
    return utc_now().strftime("%Y%m%dt%H%M%S%fz")


@asynccontextmanager
async def deployed(
    deployment: Deployment, mode: Mode, queue_processing_mode: QueueProcessingMode
) -> AsyncIterator[Deployed]:
    """Yield the deployment once it is known to answer under the mode, and to work its queue as the scenario says.

    Callbacks get a topic of their own: on the shared one a CJ service would take them for orphans.
    Raises ServiceUnreachable, BadInput when it runs another mode or strategy; whatever opening the bus raises.
    """
    transport = RetryingTransport(httpx.AsyncHTTPTransport())
    async with httpx.AsyncClient(transport=transport, base_url=deployment.url, timeout=_POST_TIMEOUT_S) as client:
        faults = [
            *await _mode_faults(client, deployment, mode),
            *await _strategy_faults(client, deployment, queue_processing_mode),
        ]
        if faults:
            fields, problems, remedies = zip(*faults, strict=True)
            problem = f"{'; '.join(problems)}."
            raise BadInput(problem, path=deployment.url, field=", ".join(fields), remedy=" ".join(remedies))
        before = await metrics_of(client)
        bus = deployment.open_bus()
        try:
            await _prepared(bus)
            yield Deployed(client, bus, before)
        finally:
            await bus.aclose()


async def metrics_of(client: httpx.AsyncClient) -> tuple[Sample, ...]:
    """Return what the service behind a client has counted. Raises ServiceUnreachable when it does not say."""
    url = client.base_url.join("/metrics")
    try:
        return parse_metrics((await client.get(url)).raise_for_status().text)
    except (httpx.HTTPError, ValueError) as error:
        raise ServiceUnreachable(
            f"{url} gave no metrics ({type(error).__name__}). Name the service itself, not a gateway in front of it."
        ) from None


async def counted_since(client: httpx.AsyncClient, before: Sequence[Sample], callbacks: int) -> tuple[Sample, ...]:
    """Return what the service has counted since `before`, once it has counted so many callbacks.

    It counts a callback after it has published it, and callbacks of a bundle together. Raises ServiceUnreachable.
    """
    deadline = asyncio.get_running_loop().time() + COUNTING_S
    while True:
        found = since(before, await metrics_of(client))
        counted = sum(sample.value for sample in found if sample.name == CALLBACKS_COUNTED)
        if counted >= callbacks or asyncio.get_running_loop().time() >= deadline:
            return found
        await asyncio.sleep(0.1)


class RetryingTransport(httpx.AsyncBaseTransport):
    """A transport that posts again for a minute when a service is away or full: a correlation id is answered once."""

    def __init__(self, inner: httpx.AsyncBaseTransport, patience_s: float = PATIENCE_S) -> None:
        self._inner = inner
        self._patience_s = patience_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer; the last one when patience is at its end."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s

        async def post() -> httpx.Response:
            response = await self._inner.handle_async_request(request)
            if response.status_code in RETRYABLE_STATUSES:
                await response.aread()
                raise httpx.HTTPStatusError("", request=request, response=response)
            return response

        def least_wait_s(error: Exception) -> float | None:
            return 0.0 if isinstance(error, httpx.HTTPError) and loop.time() < deadline else None

        if request.method != "POST":
            return await self._inner.handle_async_request(request)
        try:
            return await retry(post, on=least_wait_s, waits=_WAITS)
        except httpx.HTTPStatusError as last:
            return last.response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


async def _mode_faults(client: httpx.AsyncClient, deployment: Deployment, mode: Mode) -> list[tuple[str, str, str]]:
    """Return what is wrong with the mode: field, problem, remedy. Raises ServiceUnreachable."""
    url = deployment.url
    try:
        response = await client.get(client.base_url.join("/admin/mock-mode"))
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ServiceUnreachable(
            f"{url}: no LPS answers there ({type(error).__name__}). Start one: cj-pipeline lps serve"
        ) from None
    if response.status_code != httpx.codes.OK:
        deployment.notice(
            f"{url}/admin/mock-mode answered {response.status_code}: whether it runs '{mode.expression}' is unknown."
        )
        return []
    running, mocks = _running_mode(response, url)
    if not mocks:
        problem = "the service would ask real providers, which costs money"
        remedy = "Serve it with LLM_PROVIDER_SERVICE_USE_MOCK_LLM=true; `cj-pipeline lps serve --mode M` does."
        return [("use_mock_llm", problem, remedy)]
    if running == mode.expression:
        return []
    problem = f"the service runs '{running}', and this run means '{mode.expression}'"
    otherwise = f", or run with --mode {running}" if deployment.takes_mode else ""
    return [("mock_mode", problem, f"Serve it by `cj-pipeline lps serve --mode {mode.expression}`{otherwise}.")]


async def _strategy_faults(
    client: httpx.AsyncClient, deployment: Deployment, wanted: QueueProcessingMode
) -> list[tuple[str, str, str]]:
    """Return at once what would otherwise show after a whole batch, as a count of 0 under another label."""
    url = deployment.url
    try:
        document = (await client.get(client.base_url.join("/healthz"))).json()
        running = document["dependencies"]["queue"]["processing_mode"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        deployment.notice(f"{url}/healthz does not say how the service works its queue; wanted is '{wanted}'.")
        return []
    if running == wanted:
        return []
    problem = f"the service works its queue as '{running}', and the scenario means '{wanted}'"
    remedy = (
        f"Serve it with LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_MODE={wanted}. A scenario of your own may say "
        f"service.queue_processing_mode: {running} instead."
    )
    return [("dependencies.queue.processing_mode", problem, remedy)]


async def _prepared(bus: Bus) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await bus.prepare([CALLBACK_TOPIC])
    except TimeoutError:
        raise ServiceUnreachable(
            f"{bus} does not answer within {PATIENCE_S:g} s. Name the bus that the service publishes to: "
            "--kafka, or --bus."
        ) from None


def _running_mode(response: httpx.Response, url: str) -> tuple[str, bool]:
    try:
        document = response.json()
        return str(document["mock_mode"] or "default"), bool(document["use_mock_llm"])
    except (ValueError, KeyError, TypeError):
        raise ServiceUnreachable(
            f"{url}: what answers there is no LPS: /admin/mock-mode gave no 'mock_mode'."
        ) from None
