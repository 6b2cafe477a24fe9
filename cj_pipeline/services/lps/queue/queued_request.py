"""This module holds a comparison that was accepted, with everything that admission works out of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cj_pipeline.contracts.comparison import ComparisonRequest, LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.services.lps.queue.trace_context import TraceContext, trace_of

# 0 to 10, higher first. Nothing on the wire sets it, so all requests share production's one value.
DEFAULT_PRIORITY = 5


@dataclass(frozen=True, slots=True, eq=False)
class QueuedRequest:
    """One accepted request."""

    queue_id: UUID
    correlation_id: UUID
    request: ComparisonRequest
    overrides: LLMConfigOverrides
    provider: Provider
    """Whom the request names; callbacks and labels of series repeat it."""
    resolved_provider: Provider
    """Who answers: the mock stands in for every provider under USE_MOCK_LLM."""
    model_label: str
    """The model as metrics name it: one of the manifest's, `other`, or `default` where it is left to the provider."""
    prompt_sha256: str
    """Lower-case hex of the prompt that the provider is shown."""
    requested_at: datetime
    enqueued_at: float
    """On the loop's monotonic clock, seconds."""
    expires_at: float
    """The same clock; not answered by then, it gets an error callback."""
    size_bytes: int
    """Of its JSON."""
    priority: int = DEFAULT_PRIORITY
    attempts: int = 0
    """How many were made before this one."""
    worked_s: float = 0.0
    """How long those took, seconds."""
    sent_trace: TraceContext | None = None
    """The trace that the client is in; None when it did not say."""

    @property
    def model_override(self) -> str | None:
        """The model that the request names; None where it leaves that to the provider."""
        return self.overrides.model_override

    @property
    def user_prompt(self) -> str:
        """The prompt that the request carries."""
        return self.request.user_prompt

    def essay_ids(self) -> tuple[str, str] | None:
        """The essays shown as A and as B, from the metadata; None when it does not name both."""
        metadata = self.request.metadata
        essay_a, essay_b = metadata.get("essay_a_id"), metadata.get("essay_b_id")
        if essay_a is None or essay_b is None:
            return None
        return str(essay_a), str(essay_b)

    @property
    def trace(self) -> TraceContext:
        """The trace of the request: the client's, else one of its own."""
        return self.sent_trace or trace_of(self.queue_id)

    def batch_key(self) -> str:
        """Return the key of its callback on the bus: the callbacks of one batch stay in order."""
        metadata = self.request.metadata
        batch = metadata.get("bos_batch_id") or metadata.get("cj_batch_id")
        return str(self.correlation_id) if batch is None else str(batch)


def queue_id_of(correlation_id: UUID) -> UUID:
    """A request's queue id follows from its correlation id, so that a repeated POST gets the same one."""
    return keyed_uuid("lps", "queue_id", str(correlation_id))
