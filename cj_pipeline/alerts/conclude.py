"""This module concludes a night: it dates what is red, writes the message, records the night, and sends.

In this order: killed before the record, the night is concluded again and gives the same message under the same id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path

from cj_pipeline.alerts.channels import Channel
from cj_pipeline.alerts.message import Alert, alert_of
from cj_pipeline.alerts.night import Night, Outcome, State, last_night, write_night
from cj_pipeline.alerts.outbox import keep, send_waiting
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.history.history import load_history


def conclude(
    root: Path,
    night: date,
    outcomes: Iterable[Outcome],
    channels: Mapping[str, Channel],
    now: datetime,
    *,
    ui_url: str = "",
) -> tuple[Alert | None, list[str]]:
    """Conclude a night and send its message; return it (None: nothing to say), and what went wrong, in sentences.

    root: the data folder. outcomes: of every scenario there is; `since` is filled in here. What was not sent is kept,
    and tried again.
    """
    before = last_night(root, night)
    dated = tuple(_dated(root, night, one, before) for one in outcomes)
    changes = tuple(sentence for one in dated for sentence in _changes(root, one))
    concluded = Night(night=night, concluded_at=now, outcomes=dated, changes=changes)
    alert = alert_of(concluded, before, ui_url)
    if alert is not None:
        keep(root, alert, channels, now)
    problems = []
    try:
        write_night(root, concluded)
    except OSError as error:  # what could not be recorded is concluded again, and must not keep the message back
        problems.append(
            f"the night of {night} was not recorded: {error.filename2 or error.filename}: {error.strerror}."
        )
    return alert, [*problems, *send_waiting(root, channels, now)]


def _dated(root: Path, night: date, one: Outcome, before: Night | None) -> Outcome:
    """Return an outcome with its `since`: of the night before where it was red already, else as the history has it."""
    if one.good:
        return one
    earlier = None if before is None else before.of(one.scenario_id)
    since = None if earlier is None or earlier.good else earlier.since
    if since is None and one.state is State.NOT_AS_EXPECTED:
        try:
            history = load_history(root, one.scenario_id)
        except BadInput:  # a damaged history must not keep the message back
            history = None
        since = None if history is None or history.red_since is None else history.red_since.date()
    # The history of a night that is run later has the day on which it ran.
    return one.model_copy(update={"since": night if since is None else min(since, night)})


def _changes(root: Path, one: Outcome) -> list[str]:
    """Return what changed in a scenario although nothing with a name did, as this run showed."""
    try:
        history = load_history(root, one.scenario_id)
    except BadInput:
        return []
    shifts = () if history is None or history.nights[-1].run_id != one.run_id else history.new_shifts
    return [f"{one.scenario_id}: {shift.sentence}" for shift in shifts]
