"""Which mode a scenario's live side runs under.

Here: the scenario's own mode, another one, or overlays on its own. Not here: what modes there are (lps/).
"""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.errors import BadInput
from cj_pipeline.lps.mode import Mode
from cj_pipeline.lps.mode_files import UnknownMode, load_mode
from cj_pipeline.traces.scenario import Scenario


def scenario_mode(scenario: Scenario, expression: str | None = None, *, scenario_file: Path | str) -> Mode:
    """The mode to run under.

    expression: None is the scenario's own; `+inverted` lays an overlay on it; anything else is a mode expression.
    Raises BadInput naming the scenario's file when its own mode does not exist, UnknownMode for any other.
    """
    try:
        own = load_mode(scenario.mode)
    except UnknownMode as error:
        raise BadInput(str(error), path=scenario_file, field="mode") from None
    if not expression:
        return own
    return load_mode(scenario.mode + expression if expression.startswith("+") else expression)
