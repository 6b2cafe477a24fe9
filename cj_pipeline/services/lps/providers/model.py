"""This module holds what a manifest says of one model: what it takes, how it is asked, how long it may take, its price.

A key has an effect, or it is refused: one that nothing reads would promise what no call does.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import did_you_mean
from cj_pipeline.services.lps.providers.settings import base_url_problem

Count = Annotated[int, Field(gt=0)]
Price = Annotated[float, Field(ge=0.0)] | None
Seconds = Annotated[float, Field(gt=0.0)] | None
Effort = Literal["none", "minimal", "low", "medium", "high"]
Body = dict[str, Any]


class StructuredOutput(StrEnum):
    """How a model is made to answer in a given shape."""

    TOOL_USE = "tool_use"
    """A forced tool whose input is the verdict (Anthropic)."""
    JSON_SCHEMA = "json_schema"
    """A JSON Schema that the API holds the answer to."""
    JSON_MIME_TYPE = "json_mime_type"
    """A MIME type with a schema in Google's own language."""
    JSON_OBJECT = "json_object"
    """Some JSON; which, the prompt says."""
    NATIVE_JSON = "native_json"
    """Production's name for `words`."""
    WORDS = "words"
    """Nothing but words in the prompt."""


class EffortShape(StrEnum):
    """How a model's API wants to be asked for effort."""

    REASONING_EFFORT = "reasoning_effort"
    """`reasoning_effort: low` (OpenAI and most that speak its language)."""
    REASONING = "reasoning"
    """`reasoning: {effort: low}` (OpenRouter)."""
    THINKING_BUDGET = "thinking_budget"
    """A number of tokens: `thinking.budget_tokens` (Claude to 4.5), `thinkingBudget` (Gemini 2.5)."""
    ADAPTIVE_THINKING = "adaptive_thinking"
    """`thinking: {type: adaptive}` with `output_config.effort` (Claude from 4.6)."""
    THINKING_LEVEL = "thinking_level"
    """`thinkingConfig.thinkingLevel` (Gemini 3)."""


# The ways of each API to ask for a shape, from the strictest to the mildest: who is refused one tries the next.
STRUCTURES: dict[Provider, tuple[StructuredOutput, ...]] = {
    Provider.OPENAI: (StructuredOutput.JSON_SCHEMA, StructuredOutput.JSON_OBJECT, StructuredOutput.WORDS),
    Provider.OPENROUTER: (StructuredOutput.JSON_SCHEMA, StructuredOutput.JSON_OBJECT, StructuredOutput.WORDS),
    Provider.ANTHROPIC: (StructuredOutput.JSON_SCHEMA, StructuredOutput.TOOL_USE, StructuredOutput.WORDS),
    Provider.GOOGLE: (
        StructuredOutput.JSON_SCHEMA,
        StructuredOutput.JSON_MIME_TYPE,
        StructuredOutput.JSON_OBJECT,
        StructuredOutput.WORDS,
    ),
}
SHAPES: dict[Provider, tuple[EffortShape, ...]] = {
    Provider.OPENAI: (EffortShape.REASONING_EFFORT, EffortShape.REASONING),
    Provider.OPENROUTER: (EffortShape.REASONING, EffortShape.REASONING_EFFORT),
    Provider.ANTHROPIC: (EffortShape.THINKING_BUDGET, EffortShape.ADAPTIVE_THINKING),
    Provider.GOOGLE: (EffortShape.THINKING_BUDGET, EffortShape.THINKING_LEVEL),
}
_API_VERSIONS = {
    Provider.OPENAI: "v1",
    Provider.OPENROUTER: "v1",
    Provider.ANTHROPIC: "2023-06-01",
    Provider.GOOGLE: "v1beta",
}
_USUAL_STRUCTURE = {
    Provider.OPENAI: StructuredOutput.JSON_SCHEMA,
    Provider.OPENROUTER: StructuredOutput.JSON_OBJECT,
    Provider.ANTHROPIC: StructuredOutput.TOOL_USE,
    Provider.GOOGLE: StructuredOutput.JSON_MIME_TYPE,
}

# Without one of these, a way to ask for a shape is not tried.
_NEEDS = {
    StructuredOutput.JSON_SCHEMA: "response_format_schema",
    StructuredOutput.JSON_OBJECT: "json_mode",
    StructuredOutput.JSON_MIME_TYPE: "json_mode",
    StructuredOutput.TOOL_USE: "tool_use",
}
_CAPABILITIES = frozenset(
    {"extended_thinking", "function_calling", "json_mode", "multimodal", "response_format_schema", "tool_use", "vision"}
)

