"""This module keeps an unfinished run: its ids, what it was begun with, and every answer, as `.<mode>.run/`.

The same command goes on with it after a kill, a time-out or Ctrl-C; a command with other options is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from cj_pipeline.eng5.facts import RunIdentity
from cj_pipeline.eng5.options import RunnerMode
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.recording.draft import RunDraft
from cj_pipeline.traces.draft import disk_errors_in_words

ANSWERS_FILE = "answers.sqlite"


class Draft:
    """An unfinished run. answers: as they are kept, in order of arrival."""

    def __init__(self, folder: Path, answers: RunDraft, identity: RunIdentity) -> None:
        self.folder = folder
        self.answers = answers
        self.identity = identity

    def discard(self) -> None:
        """Forget it: the run is over, and its artefact has everything."""
        self.answers.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def draft_folder(output_dir: Path, mode: RunnerMode) -> Path:
    """Return where the unfinished run of a mode is."""
    return output_dir / f".{mode.value}.run"


@contextmanager
def opened_draft(
    output_dir: Path, mode: RunnerMode, begun_with: Mapping[str, Any], *, restart: bool, key: str | None = None
) -> Iterator[Draft]:
    """Open the unfinished run of a mode, or begin one. restart: forget an unfinished one.

    key: the ids of the run follow from it; None for new ones. begun_with: JSON values that must be the same to go on.
    Raises BadInput naming the first that is not; another process that holds the run.
    """
    folder = draft_folder(output_dir, mode)
    if restart:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    with disk_errors_in_words(folder):
        answers = RunDraft(folder / ANSWERS_FILE, None)
        try:
            yield Draft(folder, answers, _claimed(answers, folder, json.loads(json.dumps(begun_with)), key))
        finally:
            answers.close()


def kept_answers(folder: Path) -> int:
    """Return how many answers an unfinished run has. folder: of its draft, which may not be there."""
    file = folder / ANSWERS_FILE
    if not file.exists():
        return 0
    with disk_errors_in_words(folder):
        answers = RunDraft(file, None)
        try:
            return answers.taken
        finally:
            answers.close()


def _claimed(answers: RunDraft, folder: Path, begun_with: Mapping[str, Any], key: str | None) -> RunIdentity:
    owner = answers.noted("owner")
    if owner is None:
        owner = {"begun_with": begun_with, "began_at": utc_now().isoformat()}
        answers.note("owner", owner)
    for name, value in owner["begun_with"].items():
        if begun_with.get(name) != value:
            raise BadInput(
                "is not what the unfinished run was begun with.",
                path=folder,
                field=name,
                remedy="Go on with the same options, or forget what was answered with --restart.",
            )
    key = key or json.dumps(owner, sort_keys=True)
    return RunIdentity(
        batch_uuid=keyed_uuid("eng5 batch", key),
        correlation_id=keyed_uuid("eng5 run", key),
        began_at=datetime.fromisoformat(owner["began_at"]),
    )
