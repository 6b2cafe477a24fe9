"""This module is the schema of a mode file: a named behaviour of the mock provider.

A new way to pick a winner is a class in `winner.py` and a case in `mock/answers.py`; a new behaviour made of existing
ways is a file in modes/.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from cj_pipeline.contracts.model import FileModel, VersionOne
from cj_pipeline.contracts.named_prompt import NamedPrompt
from cj_pipeline.foundation.names import MODE, valid_name
from cj_pipeline.mock.mode.errors import Errors
from cj_pipeline.mock.mode.held_out import HeldOut

# Readers of a Mode find its classes here.
from cj_pipeline.mock.mode.latency import LatencyModel, ReplayLatency, SampledLatency
from cj_pipeline.mock.mode.latency import QuantileLatency as QuantileLatency
from cj_pipeline.mock.mode.numbers import (
    Confidence15,
    Count,
    NonNegative,
    Number,
    Positive,
    PositiveCount,
    Probability,
    Sha256,
    Switch,
    non_decreasing,
)
from cj_pipeline.mock.mode.recording import Recording
from cj_pipeline.mock.mode.winner import AbilityWinner as AbilityWinner
from cj_pipeline.mock.mode.winner import AlwaysWinner as AlwaysWinner
from cj_pipeline.mock.mode.winner import CoinWinner as CoinWinner
from cj_pipeline.mock.mode.winner import HashShareWinner as HashShareWinner
from cj_pipeline.mock.mode.winner import ReplayWinner as ReplayWinner
from cj_pipeline.mock.mode.winner import Spread as Spread
from cj_pipeline.mock.mode.winner import WinnerModel as WinnerModel

# Optional keys that came when records of runs already had modes with their digest: at their defaults they are left out
# of it, so that the digest of a mode which does not use them stays what it was.
_LATER_KEYS = {
    "errors": (
        "kinds",
        "timeout_ms",
        "retry_after_s",
        "bursts",
        "retry_success",
        "codes_mix",
        "repeatability",
        "failed",
    ),
    "tokens": ("tokenizer",),
    "winner": ("repeatability", "answers", "unknown_pairs"),
    "fitted_from": ("further_sha256", "prompt"),
    "latency": ("drift", "stratified"),
    "metadata": ("confidence_unknown", "tokens_unknown"),
}
_LATER_SECTIONS = ("version", "model", "samples", "cost", "metadata", "justification")

# What is known about the numbers and changes none of them.
_ABOUT_NUMBERS = {"origins", "held_out"}


class FittedFrom(FileModel):
    """The recordings whose numbers these are."""

    scenario_id: Annotated[str, Field(min_length=1)]
    """Whose recordings they are."""
    trace_sha256: Sha256
    """Of the (main) recording's `llm_callbacks.jsonl`."""
    further_sha256: tuple[Sha256, ...] = ()
    """Of the scenario's other recordings, where the mode is fitted to several."""
    prompt: NamedPrompt | None = None
    """What the judge was asked with, where that is known: asked otherwise, it is another judge."""


class ConstantTokens(FileModel):
    """The same every time."""

    model: Literal["constant"]
    tokens: Count
    """How many."""


class PromptWords(FileModel):
    """ceil(words of the prompt x `per_word`), at least 1 and at least `floor`."""

    model: Literal["words"]
    per_word: Positive
    """Tokens a word."""
    floor: Count = 0
    """The least there can be."""


class PerItemTokens(FileModel):
    """What a prompt costs without essays, plus what each of its two essays adds."""

    model: Literal["per_item"]
    base: Number
    """Tokens of a prompt without essays."""
    items: dict[str, Number]
    """Tokens by essay id."""
    unknown: Number
    """Tokens of an essay that is not listed."""


class CompletionWords(FileModel):
    """ceil(words of the justification x `per_word`) + `extra`, at least 1 and at least `floor`."""

    model: Literal["words"]
    per_word: Positive
    """Tokens a word."""
    extra: Count = 0
    """Tokens beside the words."""
    floor: Count = 0
    """The least there can be."""


