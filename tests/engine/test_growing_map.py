"""The map that grows in place is a value from outside: whatever is added to one version, no other changes."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.engine.growing_map import GrowingMap


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=30))
def test_every_version_is_the_dict_that_it_was(steps: list[tuple[int, int]]) -> None:
    # A step picks any version so far and adds to it, so versions branch, and the branches branch.
    versions: list[tuple[GrowingMap[int, int], dict[int, int]]] = [(GrowingMap(), {})]
    for value, (pick, key) in enumerate(steps):
        grown, model = versions[pick % len(versions)]
        if key in model:
            with pytest.raises(ValueError, match="never changes"):
                grown.with_entries([(key, value)])
        else:
            versions.append((grown.with_entries([(key, value)]), {**model, key: value}))
    for grown, model in versions:
        assert grown == model
        assert list(grown.items()) == list(model.items())
        assert len(grown) == len(model)
        for key in range(7):
            assert (key in grown, grown.get(key), grown.get(key, "no")) == (
                key in model, model.get(key), model.get(key, "no"),
            )  # fmt: skip


def test_what_was_added_later_is_not_there_earlier() -> None:
    before = GrowingMap({"a": 1})
    after = before.with_entries([("b", 2)])
    assert (dict(before), dict(after)) == ({"a": 1}, {"a": 1, "b": 2})
    with pytest.raises(KeyError):
        before["b"]


def test_a_refused_key_leaves_everything_as_it_was() -> None:
    root = GrowingMap({"a": 1})
    with pytest.raises(ValueError, match="'a' is in the map already"):
        root.with_entries([("b", 2), ("a", 3)])
    assert dict(root) == {"a": 1}
    assert dict(root.with_entries([("b", 4)])) == {"a": 1, "b": 4}


def test_a_walk_through_one_version_survives_the_growth_of_the_next() -> None:
    grown = GrowingMap(dict.fromkeys(range(3)))
    latest = grown
    for key in grown:
        latest = latest.with_entries([(key + 10, None)])
    assert (list(grown), len(latest)) == ([0, 1, 2], 6)


def test_a_copy_grows_apart() -> None:
    root = GrowingMap({"a": 1})
    copied = deepcopy(root)
    assert (dict(root.with_entries([("b", 2)])), dict(copied)) == ({"a": 1, "b": 2}, {"a": 1})
