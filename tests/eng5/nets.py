"""This module makes small folders of essays for tests of the ENG5 runner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cj_pipeline.eng5.options import Judging, RunnerMode, RunnerOptions

GRADES = ("A", "B", "C+", "D-")


def small_net(root: Path, *, anchors: int = 4, students: int = 2) -> Path:
    """Write a net whose anchors have their grades in their names."""
    for folder, names in (
        ("anchors", [f"vt_{number:03d}_{GRADES[number]}" for number in range(anchors)]),
        ("students", [f"pupil_{number}" for number in range(students)]),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / folder / f"{name}.txt").write_text(f"The text of {name}.\n")
    (root / "prompt.md").write_text("Write about the sea.\n")
    (root / "instructions.md").write_text("The better text is clearer.\n")
    return root


def options(mode: RunnerMode, tmp_path: Path, **changed: Any) -> RunnerOptions:
    """Return options over a small net in tmp_path."""
    net = tmp_path / "net"
    if not net.exists():
        small_net(net)
    given = RunnerOptions(mode=mode, output_dir=tmp_path / "out", net=net, judging=Judging(mock_mode="default"))
    return replace(given, **changed)
