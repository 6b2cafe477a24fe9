"""This module holds the run configuration of a capture, and translates it into a request."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias
from uuid import UUID

from pydantic import Field

from assets.new_trace_config import NewTraceConfig, ProfileChoice, choice
from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE, COMPARISON_RESULT_TOPIC
from cj_pipeline.runs.new_trace_mode import fitted_mode_text, require_mode_for_pseudonyms
from cj_pipeline.traces.capture.draft import is_unfinished
from cj_pipeline.traces.capture.request import Beginning, CaptureRequest, Limits
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.message_filter import Selection
from cj_pipeline.traces.scenario import Profile

# A run that waits for ever keeps its place in the queue for ever.
MOST_SECONDS = 3600.0

AUTO = "auto"

if TYPE_CHECKING:
    BeginningChoice: TypeAlias = str
else:
    BeginningChoice = choice(Beginning, AUTO)

EXAMPLE = {"scenario_id": "autumn_pilot_20251205", "bos_batch_id": "5f3c9a52-0c0b-4d2a-8a52-6f2f3c1f6f10"}
"""What the launchpad begins with."""


class CaptureConfig(NewTraceConfig):
    """One capture. Only `scenario_id` and one of `bos_batch_id` and `correlation_ids` have to be given."""

    op: ClassVar[str] = "capture"

    bos_batch_id: str | None = Field(
        default=None, description="The batch, as its callbacks carry it. This configuration is stored with the run."
    )
    topic: str = Field(default=COMPARISON_RESULT_TOPIC, description="Topic that the callbacks are on.")
    expected_count: int | None = Field(
        default=None, description="Stop once so many different callbacks are there, and wait for them until then."
    )
    idle_seconds: float | None = Field(
        default=None, description="Go on past the end, and stop after so long without a matching callback."
    )
    timeout_seconds: float | None = Field(
        default=MOST_SECONDS,
        description="Stop after so long in any case. What is missing then makes the trace partial.",
    )
    since: str | None = Field(
        default=None, description="From this time of the record on: 2025-12-05T09:00:00Z; the zone is needed."
    )
    until: str | None = Field(default=None, description="Up to this time of the record, which is not included.")
    event_type: str = Field(default=COMPARISON_RESULT_EVENT_TYPE, description="Type in the envelope.")
    correlation_ids: list[str] = Field(default=[], description="Only these, when there are any.")
    model: str | None = Field(default=None, description="Only callbacks of this model.")
    like_scenario: str | None = Field(
        default=None, description="Scenario whose net, engine, service, tolerances and mode the new one takes over."
    )
    grades_file: str | None = Field(default=None, description="CSV of known grades: essay_id, grade[, label].")
    profile: ProfileChoice | None = Field(
        default=None, description=f"One of {', '.join(Profile)}; empty: as like_scenario."
    )
    mode: str | None = Field(
        default=None, description="Mode of the mock on the live side; empty: as like_scenario, or fitted."
    )
    beginning: BeginningChoice = Field(
        default=BeginningChoice(AUTO),
        description="auto: go on where an unfinished capture of this name stopped, or begin; new; resume; "
        "finish: publish what an unfinished one has.",
    )

    def request(self, traces_dir: Path, data_dir: Path) -> CaptureRequest:
        """Return the request. Raises BadInput naming the field that cannot be used."""
        auto = Beginning.RESUME if is_unfinished(traces_dir / self.scenario_id) else Beginning.NEW
        redaction = self.redaction(data_dir)
        choices = ScenarioChoices(
            like=None if self.like_scenario is None else traces_dir / self.like_scenario,
            grades_file=None if self.grades_file is None else Path(self.grades_file),
            profile=None if self.profile is None else self.word(Profile, "profile", self.profile),
            mode=self.mode,
            fit_mode=fitted_mode_text,
        )
        if redaction is not None:
            require_mode_for_pseudonyms(choices)
        return CaptureRequest(
            scenario_id=self.scenario_id,
            traces_dir=traces_dir,
            selection=Selection(
                bos_batch_id=self.bos_batch_id,
                event_type=self.event_type,
                correlation_ids=tuple(self._uuid(text) for text in self.correlation_ids),
                model=self.model,
                since=self._instant("since", self.since),
                until=self._instant("until", self.until),
            ),
            redaction=redaction,
            topic=self.topic,
            limits=Limits(
                expected_count=self.expected_count,
                idle_seconds=self.idle_seconds,
                timeout_seconds=self.timeout_seconds,
            ),
            choices=choices,
            beginning=auto if self.beginning == AUTO else self.word(Beginning, "beginning", self.beginning),
        )

    def _uuid(self, text: str) -> UUID:
        try:
            return UUID(text)
        except ValueError:
            raise self.refusal(
                "correlation_ids", "one of them is no UUID.", "Give them as the callbacks carry them."
            ) from None

    def _instant(self, field: str, text: str | None) -> datetime | None:
        if text is None:
            return None
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise self.refusal(field, "is no time.", "Write it as 2025-12-05T09:00:00Z.") from None
        if instant.tzinfo is None:
            raise self.refusal(field, "has no time zone.", "Write it as 2025-12-05T09:00:00Z.")
        return instant
