"""A trace under construction: it outlives the process that makes it, and nobody takes it for a trace.

Here: the draft's folder, whom it belongs to, its lanes. Not here: the files of one lane (lane.py), the finished trace
(publishing.py), where callbacks come from (reading.py for Kafka; importing/).

The folder stands beside the trace's own and begins with a dot, so that neither the store nor a sensor looks at it:
`.<scenario_id>.capture/`. It is gone when the trace is published.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import IO, TYPE_CHECKING, Any, Self

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.capture.checkpoints import Checkpoints, sync_folder
from cj_pipeline.traces.capture.lane import Lane, save_state
from cj_pipeline.traces.capture.request import Beginning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cj_pipeline.traces.capture.lane import LaneState
    from cj_pipeline.traces.redaction.redaction import Redaction

OWNER_FILE = "request.json"
LOCK_FILE = "lock"
READY_FILE = "published"
"""Written before the finished trace is moved to its place: a draft that has it and no finished trace is done."""
FINISHED_FOLDER = "trace"

LOCK_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a draft belongs to.

    identity: what must be the same for another capture to go on with it, by name; plain JSON values. frame: what was
    found out at the start and holds to the end, such as end offsets.
    """

    identity: dict[str, Any]
    frame: dict[str, Any]
    began_at: datetime


class TraceDraft:
    """A draft, held by one process at a time. A context manager: leaving it keeps the draft."""

    def __init__(self, target: Path, folder: Path, lock: IO[str], redaction: Redaction | None, keep_raw: bool) -> None:
        """See `open`."""
        self.target = target
        self.folder = folder
        self.redaction = redaction
        self.keep_raw = keep_raw
        self._lock = lock
        self._lanes: dict[int, Lane] = {}
        self.owner: Owner | None = _read_owner(folder)

    @classmethod
    def open(
        cls, target: Path, beginning: Beginning, redaction: Redaction | None = None, *, keep_raw: bool = False
    ) -> Self:
        """Open the draft of the trace that is to stand at `target`.

        redaction: None keeps every callback as it came. keep_raw: quarantine keeps bytes although there is redaction.
        Raises BadInput: the trace is there already; a draft is there and was not asked for, or the reverse; another
        process holds it, or has published it this moment.
        """
        folder = draft_folder(target)
        if beginning is Beginning.ANEW:
            if target.exists():
                raise BadInput(
                    "is there already.", path=target, remedy="Choose another scenario id, or move the folder away."
                )
            if (folder / OWNER_FILE).exists():
                raise BadInput(
                    "an earlier capture of this name was not finished.",
                    path=folder,
                    remedy="Go on with --resume, publish what it has with --finish, or delete the folder.",
                )
        elif not (folder / OWNER_FILE).exists():
            raise BadInput(
                "there is no unfinished capture of this name.",
                path=folder,
                remedy="It is published already." if target.exists() else "Capture without --resume and --finish.",
            )
        elif target.exists() and not _was_published(folder):
            raise BadInput(
                "is there already, and is another trace than the unfinished one.",
                path=target,
                remedy=f"Move it away, or delete {folder}.",
            )
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("w")
        if not _locked(lock):
            lock.close()
            raise BadInput(
                "another capture is writing it.", path=folder, remedy="Wait for it, or choose another scenario id."
            )
        if os.fstat(lock.fileno()).st_nlink == 0:
            lock.close()
            raise BadInput(
                "the capture that was writing it has just published it.", path=folder, remedy="Look at the trace."
            )
        return cls(target, folder, lock, redaction, keep_raw)

    @property
    def published(self) -> bool:
        """Whether the trace is at its place already, and only the draft was left behind."""
        return self.target.exists() and _was_published(self.folder)

    def claim(self, identity: Mapping[str, Any], frame: Mapping[str, Any]) -> Owner:
        """Say what this draft is of. A new draft remembers it; an old one must be of the same.

        Returns what the draft rests on: of an old one, the frame it was begun with. Raises BadInput naming the first
        part of the identity that differs.
        """
        if self.owner is None:
            self.owner = Owner(dict(identity), dict(frame), utc_now())
            _write_owner(self.folder, self.owner)
            return self.owner
        for name in (*identity, *self.owner.identity):
            if identity.get(name) != self.owner.identity.get(name):
                raise BadInput(
                    "is not what the unfinished capture was begun with.",
                    path=self.folder / OWNER_FILE,
                    field=name,
                    remedy="Resume it with the same selection, publish what it has with --finish, or delete it.",
                )
        return self.owner

    def lane(self, number: int, first: int = 0) -> Lane:
        """One lane; a new one wants positions from `first` on, an old one goes on where its checkpoint stands."""
        if number not in self._lanes:
            self._lanes[number] = Lane(self.folder, number, first, self.redaction, self.keep_raw)
        return self._lanes[number]

    def let_go(self, number: int) -> None:
        """Leave a lane to another process."""
        self._lanes.pop(number).close()

    def lanes(self) -> tuple[int, ...]:
        """Numbers of the lanes that have a checkpoint, rising."""
        return tuple(sorted(int(path.name.partition(".")[0]) for path in self.folder.glob("*.checkpoint")))

    def checkpoint(self, states: Mapping[int, LaneState] | None = None) -> None:
        """Make what was taken last. states: of lanes that other processes have filled and left, too."""
        for number, state in (states or {}).items():
            if number not in self._lanes and state.read:
                save_state(self.folder, number, state)
        Checkpoints(self.folder, self._lanes).save()

    def discard(self) -> None:
        """Remove the draft."""
        self._close_lanes()
        # While it is held: whoever waits for it would go on with a folder that is being removed.
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def close(self) -> None:
        """Let go of it; what was not checkpointed is read again by whoever resumes."""
        self._close_lanes()
        self._lock.close()

    def _close_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._lanes = {}

    @property
    def lock_descriptor(self) -> int:
        """Of the open lock, for a worker to hold on to: the draft is held until the last of them is gone."""
        return self._lock.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.owner is None:
            self.discard()
        self.close()


def draft_folder(target: Path) -> Path:
    """Where the draft of a trace is."""
    return target.parent / f".{target.name}.capture"


def _locked(lock: IO[str]) -> bool:
    # A worker whose capture was killed notices within a second, and holds the lock until then.
    deadline = monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > deadline:
                return False
            sleep(0.05)
        else:
            return True


def _was_published(folder: Path) -> bool:
    return (folder / READY_FILE).exists() and not (folder / FINISHED_FOLDER).exists()


def _read_owner(folder: Path) -> Owner | None:
    path = folder / OWNER_FILE
    try:
        content = json.loads(path.read_bytes())
        return Owner(content["identity"], content["frame"], datetime.fromisoformat(content["began_at"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise BadInput(
            "does not say what the draft is of.", path=path, remedy="Delete the folder and capture again."
        ) from None


def _write_owner(folder: Path, owner: Owner) -> None:
    content = {"identity": owner.identity, "frame": owner.frame, "began_at": owner.began_at.isoformat()}
    temporary = folder / f"{OWNER_FILE}.new"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / OWNER_FILE)
    sync_folder(folder)
