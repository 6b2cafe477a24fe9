"""This module draws what a mode answers to one request: winner, latency, tokens, confidence.

Every draw has a purpose of its own in its key, so that an overlay which changes latencies leaves the winners alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, exp, tanh
from statistics import NormalDist

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.mock.draws import Draws
from cj_pipeline.mock.mode.latency import (
    ConstantLatency,
    LognormalLatency,
    QuantileLatency,
    ReplayLatency,
    SampledLatency,
    UniformLatency,
)
from cj_pipeline.mock.mode.mode import (
    AbilityWinner,
    AlwaysWinner,
    CoinWinner,
    CompletionWords,
    ConstantTokens,
    HashShareWinner,
    JitterConfidence,
    Mode,
    PerItemTokens,
    PromptWords,
    QuantileConfidence,
    QuantileTokens,
    ReplayConfidence,
    ReplayTokens,
    ReplayWinner,
    Sample,
    SampledConfidence,
    SampledTokens,
)
from cj_pipeline.mock.replay import Replayed
from cj_pipeline.mock.request import MockRequest
from cj_pipeline.mock.tokenizer import TokenCounter
from cj_pipeline.mock.unknown_pairs import UnknownPairWinners

# A draw may be exactly 0, where the normal distribution has no quantile.
_LEAST_PROBABILITY = 2.0**-54

_STANDARD_NORMAL = NormalDist()


def inverse_cdf(values: Sequence[float], probability: float) -> float:
    """Inverse CDF by straight lines through quantiles at equally spaced probabilities 0 to 1. At least two values."""
    position = probability * (len(values) - 1)
    below = min(int(position), len(values) - 2)
    return values[below] + (values[below + 1] - values[below]) * (position - below)


def winner(
    mode: Mode,
    request: MockRequest,
    draws: Draws,
    replayed: Replayed | None = None,
    unknown: UnknownPairWinners | None = None,
) -> Winner:
    """Who wins.

    replayed: what was chosen for this attempt, where the mode replays. unknown: the winners of pairs that the mode does
    not know, where it has any.

    Raises ProviderError (VALIDATION_ERROR) when the mode needs essay ids that the request lacks, or a recorded answer
    to a pair that has none.
    """
    model = mode.winner
    match model:
        case AlwaysWinner():
            is_a = model.winner is Winner.A
        case HashShareWinner():
            is_a = _prompt_number(request) % model.modulus < model.a_below
        case CoinWinner():
            is_a = draws.uniform("winner") < model.share_a
        case AbilityWinner():
            pair = essay_ids(request, "winner")
            if unknown is None or model.abilities.keys() >= set(pair):
                is_a = _prefers_a(model, mode.name, *pair, draws)
            else:
                is_a = unknown.prefers_a(*pair)
        case ReplayWinner():
            is_a = _replayed_a_wins(model, request, draws, _chosen(replayed))
    return Winner.A if is_a is not model.invert else Winner.B


def _prefers_a(model: AbilityWinner, mode_name: str, essay_a: str, essay_b: str, draws: Draws) -> bool:
    chance = probability_of_a(model, mode_name, essay_a, essay_b)
    if model.repeatability > 0.0:
        letters = model.answers.get(essay_a, {}).get(essay_b, "")
        # Keyed by the prompt and not by the request: every batch gets the same.
        key = ("lps", "fixed", draws.seed, mode_name, essay_a, essay_b)
        if uniform(*key, "whether") < share_fixed(model.repeatability, chance, letters):
            return letters[0] == "A" if letters else uniform(*key, "answer") < chance
    return draws.uniform("winner") < chance


def share_fixed(repeatability: float, chance: float, letters: str) -> float:
    """Return how probably the answer to a prompt is fixed, given the answers to it so far.

    chance: of A, where it is not. One answer says nothing; the more equal ones, the likelier; different ones rule it
    out.
    """
    if len(set(letters)) > 1:
        return 0.0
    if len(letters) < 2:
        return repeatability
    likely = chance if letters[0] == "A" else 1.0 - chance
    fixed, free = repeatability * likely, (1.0 - repeatability) * likely ** len(letters)
    return fixed / (fixed + free) if fixed > 0.0 else repeatability


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
    return _drawn_ability(mode_name, model.unknown_spread.mean, model.unknown_spread.sd, item)


@lru_cache(maxsize=65_536)
def _drawn_ability(mode_name: str, mean: float, sd: float, item: str) -> float:
    if sd == 0.0:
        return mean
    probability = max(uniform("lps", "ability", mode_name, item), _LEAST_PROBABILITY)
    return NormalDist(mean, sd).inv_cdf(probability)


def _replayed_a_wins(model: ReplayWinner, request: MockRequest, draws: Draws, replayed: Replayed) -> bool:
    if replayed.known:
        answer = replayed.answer
        winning_essay = answer.essay_a if answer.winner is Winner.A else answer.essay_b
        return winning_essay == essay_ids(request, "winner")[0]
    match model.unknown:
        case "coin":
            return draws.uniform("winner") < 0.5
        case "hash_share":
            return _prompt_number(request) % 2 == 0
        case "error":
            raise ProviderError(
                ErrorCode.VALIDATION_ERROR,
                "The recording that the mode replays has no answer for these two essays; with `winner.unknown: coin` "
                "the mode answers every pair.",
            )


def _prompt_number(request: MockRequest) -> int:
    return int(request.prompt_sha256[:8], 16)


def latency_ms(
    mode: Mode,
    draws: Draws,
    replayed: Replayed | None = None,
    sampled: Sample | None = None,
    drawn: float | None = None,
) -> int:
    """How long the provider takes to answer, rounded to what the wire can say.

    sampled: the sample that was drawn for this attempt, where the mode has samples. drawn: the attempt's uniform number
    where the order of calls matters.
    """
    model = mode.latency
    probability = drawn if drawn is not None else draws.uniform("latency")
    match model:
        case ConstantLatency():
            ms = model.ms
        case UniformLatency():
            ms = model.low_ms + (model.high_ms - model.low_ms) * probability
        case QuantileLatency():
            ms = inverse_cdf(model.ms, probability)
        case LognormalLatency():
            ms = _lognormal_ms(model, probability)
        case SampledLatency():
            ms = _drawn(sampled)[0]
        case ReplayLatency():
            ms = _chosen(replayed).answer.response_time_ms
    return round(ms * model.scale)


def _lognormal_ms(model: LognormalLatency, probability: float) -> float:
    ms = model.median * exp(model.sigma * _STANDARD_NORMAL.inv_cdf(max(probability, _LEAST_PROBABILITY)))
    ms = max(ms, model.min_ms)
    return ms if model.max_ms is None else min(ms, model.max_ms)


def prompt_tokens(
    mode: Mode, request: MockRequest, replayed: Replayed | None = None, count: TokenCounter | None = None
) -> int:
    """Tokens of the prompt. count: counts real tokens; None estimates them from words.

    Raises ProviderError (VALIDATION_ERROR) when the mode needs essay ids that the request lacks.
    """
    model = mode.tokens.prompt
    tokens: float
    match model:
        case ConstantTokens():
            tokens = model.tokens
        case PromptWords() if count is not None:
            tokens = max(1, count(request.user_prompt))
        case PromptWords():
            tokens = max(_word_tokens(request.user_prompt, model.per_word), model.floor)
        case PerItemTokens():
            tokens = model.base + sum(
                model.items.get(item, model.unknown) for item in essay_ids(request, "tokens.prompt")
            )
        case ReplayTokens():
            tokens = _chosen(replayed).answer.prompt_tokens
    return max(0, round(tokens * mode.tokens.scale))


def completion_tokens(
    mode: Mode,
    justification: str,
    draws: Draws,
    replayed: Replayed | None = None,
    count: TokenCounter | None = None,
    sampled: Sample | None = None,
) -> int:
    """Tokens of the answer. count: as for the prompt; sampled: as for the latency."""
    model = mode.tokens.completion
    tokens: float
    match model:
        case ConstantTokens():
            tokens = model.tokens
        case CompletionWords() if count is not None:
            tokens = max(1, count(justification) + model.extra)
        case CompletionWords():
            tokens = max(_word_tokens(justification, model.per_word) + model.extra, model.floor)
        case QuantileTokens():
            tokens = inverse_cdf(model.tokens, draws.uniform("completion_tokens"))
        case SampledTokens():
            tokens = _drawn(sampled)[1]
        case ReplayTokens():
            tokens = _chosen(replayed).answer.completion_tokens
    return round(tokens * mode.tokens.scale)


def confidence(mode: Mode, draws: Draws, replayed: Replayed | None = None, sampled: Sample | None = None) -> float:
    """1 to 5, three decimals. sampled: as for the latency.

    Production's mock divided by 5 on the way to its internal scale of 0 to 1, where (c - 1) / 4 was meant, and so
    centred on 4.6 for a base of 4.5; here the mode speaks the wire's scale and nothing is converted.
    """
    model = mode.confidence
    match model:
        case JitterConfidence():
            value = model.base + model.jitter * (2.0 * draws.uniform("confidence") - 1.0)
        case QuantileConfidence():
            value = inverse_cdf(model.values, draws.uniform("confidence"))
        case SampledConfidence():
            value = _drawn(sampled)[2]
        case ReplayConfidence():
            value = _chosen(replayed).answer.confidence
    return round(min(5.0, max(1.0, value)), 3)


def _word_tokens(text: str, per_word: float) -> int:
    return max(1, ceil(len(text.split()) * per_word))


def _chosen(replayed: Replayed | None) -> Replayed:
    if replayed is None:
        raise ValueError("a section of model 'replay' needs the recorded answer that was chosen for the attempt")
    return replayed


def _drawn(sampled: Sample | None) -> Sample:
    if sampled is None:
        raise ValueError("a section of model 'sampled' needs the sample that was drawn for the attempt")
    return sampled


def essay_ids(request: MockRequest, section: str) -> tuple[str, str]:
    """The essays shown as A and as B. section: of the mode, for the complaint.

    Raises ProviderError (VALIDATION_ERROR) when the request lacks one.
    """
    ids = request.essay_ids()
    if ids is None:
        raise ProviderError(
            ErrorCode.VALIDATION_ERROR,
            f"The mode looks essays up by id ({section}), but the metadata lacks essay_a_id or essay_b_id.",
        )
    return ids
