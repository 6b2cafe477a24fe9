"""This module holds the circuit breaker: a provider that is down is not asked for a while.

    closed --- failures in a row ---> open --- recovery timeout ---> half open --- successes in a row ---> closed
                                       ^------------- a failure ---------'

What counts as a failure is one that waiting can mend and that is the provider's: an outage, a timeout, a lost
connection. A rate limit says that the provider is up, and a refused request says nothing about it; neither opens a
breaker. Production's watched for exceptions that its providers never let through, and never opened.

An attempt is a call that was made for the request's own sake. While a breaker is not closed the workers hold the
requests of its provider (`held_s`), and a probe that fails takes no attempt from the request that it was made with:
only its time to live ends a request during an outage, however long that is. The request then waits behind the others,
so that the next probe is made with another one: if that succeeds, the first may be what the provider fails on, and its
next failure counts.

Nothing here sets a timer: an open breaker finds out that its time is over when it is next asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import Reason
from cj_pipeline.services.lps.providers.provider import LlmProvider
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

_log = logging.getLogger(__name__)


class CircuitState(StrEnum):
    """The state of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerMetrics(Protocol):
    """What a breaker reports. circuit_name: as in `llm_openai`."""

    def circuit_state(self, circuit_name: str, state: CircuitState) -> None:
        """Set the state of a breaker."""

    def circuit_changed(self, circuit_name: str, before: CircuitState, after: CircuitState) -> None:
        """It has moved."""

    def circuit_called(self, circuit_name: str, result: str) -> None:
        """A call is over. result: success, failure, uncounted, or rejected for one that was not made."""


# How long a request waits for the end of a probe, as a share of the recovery timeout and at least and at most in
# seconds: nobody can know how long a probe takes, and a queue of 1,000 comes to ask once in that time.
_PROBE_SHARE, _PROBE_LEAST_S, _PROBE_MOST_S = 0.05, 0.25, 5.0


class CircuitOpen(Exception):
    """Not now. retry_after_s: until the breaker lets a probe through; None while one is under way."""

    def __init__(self, state: CircuitState, retry_after_s: float | None) -> None:
        self.state = state
        self.retry_after_s = retry_after_s
        super().__init__(state.value)


class CircuitBreaker:
    """The breaker of one service, on the running loop's clock."""

    def __init__(
        self,
        name: str,
        metrics: BreakerMetrics,
        *,
        failure_threshold: int,
        recovery_timeout_s: float,
        success_threshold: int,
    ) -> None:
        self.name = name
        self._metrics = metrics
        self._failure_threshold = failure_threshold
        self.recovery_timeout_s = recovery_timeout_s
        self.probe_s = min(_PROBE_MOST_S, max(_PROBE_LEAST_S, _PROBE_SHARE * recovery_timeout_s))
        self._success_threshold = success_threshold
        self._state = CircuitState.CLOSED
        self._in_a_row = 0  # failures while closed, successes while half open
        self._opened_at = 0.0
        self._probing = False
        # Goes up with each change of state, so that a call that began before one does not count after it.
        self._period = 0
        metrics.circuit_state(name, self._state)

    @property
    def state(self) -> CircuitState:
        """As of the last call; an open breaker turns half open when it is next asked."""
        return self._state

    @property
    def held_s(self) -> float:
        """Seconds until a call may be let through; 0 when one would be now."""
        if self._state is CircuitState.OPEN:
            return max(0.0, self._opened_at + self.recovery_timeout_s - asyncio.get_running_loop().time())
        return self.probe_s if self._probing else 0.0

    def admit(self) -> int:
        """Let a call through; it must end with one of the three methods below. Raises CircuitOpen.

        Returns what those methods take: the period in which the call began.
        """
        if self._state is CircuitState.OPEN:
            left_s = self.held_s
            if left_s > 0:
                self._metrics.circuit_called(self.name, "rejected")
                raise CircuitOpen(self._state, left_s)
            self._move(CircuitState.HALF_OPEN)
        if self._state is CircuitState.HALF_OPEN:
            if self._probing:
                self._metrics.circuit_called(self.name, "rejected")
                raise CircuitOpen(self._state, None)
            self._probing = True
        return self._period

    def succeeded(self, period: int) -> None:
        """The call worked."""
        self._metrics.circuit_called(self.name, "success")
        if period != self._period:
            return
        if self._state is CircuitState.CLOSED:
            self._in_a_row = 0
            return
        self._probing = False
        self._in_a_row += 1
        if self._in_a_row >= self._success_threshold:
            self._move(CircuitState.CLOSED)

    def failed(self, period: int) -> None:
        """The call failed in a way that counts."""
        self._metrics.circuit_called(self.name, "failure")
        if period != self._period:
            return
        if self._state is CircuitState.CLOSED:
            self._in_a_row += 1
            if self._in_a_row < self._failure_threshold:
                return
        self._opened_at = asyncio.get_running_loop().time()
        self._move(CircuitState.OPEN)

    def uncounted(self, period: int) -> None:
        """The call ended in a way that says nothing about the service."""
        self._metrics.circuit_called(self.name, "uncounted")
        if period == self._period:
            self._probing = False

    def _move(self, after: CircuitState) -> None:
        before, self._state = self._state, after
        self._period += 1
        self._in_a_row = 0
        self._probing = False
        _log.log(
            logging.WARNING if after is CircuitState.OPEN else logging.INFO,
            "the breaker %s is %s; requests %s",
            self.name,
            after.value.replace("_", " "),
            f"wait for {self.recovery_timeout_s:g} s" if after is CircuitState.OPEN else "go on",
        )
        self._metrics.circuit_changed(self.name, before, after)
        self._metrics.circuit_state(self.name, after)


