"""This module makes a second recording of a scenario: what its faithful mock answers under another seed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cj_pipeline.contracts.callback import callback_json
from cj_pipeline.traces.further_recording import place_for_recording
from cj_pipeline.traces.provenance import read_provenance
from tests.sides import LOWER5, TRACES, live

Event = dict[str, Any]


def asked_again(path: Path, change: Callable[[Event], object] = lambda event: None, *, seed: int = 7) -> Path:
    """Write the callbacks of LOWER5's judge, asked once more, as a file. change: what is to be wrong in each event."""
    events = [json.loads(callback_json(event)) for event in live(LOWER5, seed=seed).events]
    for event in events:
        change(event)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return path


def with_recording(root: Path, change: Callable[[Event], object] = lambda event: None, *, name: str = "second") -> Path:
    """Copy LOWER5 below a root, add a recording to it, and return its folder."""
    folder = root / LOWER5
    shutil.copytree(TRACES / LOWER5, folder)
    lines = asked_again(root / "asked_again" / f"{name}.jsonl", change).read_bytes().splitlines()
    provenance = read_provenance(folder)
    place_for_recording(folder, name).add(lines, lambda _: provenance)
    shutil.rmtree(root / "asked_again")
    return folder
