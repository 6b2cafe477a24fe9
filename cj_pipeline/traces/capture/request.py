"""This module holds a capture's request as values, and says what is wrong with one before anything is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE, COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.names import SCENARIO, TOPIC, require_name
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.message_filter import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from cj_pipeline.traces.redactor import Redactor

# A batch whose count is awaited may never get there; so long without a message is taken for its end.
PATIENCE_SECONDS = 30.0

_MODEL = re.compile(r"[A-Za-z0-9._:/@+-]{1,120}")


@dataclass(frozen=True, slots=True)
class Limits:
    """When a capture ends; the first that comes. With none of them: at the end offsets that the topic had at the start.

    expected_count: different callbacks; reading goes on past the end until so many are there. follow: the topic has no
    end. idle_seconds: past the end as well, until so long nothing has matched. timeout_seconds: from the start.
    """

    expected_count: int | None = None
    idle_seconds: float | None = None
    timeout_seconds: float | None = None
    follow: bool = False

    @property
    def open_ended(self) -> bool:
        """Return whether reading goes on after the end that the topic had at the start."""
        return self.follow or self.expected_count is not None or self.idle_seconds is not None

    @property
    def idle_limit(self) -> float | None:
        """Return seconds; a count that is awaited without any limit of time is not awaited for ever."""
        unlimited = self.idle_seconds is None and self.timeout_seconds is None and not self.follow
        return PATIENCE_SECONDS if unlimited and self.expected_count is not None else self.idle_seconds


class Beginning(StrEnum):
    """What a capture does with an earlier one of the same name."""

    NEW = "new"
    """Nothing: it is refused where one is under way or done."""
    RESUME = "resume"
    """It goes on where the other stopped, with the same selection."""
    FINISH = "finish"
    """It publishes what the other has, and reads nothing."""


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """One capture: from a topic to the folder `traces_dir/scenario_id`.

    redaction: None to keep everything as it came. keep_raw: a redacted capture quarantines the bytes too.
    """

    scenario_id: str
    traces_dir: Path
    selection: Selection
    redaction: Redactor | None
    topic: str = COMPARISON_RESULT_TOPIC
    limits: Limits = Limits()
    choices: ScenarioChoices = field(default_factory=ScenarioChoices)
    keep_raw: bool = False
    beginning: Beginning = Beginning.NEW

    @property
    def target(self) -> Path:
        """Return the trace's folder."""
        return self.traces_dir / self.scenario_id


def require_usable(request: CaptureRequest) -> None:
    """Raise BadInput naming the first field of a request that cannot be meant."""
    selection, limits = request.selection, request.limits
    require_name(request.scenario_id, SCENARIO, path="capture", field="scenario_id")
    if request.beginning is Beginning.FINISH:
        return
    require_name(request.topic, TOPIC, path="capture", field="topic")
    if selection.event_type != COMPARISON_RESULT_EVENT_TYPE:
        raise _refusal(
            "event_type",
            "a trace is made of one event type.",
            f"Use {COMPARISON_RESULT_EVENT_TYPE}; events of other types are counted as foreign.",
        )
    if selection.bos_batch_id is None and not selection.correlation_ids:
        raise _refusal("bos_batch_id", "nothing says which callbacks are meant.", "Give it, or correlation ids.")
    if selection.bos_batch_id == "":
        raise _refusal("bos_batch_id", "is empty.", "Give the batch id that the callbacks carry in their metadata.")
    if selection.model is not None and not _MODEL.fullmatch(selection.model):
        raise _refusal("model", "is no name of a model.", "Use the name that the callbacks carry, such as gpt-5.1.")
    if selection.since is not None and selection.until is not None and selection.since >= selection.until:
        raise _refusal("until", "is not after since.", "Swap them, or leave one out.")
    if limits.expected_count is not None and limits.expected_count < 1:
        raise _refusal("expected_count", "is below 1.", "Leave it out to read to the end of the topic.")
    for name, seconds in (("idle_seconds", limits.idle_seconds), ("timeout_seconds", limits.timeout_seconds)):
        if seconds is not None and seconds <= 0:
            raise _refusal(name, "is not above 0.", "Give seconds, or leave it out.")


def _refusal(field: str, problem: str, remedy: str) -> BadInput:
    return BadInput(problem, path="capture", field=field, remedy=remedy)
