"""This module computes what an answer cost: tokens as they are billed, times the manifest's prices."""

from __future__ import annotations

from dataclasses import dataclass

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.services.lps.providers.model import Model


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer.

    reported: as the API counts them. The other figures do not overlap: what is read from a cache or written to one is
    no part of `input_tokens`, whether the API counts it there (OpenAI, Google) or not (Anthropic).
    """

    reported: TokenUsage
    input_tokens: int
    output_tokens: int
    """Reasoning included."""
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reports_cache: bool = False
    """Whether the API said anything about its cache; when it did not, no figures of it are passed on."""

    @property
    def cache_creation_tokens(self) -> int:
        """Written to a cache, for whatever time."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens


def cost_usd(model: Model, usage: Usage, *, in_batch: bool = False) -> float | None:
    """US dollars, to 6 decimals; None when the model's prices are unknown.

    Where only the price of cached tokens is unknown they cost as much as others. in_batch: asked through the provider's
    batch endpoint, which has prices of its own.
    """
    fresh, written = model.cost_per_1k_input_tokens, model.cost_per_1k_output_tokens
    factor = model.batch_price_factor if in_batch else 1.0
    if fresh is None or written is None or factor is None:
        return None
    thousandths = (
        usage.input_tokens * fresh
        + usage.output_tokens * written
        + usage.cache_read_tokens * _or(model.cost_per_1k_cached_input_tokens, fresh)
        + usage.cache_write_5m_tokens * _or(model.cost_per_1k_cache_write_5m_tokens, fresh)
        + usage.cache_write_1h_tokens * _or(model.cost_per_1k_cache_write_1h_tokens, fresh)
    )
    return round(thousandths * factor / 1000, 6)


def _or(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price
