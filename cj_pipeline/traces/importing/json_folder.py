"""This module reads a directory of callbacks as JSON: whatever a team's own scripts wrote down.

Read are `.json` (one callback, or a list of them) and `.jsonl` or `.ndjson` (one a line), each also gzipped, in folders
of any depth. A callback is an event in its envelope, or the bare result without one, for which an envelope is made.
A `.json` file that holds one callback a line is read so too. Beside a `llm_callbacks.jsonl`, `summary.json` is its
summary, as production's capture writes it, and is left alone. A trace of this project is refused: it has a provenance,
which an import would put another one in place of.

The order is that of `completed_at`, then of file names, then of places in a file: the same in whatever order a disk
lists its files. What has no such time comes last.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import open_input
from cj_pipeline.traces.importing.envelope import ENVELOPE_FIELDS, enveloped, timestamp
from cj_pipeline.traces.importing.source import Found, Known, Source, recorded
from cj_pipeline.traces.provenance import PROVENANCE_FILE, FieldProvenance
from cj_pipeline.traces.store import CALLBACKS_FILE, SUMMARY_FILE

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

SUFFIXES = (".json", ".jsonl", ".ndjson")

# Time of what has none: behind everything else.
LAST = 2**63 - 1

_BOM = b"\xef\xbb\xbf"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNREADABLE = Rejection(field="", reason="the file is not whole gzip data")
_MOMENT = TypeAdapter(AwareDatetime)


class _Data(msgspec.Struct, gc=False):
    completed_at: Any = None


class _Glance(msgspec.Struct, gc=False):
    """As much of an object as tells an envelope from a bare result, and when it was completed."""

    event_type: Any = msgspec.UNSET
    data: _Data | msgspec.UnsetType = msgspec.UNSET
    request_id: Any = msgspec.UNSET
    correlation_id: Any = None
    completed_at: Any = None


_glance = msgspec.json.Decoder(_Glance).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


def json_folder(path: Path) -> Source:
    """Open the callbacks below a folder, or in one file. Raises BadInput when there is no file to read."""
    if not path.exists():
        raise BadInput("no such folder or file.", path=path, remedy="Name what holds the callbacks.")
    listed = _listing(path)
    if not listed.files:
        raise BadInput(
            f"holds no file whose name ends in {', '.join(SUFFIXES)} (or the same and .gz).",
            path=path,
            remedy="Name the folder that holds the callbacks.",
        )
    _refuse_traces(listed.files)
    return JsonFiles(path if path.is_dir() else path.parent, listed)


@dataclass(frozen=True, slots=True)
class _Listing:
    """What a folder holds. no_files: FIFOs, sockets, links that lead nowhere or to folders. others: other endings."""

    files: tuple[Path, ...]
    no_files: tuple[Path, ...] = ()
    others: int = 0


class JsonFiles:
    """Some files of callbacks. What is known of them is known when they were read."""

    kind = "JSON files"

    def __init__(self, root: Path, listed: _Listing) -> None:
        self._root = root
        self._listed = listed
        summaries = {p for p in listed.files if p.name == SUMMARY_FILE and p.with_name(CALLBACKS_FILE) in listed.files}
        self._paths = [p for p in listed.files if p not in summaries]
        self._summaries = len(summaries)
        self._digest = sha256()
        self._documents = self._bare = 0

    @property
    def found(self) -> Iterator[Found]:
        """Yield the documents by the names of their files. Raises BadInput for a file that may not be read."""
        for number, path in enumerate(self._paths, start=1):
            name, of = path.relative_to(self._root).as_posix(), len(self._paths)
            digest = sha256()
            for raw, line in _documents(path, digest):
                self._documents += 1
                places = (f"{name}:{line}", f"file {number} of {of}, line {line}")
                if isinstance(raw, Rejection):
                    yield Found(b"", *places, raw, LAST)
                    continue
                ready, completed_us, made = _ready(raw)
                self._bare += made
                yield Found(ready, *places, None, completed_us)
            self._digest.update(digest.digest())

    @property
    def known(self) -> Known:
        """Return what the files say beside their callbacks."""
        fields: dict[str, FieldProvenance] = {"data": recorded("as it stood in the files")}
        statement = (
            f"Imported from {self._documents} JSON documents in {len(self._paths)} files that a team had kept. What "
            "they hold was taken over as it stood; nobody here saw it come off a topic."
        )
        if self._bare:
            fields |= ENVELOPE_FIELDS
            statement += f" {self._bare} were bare results; their envelopes were made from their ids and times."
        else:
            fields["envelope"] = recorded("as it stood in the files")
        digest = self._digest.hexdigest()
        no_files = self._listed.no_files
        return Known(
            statement=statement,
            sources=(f"{len(self._paths)} files, in the order of their names; sha256 over their digests {digest}",),
            fields=fields,
            # Without their names, which may be pupils': the remarks are for the terminal, this is kept.
            missing=(f"{len(no_files)} entries of the folder are no files and were not read.",) if no_files else (),
            remarks=tuple(self._remarks()),
        )

    def _remarks(self) -> Iterator[str]:
        if self._summaries:
            yield f"{self._summaries} files {SUMMARY_FILE} beside {CALLBACKS_FILE} were left alone."
        if self._listed.others:
            yield f"{self._listed.others} files with other endings were left alone."
        for path in self._listed.no_files:
            yield f"{path.relative_to(self._root).as_posix()} is {_kind(path)} and was not read."


def _listing(path: Path) -> _Listing:
    if path.is_file():
        return _Listing((path,))
    found = (p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    entries = sorted(found, key=lambda p: p.relative_to(path).as_posix())
    files = [p for p in entries if p.is_file()]
    # A link to a folder is not followed.
    no_files = [p for p in entries if not p.is_file() and (p.is_symlink() or not p.is_dir())]
    kept = tuple(p for p in files if _suffix(p) in SUFFIXES)
    return _Listing(kept, tuple(no_files), len(files) - len(kept))


def _kind(path: Path) -> str:
    """Return what something is that is no file, in words."""
    if path.is_symlink():
        return "a link to a folder" if path.is_dir() else "a link that leads to no file"
    if path.is_fifo():
        return "a FIFO"
    return "a socket" if path.is_socket() else "a device"


def _refuse_traces(paths: tuple[Path, ...]) -> None:
    for path in paths:
        if path.name == CALLBACKS_FILE and path.with_name(PROVENANCE_FILE).exists():
            raise BadInput(
                "is in a trace already, whose provenance would be lost.",
                path=path,
                remedy="Copy the trace's folder, or redact it: cj-pipeline traces redact.",
            )


def _suffix(path: Path) -> str:
    name = path.with_suffix("") if path.suffix == ".gz" else path
    return name.suffix


def _documents(path: Path, digest: Hash) -> Iterator[tuple[bytes | Rejection, int]]:
    """Yield (bytes of one document, 1-based line of its start); a rejection where the file cannot be unpacked.

    digest: is given the file's unpacked bytes. Raises BadInput for a file that may not be read.
    """
    line = 1
    try:
        with open_input(path) as opened, gzip.open(opened) if path.suffix == ".gz" else opened as file:
            if _suffix(path) == ".json":
                content = file.read()
                digest.update(content)
                yield from _of_json(content.removeprefix(_BOM))
                return
            for line, text in enumerate(file, start=1):
                digest.update(text)
                if stripped := (text.removeprefix(_BOM) if line == 1 else text).strip():
                    yield stripped, line
    except (gzip.BadGzipFile, EOFError, zlib.error):
        yield _UNREADABLE, line
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror}).", path=path, remedy="Mend its rights.") from None


def _of_json(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the documents of a `.json` file: one, a list of them, or one a line after all."""
    stripped = content.strip()
    if not stripped:
        return
    first = content[: content.index(stripped[:1])].count(b"\n") + 1
    if stripped.startswith(b"["):
        try:
            elements = _elements(stripped)
        except (msgspec.DecodeError, RecursionError):
            yield stripped, _broken_at(content)
            return
        at, line = 0, first
        for element in elements:
            raw = bytes(element)
            start = stripped.index(raw, at)
            line += stripped.count(b"\n", at, start)
            yield raw, line
            line += raw.count(b"\n")
            at = start + len(raw)
    elif b"\n" in stripped and _is_object(stripped.split(b"\n", 1)[0]):
        for number, text in enumerate(content.split(b"\n"), start=1):
            if text.strip():
                yield text.strip(), number
    else:
        yield stripped, first if _is_object(stripped) else _broken_at(content)


