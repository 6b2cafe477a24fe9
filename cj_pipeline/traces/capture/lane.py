"""One partition's share of a draft: what was taken, what was set aside, and how far it was read.

Here: the append-only files of a lane and its checkpoint. Not here: which messages are taken (sieve.py), the finished
trace (publishing.py).

A lane is a unit of its own: its checkpoint names the next position together with the length of every file, so
positions and data cannot disagree. Whatever ends a capture, the files are cut back to the checkpoint and reading goes
on from its position: nothing lost, nothing doubled.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from msgspec import Raw
from msgspec.json import Encoder

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.capture.index import OUTCOME_A, OUTCOME_B, OUTCOME_ERROR, RECORD, pack_figures, records_from
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.wire_callback import WideCallback

if TYPE_CHECKING:
    from cj_pipeline.traces.capture.index import Records
    from cj_pipeline.traces.wire_callback import WireCallback

# Lines are handed to the system so many at once; a write for each costs as much as reading the message.
BLOCK_LINES = 256

OUTCOMES = {"Essay A": OUTCOME_A, "Essay B": OUTCOME_B}

_BREAKS_TO_SPACES = bytes(ord(" ") if byte in b"\r\n" else byte for byte in range(256))

_encode_lines = Encoder().encode_lines


CHECKPOINT = "checkpoint"


class LaneFile(StrEnum):
    """The files of a lane; their names begin with its number."""

    LINES = "lines"
    INDEX = "index"
    ESSAYS = "essays"
    CODES = "codes"
    QUARANTINE = "quarantine"


class Fate(StrEnum):
    """What becomes of a message, besides being taken."""

    OTHER_BATCH = "other_batch"
    OTHER_CORRELATION = "other_correlation"
    OTHER_MODEL = "other_model"
    OTHER_TIME = "other_time"
    FOREIGN = "foreign"
    MALFORMED = "malformed"

    # An enum's own is written in Python, and asked for with every message that is passed over.
    __hash__ = str.__hash__


@dataclass(slots=True)
class LaneState:
    """A checkpoint.

    first, next: positions, of the first message wanted and of the next to read. lengths: bytes, by file.
    fates: messages not taken, by what became of them. malformed_matches: malformed ones that name what was asked for.
    earliest: the first `requested_at`, as it is written. gone: (from, to) positions that nobody can read any more; the
    second is not included. dropped: what redaction took out, by kind.
    """

    first: int
    next: int
    lengths: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LaneFile, 0))
    taken: int = 0
    fates: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    malformed_matches: int = 0
    earliest: str = ""
    gone: list[tuple[int, int]] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Messages, whatever became of them."""
        return self.taken + sum(self.fates.values())