# What the service itself puts into a call, and needs to find in the reply as it expects it.
_OURS = frozenset({"model", "messages", "contents", "stream", "n", "candidateCount"})
_SAMPLING = {
    "supports_temperature": ("temperature",),
    "supports_top_p": ("top_p", "topP"),
    "supports_frequency_penalty": ("frequency_penalty", "frequencyPenalty"),
    "supports_presence_penalty": ("presence_penalty", "presencePenalty"),
}
_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"})


class Model(FileModel):
    """One model. Prices are US dollars per 1,000 tokens; null means unknown, which is not free of charge."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    model_id: Annotated[str, Field(min_length=1)]
    """As the API calls it."""
    provider: Provider
    """Whose API is spoken: openai, anthropic, google or openrouter."""
    display_name: Annotated[str, Field(min_length=1)]
    """Shown by GET /models; the id, unless given."""
    model_family: Annotated[str, Field(min_length=1)]
    """The same."""
    base_url: str | None = None
    """Where this model is asked, for a server that holds no other; null: where its provider is. Key, headers and query
    of the provider's settings do not go along, and batch endpoints are left out."""
    api_version: Annotated[str, Field(min_length=1)]
    """Anthropic: its header. Google: a part of the URL. OpenAI: `v1`, or a date, which is sent as Azure's query."""
    structured_output_method: StructuredOutput
    """How the answer's shape is asked for first. What the server refuses is asked for more mildly: `json_schema`,
    `tool_use` or `json_mime_type`, `json_object`, `words`."""
    supports_temperature: bool = True
    """Whether one is sent."""
    supports_top_p: bool = True
    """Whether `request` may set it."""
    supports_frequency_penalty: bool = True
    """The same."""
    supports_presence_penalty: bool = True
    """The same."""
    supports_system_prompt: bool = True
    """Whether there is a turn for it; where there is none, it begins the user's turn (openai, openrouter)."""
    uses_max_completion_tokens: bool = False
    """Whether the limit is called `max_completion_tokens` (openai, openrouter)."""
    capabilities: dict[str, bool] = Field(default_factory=dict)
    """Shown by GET /models. `response_format_schema`, `json_mode` or `tool_use` false: not tried as a structured
    output. `extended_thinking` false: no `reasoning_efforts`."""
    max_tokens: Count = 4096
    """Most that the model can write in one answer, reasoning included; more is refused with 400."""
    context_window: Count = 200_000
    """Tokens of prompt and answer together; shown by GET /models, and what an answer is cut to (openrouter)."""
    supports_streaming: bool = True
    """Shown by GET /models."""
    release_date: date | None = None
    """The same."""
    is_deprecated: bool = False
    """Hidden by GET /models, and still asked."""
    deprecation_date: date | None = None
    """Since when; shown by `cj-pipeline lps models`."""
    is_retired: bool = False
    """The API does not answer for it any more: a request for it is refused."""
    cost_per_1k_input_tokens: Price = None
    """US dollars; null: unknown, which is not free of charge."""
    cost_per_1k_output_tokens: Price = None
    """The same; reasoning included."""
    cost_per_1k_cached_input_tokens: Price = None
    """What a cache read costs; as much as any other input where it is unknown."""
    cost_per_1k_cache_write_5m_tokens: Price = None
    """The same of what a cache keeps for 5 minutes."""
    cost_per_1k_cache_write_1h_tokens: Price = None
    """The same of what it keeps for an hour."""
    batch_price_factor: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """What the provider's batch endpoint takes of these prices: 0.5 is half; null: unknown."""
    reasoning_efforts: tuple[Effort, ...] = ()
    """The literals that the model's own API takes; empty for a model that has no such setting."""
    effort_shape: EffortShape
    """How effort is asked for: `reasoning_effort`, `reasoning`, `thinking_budget`, `adaptive_thinking`,
    `thinking_level`."""
    effort_requests: dict[Effort, Body] = Field(default_factory=dict)
    """What goes into the body for an effort, literally, instead of what the shape says."""
    verbosities: tuple[Literal["low", "medium", "high"], ...] = ()
    """The literals of `verbosity` that the API takes (openai)."""
    request: Body = Field(default_factory=dict)
    """What goes into the body of each call, last: mappings merge, null removes a key (as in RFC 7396)."""
    headers: dict[str, str] = Field(default_factory=dict)
    """What goes along with each call. Keys do not belong here."""
    query: dict[str, str] = Field(default_factory=dict)
    """The same, in the URL."""
    connect_timeout_s: Seconds = None
    """For a connection; null: as the settings say."""
    read_timeout_s: Seconds = None
    """Between two bytes of the reply; the same."""
    total_timeout_s: Seconds = None
    """For the whole call; the same."""
    recommended_for: tuple[str, ...] = ()
    """Shown by GET /models."""
    notes: str = ""
    """For people; shown by `cj-pipeline lps models`."""

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, given: Any) -> Any:
        """Fill in what follows from provider and id."""
        if isinstance(given, dict) and given.get("provider") == Provider.MOCK:
            raise ValueError("provider: the mock takes any model; list those of the others")
        if not isinstance(given, dict) or given.get("provider") not in _API_VERSIONS:
            return given
        provider = Provider(given["provider"])
        named = given.get("model_id")
        return {
            "display_name": named,
            "model_family": named,
            "api_version": _API_VERSIONS[provider],
            "structured_output_method": _USUAL_STRUCTURE[provider],
            "effort_shape": SHAPES[provider][0],
            **given,
        }

    @model_validator(mode="after")
    def _can_be_asked_like_this(self) -> Self:
        for problem in (
            _retired_only(self),
            _of_structure(self),
            _of_effort(self),
            _of_provider(self),
            "" if self.base_url is None else _of_base_url(self.base_url),
            _of_literal_parts(self),
        ):
            if problem:
                raise ValueError(problem)
        return self

    def takes_effort(self, effort: ReasoningEffort) -> bool:
        """Whether this effort can be asked for. NONE always can: a model that cannot reason does not."""
        return effort is ReasoningEffort.NONE or effort.value in self.reasoning_efforts

    def takes_verbosity(self, verbosity: OutputVerbosity) -> bool:
        """Whether this verbosity can be asked for."""
        return verbosity.value in self.verbosities

    def structures(self) -> tuple[StructuredOutput, ...]:
        """Return how the answer's shape is asked for, from the manifest's way to the mildest."""
        order = STRUCTURES[self.provider]
        ways = order[order.index(_plain(self.structured_output_method)) :]
        return tuple(way for way in ways if self.capabilities.get(_NEEDS.get(way, ""), True))


