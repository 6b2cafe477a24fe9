"""What people name on the command line, found: a scenario, a trace folder, a file of callbacks.

Here: from an argument to callbacks and the scenario they belong to. Not here: what is then done with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import Events, JudgeIdentity, replay
from cj_pipeline.traces.bare import bare_scenario
from cj_pipeline.traces.provenance import file_sha256
from cj_pipeline.traces.reader import CallbackFile, read_callbacks
from cj_pipeline.traces.scenario import SCENARIO_FILE, Profile, Scenario
from cj_pipeline.traces.store import TraceStore, read_trace


@dataclass(frozen=True, slots=True)
class Source:
    """Callbacks and the scenario they are read under. scenario_file: what errors about the scenario name."""

    scenario: Scenario
    scenario_file: Path
    callbacks: CallbackFile
    identity: JudgeIdentity

    @property
    def events(self) -> Events:
        """The usable callbacks, in file order."""
        return tuple(recorded.event for recorded in self.callbacks.events)

    def replayed(self, side: Side, scenario: Scenario | None = None) -> RunRecord:
        """The run of these callbacks through the engine, under their own scenario or another."""
        return replay(
            scenario or self.scenario,
            self.events,
            side=side,
            judge=self.identity,
            quarantined_lines=len(self.callbacks.quarantined),
        )


def trace_store() -> TraceStore:
    """The scenarios of this working directory."""
    return TraceStore(PipelineSettings().traces_dir)


def find_source(name: str, profile: Profile = Profile.ENG5_ANCHOR) -> Source:
    """A scenario by id, a trace folder or a JSONL file by path.

    profile: whose floors are meant where a bare file has no scenario. Raises BadInput naming what is not there.
    """
    path = Path(name)
    if path.is_file():
        callbacks = read_callbacks(path)
        identity = JudgeIdentity(path.name, file_sha256(path))
        return Source(bare_scenario(callbacks, profile), path, callbacks, identity)
    trace = read_trace(path) if path.is_dir() else trace_store().trace(name)
    identity = JudgeIdentity(trace.scenario.scenario_id, trace.sha256)
    return Source(trace.scenario, trace.folder / SCENARIO_FILE, trace.callbacks, identity)


def names_callbacks(name: str) -> bool:
    """Whether an argument is a path to callbacks rather than a mode expression."""
    path = Path(name)
    return path.is_dir() or (path.is_file() and path.suffix != ".yaml")