class Lane:
    """The files of one lane, open for appending. Not for two at a time: TraceDraft sees to that."""

    def __init__(self, folder: Path, number: int, first: int, redaction: Redaction | None, keep_raw: bool) -> None:
        """Open it where its checkpoint stands, or anew at `first`."""
        self.number = number
        self._folder = folder
        self.state = read_state(folder, number) or LaneState(first, first)
        # One of the lane's own, over the common pseudonyms: what it dropped is counted with the lane's positions.
        self._redaction = (
            None
            if redaction is None
            else Redaction(redaction.policy, redaction.pseudonyms, Counter(self.state.dropped))
        )
        self._keep_raw = keep_raw or redaction is None
        self._files: dict[str, BinaryIO] = {}
        for name in LaneFile:
            path = lane_path(folder, number, name)
            _unshare(path)
            file = path.open("ab", buffering=0)
            file.truncate(self.state.lengths[name])
            self._files[name] = file
        essays = read_names(folder, number, LaneFile.ESSAYS, self.state)
        codes = read_names(folder, number, LaneFile.CODES, self.state)
        self._essays = {essay: place for place, essay in enumerate(essays)}
        self._codes = {code: place for place, code in enumerate(codes, start=1)}
        # By the messages' own ids, which no file has: a pseudonym is looked up once, and not twice a message.
        self._places: dict[str, int] = {}
        self._waiting: dict[str, list[bytes]] = {name: [] for name in LaneFile}
        self._lines: list[WireCallback | Raw] = []
        self._figures: list[bytes] = []
        self._requests: list[str] = []
        self._correlations: list[str] = []
        self._marked = b""
        self._saved = dict(self.state.lengths)

    def take(self, callback: WireCallback, raw: bytes, position: int, timestamp_ms: int) -> None:
        """Keep one callback. It is the lane's from now on: redaction changes it.

        position: above every earlier one of the lane. Raises FigureTooLarge, and keeps nothing, for a count that no
        record holds; what Redaction.redact raises passes through.
        """
        # A million times a capture: what can be done for many at once is done in `flush`.
        data = callback.data
        metadata = data.request_metadata
        places = self._places
        essay_a, essay_b = metadata.essay_a_id, metadata.essay_b_id
        tokens = data.token_usage
        winner = data.winner
        try:
            figures = pack_figures(
                timestamp_ms,
                position,
                0,  # the length; `flush` knows
                places[essay_a] if essay_a in places else self._place(essay_a),
                places[essay_b] if essay_b in places else self._place(essay_b),
                OUTCOMES[winner] if winner else OUTCOME_ERROR,
                0 if winner else self._code(callback),
                data.response_time_ms,
                tokens.prompt_tokens or 0,
                tokens.completion_tokens or 0,
                tokens.total_tokens or 0,
            )
        except struct.error:
            raise FigureTooLarge from None
        self._lines.append(
            # Between the tokens of JSON a line break is as good as a space, and within them there is none.
            Raw(raw.translate(_BREAKS_TO_SPACES)) if self._redaction is None else self._redaction.redact(callback)
        )
        self._figures.append(figures)
        self._requests.append(self.request_id(callback))
        self._correlations.append(data.correlation_id)
        state = self.state
        requested_at = data.requested_at
        if requested_at < state.earliest or len(requested_at) != len(state.earliest):
            state.earliest = _earlier(requested_at, state.earliest)
        state.taken += 1
        state.next = position + 1
        if len(self._lines) >= BLOCK_LINES:
            self.flush()

    def request_id(self, callback: WireCallback) -> str:
        """The request's id as the lane has it: the draft's files hold no digest of an id that may be a name."""
        request_id = callback.data.request_id
        # The fast lane takes UUIDs only.
        if self._redaction is None or not isinstance(callback, WideCallback):
            return request_id
        return self._redaction.pseudonyms.request(request_id)

    def pass_over(self, fate: Fate, position: int) -> None:
        """Count one message that was not asked for."""
        self.state.fates[fate] += 1
        self.state.next = position + 1

    def set_aside(self, fate: Fate, position: int, raw: bytes, about: QuarantineNote) -> None:
        """Count one message that cannot be used, and keep what may be kept of it."""
        entry: dict[str, Any] = {
            "reason": about.reason,
            "field": about.field,
            **about.place,
            "size": len(raw),
        }
        if self._redaction is None or self._keep_raw:
            entry["sha256"] = sha256(raw).hexdigest()
        else:
            # A plain digest would confirm a guess at a short message.
            entry["keyed_sha256"] = self._redaction.pseudonyms.message(raw)
        if self._keep_raw:
            entry["raw"] = base64.b64encode(raw).decode()
        self._waiting[LaneFile.QUARANTINE].append(json.dumps(entry).encode() + b"\n")
        self.state.fates[fate] += 1
        self.state.malformed_matches += about.names_the_selection
        self.state.next = position + 1

    def skip_to(self, position: int) -> None:
        """Go on at a later position; what lies between cannot be read any more, and the trace will say so."""
        self.state.gone.append((self.state.next, position))
        self.state.next = position

    def flush(self) -> None:
        """Hand over what waits to the system: safe from an end of this process, not of the machine's power."""
        if self._redaction is not None:
            self.state.dropped = dict(self._redaction.dropped)
        if self._lines:
            block = _encode_lines(self._lines)
            self._waiting[LaneFile.LINES] = [block]
            self._waiting[LaneFile.INDEX] = [records_from(self._figures, block, self._requests, self._correlations)]
            for waiting in (self._lines, self._figures, self._requests, self._correlations):
                waiting.clear()
        for name, blocks in self._waiting.items():
            if blocks:
                block = b"".join(blocks)
                try:
                    _write_all(self._files[name], block)
                except OSError:
                    # A full disk takes a part. The last checkpoint tries again, and half a line must not come first.
                    self._files[name].truncate(self.state.lengths[name])
                    raise
                self.state.lengths[name] += len(block)
                blocks.clear()

    def mark(self) -> Mark | None:
        """What makes everything read so far last, once it is saved; None where nothing was read since the last one."""
        self.flush()
        content = as_bytes(self.state)
        if content == self._marked:
            return None
        self._marked = content
        grown = [self._files[name].fileno() for name in LaneFile if self.state.lengths[name] > self._saved[name]]
        self._saved = dict(self.state.lengths)
        return Mark(grown, lane_path(self._folder, self.number, CHECKPOINT), content)

    def close(self) -> None:
        """Close the files. What was not checkpointed is not part of the lane."""
        for file in self._files.values():
            file.close()

    def _place(self, essay: str) -> int:
        name = essay if self._redaction is None else self._redaction.essay(essay)
        place = self._places[essay] = self._named(self._essays, name, LaneFile.ESSAYS, 0)
        return place

    def _code(self, callback: WireCallback) -> int:
        # As the line has it: a redacted one may say less than the callback does.
        code = callback.data.error_code if self._redaction is None else self._redaction.error_code(callback)
        return self._named(self._codes, code or "", LaneFile.CODES, 1)

    def _named(self, known: dict[str, int], name: str, file: LaneFile, base: int) -> int:
        if name not in known:
            known[name] = base + len(known)
            self._waiting[file].append(json.dumps(name).encode() + b"\n")
        return known[name]


