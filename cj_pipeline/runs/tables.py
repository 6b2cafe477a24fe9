"""This module writes the two sides of a run into its folder as rows, and reads them again.

What is read together must be made of the same answers; RunFolder.origin refuses anything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, callback_json, parse_callback
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.reasons import CONFIDENCE_KNOWN
from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.record import RunDocument, RunRecord, Sample, Side, answers_sha256
from cj_pipeline.runs.scenario_run import JudgeIdentity
from cj_pipeline.traces.reader import CallbackColumns, QuarantinedLine
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.traces.summary import Summary
from cj_pipeline.warehouse.origin import Origin, SideAnswers

if TYPE_CHECKING:
    from cj_pipeline.warehouse.run_folder import RunFolder  # for the type alone: it imports pyarrow, .2 s

Events = tuple[CallbackEvent, ...]

_COUNTS = ("response_time_ms", "prompt_tokens", "completion_tokens", "total_tokens")
_COLUMNS = ("batch", "sequence", "essay_a_id", "essay_b_id", "winner", "error_code", *_COUNTS)


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that one side's judge gave, and who it was: what a replay needs, and what is stored before it."""

    judge: JudgeIdentity
    seed: int
    events: Events
    repeats: tuple[Events, ...] = ()
    service_metrics: tuple[Sample, ...] = ()
    """Live side only."""
    quarantined: tuple[QuarantinedLine, ...] = ()
    """Recorded side only."""
    asked_batch_ids: tuple[str, ...] = ()
    """Live side only: the batch ids under which it was asked, the batch, then its repeats."""
    further: tuple[Answers, ...] = ()
    """Recorded side only: more recordings of the judge."""
    trial: bool = False
    """Live side only: whether the scenario's own run has another judge, seed or URL."""

    @property
    def batches(self) -> tuple[Events, ...]:
        """Return the batch, its repeats, and the further recordings, in the order in which they are stored."""
        return (self.events, *self.repeats, *(one.events for one in self.further))

    @property
    def sha256(self) -> str:
        """Return the digest of what was answered in all batches, apart from when."""
        return answers_sha256(event.data for batch in self.batches for event in batch)


def store_answers(run: RunFolder, side: Side, answers: Answers) -> Origin:
    """Write one side's callbacks with the name of their judge, and its metrics (live) or quarantine (recorded)."""
    given = SideAnswers(
        judge=answers.judge.name,
        judge_sha256=answers.judge.sha256,
        seed=answers.seed,
        answers_sha256=answers.sha256,
    )
    origin = Origin(answers={side.value: given}, trial=answers.trial)
    if side is Side.LIVE:
        store_metrics(run, answers.service_metrics, origin)
    else:
        store_quarantine(run, [answers.quarantined, *(one.quarantined for one in answers.further)], origin)
    store_callbacks(run, side, origin, answers.batches)
    judges = [
        {
            "scenario_id": run.scenario_id,
            "side": side.value,
            "batch": batch,
            "name": one.judge.name,
            "sha256": one.judge.sha256,
            "seed": one.seed,
            "answers_sha256": one.sha256,
            "trial": answers.trial,
            "asked_batch_ids": json.dumps(one.asked_batch_ids),
        }
        for batch, one in ((0, answers), *enumerate(answers.further, start=1 + len(answers.repeats)))
    ]
    run.write("judges", side, judges, origin)
    return origin


def load_answers(run: RunFolder, side: Side) -> Answers:
    """Read what store_answers wrote. Raises BadInput when it was never written, or only half."""
    by_product = "service_metrics" if side is Side.LIVE else "quarantine"
    origin = run.origin(("judges", side), ("callbacks", side), (by_product, side))
    judge, *others = run.read("judges", side)
    events, *batches = load_batches(run, side)
    quarantined = load_quarantine(run) if side is Side.RECORDED else {}
    further = tuple(
        Answers(
            judge=JudgeIdentity(one["name"], one["sha256"]),
            seed=one["seed"],
            events=batches[one["batch"] - 1] if one["batch"] <= len(batches) else (),
            quarantined=quarantined.get(one["batch"], ()),
        )
        for one in others
    )
    return Answers(
        judge=JudgeIdentity(judge["name"], judge["sha256"]),
        seed=judge["seed"],
        events=events,
        repeats=() if further else tuple(batches),
        service_metrics=load_metrics(run) if side is Side.LIVE else (),
        quarantined=quarantined.get(0, ()),
        asked_batch_ids=tuple(json.loads(judge["asked_batch_ids"])),
        further=further,
        trial=origin.trial,
    )


