"""The JSON shape of callbacks: which paths they have, and of which types.

Here: reading a shape, and telling two apart. Not here: which shape is right (test_schema_parity.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Shape = Mapping[str, frozenset[str]]

_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),  # first: Python's True is an int too
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)


def shape_of(documents: Iterable[dict[str, Any]]) -> Shape:
    """Paths that every document has, with the types seen there; `?` among them where some do not have the path."""
    found: dict[str, set[str]] = {}
    read = [dict(_paths(document)) for document in documents]
    for paths in read:
        for path, kind in paths.items():
            found.setdefault(path, set()).add(kind)
    return {
        path: frozenset(kinds | ({"?"} if any(path not in paths for paths in read) else set()))
        for path, kinds in found.items()
    }


def differences(expected: Shape, found: Shape, additions: Iterable[str] = ()) -> list[str]:
    """What is missing, what is too much, and what is of another type. additions: paths that may be too much."""
    allowed = set(additions)
    lines = [f"{path} is missing" for path in sorted(expected.keys() - found.keys())]
    lines += [f"{path} is too much" for path in sorted(found.keys() - expected.keys() - allowed)]
    lines += [
        f"{path} is {'|'.join(sorted(found[path]))}, not {'|'.join(sorted(expected[path]))}"
        for path in sorted(expected.keys() & found.keys())
        if expected[path] != found[path]
    ]
    return lines


def _paths(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, below in value.items():
        path = f"{above}.{key}" if above else key
        yield path, next((name for python, name in _TYPES if isinstance(below, python)), "null")
        if isinstance(below, dict):
            yield from _paths(below, path)
