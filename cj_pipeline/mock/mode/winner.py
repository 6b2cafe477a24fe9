"""This module holds the models that a `winner` section may follow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.mock.mode.numbers import Count, NonNegative, Number, Positive, PositiveCount, Probability, Switch
from cj_pipeline.mock.mode.recording import Recording


class _WinnerModel(FileModel):
    invert: Switch = False
    """Answer the opposite of what the model says."""


class AlwaysWinner(_WinnerModel):
    """One position, every time."""

    model: Literal["always"]
    winner: Winner
    """Which: `Essay A` or `Essay B`."""


class HashShareWinner(_WinnerModel):
    """Production's mock: the first 8 hex digits of sha256(prompt), mod `modulus`; below `a_below` is Essay A.

    Stable per prompt, blind to who is compared.
    """

    model: Literal["hash_share"]
    modulus: PositiveCount
    """How many shares there are."""
    a_below: Count
    """How many of them are for Essay A."""

    @field_validator("a_below")
    @classmethod
    def _within_modulus(cls, a_below: int, info: ValidationInfo) -> int:
        modulus = info.data.get("modulus")
        if modulus is not None and a_below > modulus:
            raise ValueError(f"{a_below} is more than modulus {modulus}")
        return a_below


class CoinWinner(_WinnerModel):
    """Essay A with a fixed probability, drawn for each request."""

    model: Literal["coin"]
    share_a: Probability
    """That probability."""


class Spread(FileModel):
    """A normal distribution of abilities, in logits."""

    mean: Number
    """Its middle."""
    sd: NonNegative
    """Its standard deviation."""


class UnknownPairs(FileModel):
    """Winners of pairs with an essay that is not listed, by the SHA-256 of their ids."""

    out_of: PositiveCount
    """Of so many such pairs of a net,"""
    essay_a: Count
    """about so many are for Essay A: at most one more, and less than two fewer."""

    @field_validator("essay_a")
    @classmethod
    def _within(cls, essay_a: int, info: ValidationInfo) -> int:
        out_of = info.data.get("out_of")
        if out_of is not None and essay_a > out_of:
            raise ValueError(f"{essay_a} is more than out_of {out_of}")
        return essay_a


class AbilityWinner(_WinnerModel):
    """P(Essay A) = sigmoid((theta_a - theta_b + position_effect) / temperature)."""

    model: Literal["ability"]
    abilities: dict[str, Number]
    """theta in logits by essay id."""
    unknown_spread: Spread
    """Where the ability of an essay that is not listed comes from; the same in every run of this mode."""
    unknown_pairs: UnknownPairs | None = None
    """What answers pairs with an essay that is not listed, instead of drawn abilities."""
    position_effect: Number = 0.0
    """Logits in favour of whichever essay is shown as A."""
    temperature: Positive = 1.0
    """What log-odds are divided by; below 1 the judge is surer than its abilities say."""
    repeatability: Probability = 0.0
    """Share of prompts whose answer is fixed: drawn once for a pair and its sides, and the same in every batch."""
    answers: dict[str, dict[str, Annotated[str, Field(pattern=r"^[AB]+$")]]] = Field(default_factory=dict)
    """What was answered: by the essay shown as A and the one shown as B, a letter for each time that it was asked.

    A fixed answer to a pair that is listed is the recorded one; a pair with different letters is never fixed.
    """


class ReplayWinner(_WinnerModel):
    """The recorded answer to the same pair of essays, a recorded failure included.

    A pair that was recorded the other way round keeps its winning essay, not its winning position.
    """

    model: Literal["replay"]
    callbacks: Recording
    """What is replayed; the path is relative to the mode file."""
    unknown: Literal["error", "coin", "hash_share"] = "error"
    """What answers a pair that was not recorded: nothing, a fair coin, or Essay A for an even prompt hash."""


WinnerModel = Annotated[
    AlwaysWinner | HashShareWinner | CoinWinner | AbilityWinner | ReplayWinner,
    Field(discriminator="model"),
]