@dataclass(frozen=True, slots=True)
class Mark:
    """One checkpoint that is still to be written. files: descriptors of what has grown."""

    files: list[int]
    path: Path
    content: bytes

    def save(self) -> None:
        """The data first, then the place where reading goes on. Any thread may do it."""
        for descriptor in self.files:
            os.fsync(descriptor)
        temporary = self.path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(self.content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)


@dataclass(frozen=True, slots=True)
class QuarantineNote:
    """Why a message is set aside. place: where it came from, as keys of the entry; reason quotes nothing of it."""

    reason: str
    field: str
    place: dict[str, int | str]
    names_the_selection: bool = False


class FigureTooLarge(Exception):
    """A callback says a number of milliseconds or tokens beyond 63 bits."""


def lane_path(folder: Path, number: int, name: str) -> Path:
    """Where one file of a lane is."""
    return folder / f"{number}.{name}"


def read_state(folder: Path, number: int) -> LaneState | None:
    """A lane's last checkpoint; None before the first. Raises BadInput when it cannot be read."""
    path = lane_path(folder, number, CHECKPOINT)
    try:
        return state_from(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        raise BadInput(
            "is no checkpoint of a capture.", path=path, remedy=f"Delete {folder} and capture again."
        ) from None


def save_state(folder: Path, number: int, state: LaneState) -> None:
    """A checkpoint of a lane whose files another process has written and closed."""
    with ExitStack() as opened:
        files = [opened.enter_context(lane_path(folder, number, name).open("rb")) for name in LaneFile]
        Mark([file.fileno() for file in files], lane_path(folder, number, CHECKPOINT), as_bytes(state)).save()


def state_from(content: bytes) -> LaneState:
    """A state from the JSON of `as_bytes`."""
    document = json.loads(content)
    return LaneState(**{**document, "gone": [tuple(gap) for gap in document["gone"]]})


def as_bytes(state: LaneState) -> bytes:
    """A state as one line of JSON."""
    return json.dumps({slot: getattr(state, slot) for slot in LaneState.__slots__}).encode()


def read_names(folder: Path, number: int, file: LaneFile, state: LaneState) -> list[str]:
    """Essays or error codes of a lane, as far as a state of it goes."""
    if not state.lengths[file]:
        return []
    content = lane_path(folder, number, file).read_bytes()[: state.lengths[file]]
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def read_records(folder: Path, number: int, state: LaneState) -> Records:
    """The records of a lane, as far as a state of it goes; mapped, not loaded."""
    if not state.taken:
        return np.empty(0, RECORD)
    return np.memmap(lane_path(folder, number, LaneFile.INDEX), RECORD, "r", shape=(state.taken,))


def _earlier(one: str, other: str) -> str:
    """The earlier of two times as text; an empty one is later than any."""
    if not one or not other:
        return one or other
    return min(one, other, key=datetime.fromisoformat)


def _unshare(path: Path) -> None:
    """Take a copy of a file that has another name too: a trace whose draft outlived its publishing keeps its lines."""
    if path.exists() and path.stat().st_nlink > 1:
        copy = path.with_name(f"{path.name}.new")
        with path.open("rb") as shared, copy.open("wb") as own:
            shutil.copyfileobj(shared, own, 1 << 20)
            own.flush()
            # The checkpoint says that it is on the disk.
            os.fsync(own.fileno())
        copy.replace(path)


def _write_all(file: BinaryIO, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]