def store_callbacks(run: RunFolder, side: Side, origin: Origin, batches: Sequence[Events]) -> DataPath:
    """Write the callbacks of one side, its repeats and further recordings included."""
    rows = [
        _callback_row(run.scenario_id, side, number, sequence, event)
        for number, batch in enumerate(batches)
        for sequence, event in enumerate(batch)
    ]
    return run.write("callbacks", side, rows, origin)


def load_batches(run: RunFolder, side: Side) -> tuple[Events, ...]:
    """Read the callbacks of one side, batch by batch. Raises BadInput for what was never written, or is damaged."""
    rows = run.read_columns("callbacks", side, ["batch", "event"]).to_pylist()
    batches: list[list[CallbackEvent]] = [[] for _ in range(1 + max((row["batch"] for row in rows), default=0))]
    for number, row in enumerate(rows):
        event = parse_callback(row["event"].encode())
        if isinstance(event, Rejection):
            raise BadInput(
                f"row {number} is no callback: {event.reason}.",
                path=run.path("callbacks", side),
                field=event.field,
                remedy="Materialise the scenario again.",
            )
        batches[row["batch"]].append(event)
    return tuple(tuple(batch) for batch in batches)


def load_columns(run: RunFolder, side: Side) -> CallbackColumns:
    """Read the callbacks of one side's batch 0 as columns. Raises BadInput as load_batches does."""
    import pyarrow.compute as pc  # here: .3 s to import, and commands that store nothing import this module

    table = run.read_columns("callbacks", side, list(_COLUMNS))
    found = table.filter(pc.equal(table["batch"], 0)).to_pydict()
    return CallbackColumns(
        lines=tuple(line + 1 for line in found["sequence"]),
        essays_a=tuple(found["essay_a_id"]),
        essays_b=tuple(found["essay_b_id"]),
        winners=tuple(None if winner is None else Winner(winner) for winner in found["winner"]),
        error_codes=tuple(found["error_code"]),
        **{name: np.array(found[name], np.int64) for name in _COUNTS},
        quarantined=(),
    )


def store_quarantine(run: RunFolder, recordings: Sequence[Sequence[QuarantinedLine]], origin: Origin) -> DataPath:
    """Write the lines of each recording that could not be used; none is the usual case."""
    rows = [
        {
            "scenario_id": run.scenario_id,
            "batch": batch,
            "line": line.line,
            "field": line.field,
            "reason": line.reason,
            "raw": line.raw,
        }
        for batch, lines in enumerate(recordings)
        for line in lines
    ]
    return run.write("quarantine", Side.RECORDED, rows, origin)


def load_quarantine(run: RunFolder) -> dict[int, tuple[QuarantinedLine, ...]]:
    """Read the lines that are in quarantine, by the batch of their recording."""
    found: dict[int, tuple[QuarantinedLine, ...]] = {}
    for row in run.read("quarantine", Side.RECORDED):
        line = QuarantinedLine(row["line"], row["raw"], row["field"], row["reason"])
        found[row["batch"]] = (*found.get(row["batch"], ()), line)
    return found


def store_metrics(run: RunFolder, samples: Sequence[Sample], origin: Origin) -> DataPath:
    """Write what /metrics showed at the end of the live run."""
    rows = [
        {"scenario_id": run.scenario_id, "name": sample.name, "labels": _labels(sample.labels), "value": sample.value}
        for sample in samples
    ]
    return run.write("service_metrics", Side.LIVE, rows, origin)


def load_metrics(run: RunFolder) -> tuple[Sample, ...]:
    """Read what /metrics showed at the end of the live run."""
    rows = run.read("service_metrics", Side.LIVE)
    return tuple(Sample(name=row["name"], labels=json.loads(row["labels"]), value=row["value"]) for row in rows)


