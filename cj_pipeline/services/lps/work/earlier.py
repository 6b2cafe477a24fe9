"""This module remembers what failed attempts were billed for, so that a callback says what all of it cost.

It remembers in this process alone: what an attempt in another one was billed for is in that one's metrics.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from uuid import UUID

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, billed
from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.reasons import BILLED, PRICE
from cj_pipeline.services.lps.work.callbacks import Outcome

# A request that another instance ends stays here; as many as a queue may hold at most are remembered.
_MOST = 10_000


class EarlierAttempts:
    """Tokens and dollars by request."""

    def __init__(self) -> None:
        self._billed: OrderedDict[UUID, tuple[TokenUsage, float]] = OrderedDict()

    def failed(self, queue_id: UUID, failure: Failure) -> None:
        """An attempt failed, and there will be another."""
        tokens, cost = billed(failure)
        if tokens is None:
            return
        before, price = self._billed.get(queue_id, (TokenUsage(), 0.0))
        self._billed[queue_id] = _sum(before, tokens), price + cost
        if len(self._billed) > _MOST:
            self._billed.popitem(last=False)

    def with_all(self, queue_id: UUID, outcome: Outcome) -> Outcome:
        """Return the outcome of a request that is over, with what its earlier attempts were billed for."""
        before = self._billed.pop(queue_id, None)
        if before is None:
            return outcome
        tokens, cost = before
        if isinstance(outcome, ProviderAnswer):
            return replace(
                outcome,
                token_usage=_sum(tokens, outcome.token_usage),
                cost_estimate=round(cost + outcome.cost_estimate, 6),
            )
        last, price = billed(outcome)
        added = _sum(tokens, last or TokenUsage())
        details = {**outcome.details, BILLED: added.model_dump(), PRICE: round(cost + price, 6)}
        return replace(outcome, details=details)


def _sum(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    return TokenUsage(**{name: getattr(one, name) + getattr(other, name) for name in TokenUsage.model_fields})