def _plain(structure: StructuredOutput) -> StructuredOutput:
    return StructuredOutput.WORDS if structure is StructuredOutput.NATIVE_JSON else structure


def _retired_only(model: Model) -> str:
    if model.is_retired and not model.is_deprecated:
        return "a retired model is deprecated too; set is_deprecated"
    return ""


def _of_structure(model: Model) -> str:
    for name in model.capabilities:
        if name not in _CAPABILITIES:
            return f"capabilities: '{name}' is none. {did_you_mean(name, _CAPABILITIES)}"
    method = _plain(model.structured_output_method)
    if method not in STRUCTURES[model.provider]:
        known = ", ".join(STRUCTURES[model.provider])
        return f"structured_output_method: {model.provider} cannot be asked by {method}; use one of {known}"
    needed = _NEEDS.get(method)
    if needed and model.capabilities.get(needed) is False:
        return f"structured_output_method: {method} needs {needed}, which capabilities deny"
    return ""


def _of_effort(model: Model) -> str:
    shapes = SHAPES[model.provider]
    if model.effort_shape not in shapes:
        return f"effort_shape: {model.provider} is not asked by {model.effort_shape}; use one of {', '.join(shapes)}"
    if model.reasoning_efforts and model.capabilities.get("extended_thinking") is False:
        return "reasoning_efforts: capabilities deny extended_thinking"
    for effort in model.effort_requests:
        if effort != "none" and effort not in model.reasoning_efforts:
            return f"effort_requests: '{effort}' is not among reasoning_efforts, so nobody can ask for it"
    return ""


def _of_provider(model: Model) -> str:
    speaks_openai = model.provider in (Provider.OPENAI, Provider.OPENROUTER)
    if model.verbosities and model.provider is not Provider.OPENAI:
        return f"verbosities: {model.provider} takes none"
    if model.uses_max_completion_tokens and not speaks_openai:
        return f"uses_max_completion_tokens: {model.provider} has no such field"
    if not model.supports_system_prompt and not speaks_openai:
        return f"supports_system_prompt: {model.provider} always takes one"
    if model.provider is Provider.OPENROUTER and model.api_version != "v1":
        return "api_version: OpenRouter has only v1; leave it out"
    return ""


def _of_base_url(url: str) -> str:
    problem = base_url_problem(url)
    return f"base_url: {problem}" if problem else ""


def _of_literal_parts(model: Model) -> str:
    for place, body in (("request", model.request), *(("effort_requests", b) for b in model.effort_requests.values())):
        for key in body:
            if key in _OURS:
                return f"{place}: '{key}' is the service's own"
        for flag, names in _SAMPLING.items():
            said = (
                {**body, **body.get("generationConfig", {})} if _is_mapping(body.get("generationConfig", {})) else body
            )
            if not getattr(model, flag) and any(said.get(name) is not None for name in names):
                return f"{place}: sets {names[0]}, but {flag} is false"
    for header in model.headers:
        if header.lower() in _SECRET_HEADERS:
            return f"headers: '{header}' carries a key; keys belong into the settings ({model.provider}_api_key)"
    return ""


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)
