"""This module draws the rooms of the code and the imports between them, for `docs/architecture.md`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("cj_pipeline", "assets", "resources")

# A room imports from lower floors only; tests/test_layers.py names the exceptions.
FLOORS: Mapping[str, int] = {
    "cj_pipeline": 9,
    "cli": 8,
    "definitions": 8,
    "instance": 8,
    "celery_runs": 8,
    "process_runs": 7,
    "assets": 7,
    "resources": 7,
    "reports": 6,
    "eng5": 6,
    "local": 6,
    "suites": 6,
    "alerts": 6,
    "parity": 5,
    "runs": 4,
    "services": 3,
    "mock": 2,
    "engine": 2,
    "traces": 2,
    "bus": 1,
    "bt": 1,
    "warehouse": 1,
    "contracts": 0,
    "foundation": 0,
}


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (dotted name, file) of every module of the three packages below a root."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything a file imports, in functions and under TYPE_CHECKING too.

    `from a import b` gives a.b, because b may be a module; relative imports are made absolute.
    """
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def room_of(module: str) -> str:
    """Return `engine` for cj_pipeline.engine.state, `cj_pipeline` for a name of the API (cj_pipeline/__init__.py)."""
    parts = module.split(".")
    return parts[1] if parts[0] == "cj_pipeline" and len(parts) > 1 and parts[1] in FLOORS else parts[0]


def arrows(root: Path) -> dict[str, set[str]]:
    """Return, for each room on a floor, the other such rooms that it imports."""
    found: dict[str, set[str]] = {room: set() for room in FLOORS}
    for module, path in modules(root):
        for _, name in imports(path, module):
            room, other = room_of(module), room_of(name) if name.split(".")[0] in PACKAGES else ""
            if room in FLOORS and other in FLOORS and room != other:
                found[room].add(other)
    return found


def reduced(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the graph without the arrows that a longer path replaces. Two rooms that import each other keep both."""
    below = {room: reachable(graph, room) for room in graph}

    def replaced(other: str, others: set[str]) -> bool:
        return any(other in below[between] and between not in below[other] for between in others)

    return {room: {other for other in others if not replaced(other, others)} for room, others in graph.items()}


def reachable(graph: Mapping[str, set[str]], room: str) -> set[str]:
    """Return every room that a room imports, directly or through others."""
    found: set[str] = set()
    waiting = [*graph[room]]
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting.extend(graph[other])
    return found


def room_picture() -> str:
    """Return a Mermaid flow chart of the rooms, floor by floor, with the imports that no longer path replaces."""
    lines = ["```mermaid", "flowchart TD"]
    for floor in sorted(set(FLOORS.values()), reverse=True):
        rooms = [room for room, its_floor in FLOORS.items() if its_floor == floor]
        lines += [f'    subgraph floor{floor}["floor {floor}"]', *(f"        {room}" for room in rooms), "    end"]
    graph = reduced(arrows(REPOSITORY))
    lines += [f"    {room} --> {other}" for room in FLOORS for other in FLOORS if other in graph[room]]
    return "\n".join([*lines, "```"])
