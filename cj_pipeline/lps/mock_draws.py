"""What a mode answers to one request: pure functions from a section of the mode and a keyed draw to a value.

Here: winners, latencies, tokens, confidence. Not here: waiting, callbacks' metadata (mock.py), the schema (mode.py).

Every draw has a purpose of its own in its key, so that an overlay which changes latencies leaves the winners alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, tanh
from statistics import NormalDist

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.lps.mode import (
    AbilityWinner,
    AlwaysWinner,
    CoinWinner,
    CompletionWords,
    ConstantLatency,
    ConstantTokens,
    HashShareWinner,
    JitterConfidence,
    Mode,
    PerItemTokens,
    PromptWords,
    QuantileConfidence,
    QuantileLatency,
    QuantileTokens,
    UniformLatency,
)
from cj_pipeline.lps.provider import ProviderError
from cj_pipeline.lps.queued_request import QueuedRequest
from cj_pipeline.seeding import uniform


@dataclass(frozen=True, slots=True)
class Draws:
    """The randomness of one attempt at one request."""

    seed: int
    correlation_id: str
    attempt: int

    def uniform(self, purpose: str) -> float:
        """In [0, 1); the same for the same seed, request, attempt and purpose in every process."""
        return uniform(self.seed, self.correlation_id, self.attempt, purpose)


def quantile(values: Sequence[float], probability: float) -> float:
    """Inverse CDF by straight lines through quantiles at equally spaced probabilities 0 to 1. At least two values."""
    position = probability * (len(values) - 1)
    below = min(int(position), len(values) - 2)
    return values[below] + (values[below + 1] - values[below]) * (position - below)


def winner(mode: Mode, request: QueuedRequest, draws: Draws) -> Winner:
    """Who wins. Raises ProviderError (VALIDATION_ERROR) when the mode needs essay ids that the request lacks."""
    model = mode.winner
    match model:
        case AlwaysWinner():
            is_a = model.winner is Winner.A
        case HashShareWinner():
            is_a = int(request.prompt_sha256[:8], 16) % model.modulus < model.a_below
        case CoinWinner():
            is_a = draws.uniform("winner") < model.share_a
        case AbilityWinner():
            is_a = draws.uniform("winner") < probability_of_a(model, mode.name, *_essay_ids(request, "winner"))
    return Winner.A if is_a is not model.invert else Winner.B


def probability_of_a(model: AbilityWinner, mode_name: str, essay_a: str, essay_b: str) -> float:
    """Bradley-Terry with a position effect, before `invert`."""
    difference = ability(model, mode_name, essay_a) - ability(model, mode_name, essay_b)
    # tanh instead of 1 / (1 + exp(-x)): exp overflows beyond 709 logits, which a small temperature reaches.
    return 0.5 * (1.0 + tanh((difference + model.position_effect) / model.temperature / 2.0))


def ability(model: AbilityWinner, mode_name: str, item: str) -> float:
    """An item's theta in logits; one that is not listed has the same in every run, whatever the seed."""
    listed = model.abilities.get(item)
    if listed is not None:
        return listed
    if model.unknown_spread.sd == 0.0:
        return model.unknown_spread.mean
    # A draw may be exactly 0, where the normal distribution has no quantile.
    probability = max(uniform("lps", "ability", mode_name, item), 2.0**-54)
    return NormalDist(model.unknown_spread.mean, model.unknown_spread.sd).inv_cdf(probability)


def latency_ms(mode: Mode, draws: Draws) -> int:
    """How long the provider takes, rounded to what the wire can say."""
    model = mode.latency
    match model:
        case ConstantLatency():
            ms = model.ms
        case UniformLatency():
            ms = model.low_ms + (model.high_ms - model.low_ms) * draws.uniform("latency")
        case QuantileLatency():
            ms = quantile(model.ms, draws.uniform("latency"))
    return round(ms * model.scale)


def prompt_tokens(mode: Mode, request: QueuedRequest) -> int:
    """Raises ProviderError (VALIDATION_ERROR) when the mode needs essay ids that the request lacks."""
    model = mode.tokens.prompt
    tokens: float
    match model:
        case ConstantTokens():
            tokens = model.tokens
        case PromptWords():
            tokens = max(_word_tokens(request.request.user_prompt, model.per_word), model.floor)
        case PerItemTokens():
            tokens = model.base + sum(
                model.items.get(item, model.unknown) for item in _essay_ids(request, "tokens.prompt")
            )
    return max(0, round(tokens * mode.tokens.scale))


def completion_tokens(mode: Mode, justification: str, draws: Draws) -> int:
    """Tokens of the answer."""
    model = mode.tokens.completion
    tokens: float
    match model:
        case ConstantTokens():
            tokens = model.tokens
        case CompletionWords():
            tokens = max(_word_tokens(justification, model.per_word) + model.extra, model.floor)
        case QuantileTokens():
            tokens = quantile(model.tokens, draws.uniform("completion_tokens"))
    return round(tokens * mode.tokens.scale)


def confidence(mode: Mode, draws: Draws) -> float:
    """1 to 5, three decimals.

    Production's mock divided by 5 on the way to its internal scale of 0 to 1, where (c - 1) / 4 was meant, and so
    centred on 4.6 for a base of 4.5; here the mode speaks the wire's scale and nothing is converted.
    """
    model = mode.confidence
    match model:
        case JitterConfidence():
            value = model.base + model.jitter * (2.0 * draws.uniform("confidence") - 1.0)
        case QuantileConfidence():
            value = quantile(model.values, draws.uniform("confidence"))
    return round(min(5.0, max(1.0, value)), 3)


def _word_tokens(text: str, per_word: float) -> int:
    return max(1, ceil(len(text.split()) * per_word))


def _essay_ids(request: QueuedRequest, section: str) -> tuple[str, str]:
    ids = request.essay_ids()
    if ids is None:
        raise ProviderError(
            ErrorCode.VALIDATION_ERROR,
            f"The mode looks essays up by id ({section}), but the metadata lacks essay_a_id or essay_b_id.",
        )
    return ids
