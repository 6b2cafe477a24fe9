"""This module holds the draft of a capture: its folder, whom it belongs to, and how far it is.

The folder lies beside the trace's own and begins with a dot, so that neither the store nor a sensor looks at it:
`.<scenario_id>.capture/`. It outlives the process that fills it, and is gone when the trace is published.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.arrivals import recorded_sha256
from cj_pipeline.traces.capture.progress import PartitionProgress, progress_from
from cj_pipeline.traces.capture.request import Beginning
from cj_pipeline.traces.draft import DRAFT_FILE, CallbackDraft

if TYPE_CHECKING:
    from cj_pipeline.traces.redactor import Redactor

FINISHED_FOLDER = "trace"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a draft belongs to.

    identity: what must be the same for another capture to go on with it, by name. frame: what was found out at the
    start and holds to the end, such as end offsets. Both are JSON values.
    """

    identity: dict[str, Any]
    frame: dict[str, Any]
    began_at: datetime


class CaptureDraft:
    """A draft, held by one process at a time. A context manager: leaving it keeps the draft."""

    def __init__(self, target: Path, redaction: Redactor | None) -> None:
        """Open or make the draft of the trace that is to be at `target`. Raises BadInput when another one holds it."""
        self.target = target
        self.folder = draft_folder(target)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.callbacks = CallbackDraft(self.folder / DRAFT_FILE)
        self.owner = _owner(self.callbacks.noted("owner"))
        self.partitions: dict[int, PartitionProgress] = {
            document["number"]: progress_from(document) for document in self.callbacks.noted("partitions") or ()
        }
        # Of a redaction, how much went before this process: what it dropped is committed with the callbacks.
        self._redaction = redaction
        self._dropped_before = Counter(self.callbacks.noted("dropped") or {})
        if redaction is not None:
            self._dropped_before.subtract(redaction.dropped)
        self.earliest: datetime | None = _moment(self.callbacks.noted("earliest"))

    @classmethod
    def open(cls, target: Path, beginning: Beginning, redaction: Redactor | None = None) -> Self:
        """Open the draft that a beginning asks for.

        Raises BadInput: the trace is there already; a draft is there and was not asked for, or the reverse; another
        process holds it.
        """
        folder = draft_folder(target)
        begun = (folder / DRAFT_FILE).exists()
        if beginning is not Beginning.NEW and not begun:
            raise BadInput(
                "there is no unfinished capture of this name.",
                path=folder,
                remedy="It is published already." if target.exists() else "Capture without --resume and --finish.",
            )
        if beginning is Beginning.NEW and target.exists():
            raise BadInput(
                "is there already.", path=target, remedy="Choose another scenario id, or move the folder away."
            )
        draft = cls(target, redaction)
        try:
            draft._require(beginning)
        except BaseException:
            draft.__exit__()
            raise
        return draft

    def _require(self, beginning: Beginning) -> None:
        if beginning is Beginning.NEW and self.owner is not None:
            raise BadInput(
                "an earlier capture of this name was not finished.",
                path=self.folder,
                remedy="Go on with --resume, publish what it has with --finish, or delete the folder.",
            )
        if self.target.exists() and not self.published:
            raise BadInput(
                "is there already, and is another trace than the unfinished one.",
                path=self.target,
                remedy=f"Move it away, or delete {self.folder}.",
            )

    @property
    def published(self) -> bool:
        """Return whether the trace is at its place already, and only the draft was left behind."""
        digest = self.callbacks.noted("published")
        return digest is not None and self.target.exists() and recorded_sha256(self.target) == digest

    def claim(self, identity: Mapping[str, Any], frame: Mapping[str, Any]) -> Owner:
        """Say what this draft is of. A new draft remembers it; an old one must be of the same.

        Returns what the draft rests on: of an old one, the frame it was begun with. Raises BadInput naming the first
        part of the identity that differs.
        """
        if self.owner is None:
            self.owner = Owner(dict(identity), dict(frame), utc_now())
            noted = {"identity": self.owner.identity, "frame": self.owner.frame}
            self.callbacks.note("owner", {**noted, "began_at": self.owner.began_at.isoformat()})
            self.commit()
            return self.owner
        for name in (*identity, *self.owner.identity):
            if identity.get(name) != self.owner.identity.get(name):
                raise BadInput(
                    "is not what the unfinished capture was begun with.",
                    path=self.folder,
                    field=name,
                    remedy="Resume it with the same selection, publish what it has with --finish, or delete it.",
                )
        return self.owner

    @property
    def dropped(self) -> dict[str, int]:
        """Return what redaction took out, by kind, in this process and before."""
        now = Counter() if self._redaction is None else self._redaction.dropped
        return {kind: self._dropped_before[kind] + now[kind] for kind in {*self._dropped_before, *now}}

    def commit(self) -> None:
        """Make callbacks, positions and counts survive the end of this process, together."""
        self.callbacks.note("partitions", [progress.as_json() for progress in self.partitions.values()])
        self.callbacks.note("dropped", self.dropped)
        self.callbacks.note("earliest", None if self.earliest is None else self.earliest.isoformat())
        self.callbacks.commit()

    def discard(self) -> None:
        """Remove the draft."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let go of it; what was not committed is read again by a capture that resumes."""
        self.callbacks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.owner is None:
            self.discard()
        self.close()


def draft_folder(target: Path) -> Path:
    """Return where the draft of a trace is."""
    return target.parent / f".{target.name}.capture"


def is_unfinished(target: Path) -> bool:
    """Return whether a capture of a trace was begun and not finished."""
    return (draft_folder(target) / DRAFT_FILE).exists()


def _owner(noted: dict[str, Any] | None) -> Owner | None:
    if noted is None:
        return None
    return Owner(noted["identity"], noted["frame"], datetime.fromisoformat(noted["began_at"]))


def _moment(noted: str | None) -> datetime | None:
    return None if noted is None else datetime.fromisoformat(noted)
