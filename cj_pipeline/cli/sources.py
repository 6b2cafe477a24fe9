"""This module finds what people name on the command line: a scenario, a trace folder, a file of callbacks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.essay_ids import ESSAY_KEYS
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.foundation.json_lines import bare_name
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.mock.mode.files import mode_names
from cj_pipeline.runs.record import RunDocument, RunRecord, Side, answers_sha256, unreplayed_record
from cj_pipeline.runs.recorded_answers import AnswerColumns, answer_columns
from cj_pipeline.runs.recorded_side import further_answers, further_runs
from cj_pipeline.runs.scenario_run import Events, JudgeIdentity, replay, replay_columns, require_known_essays
from cj_pipeline.traces.file_scenario import FileFacts, scenario_of_file
from cj_pipeline.traces.provenance import Provenance, file_sha256
from cj_pipeline.traces.reader import CallbackFile, QuarantinedLine, read_callbacks, read_events, read_results
from cj_pipeline.traces.scenario import SCENARIO_FILE, Profile, Scenario
from cj_pipeline.traces.store import (
    CALLBACKS_FILE,
    MAIN,
    Recording,
    TraceStore,
    read_trace,
    require_known,
    trace_recordings,
)

# Callbacks, which take the engine some seconds a side. 100,000 over 2,000 essays take it a minute, and of two files
# with different answers parity reads nothing that the engine made of them.
MOST_REPLAYED = 20_000


# What a name ends with that is meant as a file of callbacks, there or not: no scenario and no mode has a dot in it.
_OF_FILES = frozenset({".jsonl", ".ndjson", ".json", ".gz", ".zst"})


@dataclass(frozen=True, slots=True)
class Source:
    """Callbacks and the scenario they are read under. scenario_file: the file that errors about the scenario name.

    recordings: of its trace, the main one first; none for a file.
    """

    scenario: Scenario
    scenario_file: Path
    callbacks: CallbackFile
    identity: JudgeIdentity
    recordings: tuple[Recording, ...] = ()

    @property
    def events(self) -> Events:
        """Return the usable callbacks, in file order."""
        return tuple(recorded.event for recorded in self.callbacks.events)

    def replayed(self, side: Side, scenario: Scenario | None = None) -> RunRecord:
        """Run these callbacks through the engine, under their own scenario or another."""
        return replay(
            scenario or self.scenario,
            self.events,
            side=side,
            judge=self.identity,
            quarantined_lines=len(self.callbacks.quarantined),
        )

    def to_compare(self, side: Side, scenario: Scenario | None = None, *, divergence: bool = False) -> RunRecord:
        """Return these callbacks as a side of a comparison: those of a large file without the engine.

        divergence: whether it will be asked what one answer changes, which takes the engine.
        """
        if divergence or self.recordings or len(self.callbacks.events) <= MOST_REPLAYED:
            return self.replayed(side, scenario)
        scenario = scenario or self.scenario
        require_known_essays(scenario, self.events)
        return unreplayed_record(
            self.events,
            scenario_id=scenario.scenario_id,
            essays=len(scenario.net.items),
            side=side,
            judge=self.identity.name,
            judge_sha256=self.identity.sha256,
            seed=scenario.live.seed,
            quarantined_lines=len(self.callbacks.quarantined),
        )

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """Return where each recording comes from; none for a file, which does not say."""
        return tuple(recording.provenance for recording in self.recordings)

    def further_runs(self) -> tuple[RunRecord, ...]:
        """Run every other recording of the scenario through the engine."""
        return further_runs(self.scenario, further_answers(self.scenario, self.recordings))


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """What a replay needs of callbacks, in bounded memory, and the scenario they are read under."""

    scenario: Scenario
    path: Path
    answers: AnswerColumns
    quarantined: tuple[QuarantinedLine, ...]
    identity: JudgeIdentity

    def replayed(self) -> tuple[RunDocument, list[int]]:
        """Run these callbacks through the engine; see replay_columns."""
        return replay_columns(
            self.scenario,
            self.answers,
            side=Side.RECORDED,
            judge=self.identity,
            quarantined_lines=len(self.quarantined),
        )


def find_columns(name: str) -> ColumnSource:
    """Find what find_source finds, without keeping an event."""
    path = Path(name)
    quarantined: list[QuarantinedLine] = []
    if os.path.isfile(path):  # noqa: PTH113
        facts = FileFacts()
        answers = answer_columns(facts.seen(data) for _, data in read_results(path, quarantined.append))
        scenario = scenario_of_file(path, facts, quarantined, Profile.JUDGE)
        return ColumnSource(scenario, path, answers, tuple(quarantined), JudgeIdentity(path.name, file_sha256(path)))
    scenario, (main, *_) = trace_recordings(scenario_folder(name))
    known = {item.id for item in scenario.net.items}

    def of_the_net() -> Iterator[LLMComparisonResultV1]:
        for line, data in read_results(main.path, quarantined.append):
            require_known([data.request_metadata[key] for key in ESSAY_KEYS], known, main.path, line)
            yield data

    answers = answer_columns(of_the_net())
    identity = JudgeIdentity(scenario.scenario_id, main.sha256)
    return ColumnSource(scenario, main.path, answers, tuple(quarantined), identity)


def answers_sha256_of_file(path: Path, order: Sequence[int]) -> str:
    """Return the digest of what a file's callbacks answer, apart from when. order: of its usable callbacks."""

    def ordered() -> Iterator[LLMComparisonResultV1]:
        events = enumerate(read_events(path))
        ahead: dict[int, LLMComparisonResultV1] = {}
        for row in order:
            while row not in ahead:
                number, event = next(events)
                ahead[number] = event.data
            yield ahead.pop(row)

    return answers_sha256(ordered())


