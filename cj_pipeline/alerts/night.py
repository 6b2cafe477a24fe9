"""This module keeps one small file for each night, `nights/<date>.json`: what came of every scenario, and since when.

The night after it reads the file to say what is new, what still is, and what has recovered. `nights/first` says which
night is the first one of this installation.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import NIGHT
from cj_pipeline.foundation.versions import NewerVersion, marked, read_marked
from cj_pipeline.warehouse.files import create_whole, replace_whole

NIGHTS_FOLDER = "nights"
FIRST_FILE = "first"

BEGINS = time(3, tzinfo=UTC)
"""When the schedule launches a night; the night of a date is the one that begins on it."""

ENDS_AFTER = timedelta(hours=2)
"""A run that is not over by then is told as one that has not ended."""


class State(StrEnum):
    """What came of one scenario in one night."""

    AS_EXPECTED = "as expected"
    NOT_AS_EXPECTED = "not as expected"
    BROKE_OFF = "broke off"
    DID_NOT_END = "did not end"
    DID_NOT_RUN = "did not run"
    UNUSABLE = "cannot be used"


class Outcome(FileModel):
    """One scenario in one night.

    run_id: empty where none ran. words: verdict or cause in a few words; sentences: what failed. since: the first
    night, or day of a published run, from which on it has not been as expected; None when it is.
    """

    scenario_id: str
    state: State
    run_id: str = ""
    words: str = ""
    sentences: tuple[str, ...] = ()
    since: date | None = None

    @property
    def good(self) -> bool:
        """Whether there is nothing to say about it."""
        return self.state is State.AS_EXPECTED


def unusable(scenario_id: str, place: str) -> Outcome:
    """Return the outcome of a scenario that has no run. place: file and field of what keeps it from being used."""
    hint = f"{place}. cj-pipeline traces validate says why."
    return Outcome(scenario_id=scenario_id, state=State.UNUSABLE, sentences=(hint,))


class Night(FileModel):
    """One night. changes: sentences about checks that changed although nothing with a name did."""

    night: date
    concluded_at: datetime
    outcomes: tuple[Outcome, ...]
    changes: tuple[str, ...] = ()

    @property
    def facts(self) -> tuple[object, ...]:
        """What is told of it, without the ids of runs: the same night run again has the same facts."""
        return (*((one.scenario_id, one.state, one.sentences) for one in self.outcomes), *self.changes)

    def of(self, scenario_id: str) -> Outcome | None:
        """Return what came of a scenario; None where the night knows nothing of it."""
        return next((one for one in self.outcomes if one.scenario_id == scenario_id), None)


def due_night(now: datetime) -> date:
    """Return the night that began last.

    >>> due_night(datetime(2026, 1, 2, 2, 59, tzinfo=UTC)), due_night(datetime(2026, 1, 2, 3, tzinfo=UTC))
    (datetime.date(2026, 1, 1), datetime.date(2026, 1, 2))
    """
    return now.astimezone(UTC).date() - timedelta(days=now.astimezone(UTC).timetz() < BEGINS)


def is_over(night: date, now: datetime) -> bool:
    """Return whether what has not ended by now is late."""
    return now >= datetime.combine(night, BEGINS) + ENDS_AFTER


def read_night(root: Path, night: date) -> Night | None:
    """Return a concluded night; None for another, and where its file is damaged. root: the data folder.

    Raises NewerVersion.
    """
    path = _file(root, night)
    return _read(path) if path.is_file() else None


def last_night(root: Path, upto: date) -> Night | None:
    """Return the newest night that was concluded, up to and with a date; None where there is none.

    Raises NewerVersion where a newer program concluded it.
    """
    files = sorted((root / NIGHTS_FOLDER).glob("[0-9]*.json"), reverse=True)
    nights = (_read(path) for path in files if path.stem <= upto.isoformat())
    return next((night for night in nights if night is not None), None)


def write_night(root: Path, night: Night) -> Path:
    """Write a night, whole, in the place of what the same date had. Raises NewerVersion."""
    read_night(root, night.night)  # refuses to replace a newer one
    text = json.dumps(marked(NIGHT, night.model_dump(mode="json")), indent=1) + "\n"

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return replace_whole(_file(root, night.night), write)


def note_first_night(root: Path, night: date) -> None:
    """Note which night is the first that a daemon waits for. What is noted already stays."""

    def write(path: Path) -> None:
        path.write_text(f"{night}\n", encoding="utf-8")

    create_whole(root / NIGHTS_FOLDER / FIRST_FILE, write)


def first_night(root: Path) -> date | None:
    """Return the first night that a daemon waits for; None where none has begun to, and for a damaged file."""
    try:
        return date.fromisoformat((root / NIGHTS_FOLDER / FIRST_FILE).read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return None


def _file(root: Path, night: date) -> Path:
    return root / NIGHTS_FOLDER / f"{night.isoformat()}.json"


def _read(path: Path) -> Night | None:
    try:
        return Night.model_validate(read_marked(NIGHT, path.read_bytes(), path))
    except NewerVersion:
        raise
    except (BadInput, ValueError, OSError):  # a damaged file, or a folder, must not keep tonight's message back
        return None
