"""This module defines `scenario.yaml`, what is judged and how, and reads it with errors that name file and key.

Whether its mode exists is known to runs/, whether its checks do to parity/.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import OutputVerbosity, Provider, QueueProcessingMode, ReasoningEffort
from cj_pipeline.contracts.model import FileModel, VersionOne
from cj_pipeline.contracts.named_prompt import NamedPrompt
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.names import SCENARIO, TOPIC, valid_name
from cj_pipeline.foundation.yaml_file import read_yaml_model

SCENARIO_FILE = "scenario.yaml"
MODE_FILE = "mode.yaml"  # beside the scenario, where a mode was fitted to its recording
REASON = "reason"

# Wide enough for any recording; near the ends of the calendar, a batch's times could not be computed.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

# Most of what one run can hold and a person can mean; an added zero is more.
MOST_BATCHES = 1_000
MOST_COMPARISONS = 1_000_000
LONGEST_BUDGET_S = 31 * 86_400.0


class Profile(StrEnum):
    """Which margins a scenario starts from: those of one of production's test suites, or those of a judge."""

    JUDGE = "judge"
    """Everything captured, imported or recorded: margins that are about the judge, on every value."""
    GENERIC = "generic"
    ENG5_ANCHOR = "eng5_anchor"
    ENG5_LOWER5 = "eng5_lower5"


class Item(FileModel):
    """One essay of the net. `id` is what travels in callbacks; `label` is what people read."""

    id: Annotated[str, Field(min_length=1)]
    label: Annotated[str, Field(min_length=1)]
    grade: str | None = None


class Net(FileModel):
    """The essays compared, and the scale on which the known ones are graded."""

    grade_scale: tuple[str, ...] | None = None
    """Grades from best to worst; None when no essay is graded."""
    items: Annotated[tuple[Item, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        scale = self.grade_scale or ()
        if len(set(scale)) != len(scale):
            raise ValueError("a grade is on the grade_scale twice")
        ids = [item.id for item in self.items]
        if len(set(ids)) != len(ids):
            raise ValueError("two items have the same id")
        for number, item in enumerate(self.items):
            if item.grade is not None and item.grade not in (self.grade_scale or ()):
                # By its place: a label may be a pupil's name, and errors end in event logs.
                raise ValueError(f"the grade of items[{number}] is not on the net's grade_scale")
        return self


class ProviderIdentity(FileModel):
    """Who judged when the trace was recorded, and the hints that were sent along."""

    name: Provider
    model: str | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    reasoning_effort: ReasoningEffort | None = None
    output_verbosity: OutputVerbosity | None = None
    prompt: NamedPrompt | None = None
    """Of a recording that this project made; another prompt is another judge."""


NO_BATCH = "unknown"
"""The batch of a new trace whose callbacks name none."""


class Batch(FileModel):
    """The identity of the batch in the system that recorded it."""

    bos_batch_id: Annotated[str, Field(min_length=1)]
    cj_batch_id: Annotated[int, Field(ge=0, lt=2**63)]
    callback_topic: Annotated[str, AfterValidator(partial(valid_name, rule=TOPIC))] = COMPARISON_RESULT_TOPIC
    started_at: Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST)]


class Service(FileModel):
    """LPS settings under which the live side runs."""

    queue_processing_mode: QueueProcessingMode = QueueProcessingMode.SERIAL_BUNDLE
    serial_bundle_max_requests_per_call: Annotated[int, Field(ge=1, le=64)] = 64


class Repeats(FileModel):
    """Further live batches over the same net, for what one batch cannot show (stability, tight means)."""

    batches: Annotated[int, Field(ge=1, le=MOST_BATCHES)]
    comparisons: Annotated[int, Field(ge=1, le=MOST_COMPARISONS)]
    """Comparisons in each batch; the trace's pairs are taken in order, and again from the first when they run out."""

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if self.batches * self.comparisons > MOST_COMPARISONS:
            raise ValueError(f"{self.batches * self.comparisons:,} comparisons; at most {MOST_COMPARISONS:,} together")
        return self


