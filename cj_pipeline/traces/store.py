"""This module reads trace folders, verified byte by byte."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cj_pipeline.contracts.essay_ids import ESSAY_KEYS
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import open_input
from cj_pipeline.foundation.names import RECORDING, require_name
from cj_pipeline.traces.provenance import PROVENANCE_FILE, Provenance, read_provenance, verify_checksums
from cj_pipeline.traces.reader import CallbackFile, QuarantinedLine, read_callbacks, read_columns, read_results
from cj_pipeline.traces.scenario import NO_BATCH, SCENARIO_FILE, Scenario, read_scenario
from cj_pipeline.traces.scenario_folders import CALLBACKS_FILE as CALLBACKS_FILE
from cj_pipeline.traces.scenario_folders import QUARANTINE_FILE, scenario_folder_below, scenario_ids
from cj_pipeline.traces.scenario_folders import RECORDINGS_FOLDER as RECORDINGS_FOLDER
from cj_pipeline.traces.scenario_folders import SUMMARY_FILE as SUMMARY_FILE

MAIN = "main"
"""Name of the recording that lies in the trace folder itself."""

_FIRST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Recording:
    """One run's callbacks in a verified folder, and where they come from.

    name: MAIN, or that of a folder in `recordings/`. sha256: of `llm_callbacks.jsonl`, the data version of everything
    derived from it.
    """

    name: str
    folder: Path
    provenance: Provenance
    sha256: str

    @property
    def path(self) -> Path:
        """Return the file of its callbacks."""
        return self.folder / CALLBACKS_FILE


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Lines that an import or a capture could not take. reasons: the first ones, each once."""

    lines: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """One verified trace folder. recordings: the main one first, the others by name; callbacks: of the main one."""

    folder: Path
    scenario: Scenario
    recordings: tuple[Recording, ...]
    callbacks: CallbackFile

    @property
    def provenance(self) -> Provenance:
        """Return where the main recording comes from."""
        return self.recordings[0].provenance

    @property
    def sha256(self) -> str:
        """Return the digest of the main recording's callbacks."""
        return self.recordings[0].sha256

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """Return where each recording comes from, the main one first."""
        return tuple(recording.provenance for recording in self.recordings)


