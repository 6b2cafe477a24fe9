"""Two files of callbacks, compared without a scenario of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cj_pipeline.cli.sources import find_source
from cj_pipeline.parity.compare import ParityReport, compare
from cj_pipeline.runs.record import Side
from cj_pipeline.traces.scenario import Profile
from tests.house import REPOSITORY
from tests.sides import session_cache

Event = dict[str, object]


def compared(recorded: Path, live: Path, *further: Path, **scenario: object) -> ParityReport:
    """Compare two recordings. further: more of the recorded judge. scenario: fields that the file does not have."""
    source = find_source(str(recorded), Profile.JUDGE)
    named = source.scenario.model_copy(update=scenario)
    sides = [
        find_source(str(path), Profile.JUDGE).replayed(side, named)
        for path, side in ((recorded, Side.RECORDED), (live, Side.LIVE), *((one, Side.RECORDED) for one in further))
    ]
    return compare(named, sides[0], sides[1], scenario_file=recorded, further=tuple(sides[2:]), cached=session_cache())


def failed(report: ParityReport) -> set[str]:
    """Names of the checks that fail."""
    return {result.check.name for result in report.failed}


def changed_copy(recording: Path, copy: Path, change: Callable[[int, dict], object]) -> Path:
    """Write a copy of a recording in which each event was changed."""
    events = [json.loads(line) for line in recording.read_text(encoding="utf-8").splitlines()]
    for number, event in enumerate(events):
        change(number, event)
    return written(copy, events)


def written(path: Path, events: Iterable[Event]) -> Path:
    """Write events as lines of JSON."""
    path.write_text("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events), encoding="utf-8")
    return path


def shared_file(*parts: str) -> Path:
    """A file that is handed out beside the repository; without it the test is skipped."""
    folder = os.environ.get("CJ_PIPELINE_SHARED")
    roots = [Path(folder)] if folder else [REPOSITORY.parent / "shared"]
    path = roots[0].joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{Path(*parts)} is not here: set CJ_PIPELINE_SHARED to the folder that holds it")
    return path
