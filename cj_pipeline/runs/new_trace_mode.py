"""May a new trace be compared under the mode that is chosen for it?

Here: the one case in which it may not. Not here: modes (cj_pipeline/lps/), making the trace (cj_pipeline/traces/).

A mode that treats each essay in its own way knows essays by their ids. In a redacted trace the ids are pseudonyms: the
mode would know none of them, answer all of them alike, and parity would call a faithful mock unfaithful.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cj_pipeline.errors import BadInput
from cj_pipeline.lps.mode_essays import essays_named
from cj_pipeline.lps.mode_files import load_mode
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario

if TYPE_CHECKING:
    from cj_pipeline.traces.captured_scenario import ScenarioChoices

# As traces/redaction/pseudonyms.py makes them.
_PSEUDONYM = re.compile(r"(essay-)?(ANCHOR_)?[0-9a-f]{16}")


def require_mode_for_pseudonyms(choices: ScenarioChoices) -> None:
    """Raise BadInput where the mode of a redacted trace names essays by anything but pseudonyms; UnknownMode."""
    if choices.mode is not None:
        mode, path = load_mode(choices.mode), None
    elif choices.like is not None:
        path = choices.like / SCENARIO_FILE
        mode = scenario_mode(read_scenario(path), scenario_file=path)
    else:
        return
    if not all(_PSEUDONYM.fullmatch(essay) for essay in essays_named(mode)):
        raise BadInput(
            f"'{mode.expression}' names essays, and a redacted trace has pseudonyms for them.",
            path="capture" if path is None else path,
            field="mode",
            remedy="Choose a mode that names none, such as default, or calibrate one to the new trace afterwards.",
        )