class QuantileTokens(FileModel):
    """A recorded distribution: its quantiles at equally spaced probabilities from 0 to 1, straight lines between."""

    model: Literal["quantiles"]
    tokens: Annotated[tuple[NonNegative, ...], Field(min_length=2)]
    """The quantiles, in order."""

    _monotone = field_validator("tokens")(non_decreasing)


class ReplayTokens(FileModel):
    """As many as the recorded answer cost."""

    model: Literal["replay"]
    callbacks: Recording
    """What is replayed; the path is relative to the mode file."""


class SampledTokens(FileModel):
    """As many as the sample that is drawn from the mode's `samples`."""

    model: Literal["sampled"]


class Tokens(FileModel):
    """Tokens on the bill, prompt and completion."""

    prompt: Annotated[PromptWords | ConstantTokens | PerItemTokens | ReplayTokens, Field(discriminator="model")]
    completion: Annotated[
        CompletionWords | ConstantTokens | QuantileTokens | SampledTokens | ReplayTokens, Field(discriminator="model")
    ]
    scale: NonNegative = 1.0
    """Multiplies both, which are then rounded."""
    tokenizer: Literal["simple", "tiktoken"] = "simple"
    """How `words` models count: words x `per_word`, or the real tokens of cl100k_base, without `floor`."""

    @field_validator("tokenizer")
    @classmethod
    def _counts_something(cls, tokenizer: str, info: ValidationInfo) -> str:
        sides = [info.data.get("prompt"), info.data.get("completion")]
        if tokenizer == "tiktoken" and None not in sides and not any(_counts_words(side) for side in sides):
            raise ValueError("neither prompt nor completion is of model 'words', which is what a tokenizer counts for")
        return tokenizer


def _counts_words(section: object) -> bool:
    return isinstance(section, PromptWords | CompletionWords)


class JitterConfidence(FileModel):
    """`base` +- up to `jitter`, evenly, on the wire's scale of 1 to 5; clamped to it."""

    model: Literal["jitter"]
    base: Confidence15
    """The middle, 1 to 5."""
    jitter: NonNegative
    """Up to so much more or less."""


class QuantileConfidence(FileModel):
    """A recorded distribution on the scale of 1 to 5: quantiles at equally spaced probabilities from 0 to 1."""

    model: Literal["quantiles"]
    values: Annotated[tuple[Confidence15, ...], Field(min_length=2)]
    """The quantiles, in order."""

    _monotone = field_validator("values")(non_decreasing)


class ReplayConfidence(FileModel):
    """The recorded answer's own."""

    model: Literal["replay"]
    callbacks: Recording
    """What is replayed; the path is relative to the mode file."""


class SampledConfidence(FileModel):
    """That of the sample that is drawn from the mode's `samples`."""

    model: Literal["sampled"]


ConfidenceModel = Annotated[
    JitterConfidence | QuantileConfidence | SampledConfidence | ReplayConfidence, Field(discriminator="model")
]

Sample = tuple[NonNegative, NonNegative, Confidence15, NonNegative]
"""One recorded answer: milliseconds, completion tokens, confidence, and the gap between the abilities of its essays."""


class Cost(FileModel):
    """The price of an answer, in US dollars."""

    per_prompt_token: NonNegative = 0.0
    """Dollars for a token that is read."""
    per_completion_token: NonNegative = 0.0
    """Dollars for a token that is written."""
    known: Switch = True
    """False for a model without a known price: the answer then costs 0, and its metadata says `cost_known: false`."""


class Metadata(FileModel):
    """Which optional keys an answer's metadata has; a cache adds its own."""

    usage: Switch = False
    """Tokens once more, under `usage`, as real providers report them."""
    confidence_unknown: Probability = 0.0
    """Share of answers without a confidence: 3.0 on the wire, and `confidence_known: false`."""
    tokens_unknown: Probability = 0.0
    """Share of answers of which nobody knows the tokens: 0 on the wire, and `tokens_known` and `cost_known: false`."""


class Justification(FileModel):
    """The sentences that answers come with."""

    texts: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The sentences to draw from, whoever wins; none for the mock's own ten."""
    characters: Count | None = None
    """Each sentence is repeated or cut to this length; 0 for answers without one, null for sentences as they are."""


