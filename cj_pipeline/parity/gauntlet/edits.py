"""This module edits the callbacks of a live side, as JSON, and reads them again as a capture would."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, callback_json, parse_callback
from cj_pipeline.parity.check import Case
from cj_pipeline.parity.gauntlet.wrong_mock import SAME, Group, LeftOut
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay

Document: TypeAlias = dict[str, Any]
Batches: TypeAlias = list[list[Document]]
"""Callbacks of the live side as JSON documents: the batch, then its repeats."""

Edit = Callable[[Batches], LeftOut | None]
"""Changes the documents in place, or says why the mock is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class EditedMock:
    """A change of the callbacks themselves, which needs one run. change: what the mock does: "A mock that ...".

    delivers: whether the change reaches the engine: other callbacks, another order, other winners.
    """

    name: str
    group: Group
    change: str
    edit: Edit
    delivers: bool = False


def edited_run(case: Case, mock: EditedMock) -> RunRecord | LeftOut:
    """Return the live side of a case as a mock would have given it. Lines that nobody can read are in quarantine."""
    live = case.live
    batches = [[document_of(event) for event in batch] for batch in (live.events, *live.repeats)]
    before = copy.deepcopy(batches)
    if (reason := mock.edit(batches)) is not None:
        return reason
    if batches == before:
        return SAME
    read = [_read(batch) for batch in batches]
    events, repeats = read[0][0], tuple(events for events, _ in read[1:])
    rejected = sum(count for _, count in read)
    if mock.delivers or rejected:
        return replay(
            case.scenario,
            events,
            side=Side.LIVE,
            judge=JudgeIdentity(live.document.judge, live.document.judge_sha256),
            seed=live.document.seed,
            repeats=repeats,
            service_metrics=live.document.service_metrics,
            quarantined_lines=live.document.quarantined_lines + rejected,
            asked_batch_ids=live.document.asked_batch_ids,
        )
    return live.model_copy(update={"events": events, "repeats": repeats})


def document_of(event: CallbackEvent) -> Document:
    """Return an event as the JSON document that it came as."""
    document: Document = json.loads(callback_json(event))
    return document


def data_of(document: Document) -> Document:
    """Return the verdict in a document, which may have no envelope."""
    data: Document = document["data"] if "event_type" in document else document
    return data


def every(change: Callable[[Document], object]) -> Edit:
    """Return an edit of the verdict of every callback."""

    def edit(batches: Batches) -> None:
        for document in all_of(batches):
            change(data_of(document))

    return edit


def all_of(batches: Batches) -> Iterable[Document]:
    """Yield the callbacks of all batches."""
    return (document for batch in batches for document in batch)


def answers_in(batches: Batches) -> list[Document]:
    """Return the callbacks that name a winner."""
    return [document for document in all_of(batches) if data_of(document).get("winner") is not None]


def _read(batch: Sequence[Document]) -> tuple[tuple[CallbackEvent, ...], int]:
    parsed = [parse_callback(json.dumps(document).encode()) for document in batch]
    events = tuple(event for event in parsed if not isinstance(event, Rejection))
    return events, len(parsed) - len(events)
