"""This module holds the run configuration of the ENG5 jobs, and translates it into the options of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from dagster import Config
from pydantic import Field

from assets.new_trace_config import choice
from cj_pipeline.bus.factory import create_bus
from cj_pipeline.contracts.enums import LLMBatchingMode, OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.eng5.deployed_run import DeployedServices
from cj_pipeline.eng5.inputs import SHIPPED_NET
from cj_pipeline.eng5.options import (
    DEFAULT_MOCK_MODE,
    DEFAULT_REPETITIONS,
    DEFAULT_TIMEOUT_S,
    BoundaryOptions,
    JudgeKind,
    Judging,
    RunnerMode,
    RunnerOptions,
)
from cj_pipeline.eng5.prompts import PromptKind, prompt_path
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.cj.admin_client import CjAdmin, token_of_environment

if TYPE_CHECKING:
    ProviderChoice: TypeAlias = str
    EffortChoice: TypeAlias = str
    VerbosityChoice: TypeAlias = str
    BatchingChoice: TypeAlias = str
    JudgeChoice: TypeAlias = str
else:
    ProviderChoice, EffortChoice, VerbosityChoice = choice(Provider), choice(ReasoningEffort), choice(OutputVerbosity)
    BatchingChoice, JudgeChoice = choice(LLMBatchingMode), choice(JudgeKind)

_BATCH = {"batch_id": "autumn_pilot", "judge": "mock"}
_TEST = {**_BATCH, "reasoning_effort": "low", "output_verbosity": "low"}

EXAMPLES: Mapping[RunnerMode, Mapping[str, Any]] = {
    RunnerMode.PLAN: _BATCH,
    RunnerMode.DRY_RUN: _BATCH,
    RunnerMode.EXECUTE: {**_BATCH, "max_comparisons": 60},
    RunnerMode.ANCHOR_ALIGN: _TEST,
    RunnerMode.BOUNDARY: {**_TEST, "repetitions": DEFAULT_REPETITIONS},
}
"""What the launchpads begin with: a run on the mock, which costs nothing."""


class Eng5Config(Config):
    """One run of the ENG5 runner, under the names that its flags have. Nothing has to be given; no key belongs here."""

    net: str | None = Field(
        default=None,
        description="Folder of anchors/, students/, prompt, instructions; empty: the net of this project.",
    )
    output_dir: str | None = Field(default=None, description="Empty: eng5/ below the data folder.")
    batch_id: str = Field(default="eng5-np-local-batch", description="A label for people.")
    assignment_id: str | None = Field(default=None, description="UUID; `execute` in front of services needs it.")
    course_id: str | None = Field(default=None, description="The same.")
    expected_grade_scale: str | None = Field(default=None, description="Stop where the grades are on another one.")
    user_id: str = Field(default="eng5_np_research_runner", description="Whose batch it is.")
    org_id: str | None = Field(default=None, description="The same.")
    course_code: str = Field(default="ENG5", description="Of the request.")
    language: str = Field(default="en", description="Of the request.")
    llm_provider: ProviderChoice | None = Field(default=None, description="Empty: anthropic.")
    llm_model: str | None = Field(default=None, description="Empty: the provider's default.")
    llm_temperature: float | None = Field(default=None, description="0 to 2; empty: as the LPS is set.")
    llm_max_tokens: int | None = Field(default=None, description="That an answer may have.")
    reasoning_effort: EffortChoice | None = Field(
        default=None, description="Of the tests of anchors: none, low, medium, high."
    )
    output_verbosity: VerbosityChoice | None = Field(default=None, description="The same: low, medium, high.")
    cj_system_prompt: bool = Field(default=True, description="The built-in system prompt, where no file has another.")
    system_prompt: str | None = Field(default=None, description="File of a system prompt, or its number.")
    rubric: str | None = Field(default=None, description="File of a rubric, or its number.")
    max_comparisons: int | None = Field(default=None, description="At least 2.")
    completion_timeout: float = Field(default=DEFAULT_TIMEOUT_S, description="Seconds.")
    llm_batching_mode: BatchingChoice | None = Field(default=None, description="A hint to the CJ service.")
    pairs: list[str] = Field(default=[], description="Of boundary-test: NAME:NAME; empty: all neighbouring grades.")
    repetitions: int = Field(default=DEFAULT_REPETITIONS, description="Of boundary-test, in each order.")
    judge: JudgeChoice = Field(
        default=JudgeChoice(JudgeKind.MOCK.value), description="Of an embedded run: mock, local, provider."
    )
    mock_mode: str = Field(default=DEFAULT_MOCK_MODE, description="Mode of the mock.")
    seed: int = Field(default=42, description="Of pairs, sides and the mock.")
    concurrency: int = Field(default=1, description="Asked at the same time.")
    base_url: str | None = Field(default=None, description="Of judge: provider.")
    budget_usd: float | None = Field(default=None, description="Of judge: provider, which needs it.")
    restart: bool = Field(default=False, description="Forget an unfinished run.")
    kafka: str | None = Field(
        default=None, description="HOST:PORT of the brokers: ask the deployed services; empty: an embedded run."
    )
    cj_service_url: str = Field(default="http://localhost:9095", description="Of a deployed run.")
    content_service_url: str = Field(default="http://localhost:8001/v1/content", description="Of a deployed run.")
    database_url: str | None = Field(default=None, description="Of the CJ database, to extract the batch at its end.")
    force_reupload: bool = Field(default=False, description="Store every text again.")

    def options(self, mode: RunnerMode, data_dir: Path) -> RunnerOptions:
        """Return the options of a run. Raises BadInput naming the field that cannot be used."""
        judge = JudgeKind(self.judge)
        if judge is JudgeKind.PROVIDER and self.budget_usd is None:
            # Nobody sits at a job to be asked.
            raise refusal("budget_usd", "is missing, and a call may cost money.", "Say how much may be spent.")
        test = mode.anchors_only
        if not test and (self.reasoning_effort or self.output_verbosity):
            raise refusal("reasoning_effort", "goes with the tests of anchors.", "Leave it out.")
        if mode is RunnerMode.BOUNDARY and self.kafka is not None:
            raise refusal("kafka", "names a CJ service, which chooses its own pairs.", "Leave it out.")
        return RunnerOptions(
            mode=mode,
            output_dir=Path(self.output_dir) if self.output_dir else data_dir / "eng5",
            net=Path(self.net) if self.net else SHIPPED_NET,
            assignment_id=_uuid("assignment_id", self.assignment_id),
            course_id=_uuid("course_id", self.course_id),
            expected_grade_scale=self.expected_grade_scale,
            batch_id=self.batch_id,
            user_id=self.user_id,
            org_id=self.org_id,
            course_code=self.course_code.upper(),
            language=self.language.lower(),
            provider=None if self.llm_provider is None else Provider(self.llm_provider),
            model=self.llm_model,
            temperature=self.llm_temperature,
            max_tokens=self.llm_max_tokens,
            effort=None if self.reasoning_effort is None else ReasoningEffort(self.reasoning_effort),
            verbosity=None if self.output_verbosity is None else OutputVerbosity(self.output_verbosity),
            canonical_prompt=self.cj_system_prompt,
            max_comparisons=self.max_comparisons,
            timeout_s=self.completion_timeout,
            await_completion=True,
            auto_extract=self.database_url is not None,
            force_reupload=self.force_reupload,
            batching_mode=None if self.llm_batching_mode is None else LLMBatchingMode(self.llm_batching_mode),
            system_prompt=prompt_path(self.system_prompt, PromptKind.SYSTEM),
            rubric=prompt_path(self.rubric, PromptKind.RUBRIC),
            judging=Judging(
                kind=judge,
                mock_mode=self.mock_mode,
                seed=self.seed,
                concurrency=self.concurrency,
                budget_usd=self.budget_usd,
                base_url=self.base_url,
            ),
            boundary=BoundaryOptions(tuple(_pair(text) for text in self.pairs), self.repetitions),
        )  # fmt: skip

    def services(self, data_dir: Path) -> DeployedServices | None:
        """Return the deployed services that are meant; None for an embedded run."""
        if self.kafka is None:
            return None
        kafka = self.kafka
        return DeployedServices(
            open_bus=lambda: create_bus(None, kafka, data_dir / "callbacks"),
            content_url=self.content_service_url,
            admin=CjAdmin(self.cj_service_url, token_of_environment()),
            database_url=self.database_url,
        )


def refusal(field: str, problem: str, remedy: str) -> BadInput:
    """Return the error about a field of the run's configuration."""
    return BadInput(problem, path="run configuration", field=field, remedy=remedy)


def _uuid(field: str, text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise refusal(field, "is no UUID.", "Give it as the CJ service shows it.") from None


def _pair(text: str) -> tuple[str, str]:
    first, colon, second = text.partition(":")
    if not (first and colon and second):
        raise refusal("pairs", f"'{text}' is not two anchors with a colon between.", "Write NAME:NAME.")
    return first, second