def store_summary(run: RunFolder, side: Side, summary: Summary) -> DataPath:
    """Write one side's summary."""
    latency, tokens = summary.response_time_ms, summary.token_usage
    row = {
        "scenario_id": summary.scenario_id,
        "side": side.value,
        "total_events": summary.total_events,
        "success_count": summary.success_count,
        "error_count": summary.error_count,
        "winner_a_count": summary.winner_counts.get(Winner.A, 0),
        "winner_b_count": summary.winner_counts.get(Winner.B, 0),
        "mean_ms": latency.mean_ms,
        "p50_ms": latency.p50_ms,
        "p95_ms": latency.p95_ms,
        "p99_ms": latency.p99_ms,
        "prompt_tokens_mean": tokens.prompt_tokens.mean,
        "completion_tokens_mean": tokens.completion_tokens.mean,
        "total_tokens_mean": tokens.total_tokens.mean,
        "document": summary.to_json(),
    }
    return run.write("summaries", side, [row], run.origin(("callbacks", side)))


def store_run(run: RunFolder, record: RunRecord, *, trial: bool = False) -> DataPath:
    """Write a run and its decisions; its callbacks and its fit are datasets of their own.

    trial: whether the engine ran under other settings than the scenario's.
    """
    document = record.document
    shown = document.model_dump(mode="json")
    same_name = (
        "scenario_id", "side", "judge", "judge_sha256", "seed", "upload_status", "submitted", "completed", "failed",
        "iterations", "resampling_pass_count",
    )  # fmt: skip
    row = {
        **{name: shown[name] for name in same_name},
        "max_possible_pairs": document.coverage.max_possible_pairs,
        "successful_pairs_count": document.coverage.successful_pairs_count,
        "document": document.model_dump_json(),
    }
    decisions = [
        {"scenario_id": document.scenario_id, "side": document.side.value, "ordinal": ordinal, **decision.model_dump()}
        for ordinal, decision in enumerate(document.decisions)
    ]
    origin = run.origin(("callbacks", document.side)).marked(trial)
    run.write("decisions", document.side, decisions, origin)
    return run.write("runs", document.side, [row], origin)


def load_run(run: RunFolder, side: Side) -> RunRecord:
    """Read one side as it was written, with its callbacks.

    Raises BadInput when it was never written, or is not made of the callbacks that are there.
    """
    run.origin(("runs", side), ("callbacks", side))
    document = RunDocument.model_validate_json(run.read("runs", side)[0]["document"])
    events, *others = load_batches(run, side)
    # More batches of the recorded side are more recordings, each of them a run of its own.
    return RunRecord(document=document, events=events, repeats=tuple(others) if side is Side.LIVE else ())


def store_bt_fit(run: RunFolder, scenario: Scenario, record: RunRecord) -> DataPath:
    """Write the fit of a run, best essay first, with the labels and grades of the scenario."""
    items = {item.id: item for item in scenario.net.items}
    rows = [
        {
            "scenario_id": scenario.scenario_id,
            "side": record.document.side.value,
            "label": items[row.essay_id].label,
            "grade": items[row.essay_id].grade,
            **row.model_dump(),
        }
        for row in sorted(record.document.fit.essays, key=lambda row: row.rank)
    ]
    side = record.document.side
    return run.write("bt_fit", side, rows, run.origin(("runs", side)))


def _labels(labels: Mapping[str, str]) -> str:
    return json.dumps(labels, sort_keys=True)


def _callback_row(scenario_id: str, side: Side, batch: int, sequence: int, event: CallbackEvent) -> dict[str, Any]:
    data = event.data
    essay_a, essay_b = data.essay_ids()
    return {
        "scenario_id": scenario_id,
        "side": side.value,
        "batch": batch,
        "sequence": sequence,
        "request_id": data.request_id,
        "correlation_id": str(data.correlation_id),
        "essay_a_id": essay_a,
        "essay_b_id": essay_b,
        "winner": None if data.winner is None else data.winner.value,
        "winning_essay_id": data.winning_essay(),
        # On the wire a winner has one, also where the judge gave none.
        "confidence": None if data.request_metadata.get(CONFIDENCE_KNOWN) is False else data.confidence,
        "error_code": None if data.error_detail is None else data.error_detail.error_code,
        "provider": data.provider.value,
        "model": data.model,
        "response_time_ms": data.response_time_ms,
        "prompt_tokens": data.token_usage.prompt_tokens,
        "completion_tokens": data.token_usage.completion_tokens,
        "total_tokens": data.token_usage.total_tokens,
        "cost_estimate": data.cost_estimate,
        "requested_at": data.requested_at,
        "completed_at": data.completed_at,
        "event": callback_json(event).decode(),
    }