class Live(FileModel):
    """How the mock side is run."""

    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 42
    callback_budget_s: Annotated[float, Field(gt=0.0, le=LONGEST_BUDGET_S)]
    """How long a batch may take on the loop's clock before the run fails."""
    repeats: Repeats | None = None


class KnownJudge(FileModel):
    """What is known of the judge and cannot be estimated from its recording."""

    repeatability: Annotated[float, Field(ge=0.0, le=1.0)]
    """Share of prompts whose answer is fixed: the same whenever they are asked again."""
    reason: Annotated[str, Field(min_length=10)]


class ExpectedVerdict(FileModel):
    """The verdict that parity must come to, where it is not PARITY."""

    verdict: Literal["CANNOT TELL", "NO PARITY"]
    reason: Annotated[str, Field(min_length=10)]


def _no_text_but_reasons(limits: dict[str, float | str]) -> dict[str, float | str]:
    for limit, value in limits.items():
        if (limit == REASON) != isinstance(value, str):
            raise ValueError(f"{limit}: a limit is a number, a reason is text")
    return limits


class Scenario(FileModel):
    """One folder `traces/<scenario_id>/`, as its `scenario.yaml` describes it."""

    schema_version: VersionOne
    scenario_id: Annotated[str, AfterValidator(partial(valid_name, rule=SCENARIO))]
    title: str
    profile: Profile
    mode: Annotated[str, Field(min_length=1, max_length=1000)]
    net: Net
    provider: ProviderIdentity
    batch: Batch
    engine: EngineSettings = EngineSettings()
    service: Service = Service()
    live: Live
    judge: KnownJudge | None = None
    latency: Literal["judge", "host"] = "judge"
    """Whose latency was recorded: `host` for a self-hosted model, whose latency is its host's load."""
    expect: ExpectedVerdict | None = None
    tolerances: dict[str, Annotated[dict[str, float | str], AfterValidator(_no_text_but_reasons)]] = Field(
        default_factory=dict
    )
    """Per check, margins of its own; `reason` where one is looser than the profile's. Parity knows the names."""
    checks_off: dict[str, Annotated[str, Field(min_length=10)]] = Field(default_factory=dict)
    """Checks that do not apply, each with the reason that the report prints."""

    def expecting_nothing(self) -> Self:
        """Return it for a comparison with another recording: `expect` is about its own mock."""
        return self.model_copy(update={"expect": None})

    def own_limits(self, check: str) -> dict[str, float]:
        """Return the limits that the scenario sets for a check."""
        limits = self.tolerances.get(check, {})
        return {name: float(value) for name, value in limits.items() if not isinstance(value, str)}

    def reason_for(self, check: str) -> str:
        """Return why the scenario's margin of a check is looser than its profile's; empty where it does not say."""
        return str(self.tolerances.get(check, {}).get(REASON, ""))


def read_scenario(path: Path) -> Scenario:
    """Read one `scenario.yaml`.

    Raises BadInput naming the file and the key when it is missing, is not YAML, or does not fit the schema, or when
    its `scenario_id` is not its folder's name (a copied folder that kept its id would overwrite the original's data).
    """
    scenario = read_yaml_model(
        path,
        Scenario,
        when_missing=(
            "A trace folder needs one. Of a folder of callbacks, `cj-pipeline traces import NAME --from-folder FOLDER` "
            "makes a trace."
        ),
        when_unfit="The schema is in docs/scenarios.md.",
    )
    if scenario.scenario_id != path.parent.name:
        raise BadInput(
            f"is '{scenario.scenario_id}', but its folder is '{path.parent.name}'.",
            path=path,
            field="scenario_id",
            remedy="Give both the same name.",
        )
    return scenario
