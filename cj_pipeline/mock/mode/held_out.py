"""This module is the schema of a mode's `held_out` section: how well it foretold answers that it was not fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.mock.mode.numbers import NonNegative, Number, PositiveCount, Sha256

# How far below a simpler guess the mode may score: standard errors of the difference, and what nobody cares about.
FARTHEST_BELOW = 2.0
NEGLIGIBLE = 0.01

# So much may prompts of one pair differ in their tokens before it is worth a sentence.
NOTICEABLE = 0.005

Measure = Literal["latency", "latency_p99", "prompt_tokens", "completion_tokens", "confidence", "error_rate"]

By = Literal["recording", "recordings in turn", "parts of the recording in turn"]

MEASURES: Mapping[Measure, str] = {
    "latency": "latency, Wasserstein distance over the mean",
    "latency_p99": "latency, 99 % quantile, logarithm of its ratio to the held-out one",
    "prompt_tokens": "prompt tokens of each pair, Wasserstein distance over the mean",
    "completion_tokens": "completion tokens, Wasserstein distance over the mean",
    "confidence": "confidence, Wasserstein distance over the mean",
    "error_rate": "share of errors, difference",
}


class LogLikelihood(FileModel):
    """How well the winners were foretold: mean log-likelihood of a held-out answer. The higher, the better."""

    mode: Number
    """By the mode."""
    scale: Number
    """By the abilities and the position alone, without recorded answers: the shrunken fit."""
    own: Number
    """By the scale of a fit that has seen the held-out answers: more than can be hoped for."""
    coin: Number
    """By a fair coin: -0.693."""
    above_scale: Number
    """`mode` less `scale`."""
    above_scale_error: NonNegative
    """Standard error of that difference."""
    above_coin_error: NonNegative
    """Standard error of `mode` less `coin`."""


class Distance(FileModel):
    """How far the mock's answers lie from the held-out ones in one measure."""

    value: NonNegative
    """As measured on the mock's own answers."""
    typical: NonNegative
    """Half of all pairs of samples of this judge and of this size are farther apart."""
    limit: NonNegative
    """What is farther is not this judge by chance: 1 of 500 pairs is, or 5 or 10 % from 5,000 answers on."""
    judged: bool = True
    """Whether a greater distance is a fault; not where the latency is the load of a host."""


class HeldOut(FileModel):
    """What a calibration measured on answers that it did not use."""

    by: By
    """What was held out: another recording; each of several; each of some parts of one recording, by prompts."""
    parts: PositiveCount
    """How many times something was held out."""
    answers: PositiveCount
    """Answers held out, in all of them."""
    recordings: tuple[Sha256, ...] = ()
    """Digests of recordings that were held out and not fitted to."""
    winners: LogLikelihood
    distances: Annotated[dict[Measure, Distance], Field(min_length=1)]
    prompt_tokens_within: NonNegative = 0.0
    """How much held-out prompts of one pair and side differ in their tokens: deviation over the mean of all."""


class HeldOutCheck(FileModel):
    """One row of the held-out fit: what was measured, what it is held against, and whether it will do.

    judged: False where it is only shown.
    """

    name: str
    passed: bool
    value: float
    limit: float
    sentence: str
    judged: bool = True


def held_out_checks(held: HeldOut) -> tuple[HeldOutCheck, ...]:
    """Return the rows of a held-out fit: winners against a coin and against the scale alone, then each measure."""
    winners = held.winners
    above_coin = winners.mode - winners.coin
    rows = [
        _score("winners_coin", above_coin, winners.above_coin_error, "a coin", winners.mode, winners.coin),
        _score(
            "winners_scale",
            winners.above_scale,
            winners.above_scale_error,
            "the scale without recorded answers",
            winners.mode,
            winners.scale,
        ),
    ]
    for name, distance in held.distances.items():
        passed = distance.value <= distance.limit or not distance.judged
        rows.append(
            HeldOutCheck(
                name=name,
                passed=passed,
                value=distance.value,
                limit=distance.limit,
                judged=distance.judged,
                sentence=f"{MEASURES[name]}: {distance.value:.3g} (two samples of this judge: {distance.typical:.3g}, "
                f"seldom above {distance.limit:.3g}"
                + (")." if distance.judged else "; not judged, since the latency is the load of a host).")
                + (_of_several_texts(held.prompt_tokens_within) if name == "prompt_tokens" else ""),
            )
        )
    return tuple(rows)


def _of_several_texts(within: float) -> str:
    """Say what no mode can foretell: a pair that stands for several texts is billed their mean."""
    if within < NOTICEABLE:
        return ""
    return f" One pair stands for texts that differ by {within:.0%} in their tokens; the mock bills their mean."


def _score(name: str, above: float, error: float, other: str, mode: float, reference: float) -> HeldOutCheck:
    limit = -FARTHEST_BELOW * error - NEGLIGIBLE
    return HeldOutCheck(
        name=name,
        passed=above >= limit,
        value=above,
        limit=limit,
        sentence=f"log-likelihood of an answer: {mode:.3f}, of {other} {reference:.3f}; difference {above:+.3f} "
        f"(standard error {error:.3f}).",
    )
