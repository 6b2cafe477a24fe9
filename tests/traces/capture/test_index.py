"""The order of a trace, and which callbacks repeat others: array work, held to a plain account of it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.traces.capture.index import (
    RECORD,
    Records,
    id_digest,
    id_digests,
    pack_figures,
    records_from,
    sequence,
)
from cj_pipeline.traces.capture.seen import SeenIds

Row = tuple[int, int, int]

# (timestamp, request, outcome), few of each, so that ties and repeats are the rule.
rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 2)), max_size=12)


def lane(content: Sequence[Row]) -> Records:
    figures = [
        pack_figures(timestamp, position, 0, 0, 0, outcome, 0, 0, 0, 0, 0)
        for position, (timestamp, _, outcome) in enumerate(content)
    ]
    requests = [str(request) for _, request, _ in content]
    return np.frombuffer(records_from(figures, b"\n" * len(content), requests, requests), RECORD)


@given(st.lists(rows, max_size=4))
def test_first_come_stays_and_the_rest_is_told_apart(lanes: list[list[Row]]) -> None:
    found = sequence([lane(content) for content in lanes])
    numbered = [(row, place, number) for number, content in enumerate(lanes) for place, row in enumerate(content)]
    ordered = sorted(range(len(numbered)), key=lambda index: (numbered[index][0][0], *numbered[index][:0:-1]))
    first: dict[int, int] = {}
    kept, repeated, contradicting = [], set(), {}
    for index in ordered:
        _, request, outcome = numbered[index][0]
        if request not in first:
            first[request] = index
            kept.append(index)
        elif numbered[first[request]][0][2] == outcome:
            repeated.add(index)
        else:
            contradicting[index] = first[request]
    assert found.kept.tolist() == kept
    assert sorted(found.repeated.tolist()) == sorted(repeated)
    assert dict(zip(found.contradicting.tolist(), found.contradicted.tolist(), strict=True)) == contradicting


def test_a_record_is_as_long_as_its_type_says() -> None:
    assert RECORD.itemsize == len(lane([(0, 0, 0)]).tobytes()) == 96


def test_a_uuid_is_its_own_digest_in_either_case() -> None:
    text = "6F0E1C56-52b7-4f10-9d4a-0b3b5e4b8a11"
    assert id_digest(text) == id_digest(text.lower()) == UUID(text).bytes


def test_ids_that_are_no_uuids_have_digests_of_their_own() -> None:
    odd = ["", "queue-1", "queue-2", "z" * 36, " " * 36, "6f0e1c56-52b7-4f10-9d4a-0b3b5e4b8a1 ", "å" * 36, "\ud800"]
    assert len({id_digest(text) for text in odd}) == len(odd)
    assert {len(id_digest(text)) for text in odd} == {16}


@given(st.lists(st.one_of(st.uuids().map(str), st.sampled_from(["queue-1", "-" * 36, "0" * 36, " " * 36, "å" * 36]))))
def test_digests_of_many_are_the_digests_of_each(names: list[str]) -> None:
    assert id_digests(names) == b"".join(id_digest(name) for name in names)


@given(st.lists(st.integers(0, 40), max_size=60))
def test_an_id_is_new_once(numbers: list[int]) -> None:
    seen = SeenIds(recent=3)
    news = [seen.add(id_digest(str(number))) for number in numbers]
    assert news == [number not in numbers[:place] for place, number in enumerate(numbers)]
    assert len(seen) == len(set(numbers))
