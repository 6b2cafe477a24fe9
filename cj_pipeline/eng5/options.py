"""This module holds what an ENG5 run is asked for, as one value, and refuses what cannot be meant."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import LLMBatchingMode, OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.eng5.inputs import ENG5_SCALES, SHIPPED_NET, Inventory
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.runs.recording.embedded import provider_of
from cj_pipeline.runs.recording.prompts import PromptVariant
from cj_pipeline.runs.recording.spending import Price
from cj_pipeline.services.lps.providers.manifest import UnknownModel, check_overrides, load_manifest
from cj_pipeline.services.lps.settings import settings_from_environment

LEAST_COMPARISONS = 2
DEFAULT_TIMEOUT_S = 1800.0
DEFAULT_MOCK_MODE = "eng5_anchor_gpt51_low"
DEFAULT_REPETITIONS = 10
BUNDLE = 64
"""The most comparisons that production sends in one wave."""


class RunnerMode(StrEnum):
    """What a run does."""

    PLAN = "plan"
    """List the inputs."""
    DRY_RUN = "dry-run"
    """Write the artefact without a comparison."""
    EXECUTE = "execute"
    """Have the students' essays judged beside the anchors."""
    ANCHOR_ALIGN = "anchor-align-test"
    """Have the anchors judged against each other, and compare their order with their grades."""
    BOUNDARY = "boundary-test"
    """Ask about anchors of neighbouring grades again and again, in both orders."""

    @property
    def asks(self) -> bool:
        """Whether a judge is asked."""
        return self not in (RunnerMode.PLAN, RunnerMode.DRY_RUN)

    @property
    def anchors_only(self) -> bool:
        """Whether students' essays have no part in it."""
        return self in (RunnerMode.ANCHOR_ALIGN, RunnerMode.BOUNDARY)


class JudgeKind(StrEnum):
    """Who answers an embedded run."""

    MOCK = "mock"
    LOCAL = "local"
    PROVIDER = "provider"


class CapacityError(CjPipelineError):
    """There is too little to compare; the command exits with 1, as the reference does."""


@dataclass(frozen=True, slots=True)
class BoundaryOptions:
    """Of a boundary test. pairs: two names of anchors each, none for every pair of neighbouring grades."""

    pairs: tuple[tuple[str, str], ...] = ()
    repetitions: int = DEFAULT_REPETITIONS


@dataclass(frozen=True, slots=True)
class Judging:
    """Who is asked in an embedded run, and by which means. price: of a model whose price the manifest does not know."""

    kind: JudgeKind = JudgeKind.MOCK
    mock_mode: str = DEFAULT_MOCK_MODE
    seed: int = 42
    concurrency: int = 1
    budget_usd: float | None = None
    base_url: str | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """One run. batch_id: a label for people; every run has new ids.

    provider, model, effort, verbosity: whom to ask; None for the defaults. system_prompt, rubric: the texts of files.
    prompt: all words around the essays, instead of these. fixed_pairs: ask pairs that are planned beforehand, so that
    runs of several judges ask the same; with max_comparisons, the first of them; both_orders: each pair once more.
    canonical_prompt: whether the built-in system prompt is sent where no other is given. timeout_s: for the answers.
    """

    mode: RunnerMode
    output_dir: Path
    net: Path = SHIPPED_NET
    assignment_id: UUID | None = None
    course_id: UUID | None = None
    expected_grade_scale: str | None = None
    batch_id: str = "eng5-np-local-batch"
    user_id: str = "eng5_np_research_runner"
    org_id: str | None = None
    course_code: str = "ENG5"
    language: str = "en"
    provider: Provider | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    effort: ReasoningEffort | None = None
    verbosity: OutputVerbosity | None = None
    canonical_prompt: bool = True
    max_comparisons: int | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    await_completion: bool = False
    auto_extract: bool = False
    force_reupload: bool = False
    batching_mode: LLMBatchingMode | None = None
    system_prompt: Path | None = None
    rubric: Path | None = None
    prompt: PromptVariant | None = None
    fixed_pairs: bool = False
    both_orders: bool = False
    judging: Judging = field(default_factory=Judging)
    boundary: BoundaryOptions = field(default_factory=BoundaryOptions)
    verbose: bool = False

    @property
    def in_flight(self) -> int:
        """How many comparisons may be asked at the same time: modes that send several together need several."""
        alone = self.batching_mode in (None, LLMBatchingMode.PER_REQUEST)
        return self.judging.concurrency if alone else max(self.judging.concurrency, BUNDLE)

    @property
    def at_an_address(self) -> bool:
        """Whether a model is asked at a server of one's own, which may have models that no manifest knows."""
        judging = self.judging
        return judging.kind is JudgeKind.PROVIDER and judging.base_url is not None and self.model is not None

    @property
    def asked_provider(self) -> Provider:
        """Whose API is asked: as `record` has it at an address, else Anthropic's by default."""
        if self.provider is None and self.model is not None and self.at_an_address:
            return provider_of(self.model, self.judging.base_url)
        return self.provider or Provider.ANTHROPIC

    def overrides(self) -> LLMConfigOverrides:
        """Return whom every comparison asks."""
        return LLMConfigOverrides(
            provider_override=self.asked_provider,
            model_override=self.model,
            temperature_override=self.temperature,
            max_tokens_override=self.max_tokens,
            reasoning_effort=self.effort,
            output_verbosity=self.verbosity,
        )


