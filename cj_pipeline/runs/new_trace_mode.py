"""This module refuses modes that a new, redacted trace cannot be compared under.

A mode that treats each essay in its own way knows essays by their ids, which are pseudonyms in a redacted trace: the
mode would answer all of them alike, and parity would call a faithful mock unfaithful. A mode file is named by its path,
which may say whose it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.essays import essays_named
from cj_pipeline.mock.mode.files import load_mode, mode_names
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario

if TYPE_CHECKING:
    from cj_pipeline.traces.captured_scenario import ScenarioChoices

_REMEDY = (
    "Choose a built-in mode that names no essay, such as default; a file with the new trace's essays can lie beside "
    "its scenario later (mode: mode.yaml)."
)


def require_mode_for_pseudonyms(choices: ScenarioChoices) -> None:
    """Raise BadInput where the mode of a redacted trace names essays, or is a file; UnknownMode."""
    if choices.mode is not None:
        mode, path, named = load_mode(choices.mode), None, choices.mode
    elif choices.like is not None:
        path = choices.like / SCENARIO_FILE
        scenario = read_scenario(path)
        mode, named = scenario_mode(scenario, scenario_file=path), scenario.mode
    else:
        return
    where = "capture" if path is None else path
    if named.partition("+")[0] not in mode_names():
        raise BadInput("is a file, and its path would be in the trace.", path=where, field="mode", remedy=_REMEDY)
    if essays_named(mode):
        raise BadInput(
            f"'{mode.expression}' names essays, and a redacted trace has pseudonyms for them.",
            path=where,
            field="mode",
            remedy=_REMEDY,
        )
