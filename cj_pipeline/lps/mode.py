"""What a mode file may say: the schema of a named behaviour of the mock provider.

Here: the sections, their models and ranges. Not here: reading and combining files (mode_files.py), what an answer is
made of (mock_draws.py). A new way to pick a winner is a class here and a case there; a new behaviour made of existing
ways is a file in modes/.
"""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.model import FileModel

# Strict: in YAML a quoted number or a `yes` where a number belongs is a slip.
Number = Annotated[float, Field(strict=True)]
NonNegative = Annotated[float, Field(strict=True, ge=0.0)]
Positive = Annotated[float, Field(strict=True, gt=0.0)]
Probability = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
Confidence15 = Annotated[float, Field(strict=True, ge=1.0, le=5.0)]
Count = Annotated[int, Field(strict=True, ge=0)]
PositiveCount = Annotated[int, Field(strict=True, ge=1)]


def _non_decreasing(values: tuple[float, ...]) -> tuple[float, ...]:
    for position, (low, high) in enumerate(pairwise(values)):
        if high < low:
            raise ValueError(f"quantiles must not decrease: {high:g} follows {low:g} at index {position + 1}")
    return values


class FittedFrom(FileModel):
    """The trace whose numbers these are."""

    scenario_id: Annotated[str, Field(min_length=1)]
    trace_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _WinnerModel(FileModel):
    invert: Annotated[bool, Field(strict=True)] = False
    """Answer the opposite of what the model says."""


class AlwaysWinner(_WinnerModel):
    """One position, every time."""

    model: Literal["always"]
    winner: Winner


class HashShareWinner(_WinnerModel):
    """Production's mock: the first 8 hex digits of sha256(prompt), mod `modulus`; below `a_below` is Essay A.

    Stable per prompt, blind to who is compared.
    """

    model: Literal["hash_share"]
    modulus: PositiveCount
    a_below: Count

    @field_validator("a_below")
    @classmethod
    def _within_modulus(cls, a_below: int, info: ValidationInfo) -> int:
        modulus = info.data.get("modulus")
        if modulus is not None and a_below > modulus:
            raise ValueError(f"{a_below} is more than modulus {modulus}")
        return a_below


class CoinWinner(_WinnerModel):
    """Essay A with a fixed probability, drawn anew for each request."""

    model: Literal["coin"]
    share_a: Probability


class Spread(FileModel):
    """A normal distribution of abilities, in logits."""

    mean: Number
    sd: NonNegative


class AbilityWinner(_WinnerModel):
    """P(Essay A) = sigmoid((theta_a - theta_b + position_effect) / temperature)."""

    model: Literal["ability"]
    abilities: dict[str, Number]
    """theta in logits by essay id."""
    unknown_spread: Spread
    """Where the ability of an essay that is not listed comes from; the same in every run of this mode."""
    position_effect: Number = 0.0
    """Logits in favour of whichever essay is shown as A."""
    temperature: Positive = 1.0


WinnerModel = Annotated[
    AlwaysWinner | HashShareWinner | CoinWinner | AbilityWinner,
    Field(discriminator="model"),
]


class _LatencyModel(FileModel):
    scale: NonNegative = 1.0
    """Multiplies every latency."""


class ConstantLatency(_LatencyModel):
    """The same every time."""

    model: Literal["constant"]
    ms: NonNegative


class UniformLatency(_LatencyModel):
    """Evenly between two bounds."""

    model: Literal["uniform"]
    low_ms: NonNegative
    high_ms: NonNegative

    @field_validator("high_ms")
    @classmethod
    def _ordered(cls, high_ms: float, info: ValidationInfo) -> float:
        low_ms = info.data.get("low_ms")
        if low_ms is not None and high_ms < low_ms:
            raise ValueError(f"{high_ms:g} is less than low_ms {low_ms:g}")
        return high_ms


