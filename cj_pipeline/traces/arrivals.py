"""This module finds the recordings in a folder of traces that are new, without reading their callbacks.

It does not prove that nobody edited one (provenance.py).

A trace folder appears whole (capture and import rename it into place), and its SHA256SUMS says what it is: a folder
that has one is complete, and one whose callbacks have another digest than before is another recording. A million
callbacks are not hashed for that; the run that follows does, in the check `trace: checksums`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.provenance import CHECKSUM_FILE, read_provenance
from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario
from cj_pipeline.traces.store import CALLBACKS_FILE, TraceStore


@dataclass(frozen=True, slots=True)
class Recording:
    """The callbacks of one scenario. sha256: lower-case hex, when they were recorded; size: bytes, now."""

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
            digest = recorded_sha256(folder)
            if scenario_id in known and digest.startswith(known[scenario_id]):
                continue
            read_scenario(folder / SCENARIO_FILE)
            read_provenance(folder)
            recording = Recording(digest, (folder / CALLBACKS_FILE).stat().st_size)
        except BadInput as problem:
            # Not its text: it may quote a label, and a label may be a pupil's name.
            broken[scenario_id] = problem.path.name + (f": {problem.field}" if problem.field else "")
        except OSError as problem:
            broken[scenario_id] = type(problem).__name__
        else:
            new[scenario_id] = recording
    return Arrivals(new=new, broken=broken, present=present)


def recorded_sha256(folder: Path) -> str:
    """SHA-256 of a trace's callbacks when they were recorded, in lower-case hex. Raises BadInput when it says none."""
    sums = folder / CHECKSUM_FILE
    try:
        lines = sums.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise BadInput("no such file.", path=sums, remedy="Capture or import the trace again.") from None
    except UnicodeDecodeError:
        raise BadInput("is not UTF-8.", path=sums) from None
    for line in lines:
        digest, _, name = line.partition("  ")
        if name == CALLBACKS_FILE and len(digest) == 64:
            return digest
    raise BadInput(f"does not name {CALLBACKS_FILE}.", path=sums, remedy="Capture or import the trace again.")
