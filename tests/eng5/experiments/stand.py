"""This module makes small experiments over four anchors, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cj_pipeline.eng5.experiments.experiment import Experiment, experiment_of
from cj_pipeline.eng5.experiments.grid import grid_of_options
from cj_pipeline.eng5.experiments.plan import plan_of
from cj_pipeline.eng5.experiments.run import CellOutcome, ask_cells
from tests.eng5.nets import small_net

COMMAND = "eng5 experiment"
TWO_BY_TWO = {"effort": ["none", "low"], "prompt": ["plain", "rubric"]}

MODEL = {"provider": ["openai"], "model": ["gpt-4o-mini-2024-07-18"]}
"""Whose price the manifest knows."""


def experiment(folder: Path, *, small: bool = True, **given: Any) -> Experiment:
    """Return an experiment below a folder. small: over four anchors, which make six pairs; else the shipped twelve."""
    net = folder / "net"
    if small and not net.exists():
        small_net(net)
    grid = {"name": "tried", **({"net": str(net)} if small else {}), **given}
    if "axes" not in grid and "cells" not in grid:
        grid["axes"] = TWO_BY_TWO
    return experiment_of(grid_of_options(COMMAND, grid), folder / "experiments")


def asked(one: Experiment, **means: Any) -> tuple[CellOutcome, ...]:
    """Plan and ask all of it."""
    return ask_cells(one, plan_of(one), **means)