def trace_store() -> TraceStore:
    """Return the scenarios of this working directory."""
    return TraceStore(PipelineSettings().traces_dir)


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """A file of callbacks that is still to be read. essays: of its scenario's net; none for a file without one."""

    path: Path
    scenario_id: str
    essays: tuple[str, ...]


def find_recording(name: str, recording: str | None) -> RecordingFile:
    """Find the callbacks of a scenario, a trace folder or a file, without reading them.

    recording: which one of the trace, the main one by default. Raises BadInput naming what is not there.
    """
    path = Path(name)
    if os.path.isfile(path):  # noqa: PTH113
        if recording is not None:
            raise BadInput("is a file, and has no recordings.", path=path, remedy="Name its trace folder instead.")
        return RecordingFile(path, path.absolute().parent.name if path.name == CALLBACKS_FILE else bare_name(path), ())
    scenario, recordings = trace_recordings(scenario_folder(name))
    found = {one.name: one for one in recordings}
    if recording is not None and recording not in found:
        raise BadInput(
            f"has no recording '{recording}'.", path=recordings[0].folder, remedy=did_you_mean(recording, found)
        )
    chosen = found[recording or MAIN]
    return RecordingFile(chosen.path, scenario.scenario_id, tuple(item.id for item in scenario.net.items))


def find_source(name: str, profile: Profile | None = None) -> Source:
    """Find a scenario by id, a trace folder or a JSONL file by path.

    profile: whose margins are meant for a bare file; None for those of a judge. Raises BadInput naming what is not
    there, and for the profile of what has a scenario.
    """
    path = Path(name)
    if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for a name that no file system takes
        callbacks = read_callbacks(path, keep_bytes=False)
        identity = JudgeIdentity(path.name, file_sha256(path))
        facts = FileFacts()
        for recorded in callbacks.events:
            facts.seen(recorded.event.data)
        scenario = scenario_of_file(path, facts, callbacks.quarantined, profile or Profile.JUDGE)
        return Source(scenario, path, callbacks, identity)
    if path.suffix.lower() in _OF_FILES and not os.path.isdir(path):  # noqa: PTH112
        raise BadInput("no such file.", path=path, remedy="Name a file of callbacks, a trace folder or a scenario.")
    trace = read_trace(scenario_folder(name))
    if profile is not None:
        raise BadInput(
            f"is '{trace.scenario.profile}' there; --profile is for a file without a scenario.",
            path=trace.folder / SCENARIO_FILE,
            field="profile",
            remedy="Leave --profile out.",
        )
    identity = JudgeIdentity(trace.scenario.scenario_id, trace.sha256)
    return Source(trace.scenario, trace.folder / SCENARIO_FILE, trace.callbacks, identity, trace.recordings)


def names_callbacks(name: str) -> bool:
    """Return whether an argument is a path to callbacks or the id of a scenario, rather than a mode expression.

    What is both a scenario and a mode is the mode.
    """
    path = Path(name)
    if path.suffix.lower() in _OF_FILES:
        return True
    if os.path.isdir(path) or (os.path.isfile(path) and path.suffix != ".yaml"):  # noqa: PTH112, PTH113
        return True
    return os.path.isfile(PipelineSettings().traces_dir / name / SCENARIO_FILE) and name not in mode_names()  # noqa: PTH113
