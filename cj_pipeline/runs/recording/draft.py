"""This module keeps an unfinished recording: what was asked, what was answered, what was spent, a file for each run.

The folder lies beside the trace's own and begins with a dot: `.<scenario_id>.recording/`. A comparison is noted before
it is asked and its callback before anything else happens, so a process may be killed at any moment: what is answered
is never asked again, and what was in flight is known.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.traces.draft import CallbackDraft, Place, kept_line

if TYPE_CHECKING:
    from cj_pipeline.runs.recording.request import RecordingRequest
    from cj_pipeline.traces.redactor import Redactor


def draft_folder(target: Path) -> Path:
    """Return where the unfinished recording of a trace is."""
    return target.parent / f".{target.name}.recording"


def is_unfinished(target: Path) -> bool:
    """Return whether a recording was begun and not finished."""
    return run_file(draft_folder(target), 1).exists()


def forget(target: Path) -> None:
    """Remove an unfinished recording, with what it paid for."""
    shutil.rmtree(draft_folder(target), ignore_errors=True)


class RunDraft:
    """One run: its callbacks as they will be kept, and its books. Nothing is kept before a method returns."""

    def __init__(self, path: Path, redaction: Redactor | None) -> None:
        """Open or make it. Raises BadInput when another process holds it."""
        self._callbacks = CallbackDraft(path)
        self._redaction = redaction
        self._dropped_before = Counter(self._callbacks.noted("dropped") or {})
        if redaction is not None:
            self._dropped_before.subtract(redaction.dropped)
        self._asked: Counter[str] = Counter(self._callbacks.noted("asked") or {})
        self.calls: int = self._callbacks.noted("calls") or 0
        self.exposure_usd: float = self._callbacks.noted("exposure_usd") or 0.0

    @property
    def taken(self) -> int:
        """How many comparisons have their callback."""
        return self._callbacks.taken

    @property
    def asked_again(self) -> int:
        """How many were asked more than once: in flight when a session ended."""
        return sum(times > 1 for times in self._asked.values())

    @property
    def dropped(self) -> dict[str, int]:
        """What redaction took out, by kind, in this process and before."""
        now = Counter() if self._redaction is None else self._redaction.dropped
        return {kind: self._dropped_before[kind] + now[kind] for kind in {*self._dropped_before, *now}}

    def noted(self, name: str) -> Any:
        """Return a JSON value that was noted; None where there is none."""
        return self._callbacks.noted(name)

    def note(self, name: str, value: object) -> None:
        """Keep a JSON value under a name."""
        self._callbacks.note(name, value)
        self._callbacks.commit()

    def lines(self) -> list[bytes]:
        """Return the callbacks as they are kept, in order of arrival."""
        return list(self._callbacks.lines())

    def events(self) -> dict[UUID, CallbackEvent]:
        """Return the callbacks as they are kept, by correlation id."""
        events = [parse_callback(line) for line in self._callbacks.lines()]
        return {event.correlation_id: event for event in events if not isinstance(event, Rejection)}

    def asking(self, correlation_id: UUID) -> None:
        """Note that a comparison is about to be asked."""
        self._asked[str(correlation_id)] += 1
        self.note("asked", dict(self._asked))

    def exposed(self, usd: float, calls: int) -> None:
        """Note the most that this run can have spent, and its calls so far, before the next call is sent."""
        self.exposure_usd, self.calls = usd, calls
        self._callbacks.note("calls", calls)
        self.note("exposure_usd", usd)

    def take(self, events: list[tuple[CallbackEvent, bytes]]) -> None:
        """Keep callbacks, each with its own JSON, together."""
        for event, raw in events:
            line, read = kept_line(event, raw, self._redaction)
            self._callbacks.take(Place(self.taken, 0, self.taken), read, line)
        self.note("dropped", self.dropped)

    def close(self) -> None:
        """Let go of the file."""
        self._callbacks.close()


class RecordingDraft:
    """The drafts of all runs. A context manager: leaving it keeps them."""

    def __init__(self, request: RecordingRequest) -> None:
        """Open what was begun, or begin. Raises BadInput: begun with another request, or another process holds it."""
        self.folder = draft_folder(request.target)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runs: list[RunDraft] = []
        try:
            for number in range(1, request.runs + 1):
                self.runs.append(RunDraft(run_file(self.folder, number), request.redaction))
            self._claim(request)
        except BaseException:
            self.close()
            raise

    def _claim(self, request: RecordingRequest) -> None:
        first, identity = self.runs[0], json.loads(json.dumps(request.identity()))
        begun = first.noted("owner")
        if begun is None:
            first.note("owner", {"identity": identity, "began_at": utc_now().isoformat()})
            begun = first.noted("owner")
        for name, value in begun["identity"].items():
            if identity.get(name) != value:
                raise BadInput(
                    "is not what the unfinished recording was begun with.",
                    path=self.folder,
                    field=name,
                    remedy="Go on with the same options, or forget what was answered with --restart.",
                )
        self.began_at = datetime.fromisoformat(begun["began_at"])
        self._key = sha256(json.dumps(begun, sort_keys=True).encode()).hexdigest()

    @property
    def exposure_usd(self) -> float:
        """The most that all runs can have spent."""
        return sum(run.exposure_usd for run in self.runs)

    def batch_id(self, run: int) -> str:
        """Return the batch id of a run, from 1: of who was asked, how, and when that was begun; a UUID."""
        return str(keyed_uuid("recording", self._key, run))

    def discard(self) -> None:
        """Remove the drafts."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let go of the files."""
        for run in self.runs:
            run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def run_file(folder: Path, number: int) -> Path:
    """Return the file of a run, from 1, in the folder of drafts."""
    return folder / f"run_{number}.sqlite"