class Cache(FileModel):
    """Whether the provider reports a prompt cache, and how often it hits."""

    enabled: Switch = False
    """Whether answers tell what a prompt cache did."""
    hit_rate: Probability = 0.0
    """Share of prompts that it holds."""


class Mode(FileModel):
    """A named behaviour of the mock provider."""

    schema_version: VersionOne
    """The edition of this schema."""
    name: Annotated[str, AfterValidator(partial(valid_name, rule=MODE))]
    """What the mode is called: lower case, digits, underscores."""
    description: Annotated[str, Field(min_length=1)]
    """A sentence on how the mock answers."""
    version: PositiveCount = 1
    """Which calibration of this name it is: each later one into the same file is one more."""
    fitted_from: FittedFrom | None = None
    origins: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """Where each number comes from: a sentence by section, or by key of a section (`winner.repeatability`)."""
    held_out: HeldOut | None = None
    """How well the mode foretold answers that it was not fitted to; written by `cj-pipeline calibrate`."""
    model: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The model that answers name where the request names none; null for the mock's own name."""
    winner: WinnerModel
    latency: LatencyModel
    tokens: Tokens
    confidence: ConfidenceModel
    samples: tuple[Sample, ...] = ()
    """Recorded answers, for sections of model `sampled`: one is drawn for each attempt, from those of a like gap."""
    cost: Cost = Cost()
    metadata: Metadata = Metadata()
    justification: Justification = Justification()
    cache: Cache = Cache()
    errors: Errors = Errors()
    streaming_metadata: Switch = False
    """Whether callbacks say `streaming_simulated`."""
    overlays: tuple[str, ...] = ()
    """What was laid over the file, in order; written by `load_mode`, refused in files."""

    @model_validator(mode="after")
    def _one_recording(self) -> Self:
        # One recorded answer serves all sections of a request; from two files they would not belong together.
        recording = self.recording
        for key, section in self._replaying():
            if section.callbacks is not recording and section.callbacks != recording:
                raise ValueError(f"{key}.callbacks is another recording than the other sections replay")
        return self

    @field_validator("origins")
    @classmethod
    def _of_something(cls, origins: dict[str, str]) -> dict[str, str]:
        for name in origins:
            if name.partition(".")[0] not in cls.model_fields:
                raise ValueError(f"'{name}' is no section of a mode")
        return origins

    @model_validator(mode="after")
    def _something_to_sample(self) -> Self:
        sampled = SampledLatency | SampledTokens | SampledConfidence
        if not self.samples and any(
            isinstance(section, sampled) for section in (self.latency, self.tokens.completion, self.confidence)
        ):
            raise ValueError("a section is of model 'sampled', and `samples` is empty")
        return self

    @property
    def recording(self) -> Recording | None:
        """What the sections of model `replay` replay; None when there is none."""
        return next((section.callbacks for _, section in self._replaying()), None)

    def _replaying(self) -> list[tuple[str, ReplayWinner | ReplayLatency | ReplayTokens | ReplayConfidence]]:
        sections = {
            "winner": self.winner,
            "latency": self.latency,
            "tokens.prompt": self.tokens.prompt,
            "tokens.completion": self.tokens.completion,
            "confidence": self.confidence,
        }
        replays = ReplayWinner | ReplayLatency | ReplayTokens | ReplayConfidence
        return [(key, section) for key, section in sections.items() if isinstance(section, replays)]

    @property
    def expression(self) -> str:
        """`NAME+OVERLAY...`; for a built-in mode, what `load_mode` makes this mode from."""
        return "+".join((self.name, *self.overlays))

    def sha256(self) -> str:
        """Hex digest of the content: equal exactly when two modes behave alike and are named and described alike."""
        content = self.model_dump(mode="json", exclude=_ABOUT_NUMBERS)
        for section, keys in _LATER_KEYS.items():
            _drop_defaults(getattr(self, section), content[section], keys)
        _drop_defaults(self, content, _LATER_SECTIONS)
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return sha256(canonical.encode()).hexdigest()


def _drop_defaults(model: FileModel | None, content: dict[str, Any], keys: Sequence[str]) -> None:
    for key in keys:
        field = type(model).model_fields.get(key) if model is not None else None
        if field is not None and getattr(model, key) == field.get_default(call_default_factory=True):
            del content[key]
