"""This module names the command that adds answers of the recorded judge to a scenario."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from cj_pipeline.traces.scenario import Scenario

# Two minutes of a small model on this machine, and cents of a hosted one.
MORE_COMPARISONS = 40

AddCommand = Callable[[int], str]
"""Returns the command that adds so many comparisons."""


def command_for_more(scenario: Scenario, source: str, comparisons: int = MORE_COMPARISONS) -> str:
    """Return the command that adds comparisons to a scenario. source: the scenario, as a person named it."""
    # `cj-pipeline record` alone knows the prompt, and can ask with it again.
    if scenario.provider.prompt is not None:
        return f"cj-pipeline {shlex.join(['record', source, '--more', str(comparisons)])}"
    return f"cj-pipeline {shlex.join(['traces', 'import', '--into', source, '--from-folder', 'FOLDER'])}"
