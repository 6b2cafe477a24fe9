"""This module holds the run configuration of a capture, and translates it into a request."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from dagster import Config
from pydantic import Field

from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE, COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.runs.new_trace_mode import fitted_mode_text, require_mode_for_pseudonyms
from cj_pipeline.traces.capture.draft import is_unfinished
from cj_pipeline.traces.capture.request import Beginning, CaptureRequest, Limits
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.message_filter import Selection
from cj_pipeline.traces.redaction.key import default_key_file, key_from
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import Justifications, RedactionPolicy
from cj_pipeline.traces.scenario import Profile

# A run that waits for ever keeps its place in the queue for ever.
MOST_SECONDS = 3600.0

AUTO = "auto"

Word = TypeVar("Word", bound=StrEnum)


class CaptureConfig(Config):
    """One capture. Only `scenario_id` and one of `bos_batch_id` and `correlation_ids` have to be given."""

    scenario_id: str = Field(
        description="Name of the new scenario, and of its folder: lower case, digits, underscores."
    )
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
    redact: bool = Field(default=True, description="Give essays pseudonyms and keep only metadata that names nobody.")
    justifications: str = Field(
        default=Justifications.DROP.value, description="What becomes of the judge's sentences: drop, hash or keep."
    )
    key_file: str | None = Field(
        default=None,
        description="File of the key of the pseudonyms, made when it is not there; empty: "
        "CJ_PIPELINE_REDACTION_KEY_FILE, or a file in the data folder.",
    )
    like_scenario: str | None = Field(
        default=None, description="Scenario whose net, engine, service, tolerances and mode the new one takes over."
    )
    grades_file: str | None = Field(default=None, description="CSV of known grades: essay_id, grade[, label].")
    profile: str | None = Field(default=None, description=f"One of {', '.join(Profile)}; empty: as like_scenario.")
    mode: str | None = Field(
        default=None, description="Mode of the mock on the live side; empty: as like_scenario, or fitted."
    )
    beginning: str = Field(
        default=AUTO,
        description="auto: go on where an unfinished capture of this name stopped, or begin; new; resume; "
        "finish: publish what an unfinished one has.",
    )

    def request(self, traces_dir: Path, data_dir: Path) -> CaptureRequest:
        """Return the request. Raises BadInput naming the field that cannot be used."""
        auto = Beginning.RESUME if is_unfinished(traces_dir / self.scenario_id) else Beginning.NEW
        redaction = self._redaction(data_dir) if self.redact else None
        choices = ScenarioChoices(
            like=None if self.like_scenario is None else traces_dir / self.like_scenario,
            grades_file=None if self.grades_file is None else Path(self.grades_file),
            profile=None if self.profile is None else _word(Profile, "profile", self.profile),
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
                correlation_ids=tuple(_uuid(text) for text in self.correlation_ids),
                model=self.model,
                since=_instant("since", self.since),
                until=_instant("until", self.until),
            ),
            redaction=redaction,
            topic=self.topic,
            limits=Limits(
                expected_count=self.expected_count,
                idle_seconds=self.idle_seconds,
                timeout_seconds=self.timeout_seconds,
            ),
            choices=choices,
            beginning=auto if self.beginning == AUTO else _word(Beginning, "beginning", self.beginning),
        )

    def _redaction(self, data_dir: Path) -> Redaction:
        key_file = default_key_file(data_dir) if self.key_file is None else Path(self.key_file)
        policy = RedactionPolicy(justifications=_word(Justifications, "justifications", self.justifications))
        return Redaction(policy, Pseudonyms(key_from(key_file)))


def refusal(field: str, problem: str, remedy: str) -> BadInput:
    """Return the error about a field of the run's configuration."""
    return BadInput(problem, path="run configuration", field=f"ops.capture.config.{field}", remedy=remedy)


def _word(kind: type[Word], field: str, given: str) -> Word:
    try:
        return kind(given)
    except ValueError:
        raise refusal(field, f"'{given}' is not known.", did_you_mean(given, kind)) from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise refusal("correlation_ids", "one of them is no UUID.", "Give them as the callbacks carry them.") from None


def _instant(field: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise refusal(field, "is no time.", "Write it as 2025-12-05T09:00:00Z.") from None
    if instant.tzinfo is None:
        raise refusal(field, "has no time zone.", "Write it as 2025-12-05T09:00:00Z.")
    return instant
