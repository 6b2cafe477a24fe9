"""A comparison that was accepted and waits for its answer.

Here: the accepted request with everything that is worked out once, at the door. Not here: the order in which requests
are answered (queue.py, bundling.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from cj_pipeline.contracts.comparison import ComparisonRequest, LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.seeding import keyed_uuid

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
    """Whom the request names; callbacks repeat it."""
    resolved_provider: Provider
    """Who answers: the mock stands in for every provider under USE_MOCK_LLM."""
    prompt_sha256: str
    """Lower-case hex of the prompt that the provider is shown; the mock is shown `user_prompt`."""
    requested_at: datetime
    enqueued_at: float
    """On the loop's monotonic clock, seconds."""
    priority: int = DEFAULT_PRIORITY

    @property
    def model_label(self) -> str:
        """The model as metrics name it; production's word when the request leaves it to the provider."""
        return self.overrides.model_override or "unknown"

    def essay_ids(self) -> tuple[str, str] | None:
        """The essays shown as A and as B, from the metadata; None when it does not name both."""
        metadata = self.request.metadata
        essay_a, essay_b = metadata.get("essay_a_id"), metadata.get("essay_b_id")
        if essay_a is None or essay_b is None:
            return None
        return str(essay_a), str(essay_b)


def queue_id_of(correlation_id: UUID) -> UUID:
    """A request's queue id follows from its correlation id, so that a repeated POST gets the same one."""
    return keyed_uuid("lps", "queue_id", str(correlation_id))


def prompt_sha256_of(user_prompt: str) -> str:
    """Hash of the prompt as the mock is shown it: `prompt_blocks` do not count."""
    return sha256(user_prompt.encode()).hexdigest()
