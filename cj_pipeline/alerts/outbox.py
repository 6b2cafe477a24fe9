"""This module keeps messages in `alerts/<id>.json` until each channel has taken them.

A message is written before it is sent and marked after it: a process that dies between the two loses none, and may send
one twice, under the same id. Of several processes, one at a time sends a message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime

from cj_pipeline.alerts.channels import Channel, NotSent
from cj_pipeline.alerts.message import Alert
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.file_lock import file_lock
from cj_pipeline.foundation.retrying import Waits, backoff_s
from cj_pipeline.foundation.stored_formats import MESSAGE
from cj_pipeline.foundation.versions import NewerVersion, marked, read_marked
from cj_pipeline.warehouse.files import create_whole, replace_whole

OUTBOX_FOLDER = "alerts"

WAITS = Waits(first_s=60.0, most_s=3600.0)

KEPT = timedelta(days=7)
"""How long a message is tried. After that it is news of the past, and stays in its file."""


REMOVED = timedelta(days=30)


class Attempts(FileModel):
    """What became of a message in one channel. problem: of the last attempt, in words."""

    failures: int = 0
    last: AwareDatetime | None = None
    sent_at: AwareDatetime | None = None
    problem: str = ""


class Kept(FileModel):
    """A message in the outbox, with what became of it by channel."""

    alert: Alert
    written_at: AwareDatetime
    channels: dict[str, Attempts]

    @property
    def waiting(self) -> tuple[str, ...]:
        """The channels that have not taken it."""
        return tuple(name for name, one in self.channels.items() if one.sent_at is None)


def keep(root: Path, alert: Alert, channels: Mapping[str, Channel], now: datetime) -> Kept:
    """Write a message, to be sent by these channels. The same message again changes nothing. root: the data folder.

    Where a newer program keeps it already, that one sends it.
    """
    path = _file(root, alert.id)
    kept = Kept(alert=alert, written_at=now, channels={name: Attempts() for name in channels})
    if create_whole(path, _writer(kept)):
        return kept
    found = _found(path)
    if isinstance(found, Kept):
        return found
    if not isinstance(found, NewerVersion):
        replace_whole(path, _writer(kept))
    return kept


def outbox(root: Path) -> tuple[Kept, ...]:
    """Return all messages, the oldest first, without damaged files and those of a newer program."""
    found = (_found(path) for path in _files(root))
    return tuple(sorted((kept for kept in found if isinstance(kept, Kept)), key=lambda kept: kept.written_at))


def unusable_messages(root: Path) -> list[str]:
    """Return a sentence about each file that is no message, and about each that a newer program wrote."""
    found = ((path, _found(path)) for path in _files(root))
    return [
        f"{path} is no message; remove it." if kept is None else str(kept)
        for path, kept in found
        if not isinstance(kept, Kept)
    ]


def next_try(messages: Iterable[Kept], channel: str, now: datetime) -> datetime | None:
    """Return when a channel is tried next, in the past where it is due; None where nothing waits for it.

    It is due where nothing has been tried yet, where its wait is over, and where there is a new message.
    """
    waiting = [kept for kept in messages if channel in kept.waiting and now - kept.written_at <= KEPT]
    tried = [(one.last, one.failures) for kept in waiting if (one := kept.channels[channel]).last is not None]
    if not tried:
        return min((now, *(kept.written_at for kept in waiting))) if waiting else None
    last, failures = max((last, failures) for last, failures in tried if last is not None)
    new = [kept.written_at for kept in waiting if kept.channels[channel].last is None and kept.written_at > last]
    if new or last > now:  # the clock has gone back
        return min((now, *new))
    return last + timedelta(seconds=backoff_s(failures, WAITS))


def send_waiting(root: Path, channels: Mapping[str, Channel], now: datetime, *, at_once: bool = False) -> list[str]:
    """Send what waits and is due, each message by each channel once, and return what failed, in sentences.

    A channel that fails is tried again after a minute, then two, at last every hour, for a week, and when there is a
    new message; with all that wait for it, the oldest first: who reads them takes the last one for the newest. at_once:
    whatever was tried last. Files of a month ago are removed.
    """
    problems = unusable_messages(root)
    waiting = outbox(root)
    due = {name: next_try(waiting, name, now) for name in channels}
    working = {name for name, at in due.items() if at_once or (at is not None and at <= now)}
    for listed in waiting:
        path = _file(root, listed.alert.id)
        if now - listed.written_at > REMOVED:
            path.unlink(missing_ok=True)
            _lock(path).unlink(missing_ok=True)
        elif any(name in working for name in listed.waiting) and now - listed.written_at <= KEPT:
            with file_lock(_lock(path), wait=False) as held:
                # What another process has sent since it was listed is marked in the file.
                kept = _found(path) if held else None
                if isinstance(kept, Kept):
                    problems += _send(root, kept, channels, working, now)
    return problems


def _send(root: Path, kept: Kept, channels: Mapping[str, Channel], working: set[str], now: datetime) -> list[str]:
    """Send one message by each channel that is due, and return what failed. working: channels that have not failed."""
    problems = []
    for name in kept.waiting:
        if name not in working:
            continue
        attempts = kept.channels[name]
        try:
            channels[name](kept.alert)
            done = Attempts(failures=attempts.failures, last=now, sent_at=now)
        except NotSent as problem:
            done = Attempts(failures=attempts.failures + 1, last=now, problem=str(problem))
            working.discard(name)  # one that is away would keep the sensor waiting for each message
            problems.append(f"{kept.alert.id} was not sent by {name}, and is tried again: {problem}.")
        kept = kept.model_copy(update={"channels": {**kept.channels, name: done}})
        replace_whole(_file(root, kept.alert.id), _writer(kept))
    return problems


def _files(root: Path) -> list[Path]:
    return sorted((root / OUTBOX_FOLDER).glob("[!.]*.json"))


def _file(root: Path, alert_id: str) -> Path:
    return root / OUTBOX_FOLDER / f"{alert_id}.json"


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.stem}.lock")


def _writer(kept: Kept) -> Callable[[Path], None]:
    text = json.dumps(marked(MESSAGE, kept.model_dump(mode="json")), indent=1) + "\n"

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return write


def _found(path: Path) -> Kept | NewerVersion | None:
    """Return the message of a file, or why it is left alone; None for a damaged file."""
    try:
        return Kept.model_validate(read_marked(MESSAGE, path.read_bytes(), path))
    except NewerVersion as newer:
        return newer
    except (BadInput, ValueError, OSError):
        return None
