"""This module is the schema of a mode's `errors` section: how often an attempt fails, and how."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.mock.mode.numbers import Count, NonNegative, Positive, PositiveCount, Probability, Switch

HttpErrorStatus = Annotated[int, Field(strict=True, ge=400, le=599)]

# The statuses with which a provider may say when to come back.
RETRY_AFTER_STATUS = frozenset({429, 503})


class ErrorKinds(FileModel):
    """How failures divide into kinds: weights, of which only the proportions count."""

    http: NonNegative = 1.0
    """An HTTP status from `codes`: EXTERNAL_SERVICE_ERROR with details.status_code."""
    timeout: NonNegative = 0.0
    """No answer within `timeout_ms`: TIMEOUT, worth a retry."""
    provider: NonNegative = 0.0
    """The provider reports an error without a status: EXTERNAL_SERVICE_ERROR, worth a retry."""
    malformed: NonNegative = 0.0
    """An answer that cannot be read: PARSING_ERROR, not worth a retry."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.http + self.timeout + self.provider + self.malformed == 0.0:
            raise ValueError("at least one kind needs a weight above 0")
        return self


class MixedError(FileModel):
    """One way to fail, as real providers do."""

    code: ErrorCode
    """The error code of the callback."""
    reason: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """In `error_detail.details.reason`: what a code leaves open (`truncated`, `refused`)."""
    share: Positive
    """A weight, of which only the proportion to the others counts."""
    retryable: Switch = False
    """Whether the service may ask again. False for a failure as a recording has it: what was left after the retries."""
    latency_ms: NonNegative | None = None
    """How long the failed call takes; null for as long as an answer would, or `timeout_ms` for a TIMEOUT."""
    prompt_tokens: Count | None = None
    """What the failed call is billed for, in the details of its error, with its cost; null where nobody says."""
    completion_tokens: Count | None = None
    """The same of what it wrote."""


class Bursts(FileModel):
    """Failures that come in runs: calm or burst, one step per call; in a burst every call fails, retries included.

    The state belongs to the number of the call: the same calls in the same order meet the same bursts.
    """

    # In this order: the validator of `rate` looks at `length`.
    length: Annotated[float, Field(strict=True, ge=1.0)] = 1.0
    """Mean length of a burst, in calls."""
    rate: Probability = 0.0
    """Share of all calls that fall into a burst, in the long run."""

    @field_validator("rate")
    @classmethod
    def _reachable(cls, rate: float, info: ValidationInfo) -> float:
        # A burst is followed by one calm call at least, so L of L + 1 calls is the most there can be.
        length = info.data.get("length")
        if length is not None and rate > length / (length + 1.0):
            raise ValueError(
                f"bursts of {length:g} calls take at most {length / (length + 1.0):.3g} of all calls, not {rate:g}; "
                "make them longer"
            )
        return rate

    @property
    def begins(self) -> float:
        """Probability that a burst follows a calm call."""
        return self.rate / (1.0 - self.rate) / self.length

    @property
    def ends(self) -> float:
        """Probability that a calm call follows one in a burst."""
        return 1.0 / self.length


class Errors(FileModel):
    """Failures, drawn per attempt; the HTTP status that failed is drawn evenly from `codes`."""

    rate: Probability = 0.0
    """Share of calls that fail by themselves, outside bursts."""
    codes: Annotated[tuple[HttpErrorStatus, ...], Field(min_length=1)] = (429, 503, 500)
    """HTTP statuses of failures of kind `http`."""
    kinds: ErrorKinds = ErrorKinds()
    codes_mix: tuple[MixedError, ...] = ()
    """The ways to fail, each with its share; instead of `codes` and `kinds` where there are any."""
    timeout_ms: NonNegative = 30_000.0
    """How long a timeout takes; the other kinds take as long as an answer would."""
    retry_after_s: NonNegative | None = None
    """How long a 429 or a 503 asks to be left alone; null when it does not say."""
    bursts: Bursts = Bursts()
    repeatability: Probability = 0.0
    """Share of prompts of which it is fixed whether they fail: drawn once, and the same in every batch and retry."""
    failed: dict[str, dict[str, PositiveCount]] = Field(default_factory=dict)
    """What failed: by the essay shown as A and the one shown as B, how many of the recorded calls.

    A prompt that failed each time fails again where it is fixed; one that also has `winner.answers` is never fixed.
    """
    retry_success: Probability | None = None
    """Chance that a retry outside a burst succeeds; null: it fails at `rate`, like a first attempt."""

    @field_validator("retry_after_s")
    @classmethod
    def _has_effect(cls, retry_after_s: float | None, info: ValidationInfo) -> float | None:
        codes = info.data.get("codes")
        if retry_after_s is not None and codes is not None and not RETRY_AFTER_STATUS.intersection(codes):
            raise ValueError("goes with 429 and 503, and codes has neither")
        return retry_after_s
