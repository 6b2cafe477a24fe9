"""A directory of callbacks as JSON: whatever a team's own scripts wrote down.

Here: which files are read, where in them each callback stands, and the order of all of them. Not here: whether one is
usable (trace.py).

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
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.importing.envelope import ENVELOPE_FIELDS, enveloped, timestamp
from cj_pipeline.traces.importing.source import Known, Source, recorded
from cj_pipeline.traces.importing.waiting import LAST, NumberedFile, Waiting
from cj_pipeline.traces.provenance import PROVENANCE_FILE, FieldProvenance
from cj_pipeline.traces.store import CALLBACKS_FILE, SUMMARY_FILE

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

SUFFIXES = (".json", ".jsonl", ".ndjson")

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
    """The callbacks below a folder, or in one file. Raises BadInput when there is no file to read."""
    if not path.exists():
        raise BadInput("no such folder.", path=path, remedy="Name the folder that holds the callbacks.")
    paths = _files(path)
    if not paths:
        raise BadInput(
            f"holds no file whose name ends in {', '.join(SUFFIXES)} (or the same and .gz).",
            path=path,
            remedy="Name the folder that holds the callbacks.",
        )
    _refuse_traces(paths)
    summaries = [p for p in paths if p.name == SUMMARY_FILE and p.with_name(CALLBACKS_FILE) in paths]
    paths = [p for p in paths if p not in summaries]
    root = path if path.is_dir() else path.parent
    files = [
        NumberedFile(p.relative_to(root).as_posix(), number, len(paths)) for number, p in enumerate(paths, start=1)
    ]
    queue = Waiting()
    refused: dict[int, Rejection] = {}
    digest, bare = sha256(), 0
    try:
        for number, file_path in enumerate(paths):
            file_digest = sha256()
            for raw, line in _documents(file_path, file_digest):
                if isinstance(raw, Rejection):
                    refused[len(queue)] = raw
                    queue.add(b"", LAST, number, line)
                    continue
                ready, completed_us, made = _ready(raw)
                bare += made
                queue.add(ready, completed_us, number, line)
            digest.update(file_digest.digest())
    except BaseException:
        queue.close()
        raise
    known = _known(len(paths), len(queue), bare, digest, len(summaries))
    return Source("JSON files", queue.in_order(files, refused), known, queue.close)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = (p for p in path.rglob("*") if p.is_file() and _suffix(p) in SUFFIXES)
    visible = (p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts))
    return sorted(visible, key=lambda p: p.relative_to(path).as_posix())


def _refuse_traces(paths: list[Path]) -> None:
    for path in paths:
        if path.name == CALLBACKS_FILE and path.with_name(PROVENANCE_FILE).exists():
            raise BadInput(
                "stands in a trace already, whose provenance would be lost.",
                path=path,
                remedy="Copy the trace's folder, or redact it: cj-pipeline traces redact.",
            )


def _suffix(path: Path) -> str:
    name = path.with_suffix("") if path.suffix == ".gz" else path
    return name.suffix


def _documents(path: Path, digest: Hash) -> Iterator[tuple[bytes | Rejection, int]]:
    """(bytes of one document, 1-based line of its first character); a rejection where the file cannot be unpacked.

    digest: is given the file's unpacked bytes. Raises BadInput for a file that may not be read.
    """
    line = 1
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
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
    """The documents of a `.json` file: one, a list of them, or one a line after all."""
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
    """The line at which a file stops being JSON; 1 where that cannot be told."""
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return error.lineno
    except (ValueError, RecursionError):
        return 1
    return 1


def _ready(raw: bytes) -> tuple[bytes, int, bool]:
    """The callback on one line and in an envelope, its time in microseconds, and whether the envelope was made."""
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
    told = None if isinstance(glance.data, msgspec.UnsetType) else _moment(glance.data.completed_at)
    return line, LAST if told is None else _microseconds(told), False


def _moment(told: object) -> datetime | None:
    try:
        return _MOMENT.validate_python(told)
    except ValidationError:
        return None


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _known(files: int, documents: int, bare: int, digest: Hash, summaries: int) -> Known:
    fields: dict[str, FieldProvenance] = {"data": recorded("as it stood in the files")}
    statement = (
        f"Imported from {documents} JSON documents in {files} files that a team had kept. What they hold was taken "
        "over as it stood; nobody here saw it come off a topic."
    )
    if bare:
        fields |= ENVELOPE_FIELDS
        statement += f" {bare} were bare results; their envelopes were made from the results' own ids and times."
    else:
        fields["envelope"] = recorded("as it stood in the files")
    return Known(
        statement=statement,
        sources=(f"{files} files, in the order of their names; sha256 over their digests {digest.hexdigest()}",),
        fields=fields,
        remarks=(f"{summaries} files {SUMMARY_FILE} beside {CALLBACKS_FILE} were left alone.",) if summaries else (),
    )
