"""This module holds the protocol of a provider's API, without its I/O, and what the four APIs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.reasons import Reason
from cj_pipeline.services.lps.providers.apis.identifiers import identifier
from cj_pipeline.services.lps.providers.apis.verdict import BadReply, Verdict
from cj_pipeline.services.lps.providers.cost import Usage
from cj_pipeline.services.lps.providers.endpoint import Endpoint
from cj_pipeline.services.lps.providers.endpoint import Timeouts as Timeouts
from cj_pipeline.services.lps.providers.model import Model, StructuredOutput
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

# What the four APIs call a refusal of the model, and a filter before or behind it. Any other reply without a verdict in
# it is an empty one.
_STOP_REASONS = {
    **dict.fromkeys(("refusal", "refused"), Reason.REFUSED),
    **dict.fromkeys(
        (
            *("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "image_safety"),
            *("guardrail_intervened", "sensitive"),
        ),
        Reason.FILTERED,
    ),
}


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One POST. max_tokens: the limit that the payload sets, for the failure that reports it was too small."""

    url: str
    headers: Mapping[str, str]
    payload: Mapping[str, Any]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a successful reply holds. usage: None when the API did not report any."""

    verdict: Verdict
    usage: Usage | None


class Truncated(Exception):
    """The model stopped because it had written as much as it may. stop_reason: the API's word for it."""

    def __init__(self, stop_reason: str, usage: Usage | None = None) -> None:
        self.stop_reason = stop_reason
        self.usage = usage
        super().__init__(stop_reason)


class ErrorInReply(Exception):
    """A reply with status 200 that carries an error, which its body says. usage: what was billed all the same."""

    def __init__(self, usage: Usage | None = None) -> None:
        self.usage = usage
        super().__init__("an error in the body")


class Api(Protocol):
    """One provider's API."""

    @property
    def name(self) -> Provider:
        """Whose it is."""
        ...

    @property
    def default_model(self) -> str:
        """Asked when a request names none."""
        ...

    @property
    def timeouts(self) -> Timeouts:
        """How long its calls may take, unless somebody says otherwise."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""
        ...

    def call(self, request: QueuedRequest, model: Model, structure: StructuredOutput | None = None) -> ApiCall:
        """The HTTP call that asks for one comparison.

        structure: how the answer's shape is asked for; as the manifest says unless given. Raises
        prompts.InvalidPromptBlocks.
        """
        ...

    def read(self, body: bytes) -> Reply:
        """A reply with status 200. Raises BadReply, Truncated, ErrorInReply, pydantic.ValidationError."""
        ...


def max_tokens(overrides: LLMConfigOverrides, settings: ProviderSettings, model: Model) -> int:
    """What the request asks for, else the default as far as the model can write that much."""
    return overrides.max_tokens_override or min(settings.llm_default_max_tokens, model.max_tokens)


def temperature(overrides: LLMConfigOverrides, settings: ProviderSettings, model: Model) -> float | None:
    """What the request asks for, else the default; None for a model that takes none."""
    if not model.supports_temperature:
        return None
    asked = overrides.temperature_override
    return settings.llm_default_temperature if asked is None else asked


def no_verdict(stop_reason: str | None, usage: Usage | None = None) -> BadReply:
    """Return the failure of a reply without the part that should hold the verdict: a refusal, a filter, nothing."""
    word = identifier(stop_reason) or "none"
    reason = _STOP_REASONS.get(word.lower(), Reason.EMPTY_ANSWER)
    return BadReply(reason, "The reply holds no verdict.", usage=usage, stop_reason=word)


def with_usage(usage: Usage | None, read: Callable[[], Verdict]) -> Reply:
    """Return a reply with what it cost; where it holds no verdict, the failure says what it cost all the same."""
    try:
        return Reply(verdict=read(), usage=usage)
    except (BadReply, Truncated) as failure:
        failure.usage = usage
        raise
