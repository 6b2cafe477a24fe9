"""This module holds the protocol that the workers see of a provider."""

from __future__ import annotations

from typing import Protocol

from cj_pipeline.contracts.answer import ProviderAnswer
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest


class LlmProvider(Protocol):
    """A provider behind the queue."""

    @property
    def name(self) -> Provider:
        """Who this is, in metadata and metrics."""
        ...

    @property
    def held_s(self) -> float:
        """For how many seconds no request may be put to it; 0 when one may now."""
        ...

    async def answer(self, request: QueuedRequest, attempt: int) -> ProviderAnswer:
        """Judge one comparison. attempt: 0 for the first. Raises ProviderError."""
        ...
