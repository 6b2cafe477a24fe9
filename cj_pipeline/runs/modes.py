"""This module chooses the mode of a scenario's live side: the scenario's own, another one, or overlays on its own."""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import UnknownMode, load_mode
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.traces.scenario import Scenario


def scenario_mode(scenario: Scenario, expression: str | None = None, *, scenario_file: Path | str) -> Mode:
    """Return the mode to run under.

    expression: None is the scenario's own; `+inverted` lays an overlay on it; anything else is a mode expression. The
    scenario's own may be a mode file beside it (`mode: mode.yaml`).
    Raises BadInput naming the scenario's file when its own mode does not exist, UnknownMode for any other.
    """
    try:
        own = load_mode(mode_expression(scenario, None, scenario_file=scenario_file))
    except UnknownMode as error:
        raise BadInput(str(error), path=scenario_file, field="mode") from None
    return load_mode(mode_expression(scenario, expression, scenario_file=scenario_file)) if expression else own


def mode_expression(scenario: Scenario, expression: str | None, *, scenario_file: Path | str) -> str:
    """Return the expression of the mode that `scenario_mode` loads, with the path of the scenario's own mode file."""
    own = _beside(scenario.mode, Path(scenario_file))
    return own if not expression else own + expression if expression.startswith("+") else expression


def _beside(named: str, scenario_file: Path) -> str:
    """Return a mode expression with the path of its file, where there is one of that name beside the scenario."""
    file = scenario_file.parent / named.partition("+")[0]
    return str(scenario_file.parent / named) if file.suffix == ".yaml" and file.is_file() else named
