"""This module adds up what one attempt took: the judge may be asked more than once, and may fail and be billed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.reasons import ASKS, BILLED, COST_KNOWN, PRICE, TOKENS_KNOWN, TOOK
from cj_pipeline.services.lps.providers.cost import Usage, cost_usd
from cj_pipeline.services.lps.providers.model import Model


@dataclass(slots=True)
class Spending:
    """What the asks of one attempt took. usages: of each ask that was replied to, None where it does not say."""

    model: Model
    asks: int = 0
    took_s: float = 0.0
    usages: list[Usage | None] = field(default_factory=list)
    in_batch: bool = False
    """Whether a batch endpoint was asked, which has prices of its own."""

    @property
    def took_ms(self) -> int:
        """The calls together, without what lies between them."""
        return round(self.took_s * 1000)

    @property
    def known(self) -> list[Usage]:
        """The usages that are known."""
        return [usage for usage in self.usages if usage is not None]

    def tokens(self) -> TokenUsage:
        """Return the tokens as the API counts them, as far as they are known."""
        return TokenUsage(
            **{name: sum(getattr(usage.reported, name) for usage in self.known) for name in TokenUsage.model_fields}
        )

    def cost_usd(self) -> tuple[float, bool]:
        """Return US dollars, as far as they are known, and whether that is all of them."""
        costs = [
            None if usage is None else cost_usd(self.model, usage, in_batch=self.in_batch) for usage in self.usages
        ]
        return round(sum(cost for cost in costs if cost is not None), 6), bool(costs) and None not in costs

    def of_answer(self) -> dict[str, Any]:
        """Return what the metadata of an answer says of it."""
        marks: dict[str, Any] = {}
        if len(self.known) < len(self.usages):
            marks[TOKENS_KNOWN] = False
        if not self.cost_usd()[1]:
            marks[COST_KNOWN] = False
        if self.asks > 1:
            marks[ASKS] = self.asks
        return self._usage() | marks

    def of_failure(self) -> dict[str, Any]:
        """Return what the details of a failure say of it: nothing of what nobody knows."""
        if not self.asks:
            return {}
        details: dict[str, Any] = {TOOK: self.took_ms}
        if self.known:
            cost, all_of_it = self.cost_usd()
            details |= {BILLED: self.tokens().model_dump(), PRICE: cost}
            if not all_of_it:
                details[COST_KNOWN] = False
        if self.asks > 1:
            details[ASKS] = self.asks
        return details

    def _usage(self) -> dict[str, Any]:
        if not self.known:
            return {}
        cached: dict[str, int] = {}
        if any(usage.reports_cache for usage in self.known):
            cached = {
                "cache_read_input_tokens": sum(usage.cache_read_tokens for usage in self.known),
                "cache_creation_input_tokens": sum(usage.cache_creation_tokens for usage in self.known),
            }
        # The cache figures stand inside `usage` as well: so they do on production's wire.
        return {"usage": self.tokens().model_dump() | cached, **cached}