class Closable(LlmProvider, Protocol):
    """A provider with connections to close."""

    async def aclose(self) -> None:
        """Close them."""
        ...


class BreakerProvider:
    """A provider that is asked only while its breaker lets it."""

    def __init__(self, inner: Closable, breaker: CircuitBreaker) -> None:
        self._inner = inner
        self.breaker = breaker
        self._failed_probes: set[UUID] = set()
        self._suspects: set[UUID] = set()

    @property
    def name(self) -> Provider:
        """Who is behind the breaker."""
        return self._inner.name

    @property
    def circuit_state(self) -> CircuitState:
        """Whether it is being asked at all."""
        return self.breaker.state

    @property
    def held_s(self) -> float:
        """Seconds until its breaker may let a request through."""
        return self.breaker.held_s

    async def aclose(self) -> None:
        """Close its connections."""
        await self._inner.aclose()

    async def answer(self, request: QueuedRequest, attempt: int) -> ProviderAnswer:
        """Ask once, or say how long not to. Raises ProviderError."""
        try:
            period = self.breaker.admit()
        except CircuitOpen as refusal:
            raise self._refused(refusal) from None
        probing = self.breaker.state is CircuitState.HALF_OPEN
        over: Callable[[int], None] = self.breaker.uncounted  # also of a call that is cancelled
        try:
            answer = await self._inner.answer(request, attempt)
            over = self.breaker.succeeded
        except ProviderError as error:
            if _counts(error.failure):
                over = self.breaker.failed
                if probing and request.queue_id not in self._suspects:
                    error.failure = self._spared(request, error.failure)
            raise
        finally:
            over(period)
        self._worked()
        return answer

    def _spared(self, request: QueuedRequest, failure: Failure) -> Failure:
        self._failed_probes.add(request.queue_id)
        behind_s = self.breaker.recovery_timeout_s + self.breaker.probe_s
        return replace(failure, spares_attempt=True, retry_after_s=max(behind_s, failure.retry_after_s or 0.0))

    def _worked(self) -> None:
        """The provider has answered: what it failed on before may be to blame for that itself."""
        closed = self.breaker.state is CircuitState.CLOSED
        self._suspects = set() if closed else self._suspects | self._failed_probes
        self._failed_probes = set()

    def _refused(self, refusal: CircuitOpen) -> ProviderError:
        return ProviderError(
            ErrorCode.EXTERNAL_SERVICE_ERROR,
            f"{self.name} failed repeatedly and is left alone for now.",
            {
                "provider": self.name.value,
                "reason": Reason.CIRCUIT_OPEN.value,
                "error_type": "circuit_open",
                "retryable": True,
                "circuit_breaker_state": refusal.state.value,
            },
            retryable=True,
            retry_after_s=refusal.retry_after_s,
        )


def _counts(failure: Failure) -> bool:
    return failure.worth_retrying and failure.code is not ErrorCode.RATE_LIMIT
