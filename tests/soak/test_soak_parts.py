"""This module tests what a soak judges by: it finds planted faults, and only its seed draws its disruptions."""

from __future__ import annotations

import json
from itertools import pairwise
from uuid import UUID

import pytest

from cj_pipeline.contracts.answer import Failure
from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.services.lps.work.callbacks import callback_bytes
from tests.services.lps.lab import ORIGIN, correlation_id, queued
from tests.soak.disruptions import LASTS_S, Kind, schedule
from tests.soak.promises import Accepted, audit, recovery_s
from tests.soak.report import table
from tests.soak.soak import Findings

IDS = [str(correlation_id(number)) for number in range(3)]


def callback(number: int, message: str = "Gone.") -> bytes:
    failure = Failure(ErrorCode.TIMEOUT, message)
    return callback_bytes(queued(number), failure, QueueProcessingMode.PER_REQUEST, ORIGIN)


def findings(lines: list[bytes], **changed: tuple[str, ...]) -> Findings:
    right = {"refused": (), "disagreeing": (), "tracebacks": ()} | changed
    return Findings(audit=audit(IDS, lines), posts=4, restarts=0, disruptions=(), recovery_s=(), **right)


def test_one_callback_each_is_a_kept_promise() -> None:
    found = audit(IDS, [callback(2), callback(0), callback(1)])
    assert (found.accepted, found.callbacks, found.errors, found.repeats, found.kept) == (3, 3, 3, 0, True)


def test_a_repeat_to_the_byte_is_counted_and_no_fault() -> None:
    found = audit(IDS, [callback(0), callback(1), callback(0), callback(2), callback(0)])
    assert (found.callbacks, found.repeats, found.kept) == (3, 2, True)


def test_a_request_without_a_callback_is_lost() -> None:
    found = audit(IDS, [callback(0), callback(2)])
    assert (found.lost, found.kept) == ((IDS[1],), False)


def test_two_answers_that_differ_are_found_even_with_the_same_event_id() -> None:
    found = audit(IDS, [callback(0), callback(1), callback(2), callback(1, "Gone!")])
    assert (found.differing, found.kept) == ((IDS[1],), False)


@pytest.mark.parametrize("line", [callback(7), b"", b"{", json.dumps({"correlation_id": IDS[0]}).encode()])
def test_a_line_that_nobody_asked_for_is_found(line: bytes) -> None:
    found = audit(IDS, [callback(0), callback(1), line, callback(2)])
    assert (found.strange, found.kept) == (1, False)


@pytest.mark.parametrize("fault", ["refused", "disagreeing"])
def test_what_clients_were_told_counts_too(fault: str) -> None:
    lines = [callback(0), callback(1), callback(2)]
    assert findings(lines).kept
    faulty = findings(lines, **{fault: ("a request: 409",)})
    assert not faulty.kept
    assert "a request: 409" in table(faulty)


def test_the_table_has_a_line_for_each_figure() -> None:
    lines = table(findings([callback(0), callback(0), callback(1)])).splitlines()
    figures = {line[:30].strip(): line[30:].strip() for line in lines[:13]}
    assert (figures["posted"], figures["retried posts"], figures["callbacks"], figures["lost"]) == ("4", "1", "2", "1")
    assert lines[-1] == f"lost: {IDS[2]}"


def test_recovery_lasts_until_the_last_request_that_was_open_has_its_callback() -> None:
    accepted = [
        Accepted(name, str(UUID(int=0)), at_s, 1) for name, at_s in [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 9.0)]
    ]
    seen = {"a": 4.0, "b": 7.5, "c": 6.0, "d": 30.0}
    assert recovery_s(5.0, accepted, seen) == 2.5
    assert recovery_s(8.0, accepted, seen) == 0.0


def test_a_seed_draws_one_schedule() -> None:
    one = schedule(1, 120.0, tuple(Kind), 2)
    assert one == schedule(1, 120.0, tuple(Kind), 2)
    assert one != schedule(2, 120.0, tuple(Kind), 2)
    assert schedule(1, 60.0, tuple(Kind), 2) == tuple(each for each in one if each.at_s + each.lasts_s <= 60.0)


@pytest.mark.parametrize("seed", range(5))
def test_two_minutes_see_each_kind_and_both_instances(seed: int) -> None:
    planned = schedule(seed, 120.0, tuple(Kind), 2)
    assert {each.kind for each in planned} == set(Kind)
    assert {each.instance for each in planned} == {0, 1}
    for before, after in pairwise(planned):
        assert before.at_s + before.lasts_s < after.at_s
    assert all(LASTS_S[each.kind][0] <= each.lasts_s <= LASTS_S[each.kind][1] for each in planned)
