"""A provider that fails where it is told to, and remembers who asked it, when, and how many at once.

Here: the provider, and putting it into a lab's service. Not here: assertions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from cj_pipeline.contracts.answer import ProviderAnswer, ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.services.lps.providers.mock import MockProvider
from cj_pipeline.services.lps.providers.provider import LlmProvider
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from tests.services.lps.lab import Lab, correlation_id, mode

SLOW = {"latency": {"model": "constant", "ms": 1000}}

Failing = Callable[[UUID, int], BaseException | None]
Served = TypeVar("Served", bound=LlmProvider)


def never(_: UUID, __: int) -> None:
    """No attempt fails."""


def first_attempts_of(number: int, error: BaseException, *, attempts: int = 1) -> Failing:
    """The first attempts at one request fail."""
    return lambda asked, attempt: error if asked == correlation_id(number) and attempt < attempts else None


def late(retry_after_s: float | None = None) -> ProviderError:
    """A failure that a retry can help."""
    return ProviderError(ErrorCode.RATE_LIMIT, "Not now.", retryable=True, retry_after_s=retry_after_s)


class Moody(MockProvider):
    """A mock, by default of 1 s an answer. fail: what an attempt at a request raises, by correlation id and attempt."""

    def __init__(self, fail: Failing = never, of: Mode | None = None) -> None:
        super().__init__(of or mode(**SLOW), seed=42)
        self.fail = fail
        self.asked: list[tuple[UUID, int]] = []
        self.asked_at: list[float] = []
        self.most_at_once = 0
        self._at_once = 0

    async def answer(self, request: QueuedRequest, attempt: int) -> ProviderAnswer:
        self.asked.append((request.correlation_id, attempt))
        self.asked_at.append(asyncio.get_running_loop().time())
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            answer = await super().answer(request, attempt)
        finally:
            self._at_once -= 1
        error = self.fail(request.correlation_id, attempt)
        if error is not None:
            raise error
        return answer


def served_by(lab: Lab, provider: Served) -> Served:
    """Let this provider answer for the mock."""
    providers = lab.service.providers
    assert isinstance(providers, dict)
    providers[Provider.MOCK] = provider
    return provider
