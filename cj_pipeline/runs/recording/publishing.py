"""This module makes the trace of a recording that is complete: callbacks of each run, scenario, mode and provenance."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.named_prompt import NamedPrompt
from cj_pipeline.mock.mode.text import mode_text
from cj_pipeline.runs.calibration import CalibratedFrom, calibrated, subject_of
from cj_pipeline.traces.captured_scenario import TraceFacts, captured_scenario
from cj_pipeline.traces.further_recording import place_for_recording
from cj_pipeline.traces.provenance import (
    FieldOrigin,
    FieldProvenance,
    Provenance,
    TraceOrigin,
)
from cj_pipeline.traces.recording_provenance import (
    AS_IN_THE_FIRST_RUN,
    PairsInWords,
    RecordedPrompt,
    RecordingDesign,
    RecordingProvenance,
)
from cj_pipeline.traces.redactor import redaction_provenance
from cj_pipeline.traces.writing import FurtherRecording, TraceDescription, WrittenLines, WrittenTrace, write_trace

if TYPE_CHECKING:
    from cj_pipeline.runs.recording.books import JudgeBehindLps
    from cj_pipeline.runs.recording.draft import RecordingDraft
    from cj_pipeline.runs.recording.request import RecordingRequest
    from cj_pipeline.traces.scenario import Scenario

GENERATED_BY = "cj-pipeline record, method 1 (since 0.1.0)"

_FIELDS: Mapping[str, FieldProvenance] = {
    "data": FieldProvenance(origin=FieldOrigin.RECORDED, note="as the LPS published it"),
    "envelope": FieldProvenance(origin=FieldOrigin.RECORDED, note="as the LPS published it"),
}


def publish(request: RecordingRequest, draft: RecordingDraft, judge: JudgeBehindLps) -> WrittenTrace:
    """Write the trace of every run: the first in the folder itself, the others below `recordings/`."""
    lines = [run.lines() for run in draft.runs]

    def provenance(run: int) -> Provenance:
        return _provenance(request, draft, run, judge)

    def fit_mode(_: Path, scenario: Scenario, recorded: Provenance) -> str | None:
        return _fitted_mode(request, lines, scenario, recorded)

    def describe(written: WrittenLines) -> TraceDescription:
        return TraceDescription(
            _scenario(request, lines, written),
            provenance(1),
            f"Recorded by cj-pipeline record: {_judge_in_words(request)}.",
            recordings=tuple(
                FurtherRecording(f"run_{run}", lines[run - 1], lambda _, run=run: provenance(run))  # type: ignore[misc]
                for run in range(2, request.runs + 1)
            ),
            fit_mode=fit_mode if request.choices.wanted_fit is not None else None,
        )

    return write_trace(request.target, lines[0], describe)


def publish_addition(request: RecordingRequest, draft: RecordingDraft, judge: JudgeBehindLps) -> WrittenTrace:
    """Add the run to the trace that is there.

    Raises BadInput when the trace has changed meanwhile so that it cannot be added.
    """
    assert request.addition is not None  # noqa: S101 - the caller has looked
    place = place_for_recording(request.target, request.addition.name)
    return place.add(draft.runs[0].lines(), lambda _: _provenance(request, draft, 1, judge))


def _judge_in_words(request: RecordingRequest) -> str:
    warmth = "" if request.judge.temperature is None else f", temperature {request.judge.temperature:g}"
    return (
        f"{request.judge.model}{warmth}, prompt {request.prompt.name} (sha256 {request.prompt.sha256[:12]}), "
        f"seed {request.seed}"
    )


def _events(lines: list[bytes]) -> list[CallbackEvent]:
    found = [parse_callback(line) for line in lines]
    return [event for event in found if not isinstance(event, Rejection)]


def _scenario(request: RecordingRequest, lines: list[list[bytes]], written: WrittenLines) -> Scenario:
    events = _events(lines[0])
    facts = TraceFacts(
        essays=written.essays,
        comparisons=len(events),
        first=events[0].data,
        started_at=min(event.data.requested_at for event in events),
        title=f"{request.judge.model} on {len(written.essays)} essays, prompt {request.prompt.name}",
        hints=written.hints,
    )
    scenario = captured_scenario(request.scenario_id, facts, request.choices, request.redaction)
    provider = scenario.provider.model_copy(
        update={
            "temperature": request.judge.temperature,
            "prompt": NamedPrompt(name=request.prompt.name, sha256=request.prompt.sha256),
        }
    )
    return scenario.model_copy(
        update={"provider": provider, "latency": "host" if request.on_this_machine else scenario.latency}
    )


def _fitted_mode(
    request: RecordingRequest, lines: list[list[bytes]], scenario: Scenario, provenance: Provenance
) -> str | None:
    """Return the text of a mode that fits every run; None where no callback has a winner."""
    recordings = [
        CalibratedFrom(
            [event.data for event in _events(run)], sha256(b"".join(line + b"\n" for line in run)).hexdigest()
        )
        for run in lines
    ]
    mode = calibrated(subject_of(scenario), recordings, provenance=provenance)
    runs = "run" if len(lines) == 1 else f"{len(lines)} runs"
    return None if mode is None else mode_text(mode, f"The judge of the {runs} beside it: {_judge_in_words(request)}.")


def _provenance(request: RecordingRequest, draft: RecordingDraft, run: int, judge: JudgeBehindLps) -> Provenance:
    kept = draft.runs[run - 1]
    events = _events(kept.lines())
    answered = sum(event.data.succeeded for event in events)
    return Provenance(
        scenario_id=request.scenario_id,
        origin=TraceOrigin.RECORDED,
        statement=(
            f"A real judge: {_judge_in_words(request)}. {len(events)} comparisons were asked through the "
            f"{judge.through}, {answered} have a winner. Nothing is reconstructed and the mock had no part in it."
        ),
        sources=(f"answers of {request.judge.model}, asked by cj-pipeline",),
        generated_by=GENERATED_BY,
        seed=request.seed,
        recorded_at=min(event.data.requested_at for event in events),
        fields=dict(_FIELDS),
        redaction=redaction_provenance(request.redaction, kept.dropped),
        recorded=RecordingProvenance(
            through=judge.through,
            judge=request.judge,
            on_this_machine=request.on_this_machine,
            prompt=RecordedPrompt(name=request.prompt.name, sha256=request.prompt.sha256, texts=request.prompt.texts),
            design=RecordingDesign(
                pairs=_pairs_in_words(request, run),
                comparisons=len(events),
                essays=len(request.essays.texts),
                seed=request.seed,
                run=run if request.addition is None else request.addition.number,
                runs=request.runs if request.addition is None else request.addition.number,
            ),
            concurrency=request.concurrency,
            texts_sha256=request.texts_sha256(),
            began_at=min(event.data.requested_at for event in events),
            finished_at=max(event.data.completed_at for event in events),
            answered=answered,
            # A service that answers once asks nobody twice, however often it is told to.
            asked_again=0 if judge.answers_once else kept.asked_again,
            provider_calls=None if judge.answers_once else kept.calls,
            spent_usd=None if judge.price is None else kept.exposure_usd,
            budget_usd=request.budget_usd,
        ),
    )


def _pairs_in_words(request: RecordingRequest, run: int) -> PairsInWords:
    if request.addition is not None:
        return request.addition.pairs
    if request.chosen_by_engine:
        return "chosen by the engine" if run == 1 else AS_IN_THE_FIRST_RUN
    return "every pair in both orders" if request.both_orders else "every pair once"