class QuantileLatency(_LatencyModel):
    """A recorded distribution: its quantiles at equally spaced probabilities from 0 to 1, straight lines between."""

    model: Literal["quantiles"]
    ms: Annotated[tuple[NonNegative, ...], Field(min_length=2)]

    _monotone = field_validator("ms")(_non_decreasing)


LatencyModel = Annotated[
    ConstantLatency | UniformLatency | QuantileLatency,
    Field(discriminator="model"),
]


class ConstantTokens(FileModel):
    """The same every time."""

    model: Literal["constant"]
    tokens: Count


class PromptWords(FileModel):
    """ceil(words of the prompt x `per_word`), at least 1 and at least `floor`."""

    model: Literal["words"]
    per_word: Positive
    floor: Count = 0


class PerItemTokens(FileModel):
    """What a prompt costs without essays, plus what each of its two essays adds."""

    model: Literal["per_item"]
    base: Number
    items: dict[str, Number]
    """Tokens by essay id."""
    unknown: Number
    """Tokens of an essay that is not listed."""


class CompletionWords(FileModel):
    """ceil(words of the justification x `per_word`) + `extra`, at least 1 and at least `floor`."""

    model: Literal["words"]
    per_word: Positive
    extra: Count = 0
    floor: Count = 0


class QuantileTokens(FileModel):
    """A recorded distribution: its quantiles at equally spaced probabilities from 0 to 1, straight lines between."""

    model: Literal["quantiles"]
    tokens: Annotated[tuple[NonNegative, ...], Field(min_length=2)]

    _monotone = field_validator("tokens")(_non_decreasing)


class Tokens(FileModel):
    """Tokens on the bill, prompt and completion."""

    prompt: Annotated[PromptWords | ConstantTokens | PerItemTokens, Field(discriminator="model")]
    completion: Annotated[CompletionWords | ConstantTokens | QuantileTokens, Field(discriminator="model")]
    scale: NonNegative = 1.0
    """Multiplies both, which are then rounded."""


class JitterConfidence(FileModel):
    """`base` +- up to `jitter`, evenly, on the wire's scale of 1 to 5; clamped to it."""

    model: Literal["jitter"]
    base: Confidence15
    jitter: NonNegative


class QuantileConfidence(FileModel):
    """A recorded distribution on the scale of 1 to 5: quantiles at equally spaced probabilities from 0 to 1."""

    model: Literal["quantiles"]
    values: Annotated[tuple[Confidence15, ...], Field(min_length=2)]

    _monotone = field_validator("values")(_non_decreasing)


class Cache(FileModel):
    """Whether the provider reports a prompt cache, and how often it hits."""

    enabled: Annotated[bool, Field(strict=True)] = False
    hit_rate: Probability = 0.0


class Errors(FileModel):
    """Independent failures, drawn per attempt; the HTTP status that failed is drawn evenly from `codes`."""

    rate: Probability = 0.0
    codes: Annotated[tuple[Annotated[int, Field(strict=True, ge=400, le=599)], ...], Field(min_length=1)] = (
        429,
        503,
        500,
    )


class Mode(FileModel):
    """A named behaviour of the mock provider."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
    description: Annotated[str, Field(min_length=1)]
    fitted_from: FittedFrom | None = None
    winner: WinnerModel
    latency: LatencyModel
    tokens: Tokens
    confidence: Annotated[JitterConfidence | QuantileConfidence, Field(discriminator="model")]
    cache: Cache = Cache()
    errors: Errors = Errors()
    streaming_metadata: Annotated[bool, Field(strict=True)] = False
    """Whether callbacks say `streaming_simulated`."""
    overlays: tuple[str, ...] = ()
    """What was laid over the file, in order; written by `load_mode`, refused in files."""

    @property
    def expression(self) -> str:
        """`NAME+OVERLAY...`; for a built-in mode, what `load_mode` makes this mode from."""
        return "+".join((self.name, *self.overlays))

    def sha256(self) -> str:
        """Hex digest of the content: equal exactly when two modes behave and read alike."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return sha256(canonical.encode()).hexdigest()
