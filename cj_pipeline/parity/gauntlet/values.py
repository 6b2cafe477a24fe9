"""This module lists the wrong mocks whose callbacks hold values that cannot be right."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from hashlib import sha256

from cj_pipeline.contracts.enums import Provider, QueueProcessingMode
from cj_pipeline.parity.gauntlet.edits import (
    Batches,
    Document,
    Edit,
    EditedMock,
    all_of,
    answers_in,
    data_of,
    every,
)
from cj_pipeline.parity.gauntlet.wrong_mock import Group, LeftOut

_BARE = LeftOut("the callbacks have no envelope")
_OTHER_ID = "00000000-0000-4000-8000-000000000000"
_EXTRA_KEY = "debug_note"


def _metadata(data: Document) -> Document:
    metadata: Document = data.setdefault("request_metadata", {})
    return metadata


def _set(**fields: object) -> Edit:
    return every(lambda data: data.update(fields))


def _set_metadata(**fields: object) -> Edit:
    return every(lambda data: _metadata(data).update(fields))


def _where_there(key: str, value: Callable[[Document], object]) -> Edit:
    """Return an edit of one key of the metadata, which is left out where no callback has it."""

    def edit(batches: Batches) -> LeftOut | None:
        having = [metadata for document in all_of(batches) if key in (metadata := _metadata(data_of(document)))]
        for metadata in having:
            metadata[key] = value(metadata)
        return None if having else LeftOut(f"no callback has {key}")

    return edit


def _another(values: type[StrEnum], now: object) -> str:
    return next(one.value for one in values if one.value != now)


def _other_provider(data: Document) -> None:
    provider = _another(Provider, data["provider"])
    data["provider"] = provider
    if "resolved_provider" in _metadata(data):
        _metadata(data)["resolved_provider"] = provider


def _other_sum(data: Document) -> None:
    data["token_usage"] = {**data["token_usage"], "total_tokens": data["token_usage"].get("total_tokens", 0) + 1}


def _times_reversed(data: Document) -> None:
    data["requested_at"], data["completed_at"] = data["completed_at"], data["requested_at"]


def _in_year(year: int) -> Edit:
    def edit(data: Document) -> None:
        # The year alone: what lies between the two times stays as it is.
        for name in ("requested_at", "completed_at"):
            data[name] = f"{year}{data[name][4:]}"

    return every(edit)


def _sent_in_2099(batches: Batches) -> LeftOut | None:
    enveloped = [document for document in all_of(batches) if "event_type" in document]
    for document in enveloped:
        document["event_timestamp"] = f"2099{document['event_timestamp'][4:]}"
    return None if enveloped else _BARE


def _without_hash(batches: Batches) -> LeftOut | None:
    found = [_metadata(data_of(document)).pop("prompt_sha256", None) for document in all_of(batches)]
    return None if any(found) else LeftOut("no callback has prompt_sha256")


def _other_service(batches: Batches) -> LeftOut | None:
    enveloped = [document for document in all_of(batches) if "event_type" in document]
    for document in enveloped:
        document["source_service"] = "another_service"
    return None if enveloped else _BARE


def _effort_where_none_was(batches: Batches) -> LeftOut | None:
    if any("reasoning_effort" in _metadata(data_of(document)) for document in all_of(batches)):
        return LeftOut("the recording names an effort")
    for document in all_of(batches):
        _metadata(data_of(document))["reasoning_effort"] = "high"
    return None


def _justification(text: Callable[[str], str]) -> Edit:
    def edit(batches: Batches) -> None:
        for document in answers_in(batches):
            data = data_of(document)
            data["justification"] = text(data["justification"])

    return edit


def _junk(text: str) -> str:
    digits = sha256(text.encode()).hexdigest()
    return (digits * (len(text) // len(digits) + 1))[: len(text)]


def _identical(batches: Batches) -> None:
    answers = [data_of(document) for document in answers_in(batches)]
    for data in answers:
        data["justification"] = answers[0]["justification"]


def _extra_key_on_one(batches: Batches) -> None:
    for document in answers_in(batches)[:1]:
        _metadata(data_of(document))[_EXTRA_KEY] = "x"


def _mock(name: str, change: str, edit: Edit) -> EditedMock:
    return EditedMock(name, Group.VALUES, change, edit)


MOCKS: tuple[EditedMock, ...] = (
    _mock("other provider", "answers as another provider", every(_other_provider)),
    EditedMock("token sum wrong", Group.TOKENS, "adds its tokens up wrongly", every(_other_sum)),
    _mock("cost 0", "costs nothing", _set(cost_estimate=0.0)),
    _mock(
        "cost x100",
        "costs a hundred times as much",
        every(lambda data: data.update(cost_estimate=100 * data["cost_estimate"])),
    ),
    _mock("one prompt hash", "names one prompt hash for all pairs", _where_there("prompt_sha256", lambda _: "0" * 64)),
    _mock("prompt hash missing", "names no prompt hash", _without_hash),
    _mock("times reversed", "answers before it is asked", every(_times_reversed)),
    _mock("times of 1970", "dates its answers to 1970", _in_year(1970)),
    _mock("times of 2099", "dates its answers to 2099", _in_year(2099)),
    _mock("sent in 2099", "dates its events to 2099", _sent_in_2099),
    _mock("wrong batch id", "names another batch", _set_metadata(bos_batch_id=_OTHER_ID)),
    _mock("wrong service", "sends from another service", _other_service),
    _mock(
        "effort changed",
        "names another effort",
        _where_there("reasoning_effort", lambda now: "high" if now["reasoning_effort"] != "high" else "low"),
    ),
    _mock("effort where none was", "names an effort where none was", _effort_where_none_was),
    _mock("justification empty", "gives no reason", _justification(lambda text: "")),
    _mock("justification identical", "gives one reason for everything", _identical),
    _mock("justification junk", "gives letters for reasons, as long as the recorded ones", _justification(_junk)),
    _mock("extra key on all", "adds a key to every callback", _set_metadata(**{_EXTRA_KEY: "x"})),
    _mock("extra key on one", "adds a key to one callback", _extra_key_on_one),
    _mock(
        "queue label",
        "names another queue mode",
        _where_there("queue_processing_mode", lambda now: _another(QueueProcessingMode, now["queue_processing_mode"])),
    ),
    _mock("bundle size 1,000", "names a bundle size of 1,000", _set_metadata(preferred_bundle_size=1_000)),
)
