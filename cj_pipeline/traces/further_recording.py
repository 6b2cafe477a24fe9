"""This module adds a recording to a scenario that is there, and refuses one that cannot be compared with its others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.json_lines import read_lines
from cj_pipeline.foundation.names import RECORDING, require_name, same_name
from cj_pipeline.traces.provenance import PROVENANCE_FILE, Provenance
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario
from cj_pipeline.traces.scenario_folders import QUARANTINE_FILE
from cj_pipeline.traces.store import RECORDINGS_FOLDER, Recording, trace_recordings
from cj_pipeline.traces.writing import FurtherRecording, WrittenLines, WrittenTrace, add_recording


@dataclass(frozen=True, slots=True)
class RecordingPlace:
    """Where a recording is to be added. name: of the new one; recordings: those that are there, verified."""

    folder: Path
    scenario: Scenario
    recordings: tuple[Recording, ...]
    name: str

    def add(
        self,
        lines: Iterable[bytes],
        describe: Callable[[WrittenLines], Provenance],
        *,
        quarantine: Iterable[bytes] = (),
    ) -> WrittenTrace:
        """Write the recording, whole or not at all.

        Raises BadInput when it speaks of other essays, is redacted otherwise, or is there already.
        """

        def described(written: WrittenLines) -> Provenance:
            provenance = describe(written)
            self._require_comparable(written, provenance)
            return provenance

        recording = FurtherRecording(self.name, lines, described)
        return add_recording(self.folder, self.scenario, recording, quarantine=quarantine)

    def _require_comparable(self, written: WrittenLines, provenance: Provenance) -> None:
        main = self.recordings[0].provenance
        keys = [None if one.redaction is None else one.redaction.key_id for one in (main, provenance)]
        if keys[0] != keys[1]:
            remedy = "Give --no-redact." if keys[0] is None else f"Give the file of the key {keys[0]} with --key."
            raise BadInput(
                f"{_redaction(keys[0])}, and this recording {_redaction(keys[1])}: their essays have other names.",
                path=self.folder / PROVENANCE_FILE,
                field="redaction",
                remedy=remedy,
            )
        strangers = set(written.essays) - {item.id for item in self.scenario.net.items}
        if strangers:
            raise BadInput(
                f"does not know {len(strangers)} of the {len(written.essays)} essays of this recording.",
                path=self.folder / SCENARIO_FILE,
                field="net.items",
                remedy="A scenario's recordings are of one net. Import it as a scenario of its own.",
            )
        same = next((one for one in self.recordings if one.sha256 == written.sha256), None)
        if same is not None:
            raise BadInput(
                "has the same callbacks, byte for byte.",
                path=same.path,
                remedy="A copy is no second recording: ask the judge again.",
            )


def place_for_recording(folder: Path, name: str | None = None) -> RecordingPlace:
    """Return the place of a new recording in a trace folder. name: by default the first free `recording_2`, `_3`, ...

    Raises BadInput when the folder is no intact trace, or the name is none or taken.
    """
    scenario, recordings = trace_recordings(folder)
    taken = {recording.name for recording in recordings}
    if name is None:
        free = (f"recording_{number}" for number in range(2, len(taken) + 3))
        name = next(one for one in free if one not in taken)
    target = folder / RECORDINGS_FOLDER / name
    if same := next((one for one in taken if same_name(one, name)), None):
        problem = "is there already." if same == name else f"differs from '{same}' in capitals alone."
        raise BadInput(problem, path=target, field="--recording", remedy="Give it a name that is not taken.")
    require_name(name, RECORDING, path=folder, field="--recording")
    return RecordingPlace(folder, scenario, recordings, name)


def copy_recording(place: RecordingPlace, source: Path) -> WrittenTrace:
    """Add the main recording of another trace folder, as it is, with its provenance. Raises BadInput as `add` does."""
    _, (recording, *_) = trace_recordings(source)
    quarantine = recording.folder / QUARANTINE_FILE

    def describe(_: WrittenLines) -> Provenance:
        return recording.provenance.model_copy(update={"scenario_id": place.scenario.scenario_id})

    return place.add(
        (line for line in read_lines(recording.path, utf8=False) if line.strip()),
        describe,
        quarantine=read_lines(quarantine, utf8=False) if quarantine.is_file() else (),
    )


def _redaction(key: str | None) -> str:
    return "is not redacted" if key is None else f"is redacted under the key {key}"
