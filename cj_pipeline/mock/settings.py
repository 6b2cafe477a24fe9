"""This module lays settings over a mode: production's `MOCK_*` variables.

Every setting is None by default: as the mode says. One that is set counts in any mode, fitted ones included. (In
production a pinned mode ignored some of them without a word, and one of them had no effect in any mode.)
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.foundation.environment import Listed
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.errors import RETRY_AFTER_STATUS, Bursts, Errors
from cj_pipeline.mock.mode.latency import ConstantLatency, LatencyModel, UniformLatency
from cj_pipeline.mock.mode.mode import (
    AlwaysWinner,
    Cache,
    CoinWinner,
    CompletionWords,
    ConfidenceModel,
    JitterConfidence,
    Mode,
    PromptWords,
    Tokens,
    WinnerModel,
)

# Production's defaults: what a setting falls back on when the mode has no such number (a jitter beside quantiles).
_TOKENS_PER_WORD = 0.75
_COMPLETION_EXTRA = 10
_CONFIDENCE_BASE = 4.5
_CONFIDENCE_JITTER = 0.3

Milliseconds = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class OutcomeMode(StrEnum):
    """Who wins."""

    HEURISTIC = "heuristic"
    """As the mode says."""
    ALWAYS_A = "always_a"
    ALWAYS_B = "always_b"
    COIN = "coin"


class TokenizerChoice(StrEnum):
    """How tokens are counted."""

    SIMPLE = "simple"
    TIKTOKEN = "tiktoken"


class MockSettings(BaseModel):
    """What is laid over the mode; None leaves it as it is. Raises pydantic.ValidationError naming the field."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    mock_latency_ms: Milliseconds | None = None
    """How long every answer takes; alone, exactly that."""
    mock_latency_jitter_ms: Milliseconds | None = None
    """Up to so much more, evenly; alone, on top of 0 ms."""
    mock_error_rate: Share | None = None
    """Share of attempts that fail, each by itself."""
    mock_error_codes: Listed[
        Annotated[tuple[Annotated[int, Field(ge=400, le=599)], ...], Field(min_length=1)] | None
    ] = None
    """HTTP statuses of failures: a JSON list, or numbers with commas between them."""
    mock_error_burst_rate: Share | None = None
    """Share of calls that fall into a burst of failures."""
    mock_error_burst_length: Annotated[float, Field(ge=0.0)] | None = None
    """Mean length of a burst in calls; 0 is none at all."""
    mock_cache_enabled: bool | None = None
    """Whether callbacks tell what a prompt cache did."""
    mock_cache_hit_rate: Share | None = None
    """Above 0 it also enables the cache."""
    mock_tokenizer: TokenizerChoice | None = None
    """Counts tokens from the texts, also where the mode has recorded numbers."""
    mock_tokens_per_word: Annotated[float, Field(gt=0.0)] | None = None
    """Counts tokens from words, without the mode's floors; for `tiktoken`, only where that is not at hand."""
    mock_outcome_mode: OutcomeMode | None = None
    """Who wins: heuristic (as the mode says), always_a, always_b or coin."""
    mock_confidence_base: Annotated[float, Field(ge=1.0, le=5.0)] | None = None
    """Middle of the confidence, 1 to 5."""
    mock_confidence_jitter: Annotated[float, Field(ge=0.0)] | None = None
    """Up to so much more or less, evenly."""
    mock_streaming_metadata: bool | None = None
    """Whether callbacks say `streaming_simulated`."""

    @field_validator("mock_error_burst_length")
    @classmethod
    def _a_call_or_more(cls, length: float | None, info: ValidationInfo) -> float | None:
        least = "0 for no bursts at all, otherwise at least 1"
        if length is not None and (0.0 < length < 1.0 or (length == 0.0 and info.data.get("mock_error_burst_rate"))):
            raise ValueError(f"{length:g} is not the length of a burst ({least})")
        return length

    @field_validator("mock_cache_hit_rate")
    @classmethod
    def _a_cache_to_hit(cls, hit_rate: float | None, info: ValidationInfo) -> float | None:
        if hit_rate and info.data.get("mock_cache_enabled") is False:
            raise ValueError("no cache can be hit while mock_cache_enabled is false; unset one of the two")
        return hit_rate

    @property
    def mock_settings_made(self) -> dict[str, object]:
        """The settings that are not None, by field name."""
        values = {name: getattr(self, name) for name in MockSettings.model_fields}
        return {name: value for name, value in values.items() if value is not None}


