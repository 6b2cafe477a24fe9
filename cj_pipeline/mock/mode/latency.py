"""This module holds the models that a `latency` section may follow, in milliseconds."""

from __future__ import annotations

from functools import cached_property
from math import exp
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.mock.mode.numbers import NonNegative, Positive, non_decreasing
from cj_pipeline.mock.mode.recording import Recording

# At 5 the mean is already 268,000 medians; what is meant beyond it is a mistake of unit.
_MAX_SIGMA = 5.0


class _LatencyModel(FileModel):
    scale: NonNegative = 1.0
    """Multiplies every latency."""


class Drift(FileModel):
    """Latencies that change slowly over the calls: neighbours are alike, as under the load of a host."""

    share: Annotated[float, Field(strict=True, ge=0.0, lt=1.0)] = 0.0
    """How much of the variation is slow; 0 for none. The distribution of all latencies stays as it is."""
    calls: Annotated[float, Field(strict=True, ge=1.0)] = 20.0
    """Over how many calls a slow change fades to a third."""


class _DriftingModel(_LatencyModel):
    drift: Drift = Drift()


class _DrawnModel(_DriftingModel):
    stratified: Annotated[int, Field(strict=True, ge=2)] | None = None
    """So many calls in a row take one latency from each part of the distribution, so that their mean hardly varies."""

    @model_validator(mode="after")
    def _one_course(self) -> Self:
        if self.stratified is not None and self.drift.share > 0.0:
            raise ValueError("latencies that are stratified over calls have no drift; give one of the two")
        return self


class ConstantLatency(_LatencyModel):
    """The same every time."""

    model: Literal["constant"]
    ms: NonNegative
    """How long."""


class UniformLatency(_DrawnModel):
    """Evenly between two bounds."""

    model: Literal["uniform"]
    low_ms: NonNegative
    """The least."""
    high_ms: NonNegative
    """The most."""

    @field_validator("high_ms")
    @classmethod
    def _ordered(cls, high_ms: float, info: ValidationInfo) -> float:
        low_ms = info.data.get("low_ms")
        if low_ms is not None and high_ms < low_ms:
            raise ValueError(f"{high_ms:g} is less than low_ms {low_ms:g}")
        return high_ms


class LognormalLatency(_DrawnModel):
    """The logarithm is normal: most answers near the median, a long tail above. Give the median or the mean.

    What falls outside `min_ms` and `max_ms` is set to the bound, so bounds move the mean away from `mean_ms`.
    """

    model: Literal["lognormal"]
    median_ms: Positive | None = None
    """Half of the answers take less, before the bounds."""
    mean_ms: Positive | None = None
    """Before the bounds; the median is mean / e^(sigma^2 / 2)."""
    sigma: Annotated[float, Field(strict=True, ge=0.0, le=_MAX_SIGMA)]
    """Standard deviation of the natural logarithm."""
    min_ms: NonNegative = 0.0
    """The least."""
    max_ms: NonNegative | None = None
    """The most."""

    @field_validator("max_ms")
    @classmethod
    def _ordered(cls, max_ms: float | None, info: ValidationInfo) -> float | None:
        min_ms = info.data.get("min_ms")
        if max_ms is not None and min_ms is not None and max_ms < min_ms:
            raise ValueError(f"{max_ms:g} is less than min_ms {min_ms:g}")
        return max_ms

    @model_validator(mode="after")
    def _one_centre(self) -> Self:
        if (self.median_ms is None) == (self.mean_ms is None):
            raise ValueError("give one of median_ms and mean_ms")
        return self

    @cached_property
    def median(self) -> float:
        """In milliseconds, before the bounds and `scale`."""
        if self.mean_ms is not None:
            return self.mean_ms / exp(self.sigma * self.sigma / 2.0)
        return self.median_ms or 0.0


class QuantileLatency(_DrawnModel):
    """A recorded distribution: its quantiles at equally spaced probabilities from 0 to 1, straight lines between."""

    model: Literal["quantiles"]
    ms: Annotated[tuple[NonNegative, ...], Field(min_length=2)]
    """The quantiles, in order."""

    _monotone = field_validator("ms")(non_decreasing)


class SampledLatency(_DriftingModel):
    """That of the sample that is drawn from the mode's `samples`."""

    model: Literal["sampled"]


class ReplayLatency(_LatencyModel):
    """As long as the recorded answer took."""

    model: Literal["replay"]
    callbacks: Recording
    """What is replayed; the path is relative to the mode file."""


LatencyModel = Annotated[
    ConstantLatency | UniformLatency | LognormalLatency | QuantileLatency | SampledLatency | ReplayLatency,
    Field(discriminator="model"),
]
