"""This module keeps the results of the providers since the process started, as `GET /api/v1/providers` shows them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, billed
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.clock import LoopClock


@dataclass(slots=True)
class ProviderRecord:
    """One provider's attempts so far. response_ms: sum over its successes."""

    successes: int = 0
    failures: int = 0
    response_ms: int = 0
    last_success: datetime | None = None
    last_failure: datetime | None = None

    @property
    def mean_response_ms(self) -> float | None:
        """Over successes; None before the first."""
        return self.response_ms / self.successes if self.successes else None


class ProviderStats:
    """Records by provider, and the sums of the current day (UTC)."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        self._records: defaultdict[Provider, ProviderRecord] = defaultdict(ProviderRecord)
        self._day: date | None = None
        self._requests_today = 0
        self._cost_today = 0.0

    def attempted(self, provider: Provider, outcome: ProviderAnswer | Failure) -> None:
        """One attempt is over."""
        now = self._clock.now()
        self._turn_day(now.date())
        self._requests_today += 1
        record = self._records[provider]
        if isinstance(outcome, Failure):
            record.failures += 1
            record.last_failure = now
            self._cost_today += billed(outcome)[1]
            return
        record.successes += 1
        record.last_success = now
        record.response_ms += outcome.response_time_ms
        self._cost_today += outcome.cost_estimate

    def of(self, provider: Provider) -> ProviderRecord:
        """One provider's record."""
        return self._records[provider]

    def today(self) -> tuple[int, float]:
        """(attempts, US dollars) since midnight UTC, or since the process started if that was later."""
        self._turn_day(self._clock.now().date())
        return self._requests_today, self._cost_today

    def _turn_day(self, day: date) -> None:
        if day != self._day:
            self._day, self._requests_today, self._cost_today = day, 0, 0.0