def _is_object(raw: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(raw), dict)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False


def _broken_at(content: bytes) -> int:
    """Return the line at which a file stops being JSON; 1 where that cannot be stated."""
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return error.lineno
    except (ValueError, RecursionError):
        return 1
    return 1


def _ready(raw: bytes) -> tuple[bytes, int, bool]:
    """Return the callback as a line with envelope, its time in microseconds, and whether the envelope was made."""
    try:
        glance = _glance(raw)
        line = raw if b"\n" not in raw else bytes(msgspec.json.format(raw, indent=-1))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        # Not an object, or no text: what it lacks is said when it is judged.
        return raw, LAST, False
    if glance.event_type is msgspec.UNSET and glance.data is msgspec.UNSET and glance.request_id is not msgspec.UNSET:
        completed_at = _moment(glance.completed_at)
        if completed_at is None:
            return line, LAST, False
        made = enveloped(line, timestamp(completed_at), str(glance.correlation_id))
        return made, _microseconds(completed_at), True
    moment = None if isinstance(glance.data, msgspec.UnsetType) else _moment(glance.data.completed_at)
    return line, LAST if moment is None else _microseconds(moment), False


def _moment(value: object) -> datetime | None:
    try:
        return _MOMENT.validate_python(value)
    except ValidationError:
        return None


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
