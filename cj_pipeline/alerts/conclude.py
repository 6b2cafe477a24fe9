"""This module concludes a night: it dates what is red, writes the message, records the night, and sends.

In this order: killed before the record, the night is concluded again and gives the same message under the same id. Of
two processes that conclude at once, one waits for the other, and tells what is other news alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

from cj_pipeline.alerts.channels import Channel
from cj_pipeline.alerts.message import Alert, alert_of
from cj_pipeline.alerts.night import Night, Outcome, State, last_night, read_night, write_night
from cj_pipeline.alerts.outbox import OUTBOX_FOLDER, keep, outbox, send_waiting
from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.file_lock import file_lock
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.parity.history.history import load_history


def conclude(
    root: Path,
    night: date,
    outcomes: Iterable[Outcome],
    channels: Mapping[str, Channel],
    now: datetime,
    *,
    ui_url: str = "",
    datasets: DataPath | None = None,
) -> tuple[Alert | None, list[str]]:
    """Conclude a night and send its message; return it (None: nothing to say), and what went wrong, in sentences.

    root: the data folder. outcomes: of every scenario there is; `since` is filled in here. What was not sent is kept,
    and tried again. datasets: where the history is, if not in that folder as well.
    """
    problems, past = [], root if datasets is None else datasets
    with file_lock(root / OUTBOX_FOLDER / ".concluding.lock"):
        try:
            earlier, before = read_night(root, night), last_night(root, night - timedelta(days=1))
        except NewerVersion as newer:  # must not keep the message back; `since` counts from the history alone
            earlier = before = None
            problems.append(str(newer))
        dated = tuple(_dated(past, night, one, earlier, before) for one in outcomes)
        changes = tuple(sentence for one in dated for sentence in _changes(past, one))
        concluded = Night(night=night, concluded_at=now, outcomes=dated, changes=changes)
        alert = alert_of(concluded, before, ui_url, earlier=earlier)
        if alert is not None and earlier is not None and earlier.facts == concluded.facts:
            # Its id follows from what the night was told as before that, and would be another now.
            alert = next((kept.alert for kept in reversed(outbox(root)) if kept.alert.night == night), alert)
        if alert is not None:
            keep(root, alert, channels, now)
        try:
            write_night(root, concluded)
        except NewerVersion as newer:
            if str(newer) not in problems:
                problems.append(str(newer))
        except OSError as error:  # what could not be recorded is concluded again, and must not keep the message back
            problems.append(
                f"the night of {night} was not recorded: {error.filename2 or error.filename}: {error.strerror}."
            )
    return alert, [*problems, *send_waiting(root, channels, now)]


def _dated(past: DataPath, night: date, one: Outcome, *known: Night | None) -> Outcome:
    """Return an outcome with its `since`: of a known night where it was red already, else as the history has it.

    known: what this night was concluded as before, and the night before it; the first that has the scenario counts.
    """
    if one.good:
        return one
    earlier = next((found for other in known if other and (found := other.of(one.scenario_id))), None)
    since = None if earlier is None or earlier.good else earlier.since
    if since is None and one.state is State.NOT_AS_EXPECTED:
        try:
            history = load_history(past, one.scenario_id)
        except BadInput:  # a damaged history must not keep the message back
            history = None
        since = None if history is None or history.red_since is None else history.red_since.date()
    # The history of a night that is run later has the day on which it ran.
    return one.model_copy(update={"since": night if since is None else min(since, night)})


def _changes(past: DataPath, one: Outcome) -> list[str]:
    """Return what changed in a scenario although nothing with a name did, as this run showed."""
    try:
        history = load_history(past, one.scenario_id)
    except BadInput:
        return []
    shifts = () if history is None or history.nights[-1].run_id != one.run_id else history.new_shifts
    return [f"{one.scenario_id}: {shift.sentence}" for shift in shifts]
