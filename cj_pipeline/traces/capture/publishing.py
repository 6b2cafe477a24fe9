"""From a draft to a trace folder, all at once.

Here: the files of the finished trace and the one step that makes them visible. Not here: the order of its lines
(merging.py), what its scenario and its provenance say (captured_scenario.py, and the callers).

The trace is written inside the draft, made to last, and moved to its place by one rename. Until then there is no trace,
and after it nothing of it changes. The same messages give the same `llm_callbacks.jsonl`, whatever happened meanwhile.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.capture.checkpoints import sync_folder
from cj_pipeline.traces.capture.draft import FINISHED_FOLDER, READY_FILE, TraceDraft
from cj_pipeline.traces.capture.lane import LaneFile, LaneState, lane_path
from cj_pipeline.traces.capture.merging import Merger
from cj_pipeline.traces.captured_scenario import scenario_text
from cj_pipeline.traces.provenance import CHECKSUM_FILE, PROVENANCE_FILE, Provenance, file_sha256
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario
from cj_pipeline.traces.store import CALLBACKS_FILE, SUMMARY_FILE

if TYPE_CHECKING:
    from cj_pipeline.traces.summary import Summary

QUARANTINE_FILE = "quarantine.jsonl"

# What becomes of a callback that was kept, as counts call it.
TAKEN, DUPLICATE, CONTRADICTION = "taken", "duplicate", "contradiction"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a draft adds up to, when its callbacks are in order.

    essays: as the trace names them, sorted. comparisons: different correlation ids. duplicates, contradictions:
    callbacks that repeat the request id of one in the trace, with the same outcome and with another; contradictions
    are quarantined. first: the first callback of the trace. started_at: the earliest `requested_at`. last_positions: by
    lane, of its last callback in the trace. sha256: of the lines. dropped: what redaction took out, by kind.
    """

    essays: tuple[str, ...]
    comparisons: int
    taken: int
    duplicates: int
    contradictions: int
    quarantined: int
    first: CallbackEvent
    started_at: datetime
    last_positions: dict[int, int]
    dropped: dict[str, int]
    summary: Summary
    sha256: str


Describe = Callable[[Findings], tuple[Scenario, str, Provenance]]
"""Scenario, the comment that opens its file, and provenance of a trace."""


class NothingTaken(BadInput):
    """A draft without a single callback: there is no trace of it."""


def publish(draft: TraceDraft, states: Mapping[int, LaneState], describe: Describe) -> Findings:
    """Make the trace at the draft's target, and remove the draft.

    states: of every lane of the draft, as far as it is to go into the trace; its files must be that long. Raises
    NothingTaken, or what `describe` raises; then there is no trace, and the draft is still there.
    """
    merger = Merger(draft.folder, states)
    if not len(merger):
        raise NothingTaken("holds no callback.", path=draft.folder)
    folder = draft.folder / FINISHED_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    digest = merger.write_lines(folder / CALLBACKS_FILE)
    quarantined = _write_quarantine(folder / QUARANTINE_FILE, draft, merger)
    summary = merger.summary(draft.target.name)
    (folder / SUMMARY_FILE).write_text(summary.to_json(), encoding="utf-8")
    findings = Findings(
        essays=merger.essays(),
        comparisons=merger.comparisons(),
        taken=len(merger),
        duplicates=len(merger.sequencing.repeated),
        contradictions=len(merger.sequencing.contradicting),
        quarantined=quarantined,
        first=_first(merger),
        started_at=_earliest(states),
        last_positions=merger.last_positions(),
        dropped=_dropped(states),
        summary=summary,
        sha256=digest,
    )
    scenario, heading, provenance = describe(findings)
    described = provenance.model_dump_json(indent=2, exclude_none=True)
    (folder / PROVENANCE_FILE).write_text(described + "\n", encoding="utf-8")
    (folder / SCENARIO_FILE).write_text(scenario_text(scenario, heading), encoding="utf-8")
    (folder / CHECKSUM_FILE).write_text(_sums(folder, digest), encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)
        _sync(path)
    sync_folder(folder)
    _move_into_place(draft, folder)
    return findings


def _move_into_place(draft: TraceDraft, folder: Path) -> None:
    ready = draft.folder / READY_FILE
    ready.touch()
    sync_folder(draft.folder)
    try:
        folder.rename(draft.target)
    except OSError as error:
        ready.unlink()
        raise BadInput(
            f"the finished trace cannot be moved there ({error.strerror}).",
            path=draft.target,
            remedy="Move away what is there, and publish with --finish.",
        ) from None
    sync_folder(draft.target.parent)
    draft.discard()


def _write_quarantine(path: Path, draft: TraceDraft, merger: Merger) -> int:
    """Number of entries; no file for none."""
    entries = 0
    with path.open("wb") as file:
        for share in merger.shares:
            size = share.state.lengths[LaneFile.QUARANTINE]
            if size:
                with lane_path(draft.folder, share.number, LaneFile.QUARANTINE).open("rb") as kept:
                    while size and (block := kept.read(min(size, 1 << 20))):
                        entries += block.count(b"\n")
                        size -= len(block)
                        file.write(block)
        pairs = zip(merger.sequencing.contradicting.tolist(), merger.sequencing.contradicted.tolist(), strict=True)
        for later, earlier in pairs:
            entries += 1
            file.write(_contradiction(draft, merger, later, earlier))
    if not entries:
        path.unlink()
    return entries


def _contradiction(draft: TraceDraft, merger: Merger, later: int, earlier: int) -> bytes:
    """The entry of a callback that says something else than an earlier one of the same request."""
    line = merger.line(later)[:-1]
    entry: dict[str, int | str] = {
        "reason": "another outcome than an earlier callback of the same request",
        "field": "data.request_id",
    }
    for prefix, index in (("", later), ("earlier_", earlier)):
        lane, place = merger.where(index)
        entry[f"{prefix}partition"] = merger.shares[lane].number
        entry[f"{prefix}offset"] = int(merger.shares[lane].records["position"][place])
    # Of the line as it would be in the trace; the message itself is gone where it was redacted.
    entry |= {"size": len(line), "sha256": sha256(line).hexdigest()}
    if draft.keep_raw or draft.redaction is None:
        entry["raw"] = base64.b64encode(line).decode()
    return json.dumps(entry).encode() + b"\n"


def _first(merger: Merger) -> CallbackEvent:
    parsed = parse_callback(merger.line(int(merger.sequencing.kept[0])))
    if isinstance(parsed, Rejection):
        raise BadInput(
            f"the first callback cannot be read again: {parsed.reason}.", path=CALLBACKS_FILE, field=parsed.field
        )
    return parsed


def _earliest(states: Mapping[int, LaneState]) -> datetime:
    return min(datetime.fromisoformat(state.earliest) for state in states.values() if state.earliest)


def _dropped(states: Mapping[int, LaneState]) -> dict[str, int]:
    dropped: dict[str, int] = {}
    for state in states.values():
        for kind, count in state.dropped.items():
            dropped[kind] = dropped.get(kind, 0) + count
    return dict(sorted(dropped.items()))


def _sums(folder: Path, callbacks_digest: str) -> str:
    """As traces.provenance.checksum_lines, without reading the callbacks once more."""
    digests = {
        path.name: callbacks_digest if path.name == CALLBACKS_FILE else file_sha256(path)
        for path in folder.iterdir()
        if path.name != SCENARIO_FILE
    }
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
