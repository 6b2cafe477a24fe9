"""A mapping that is a value from outside and grows in place inside.

Here: `GrowingMap`, in which the state keeps what a callback adds to. Not here: what is kept (state.py).

A state is a value: whoever holds yesterday's must still see yesterday's. Copying a dict for each of the 2,500
callbacks of a wave of 5,000 essays would be 3 million entries a wave. So all versions of a map share one dict, each
entry knows its rank in it, and a version sees the entries below its own size. Adding to the newest version is one
insertion; adding to an older one (a branch: two continuations of the same state) copies what it sees, once.
Entries are never changed or taken away. One event loop, no threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class GrowingMap(Mapping[K, V]):
    """An immutable mapping, in order of insertion, to which an entry can be added in constant time."""

    __slots__ = ("_ranked", "_size")

    _ranked: dict[K, tuple[int, V]]
    """Entry and its rank; shared with every version that grew from the same root without a branch."""
    _size: int

    def __init__(self, entries: Mapping[K, V] | None = None) -> None:
        self._ranked = {key: (rank, value) for rank, (key, value) in enumerate((entries or {}).items())}
        self._size = len(self._ranked)

    def with_entries(self, entries: Iterable[tuple[K, V]]) -> GrowingMap[K, V]:
        """This map and some new keys. Raises ValueError for a key that is in it already."""
        ranked, size = self._ranked, self._size
        if size < len(ranked):
            ranked = dict(islice(ranked.items(), size))
        for key, value in entries:
            if key in ranked:
                raise ValueError(f"'{key}' is in the map already; an entry never changes")
            ranked[key] = (size, value)
            size += 1
        grown: GrowingMap[K, V] = GrowingMap.__new__(GrowingMap)
        grown._ranked, grown._size = ranked, size
        return grown

    def __getitem__(self, key: K) -> V:
        rank, value = self._ranked[key]
        if rank >= self._size:
            raise KeyError(key)
        return value

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    def get(self, key: K, /, default: D | None = None) -> V | D | None:
        """As of any mapping; not by way of an exception, for an orphan is an ordinary case."""
        entry = self._ranked.get(key)
        return default if entry is None or entry[0] >= self._size else entry[1]

    def __contains__(self, key: object) -> bool:
        return (entry := self._ranked.get(key)) is not None and entry[0] < self._size  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[K]:
        # A copy of the keys: a newer version may grow while this one is walked.
        return iter(tuple(islice(self._ranked, self._size)))

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"GrowingMap({dict(self.items())!r})"
