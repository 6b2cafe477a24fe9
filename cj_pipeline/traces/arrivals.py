"""This module finds the recordings in a folder of traces that are new, without reading their callbacks.

It does not prove that nobody edited one (provenance.py).

A trace folder appears whole (capture and import rename it into place), and its SHA256SUMS says what it is: a folder
that has one is complete, and one whose callbacks have another digest than before is another recording, and so is one
to which a recording was added. A million callbacks are not hashed for that; the run that follows does, in the check
`trace: checksums`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.provenance import CHECKSUM_FILE, added_recordings, joint_sha256, listed_digests, read_provenance
from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario
from cj_pipeline.traces.scenario_folders import CALLBACKS_FILE
from cj_pipeline.traces.store import MAIN, TraceStore, recording_folders


@dataclass(frozen=True, slots=True)
class Recording:
    """The callbacks of one scenario. sha256: lower-case hex, when they were recorded; size: bytes, now.

    Of several recordings: one digest of all, and their size together.
    """

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a look at the folder found.

    new: usable recordings that were not known, by scenario id; broken: by scenario id,
    file and field of what keeps a recording from being used, without a word of its content; present: every scenario id.
    """

    new: dict[str, Recording]
    broken: dict[str, str]
    present: tuple[str, ...]


def arrivals(root: Path, known: Mapping[str, str]) -> Arrivals:
    """Look at the folders below a root.

    known: what was found new before, by scenario id: digests, or as many of their first digits as were kept.
    """
    new: dict[str, Recording] = {}
    broken: dict[str, str] = {}
    present = TraceStore(root).scenario_ids()
    for scenario_id in present:
        folder = root / scenario_id
        try:
            digest = _joint_sha256(folder)
            if scenario_id in known and digest.startswith(known[scenario_id]):
                continue
            read_scenario(folder / SCENARIO_FILE)
            read_provenance(folder)
            size = sum((place / CALLBACKS_FILE).stat().st_size for place in recording_folders(folder).values())
            recording = Recording(digest, size)
        except BadInput as problem:
            # Not its text: it may quote a label, and a label may be a pupil's name.
            broken[scenario_id] = problem.path.name + (f": {problem.field}" if problem.field else "")
        except OSError as problem:
            broken[scenario_id] = type(problem).__name__
        else:
            new[scenario_id] = recording
    return Arrivals(new=new, broken=broken, present=present)


def recorded_sha256(folder: Path) -> str:
    """Return the SHA-256 of a trace's callbacks as recorded, in lower-case hex. Raises BadInput without one."""
    digest = listed_digests(folder).get(CALLBACKS_FILE)
    if digest is None:
        sums = folder / CHECKSUM_FILE
        raise BadInput(f"does not name {CALLBACKS_FILE}.", path=sums, remedy="Capture or import the trace again.")
    return digest


def _joint_sha256(folder: Path) -> str:
    """Return the SHA-256 of the callbacks of all recordings. `trace: checksums` finds those that nothing covers."""
    listed = {folder / name: digest for name, digest in listed_digests(folder).items()}
    for added in added_recordings(folder):
        listed |= {added / name: digest for name, digest in listed_digests(added).items()}
    found = {name: listed.get(place / CALLBACKS_FILE) for name, place in recording_folders(folder).items()}
    digests = {name: digest for name, digest in found.items() if digest is not None}
    return joint_sha256({MAIN: recorded_sha256(folder), **digests})
