"""This module holds what a judge answers to one comparison: a winner with its reasons, or a failure with a code.

Providers, the mock and the queue's workers use these values. They are not the wire: `callback.py` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import BILLED, PRICE

# A provider may still say no to a retry of these (an EXTERNAL_SERVICE_ERROR that is a 401 was retried 3 times by
# production), never yes to one of the others.
RETRYABLE_CODES = frozenset(
    {ErrorCode.RATE_LIMIT, ErrorCode.EXTERNAL_SERVICE_ERROR, ErrorCode.TIMEOUT, ErrorCode.CONNECTION_ERROR}
)


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """A winner with its reasons."""

    winner: Winner
    justification: str
    """Any length; callbacks carry its first 500 characters."""
    confidence: float
    """1 to 5; where the judge gave none, 3.0 and `confidence_known: false` in the metadata."""
    model: str
    response_time_ms: int
    """The provider call alone, without waiting."""
    token_usage: TokenUsage
    cost_estimate: float
    """US dollars."""
    metadata: Mapping[str, Any]
    """What the provider adds to the request's metadata, under keys that are not there yet."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no winner. message and details go into the callback: no essay text."""

    code: ErrorCode
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    retryable: bool = False
    retry_after_s: float | None = None
    """How long the provider asked to be left alone, seconds; None when it did not say."""
    spares_attempt: bool = False
    """The call was made to find out whether the provider is back; the request may be tried as often as before."""

    @property
    def worth_retrying(self) -> bool:
        """Whether another attempt can help."""
        return self.retryable and self.code in RETRYABLE_CODES


def billed(failure: Failure) -> tuple[TokenUsage | None, float]:
    """Return the tokens that a failure was billed for and their price in US dollars; 0.0 where it is unknown."""
    stated, price = failure.details.get(BILLED), failure.details.get(PRICE)
    tokens = TokenUsage.model_validate(stated) if isinstance(stated, Mapping) else None
    return tokens, float(price) if tokens is not None and isinstance(price, int | float) else 0.0


class ProviderError(Exception):
    """One attempt failed in a way the provider understands."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        self.failure = Failure(
            code=code, message=message, details=details or {}, retryable=retryable, retry_after_s=retry_after_s
        )
        super().__init__(f"{code}: {message}")