class TraceStore:
    """The folders below one root, each a scenario."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def scenario_ids(self) -> tuple[str, ...]:
        """Return the ids of the scenarios there are, sorted; see scenario_folders."""
        return scenario_ids(self.root)

    def scenario(self, scenario_id: str) -> Scenario:
        """Read one scenario, without touching its callbacks."""
        return read_scenario(self.folder(scenario_id) / SCENARIO_FILE)

    def trace(self, scenario_id: str) -> Trace:
        """Read one trace, verified byte by byte. Raises BadInput when anything in it was edited or is missing."""
        return read_trace(self.folder(scenario_id))

    def recordings(self, scenario_id: str) -> tuple[Scenario, tuple[Recording, ...]]:
        """Read a scenario and describe its verified recordings, without touching their callbacks."""
        return trace_recordings(self.folder(scenario_id))

    def folder(self, scenario_id: str) -> Path:
        """Return the folder of a scenario. Raises BadInput, with the ids there are, when there is none of that name."""
        return scenario_folder_below(self.root, scenario_id)


def read_trace(folder: Path) -> Trace:
    """Read one trace folder, wherever it is; see TraceStore.trace."""
    scenario, recordings = trace_recordings(folder)
    callbacks = read_callbacks(recordings[0].path)
    known = frozenset(item.id for item in scenario.net.items)
    for recorded in callbacks.events:
        require_known(recorded.event.data.essay_ids(), known, callbacks.path, recorded.line)
    return Trace(folder=folder, scenario=scenario, recordings=recordings, callbacks=callbacks)


def trace_recordings(folder: Path) -> tuple[Scenario, tuple[Recording, ...]]:
    """Read the scenario of a trace folder and describe its recordings, the main one first.

    Every byte is verified, and no callback is read. Raises BadInput as TraceStore.trace does.
    """
    scenario = read_scenario(folder / SCENARIO_FILE)
    digests = verify_checksums(folder)
    return scenario, tuple(
        _recording(name, place, folder, digests, scenario) for name, place in recording_folders(folder).items()
    )


def recording_folders(folder: Path) -> dict[str, Path]:
    """Return where the recordings of a trace folder lie, by name, the main one first; nothing is verified."""
    others = sorted(path for path in folder.glob(f"{RECORDINGS_FOLDER}/*") if not path.name.startswith("."))
    for path in others:
        require_name(path.name, RECORDING, path=path)
    return {MAIN: folder, **{path.name: path for path in others}}


def _recording(name: str, folder: Path, root: Path, digests: dict[str, str], scenario: Scenario) -> Recording:
    path = folder / CALLBACKS_FILE
    digest = digests.get(path.relative_to(root).as_posix())
    if digest is None:
        raise BadInput("is not covered by SHA256SUMS.", path=path)
    provenance = read_provenance(folder)
    if provenance.scenario_id != scenario.scenario_id:
        raise BadInput(
            f"is '{provenance.scenario_id}', but this is '{scenario.scenario_id}'.",
            path=folder / PROVENANCE_FILE,
            field="scenario_id",
            remedy="A copied provenance says where another recording comes from; write this one's.",
        )
    return Recording(name=name, folder=folder, provenance=provenance, sha256=digest)


def check_callbacks(recording: Recording, scenario: Scenario) -> int:
    """Count the callbacks of a recording, in bounded memory.

    Raises BadInput at a callback about an essay that is not in the net, when a line is no usable callback, and where
    the main recording is of another batch than the scenario.
    """
    known = frozenset(item.id for item in scenario.net.items)
    callbacks = unusable = 0
    first: QuarantinedLine | None = None
    for chunk in read_columns(recording.path):
        for line, *essays in zip(chunk.lines, chunk.essays_a, chunk.essays_b, strict=True):
            require_known(essays, known, recording.path, line)
        first = first or next(iter(chunk.quarantined), None)
        callbacks += len(chunk.lines)
        unusable += len(chunk.quarantined)
    if first is not None:
        raise BadInput(
            first.reason + ("." if unusable == 1 else f" (and {unusable - 1} more lines)."),
            path=recording.path,
            line=first.line,
            field=first.field or None,
            remedy="Capture the trace again, or take the line out and record new checksums.",
        )
    if recording.name == MAIN:
        _require_its_batch(scenario, recording)
    return callbacks


def _require_its_batch(scenario: Scenario, recording: Recording) -> None:
    """Raise BadInput where callbacks name batches, and none of them is the scenario's.

    A new trace whose callbacks name no batch has `unknown` and 0, which are no names.
    """
    unmatched = {"bos_batch_id": scenario.batch.bos_batch_id, "cj_batch_id": str(scenario.batch.cj_batch_id or "")}
    others: dict[str, str] = {}
    for _, data in read_results(recording.path, lambda line: None):
        for key, stated in tuple(unmatched.items()):
            carried = str(data.request_metadata.get(key) or "")
            if stated in ("", NO_BATCH) or carried == stated or carried.lstrip("0") == stated:
                del unmatched[key]
            elif carried:
                others.setdefault(key, carried)
        if not unmatched:
            return
    for key, carried in others.items():
        if key in unmatched:
            raise BadInput(
                f"'{unmatched[key]}' is no batch of the callbacks; the first is of '{carried}'.",
                path=recording.folder / SCENARIO_FILE,
                field=f"batch.{key}",
                remedy="Write the id that the callbacks carry.",
            )


class _QuarantineEntry(msgspec.Struct):
    reason: str
    field: str = ""


def quarantine_of(recording: Recording) -> Quarantine:
    """Return what the import or capture of a recording put into quarantine. Raises BadInput at a line that is none."""
    path = recording.folder / QUARANTINE_FILE
    lines, reasons = 0, list[str]()
    if path.is_file():
        with open_input(path) as file:
            for lines, raw in enumerate(file, start=1):
                try:
                    entry = msgspec.json.decode(raw, type=_QuarantineEntry)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    raise BadInput("has no reason.", path=path, line=lines, remedy="Import or capture again.") from None
                reason = ": ".join(filter(None, (entry.field, entry.reason)))
                if len(reasons) < _FIRST_REASONS and reason not in reasons:
                    reasons.append(reason)
    return Quarantine(lines, tuple(reasons))


def require_known(essays: Iterable[str], known: Collection[str], path: Path, line: int) -> None:
    """Raise BadInput for essays that are not the scenario's: a mistake in the scenario, not in a line."""
    for key, essay in zip(ESSAY_KEYS, essays, strict=True):
        if essay not in known:
            raise BadInput(
                f"'{essay}' is not in the scenario's net.",
                path=path,
                line=line,
                field=f"data.request_metadata.{key}",
                remedy=f"Add it to net.items in {SCENARIO_FILE}.",
            )