def require_usable(options: RunnerOptions, *, deployed: bool) -> None:
    """Raise BadInput for options that cannot be meant together. deployed: whether services are asked."""
    if options.max_comparisons is not None and options.max_comparisons < LEAST_COMPARISONS:
        raise refusal("max_comparisons", f"{options.max_comparisons} is fewer than two.", "Two are the least.")
    if not (math.isfinite(options.timeout_s) and options.timeout_s > 0):
        raise refusal("completion_timeout", "is no time.", "Give seconds, more than 0.")
    if options.expected_grade_scale is not None:
        if options.expected_grade_scale not in ENG5_SCALES:
            raise refusal("expected_grade_scale", "is no scale of ENG5.", f"Known: {', '.join(ENG5_SCALES)}.")
        if deployed and options.assignment_id is None:
            raise refusal("expected_grade_scale", "is asserted of an assignment.", "Give --assignment-id.")
    if deployed and options.mode is RunnerMode.EXECUTE:
        for name in ("assignment_id", "course_id"):
            if getattr(options, name) is None:
                raise refusal(name, "is missing.", "A CJ service finds anchors and prompt by it.")
    if options.auto_extract and not (options.await_completion and deployed):
        raise refusal("auto_extract_eng5_db", "needs a service to extract from.", "Give --await-completion and Kafka.")
    if options.mode is RunnerMode.BOUNDARY and options.boundary.repetitions < 1:
        raise refusal("repetitions", "is fewer than one.", "Ten are usual.")
    for name, path in (("system_prompt", options.system_prompt), ("rubric", options.rubric)):
        if path is not None:
            text_of(path, name)


def text_of(path: Path, option: str) -> str:
    """Return the text of a prompt's file. Raises BadInput where it is missing, blank or no text."""
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        raise BadInput("no such file.", path=path, field=option, remedy="Name a text file.") from None
    except (OSError, UnicodeError) as error:
        raise BadInput(f"cannot be read ({type(error).__name__}).", path=path, field=option) from None
    if not text:
        raise BadInput("holds no text.", path=path, field=option, remedy="Write the prompt into it, or leave it out.")
    return text


def require_capacity(options: RunnerOptions, inventory: Inventory, *, anchors: int | None = None) -> None:
    """Raise CapacityError where there is too little to compare. anchors: those that the CJ service has."""
    count = len(inventory.anchors) if anchors is None else anchors
    if count == 0:
        where = inventory.root / "anchors" if anchors is None else "the CJ service"
        raise CapacityError(f"{where}: no anchors, so nothing can be graded. Add them, or register them.")
    if options.mode.anchors_only:
        if len(inventory.anchors) < LEAST_COMPARISONS:
            raise CapacityError(f"{inventory.root / 'anchors'}: one anchor, and a comparison needs two.")
    elif not inventory.students:
        raise CapacityError(f"{inventory.root / 'students'}: no essays of students. Add them, or test the anchors.")


def sliced(options: RunnerOptions, inventory: Inventory) -> Inventory:
    """Return the inputs that a run of so many comparisons is about.

    plan and dry-run show the first ceil(sqrt(max)) of each list, as the reference does. A run that asks a judge has all
    of them: its engine chooses the pairs, and the first anchors of a list are those of one end of the scale.
    """
    if options.max_comparisons is None or options.mode.asks:
        return inventory
    return inventory.first(math.ceil(math.sqrt(options.max_comparisons)))


def require_model(options: RunnerOptions) -> tuple[str, ...]:
    """Return notes about the model, and raise BadInput for one that cannot be asked so."""
    if options.judging.kind is JudgeKind.LOCAL:
        return ()
    provider = options.asked_provider
    manifest = load_manifest(settings_from_environment().model_manifest_path)
    notes = [] if options.model else [f"no model is named; {provider}'s default is asked"]
    try:
        model = None if options.model is None else manifest.find(provider, options.model)
        problems = check_overrides(manifest, provider, options.overrides())
    except UnknownModel as unknown:
        if options.at_an_address:
            return ()
        raise _unknown(str(unknown)) from None
    if problems:
        raise _unknown(problems[0].message, problems[0].field)
    if model is not None and model.is_deprecated:
        notes.append(f"{model.model_id} is deprecated")
    return tuple(notes)


def _unknown(message: str, name: str = "llm_model") -> BadInput:
    return refusal(name, message, "`cj-pipeline lps models` lists what can be asked.")


def refusal(name: str, problem: str, remedy: str) -> BadInput:
    """Return the error about an option."""
    return BadInput(problem, path="eng5", field=name, remedy=remedy)
