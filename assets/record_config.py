"""This module holds the run configuration of a recording, and translates it into a request and a judge."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from pydantic import Field

from assets.new_trace_config import NewTraceConfig, ProfileChoice, choice
from cj_pipeline.bus.factory import create_bus
from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.local.small_judge import local_options, small_judge
from cj_pipeline.runs.recording.books import JudgeBehindLps
from cj_pipeline.runs.recording.options import RecordingOptions, as_recorded, prepared
from cj_pipeline.runs.recording.prompts import DEFAULT_PROMPT
from cj_pipeline.runs.recording.request import RecordingRequest, not_recorded
from cj_pipeline.runs.remote import Deployment
from cj_pipeline.traces.provenance import read_provenance
from cj_pipeline.traces.scenario import Profile

if TYPE_CHECKING:
    ProviderChoice: TypeAlias = str
    ReasoningEffortChoice: TypeAlias = str
    OutputVerbosityChoice: TypeAlias = str
else:
    ProviderChoice = choice(Provider)
    ReasoningEffortChoice, OutputVerbosityChoice = choice(ReasoningEffort), choice(OutputVerbosity)

EXAMPLE = {"scenario_id": "autumn_pilot", "essays": "essays", "model": "gpt-5-mini-2025-08-07", "budget_usd": 2.0}
"""What the launchpad begins with."""


class RecordConfig(NewTraceConfig):
    """One recording. `scenario_id` has to be given, and `essays` with `model`, or `local`. No key belongs here."""

    op: ClassVar[str] = "record"

    essays: str | None = Field(default=None, description="Folder of essays: .txt, .md, .docx, .pdf, a file each.")
    grades_file: str | None = Field(default=None, description="Table of known grades: essay_id, grade[, label].")
    local: bool = Field(default=False, description="Ask the small model on this machine (make judge).")
    model: str | None = Field(default=None, description="Whom to ask, as the provider calls it.")
    base_url: str | None = Field(default=None, description="An OpenAI-compatible server, or another address.")
    provider: ProviderChoice | None = Field(default=None, description="Whose API it is; empty: by the model.")
    lps_url: str | None = Field(
        default=None, description="Ask through the deployed LPS at this URL, which has the keys; empty: embedded."
    )
    kafka: str | None = Field(
        default=None,
        description="HOST:PORT of the brokers on which that LPS publishes; empty: KAFKA_BOOTSTRAP_SERVERS, or the "
        "folder callbacks/ below the data folder.",
    )
    prompt: str = Field(default=DEFAULT_PROMPT, description="Prompt variant, or a file NAME.vN.yaml.")
    temperature: float | None = Field(default=None, description="Empty: as the LPS is set.")
    max_tokens: int | None = Field(default=None, description="That an answer may have; empty: as the LPS is set.")
    effort: ReasoningEffortChoice | None = Field(
        default=None, description="Of models that reason: none, low, medium, high."
    )
    verbosity: OutputVerbosityChoice | None = Field(
        default=None, description="Of models that take it: low, medium, high."
    )
    more: int | None = Field(
        default=None, ge=1, description="Comparisons beside a recording that is there, of its judge, as it was asked."
    )
    comparisons: int | None = Field(default=None, description="In each run; empty: every pair once.")
    both_orders: bool = Field(default=False, description="Every pair once more, the other essay first.")
    runs: int = Field(default=2, description="How often the same is asked.")
    seed: int = Field(default=1, description="Of pairs and sides.")
    concurrency: int = Field(default=1, description="Asked at the same time.")
    budget_usd: float | None = Field(
        default=None, description="Spend no more, for all runs together. Needed where a call may cost something."
    )
    input_usd_per_million: float | None = Field(default=None, description="Price where the manifest has none.")
    output_usd_per_million: float | None = Field(default=None, description="The same.")
    profile: ProfileChoice = Field(default=ProfileChoice("judge"), description=f"One of {', '.join(Profile)}.")

    @contextmanager
    def prepared(
        self, traces_dir: Path, data_dir: Path, folder: Path
    ) -> Iterator[tuple[RecordingRequest, JudgeBehindLps]]:
        """Yield request and judge, with the small model running where it is asked. folder: for temporary files.

        Raises BadInput naming the field that cannot be used.
        """
        options = self._options()
        if self.more is not None:
            options = self._as_recorded(options, traces_dir / self.scenario_id)
        if self.local:
            options = local_options(options, own_essays=self.essays is None)
        options = replace(options, deployment=self._deployment(data_dir))
        redaction = self.redaction(data_dir, options.model)
        if not self.local:
            yield self._within_means(*prepared(options, traces_dir, redaction, folder))
            return
        with small_judge() as base_url:
            yield prepared(replace(options, base_url=base_url), traces_dir, redaction, folder)

    def _options(self) -> RecordingOptions:
        known = self.model is not None or self.more is not None
        if not self.local and (self.essays is None or not known):
            field = "essays" if self.essays is None else "model"
            raise self.refusal(field, "is missing.", "Give essays and model, or local: true.")
        if self.local and (self.model or self.base_url or self.provider):
            raise self.refusal("local", "brings its own model.", "Leave model, base_url and provider out.")
        given = (self.input_usd_per_million, self.output_usd_per_million)
        if (given[0] is None) != (given[1] is None):
            raise self.refusal("output_usd_per_million", "goes with input_usd_per_million.", "Give both, or none.")
        return RecordingOptions(
            scenario_id=self.scenario_id,
            essays=Path(self.essays or ""),
            model=self.model or "",
            grades=None if self.grades_file is None else Path(self.grades_file),
            base_url=self.base_url,
            provider=None if self.provider is None else self.word(Provider, "provider", self.provider),
            prompt=self.prompt,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            effort=None if self.effort is None else self.word(ReasoningEffort, "effort", self.effort),
            verbosity=None if self.verbosity is None else self.word(OutputVerbosity, "verbosity", self.verbosity),
            comparisons=self.comparisons,
            both_orders=self.both_orders,
            runs=self.runs,
            seed=self.seed,
            concurrency=self.concurrency,
            budget_usd=self.budget_usd,
            price_per_million=None if given[0] is None or given[1] is None else (given[0], given[1]),
            profile=self.word(Profile, "profile", self.profile),
        )

    def _as_recorded(self, options: RecordingOptions, folder: Path) -> RecordingOptions:
        """Return the options that ask as a recording was asked, but for the fields that say otherwise."""
        given = frozenset(
            name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default
        )
        for name in ("runs", "comparisons", "both_orders", "grades_file", "profile"):
            if name in given:
                raise self.refusal(name, "belongs to a recording of its own.", "Leave it out with more.")
        recorded = read_provenance(folder).recorded
        if recorded is None:
            raise not_recorded(folder)
        again = as_recorded(options, recorded, given)
        return replace(again, model="", provider=None) if self.local else again

    def _deployment(self, data_dir: Path) -> Deployment | None:
        if self.lps_url is None:
            return None
        if self.local or self.base_url is not None:
            raise self.refusal("lps_url", "is a service that knows where it asks.", "Leave local and base_url out.")
        return Deployment(self.lps_url, lambda: create_bus(None, self.kafka, data_dir / "callbacks"))

    def _within_means(
        self, request: RecordingRequest, judge: JudgeBehindLps
    ) -> tuple[RecordingRequest, JudgeBehindLps]:
        """Refuse to spend without a limit: nobody sits at a job to be asked."""
        if request.budget_usd is None and not request.on_this_machine:
            raise self.refusal("budget_usd", "is missing, and a call may cost money.", "Say how much may be spent.")
        return request, judge