def with_settings(mode: Mode, settings: MockSettings) -> Mode:
    """The mode with everything laid over it that is set; the same object when nothing is.

    Its description names the settings, so that a record of a run shows them. Raises BadInput naming the setting that
    does not go together with the mode.
    """
    made = settings.mock_settings_made
    if not made:
        return mode
    told = ", ".join(f"{name}={_shown(value)}" for name, value in made.items())
    streaming = settings.mock_streaming_metadata
    changed = {
        "description": f"{mode.description} Settings over it: {told}.",
        "winner": _winner(mode, settings.mock_outcome_mode),
        "latency": _latency(mode, settings.mock_latency_ms, settings.mock_latency_jitter_ms),
        "tokens": _tokens(mode, settings.mock_tokenizer, settings.mock_tokens_per_word),
        "confidence": _confidence(mode, settings.mock_confidence_base, settings.mock_confidence_jitter),
        "cache": _cache(mode, settings.mock_cache_enabled, settings.mock_cache_hit_rate),
        "errors": _errors(mode, settings),
        "streaming_metadata": mode.streaming_metadata if streaming is None else streaming,
    }
    return mode.model_copy(update=changed)


def _winner(mode: Mode, outcome: OutcomeMode | None) -> WinnerModel:
    match outcome:
        case OutcomeMode.ALWAYS_A:
            return AlwaysWinner(model="always", winner=Winner.A)
        case OutcomeMode.ALWAYS_B:
            return AlwaysWinner(model="always", winner=Winner.B)
        case OutcomeMode.COIN:
            return CoinWinner(model="coin", share_a=0.5)
        case OutcomeMode.HEURISTIC | None:
            return mode.winner


def _latency(mode: Mode, base_ms: float | None, jitter_ms: float | None) -> LatencyModel:
    if base_ms is None and jitter_ms is None:
        return mode.latency
    low_ms = base_ms or 0.0
    if not jitter_ms:
        return ConstantLatency(model="constant", ms=low_ms)
    return UniformLatency(model="uniform", low_ms=low_ms, high_ms=low_ms + jitter_ms)


def _tokens(mode: Mode, tokenizer: TokenizerChoice | None, per_word: float | None) -> Tokens:
    if tokenizer is None and per_word is None:
        return mode.tokens
    prompt, completion = mode.tokens.prompt, mode.tokens.completion
    # A floor would hide the factor for every short prompt, so it goes with the old one.
    if per_word is not None or not isinstance(prompt, PromptWords):
        prompt = PromptWords(model="words", per_word=per_word or _TOKENS_PER_WORD)
    if per_word is not None or not isinstance(completion, CompletionWords):
        extra = completion.extra if isinstance(completion, CompletionWords) else _COMPLETION_EXTRA
        completion = CompletionWords(model="words", per_word=per_word or _TOKENS_PER_WORD, extra=extra)
    counted: Literal["simple", "tiktoken"] = "tiktoken" if tokenizer is TokenizerChoice.TIKTOKEN else "simple"
    return Tokens(prompt=prompt, completion=completion, scale=mode.tokens.scale, tokenizer=counted)


def _confidence(mode: Mode, base: float | None, jitter: float | None) -> ConfidenceModel:
    if base is None and jitter is None:
        return mode.confidence
    old = mode.confidence
    if not isinstance(old, JitterConfidence):
        old = JitterConfidence(model="jitter", base=_CONFIDENCE_BASE, jitter=_CONFIDENCE_JITTER)
    return JitterConfidence(
        model="jitter",
        base=old.base if base is None else base,
        jitter=old.jitter if jitter is None else jitter,
    )


def _cache(mode: Mode, enabled: bool | None, hit_rate: float | None) -> Cache:
    if enabled is None:
        enabled = mode.cache.enabled or bool(hit_rate)
    return Cache(enabled=enabled, hit_rate=mode.cache.hit_rate if hit_rate is None else hit_rate)


def _errors(mode: Mode, settings: MockSettings) -> Errors:
    old = mode.errors
    codes = settings.mock_error_codes or old.codes
    changed = {
        "rate": old.rate if settings.mock_error_rate is None else settings.mock_error_rate,
        "codes": codes,
        # The mode's own ways to fail know no status that is set here.
        "codes_mix": () if settings.mock_error_codes else old.codes_mix,
        # Without a status that may carry it, the mode's Retry-After means nothing.
        "retry_after_s": old.retry_after_s if RETRY_AFTER_STATUS.intersection(codes) else None,
        "bursts": _bursts(old.bursts, settings.mock_error_burst_rate, settings.mock_error_burst_length),
    }
    return old.model_copy(update=changed)


def _bursts(old: Bursts, rate: float | None, length: float | None) -> Bursts:
    if length == 0.0:
        return Bursts()
    try:
        return Bursts(length=length or old.length, rate=old.rate if rate is None else rate)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise BadInput(
            f"{told}.",
            path="settings",
            field="mock_error_burst_length" if rate is None else "mock_error_burst_rate",
            remedy="Set mock_error_burst_rate and mock_error_burst_length so that they go together.",
        ) from None


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(element) for element in value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
