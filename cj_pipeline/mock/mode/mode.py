"""What a mode file may say: the schema of a named behaviour of the mock provider.

Here: the whole, and its winners, tokens and confidences. Not here: latencies and errors (mode_latency.py,
mode_errors.py), reading and combining files (mode_files.py), what an answer is made of (mock_draws.py). A new way to
pick a winner is a class here and a case there; a new behaviour made of existing ways is a file in modes/.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.mock.mode.errors import Errors
from cj_pipeline.mock.mode.latency import LatencyModel, ReplayLatency
from cj_pipeline.mock.mode.latency import QuantileLatency as QuantileLatency  # readers of a Mode find its classes here
from cj_pipeline.mock.mode.numbers import (
    Confidence15,
    Count,
    NonNegative,
    Number,
    Positive,
    PositiveCount,
    Probability,
    Switch,
    non_decreasing,
)
from cj_pipeline.mock.mode.recording import Recording

# Optional keys that came when modes already stood in records with their digest: at their defaults they are left out of
# it, so that the digest of a mode which does not use them stays what it was.
_LATER_KEYS = {"errors": ("kinds", "timeout_ms", "retry_after_s", "bursts", "retry_success"), "tokens": ("tokenizer",)}


class FittedFrom(FileModel):
    """The trace whose numbers these are."""

    scenario_id: Annotated[str, Field(min_length=1)]
    trace_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _WinnerModel(FileModel):
    invert: Switch = False
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


class ReplayWinner(_WinnerModel):
    """The recorded answer to the same pair of essays, a recorded failure included.

    A pair that was recorded the other way round keeps its winning essay, not its winning position.
    """

    model: Literal["replay"]
    callbacks: Recording
    unknown: Literal["error", "coin", "hash_share"] = "error"
    """What answers a pair that was not recorded: nothing, a fair coin, or Essay A for an even prompt hash."""


WinnerModel = Annotated[
    AlwaysWinner | HashShareWinner | CoinWinner | AbilityWinner | ReplayWinner,
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

    _monotone = field_validator("tokens")(non_decreasing)


class ReplayTokens(FileModel):
    """As many as the recorded answer cost."""

    model: Literal["replay"]
    callbacks: Recording


class Tokens(FileModel):
    """Tokens on the bill, prompt and completion."""

    prompt: Annotated[PromptWords | ConstantTokens | PerItemTokens | ReplayTokens, Field(discriminator="model")]
    completion: Annotated[
        CompletionWords | ConstantTokens | QuantileTokens | ReplayTokens, Field(discriminator="model")
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
    jitter: NonNegative


class QuantileConfidence(FileModel):
    """A recorded distribution on the scale of 1 to 5: quantiles at equally spaced probabilities from 0 to 1."""

    model: Literal["quantiles"]
    values: Annotated[tuple[Confidence15, ...], Field(min_length=2)]

    _monotone = field_validator("values")(non_decreasing)


class ReplayConfidence(FileModel):
    """The recorded answer's own."""

    model: Literal["replay"]
    callbacks: Recording


ConfidenceModel = Annotated[JitterConfidence | QuantileConfidence | ReplayConfidence, Field(discriminator="model")]


class Cache(FileModel):
    """Whether the provider reports a prompt cache, and how often it hits."""

    enabled: Switch = False
    hit_rate: Probability = 0.0


class Mode(FileModel):
    """A named behaviour of the mock provider."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
    description: Annotated[str, Field(min_length=1)]
    fitted_from: FittedFrom | None = None
    winner: WinnerModel
    latency: LatencyModel
    tokens: Tokens
    confidence: ConfidenceModel
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
        """Hex digest of the content: equal exactly when two modes behave and read alike."""
        content = self.model_dump(mode="json")
        for section, keys in _LATER_KEYS.items():
            model = getattr(self, section)
            for key in keys:
                if getattr(model, key) == type(model).model_fields[key].default:
                    del content[section][key]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return sha256(canonical.encode()).hexdigest()
