"""This module lists the wrong mocks that deliver other callbacks: twice, never, too late, out of order, as others."""

from __future__ import annotations

import copy
from collections.abc import Callable

from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.foundation.seeding import keyed_generator, keyed_uuid
from cj_pipeline.parity.gauntlet.edits import Batches, Edit, EditedMock, all_of, answers_in, data_of
from cj_pipeline.parity.gauntlet.wrong_mock import Group, LeftOut

_NO_ANSWER = LeftOut("the live side has no answer")


def _duplicate(*, new_id: bool) -> Edit:
    def edit(batches: Batches) -> LeftOut | None:
        if not batches[0]:
            return _NO_ANSWER
        second = copy.deepcopy(batches[0][0])
        if new_id:
            data_of(second)["request_id"] = str(keyed_uuid("a second request", data_of(second)["request_id"]))
            if "event_id" in second:
                second["event_id"] = str(keyed_uuid("a second event", second["event_id"]))
        batches[0].insert(1, second)
        return None

    return edit


def _lost(place: Callable[[int], int]) -> Edit:
    def edit(batches: Batches) -> LeftOut | None:
        if len(batches[0]) < 2:
            return LeftOut("the live side has one callback")
        del batches[0][place(len(batches[0]))]
        return None

    return edit


def _shuffled(batches: Batches) -> LeftOut | None:
    if len(batches[0]) < 2:
        return LeftOut("the live side has one callback")
    order = keyed_generator("gauntlet", "order of callbacks").permutation(len(batches[0]))
    batches[0][:] = [batches[0][index] for index in order]
    return None


def _ids_swapped(batches: Batches) -> None:
    for document in all_of(batches):
        metadata = data_of(document)["request_metadata"]
        metadata["essay_a_id"], metadata["essay_b_id"] = metadata["essay_b_id"], metadata["essay_a_id"]


def _error_for_answer(batches: Batches) -> LeftOut | None:
    answers = answers_in(batches[:1])
    if not answers:
        return _NO_ANSWER
    data = data_of(answers[len(answers) // 2])
    data["winner"] = data["justification"] = data["confidence"] = None
    data["error_detail"] = {
        "error_code": ErrorCode.EXTERNAL_SERVICE_ERROR.value,
        "message": "the judge did not answer",
        "correlation_id": data["correlation_id"],
        "timestamp": data["completed_at"],
        "service": "llm_provider_service",
        "operation": "compare",
    }
    return None


def _mock(name: str, change: str, edit: Edit, group: Group = Group.DELIVERY) -> EditedMock:
    return EditedMock(name, group, change, edit, delivers=True)


MOCKS: tuple[EditedMock, ...] = (
    _mock("ids swapped", "names the two essays of each pair the other way around", _ids_swapped, Group.JUDGEMENTS),
    _mock("one error for an answer", "fails once where the judge answers", _error_for_answer, Group.ERRORS),
    _mock("duplicate", "sends one callback twice", _duplicate(new_id=False)),
    _mock("duplicate under a new id", "sends one answer twice, under two request ids", _duplicate(new_id=True)),
    _mock("one lost", "loses one callback", _lost(lambda size: size // 2)),
    _mock("one after completion", "sends one callback when the batch is over", _lost(lambda size: size - 1)),
    _mock("order shuffled", "sends callbacks in any order, across waves", _shuffled),
)
