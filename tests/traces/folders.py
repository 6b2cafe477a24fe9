"""Trace folders that tests may write to, and one callback as a dict that tests may spoil. Not here: any assertion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from cj_pipeline.traces.provenance import file_sha256

TRACES = Path(__file__).parents[2] / "traces"

GENERIC = "cj_lps_roundtrip_mock_20251205"
ANCHORS = "eng5_anchor_align_gpt51_low_20251201"
LOWER5 = "eng5_lower5_gpt51_low_20251202"
LADDER = "eng5_anchor_ladder_20251202"
SONNET = "eng5_anchor_align_sonnet45_20251130"
OTHER_LOWER5 = (
    "eng5_lower5_148_gpt51_low_20251202",
    "eng5_lower5_149_gpt51_none_20251202",
    "eng5_lower5_150_gpt51_none_20251202",
)
BATCH_108 = "eng5_batch_108_20251129"
THREE_PASSES = "eng5_lower5_three_passes"
BATCH_33 = "eng5_serial_bundle_33"
LISTED = (BATCH_108, THREE_PASSES, BATCH_33)
"""Those whose comparisons are in a table of outcomes."""
SCENARIOS = (GENERIC, ANCHORS, LADDER, LOWER5, SONNET, *OTHER_LOWER5, *LISTED)


def copy_of(scenario_id: str, into: Path) -> Path:
    return shutil.copytree(TRACES / scenario_id, into / scenario_id)


def sources_of(scenario_id: str, into: Path) -> Path:
    """A folder with the hand-written files only."""
    folder = into / scenario_id
    folder.mkdir()
    for name in ("scenario.yaml", "published.yaml", *(("outcomes.csv",) if scenario_id in LISTED else ())):
        shutil.copy(TRACES / scenario_id / name, folder / name)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def one_event(line: int = 0) -> dict[str, Any]:
    """A committed callback's envelope, to be changed at will."""
    event: dict[str, Any] = json.loads((TRACES / LOWER5 / "llm_callbacks.jsonl").read_bytes().splitlines()[line])
    return event


def write_lines(path: Path, *events: dict[str, Any] | str) -> Path:
    lines = (event if isinstance(event, str) else json.dumps(event) for event in events)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def checksum_lines(folder: Path, names: tuple[str, ...]) -> str:
    """The text of `SHA256SUMS` for some files of a folder, in the order of their names."""
    return "".join(f"{file_sha256(folder / name)}  {name}\n" for name in sorted(names))
