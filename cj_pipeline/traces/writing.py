"""This module writes trace folders; nothing else does.

The files are written into a hidden folder beside the trace's own, in one order: callbacks, quarantine and what else its
maker adds, summary, provenance, scenario, checksums. Every file and the folder are on the disk before one rename gives
the folder its name: until then there is no trace, and after it nothing of it changes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import Rejection, parse_callback
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.captured_scenario import FitMode, scenario_text
from cj_pipeline.traces.glance import glance
from cj_pipeline.traces.provenance import CHECKSUM_FILE, PROVENANCE_FILE, file_sha256
from cj_pipeline.traces.scenario import MODE_FILE, SCENARIO_FILE
from cj_pipeline.traces.scenario_folders import CALLBACKS_FILE, QUARANTINE_FILE, RECORDINGS_FOLDER, SUMMARY_FILE
from cj_pipeline.traces.summary import Summary, summarise_file

if TYPE_CHECKING:
    from cj_pipeline.contracts.callback import LLMComparisonResultV1
    from cj_pipeline.contracts.engine_settings import MetadataHint
    from cj_pipeline.traces.provenance import Provenance
    from cj_pipeline.traces.scenario import Scenario

WRITTEN_FILES = (CALLBACKS_FILE, QUARANTINE_FILE, SUMMARY_FILE, PROVENANCE_FILE, CHECKSUM_FILE)


@dataclass(frozen=True, slots=True)
class WrittenLines:
    """What the lines of a trace add up to.

    first: of them; empty for a trace without any. essays: sorted. hints: the keys of metadata that any of them carries.
    """

    count: int
    first: bytes
    essays: tuple[str, ...]
    hints: frozenset[MetadataHint]
    quarantined: int
    sha256: str

    @property
    def first_callback(self) -> LLMComparisonResultV1:
        """Return the first line as a callback; there is one, for nothing else is written."""
        read = parse_callback(self.first)
        if isinstance(read, Rejection):
            raise AssertionError(f"the first callback cannot be read again: {read.field}: {read.reason}")
        return read.data


@dataclass(frozen=True, slots=True)
class FurtherRecording:
    """Another recording of the same scenario. describe: called when its lines are written."""

    name: str
    lines: Iterable[bytes]
    describe: Callable[[WrittenLines], Provenance]


@dataclass(frozen=True, slots=True)
class TraceDescription:
    """The rest of a trace. heading: the comment that opens `scenario.yaml`.

    scenario_file: its text where a person wrote it; None to write one of `scenario`. files: further ones by their path
    in the folder, as content or as a file to copy. fit_mode: fits a mode to the callbacks, which is written beside the
    scenario and becomes its mode.
    """

    scenario: Scenario
    provenance: Provenance
    heading: str = ""
    scenario_file: bytes | None = None
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    recordings: tuple[FurtherRecording, ...] = ()
    fit_mode: FitMode | None = None


@dataclass(frozen=True, slots=True)
class WrittenTrace:
    """A trace that has its name. sha256: of the callbacks."""

    folder: Path
    lines: WrittenLines
    summary: Summary
    provenance: Provenance

    @property
    def sha256(self) -> str:
        """Return the digest of the callbacks."""
        return self.lines.sha256


Describe = Callable[[WrittenLines], TraceDescription]


def write_trace(
    target: Path,
    lines: Iterable[bytes],
    describe: Describe,
    *,
    quarantine: Iterable[bytes] = (),
    draft: Path | None = None,
    replace: bool = False,
    before_rename: Callable[[WrittenLines], None] | None = None,
) -> WrittenTrace:
    """Write a trace folder.

    lines: callbacks without newlines, read once. quarantine: entries, read after them. describe: called when the lines
    are written. draft: folder that the files are written in; None for a temporary one beside the target. replace: the
    target is there, and everything in it is replaced. before_rename: called when all is on the disk.

    Raises BadInput when the target is in the way, and whatever `lines` and `describe` raise; then there is no trace.
    """
    _require_free(target, replace)
    with _folder(target, draft) as folder:
        written = _write_lines(folder, lines, quarantine)
        described = describe(written)
        scenario = _with_fitted_mode(folder, described)
        for name, content in sorted(described.files.items()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _write(folder / name, content)
        for recording in described.recordings:
            place = folder / RECORDINGS_FOLDER / recording.name
            place.mkdir(parents=True)
            _describe_recording(place, recording.describe(_write_lines(place, recording.lines, ())), scenario)
        summary = _describe_recording(folder, described.provenance, scenario)
        text = described.scenario_file or scenario_text(scenario, described.heading).encode()
        _write(folder / SCENARIO_FILE, text)
        _write(folder / CHECKSUM_FILE, _checksums(folder, written.sha256).encode())
        for path in (*folder.rglob("*"), folder):
            if path.is_dir():
                path.chmod(0o755)
                sync_folder(path)
        if before_rename is not None:
            before_rename(written)
        _move_into_place(folder, target, replace)
    return WrittenTrace(target, written, summary, described.provenance)


def add_recording(
    scenario_folder: Path, scenario: Scenario, recording: FurtherRecording, *, quarantine: Iterable[bytes] = ()
) -> WrittenTrace:
    """Add a recording to a scenario that is there, whole, by one rename; nothing else in its folder changes.

    Its `SHA256SUMS` is its own. Raises BadInput when its name is taken, and whatever `lines` and `describe` raise; then
    the folder is as it was.
    """
    target = scenario_folder / RECORDINGS_FOLDER / recording.name
    if target.exists():
        raise BadInput("is there already.", path=target, remedy="Choose another name with --recording.")
    with _folder(scenario_folder / recording.name, None) as folder:
        written = _write_lines(folder, recording.lines, quarantine)
        provenance = recording.describe(written)
        summary = _describe_recording(folder, provenance, scenario)
        _write(folder / CHECKSUM_FILE, _checksums(folder, written.sha256).encode())
        folder.chmod(0o755)
        sync_folder(folder)
        target.parent.mkdir(exist_ok=True)
        _move_into_place(folder, target, replace=False)
    sync_folder(scenario_folder)
    return WrittenTrace(target, written, summary, provenance)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_free(target: Path, replace: bool) -> None:
    if target.exists() and not replace:
        raise BadInput("is there already.", path=target, remedy="Choose another scenario id, or move the folder away.")


@contextmanager
def _folder(target: Path, draft: Path | None) -> Iterator[Path]:
    """Yield an empty folder to write in; gone afterwards, unless it was renamed."""
    if draft is None:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    else:
        folder = draft
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_lines(folder: Path, lines: Iterable[bytes], quarantine: Iterable[bytes]) -> WrittenLines:
    digest, count, first = sha256(), 0, b""
    essays: set[str] = set()
    hints: frozenset[MetadataHint] = frozenset()
    with (folder / CALLBACKS_FILE).open("wb", buffering=1 << 20) as file:
        for line in lines:
            first = first or line
            count += 1
            ended = line + b"\n"
            file.write(ended)
            digest.update(ended)
            read = glance(line)
            if read is not None:
                essays |= {read.essay_a, read.essay_b}
                hints |= read.hints
        _finish(file.fileno(), file.flush)
    quarantined = 0
    with (folder / QUARANTINE_FILE).open("wb") as file:
        for entry in quarantine:
            quarantined += 1
            file.write(entry + b"\n")
        _finish(file.fileno(), file.flush)
    if not quarantined:
        (folder / QUARANTINE_FILE).unlink()
    return WrittenLines(count, first, tuple(sorted(essays)), hints, quarantined, digest.hexdigest())


def _with_fitted_mode(folder: Path, described: TraceDescription) -> Scenario:
    """Write the mode that fits the callbacks, if one is wanted, and return the scenario that runs under it."""
    scenario = described.scenario
    if described.fit_mode is None:
        return scenario
    text = described.fit_mode(folder / CALLBACKS_FILE, scenario, described.provenance)
    if text is None:
        return scenario
    _write(folder / MODE_FILE, text.encode())
    return scenario.model_copy(update={"mode": MODE_FILE})


def _describe_recording(folder: Path, provenance: Provenance, scenario: Scenario) -> Summary:
    """Write summary and provenance beside callbacks."""
    essays = (item.id for item in scenario.net.items)
    summary = summarise_file(folder / CALLBACKS_FILE, scenario.scenario_id, essays)
    _write(folder / SUMMARY_FILE, summary.to_json().encode())
    _write(folder / PROVENANCE_FILE, provenance.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")
    return summary


def _write(path: Path, content: bytes | Path) -> None:
    with path.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            with content.open("rb") as original:
                shutil.copyfileobj(original, file, 1 << 20)
        _finish(file.fileno(), file.flush)


def _finish(descriptor: int, flush: Callable[[], object]) -> None:
    flush()
    os.fsync(descriptor)
    # Readable by all, as other committed files are, whatever the umask.
    os.fchmod(descriptor, 0o644)


def _checksums(folder: Path, callbacks_digest: str) -> str:
    """Return the text of `SHA256SUMS`, without reading the callbacks once more."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    digests = {
        name: callbacks_digest if name == CALLBACKS_FILE else file_sha256(folder / name)
        for name in sorted(files)
        if name not in (SCENARIO_FILE, MODE_FILE)  # people edit them, and calibrate writes the latter again
    }
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def _move_into_place(folder: Path, target: Path, replace: bool) -> None:
    previous = target.with_name(f".{target.name}.previous")
    if replace:
        target.rename(previous)
    try:
        folder.rename(target)
    except OSError as error:
        if replace:
            previous.rename(target)
        raise BadInput(
            f"the finished trace cannot be moved there ({error.strerror}).",
            path=target,
            remedy="Move away what is there, and try again.",
        ) from None
    if replace:
        # Hidden files, such as an editor's, are no part of a trace, and are not lost either.
        for path in previous.glob(".*"):
            path.rename(target / path.name)
        shutil.rmtree(previous, ignore_errors=True)
    sync_folder(target.parent)
