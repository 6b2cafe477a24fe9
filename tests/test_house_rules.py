"""This module tests that no file uses chance or time that differs from process to process."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cj_pipeline.reports.rooms import imports, modules
from tests.house import REPOSITORY

# Python salts it per process; that is how the production mock came to answer differently in each.
SALTED = {"hash"}
WALL_CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}

THE_CLOCK = "cj_pipeline.foundation.clock"


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain; empty for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""


def offences(module: str, path: Path) -> Iterator[str]:
    """Uses of process-dependent chance or time in one file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            if called in SALTED:
                yield f"{module}:{node.lineno}: {called}()"
            if called in {"np.random.default_rng", "numpy.random.default_rng", "default_rng"} and not node.args:
                yield f"{module}:{node.lineno}: a generator without a seed"
        if isinstance(node, ast.Attribute) and module != THE_CLOCK:
            named = ".".join(dotted(node).split(".")[-2:])
            if named in WALL_CLOCKS:
                yield f"{module}:{node.lineno}: {named}"
    for line, name in imports(path, module):
        if name.split(".")[0] == "random":
            yield f"{module}:{line}: import of random"
        if name in {"time.time", "time.time_ns"}:
            yield f"{module}:{line}: {name}"


def test_no_module_uses_chance_or_time_of_its_process() -> None:
    assert [offence for module, path in modules(REPOSITORY) for offence in offences(module, path)] == []


@pytest.mark.parametrize(
    "line",
    [
        "x = hash('essay-1') % 2",
        "import random",
        "from random import choice",
        "def f():\n    import random.sub",
        "import datetime\nx = datetime.datetime.now()",
        "x = datetime.now(UTC)",
        "x = default_factory(datetime.utcnow)",
        "import time\nx = time.time()",
        "from time import time",
        "x = np.random.default_rng()",
    ],
)
def test_a_planted_offence_is_found(line: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(line)
    assert len(list(offences("module", path))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "x = keyed_generator('a').random()",
        "x = clock.now()",
        "x = time.perf_counter()",
        "x = sha256(b'').hexdigest()",
        "def __hash__(self): return 1",
        "x = np.random.default_rng(7)",
    ],
)
def test_what_only_looks_alike_is_not(line: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(line)
    assert list(offences("module", path)) == []


def test_the_clock_itself_may_look_at_the_wall(tmp_path: Path) -> None:
    path = tmp_path / "clock.py"
    path.write_text("x = datetime.now(UTC)")
    assert list(offences(THE_CLOCK, path)) == []


HEADS = ("This module ", "This package ")


def modules_without_a_head() -> list[str]:
    """Modules without a docstring that begins with "This module" (or package); empty files need none."""
    found = []
    for module, path in modules(REPOSITORY):
        text = path.read_text(encoding="utf-8")
        if text.strip() and not (ast.get_docstring(ast.parse(text)) or "").startswith(HEADS):
            found.append(module)
    return found


def test_every_module_says_in_its_first_line_what_it_does() -> None:
    assert modules_without_a_head() == []
