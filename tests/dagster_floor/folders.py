"""This module makes recordings that tests put into a folder of traces."""

from __future__ import annotations

import shutil
from pathlib import Path

from cj_pipeline.traces.provenance import CHECKSUM_FILE
from tests.dagster_floor.floor import LOWER5, TRACES
from tests.traces.folders import checksum_lines

COVERED = ("llm_callbacks.jsonl", "provenance.json", "published.yaml", "summary.json")


def recording(root: Path, scenario_id: str) -> Path:
    """The five lowest anchors under another name: a whole, usable trace folder."""
    folder = root / scenario_id
    shutil.copytree(TRACES / LOWER5, folder)
    for name in ("scenario.yaml", "provenance.json"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(LOWER5, scenario_id), encoding="utf-8")
    return seal(folder)


def seal(folder: Path) -> Path:
    """Write SHA256SUMS for what the folder holds now, as recording it would have."""
    (folder / CHECKSUM_FILE).write_text(checksum_lines(folder, COVERED), encoding="utf-8")
    return folder


def shorten(folder: Path) -> Path:
    """Another recording under the same name: its last callback is gone."""
    callbacks = folder / "llm_callbacks.jsonl"
    callbacks.write_bytes(b"".join(callbacks.read_bytes().splitlines(keepends=True)[:-1]))
    return seal(folder)
