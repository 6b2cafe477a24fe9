"""This module gives a new trace its mode: one that is fitted to it, unless a person chose another that it may have.

A mode that treats each essay in its own way knows essays by their ids. In a redacted trace the ids are pseudonyms: the
mode would know none of them, answer all of them alike, and parity would call a faithful mock unfaithful. And a mode
file of one's own is named by its path, which may say whose it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.essays import essays_named
from cj_pipeline.mock.mode.files import load_mode, mode_names
from cj_pipeline.mock.mode.text import mode_text
from cj_pipeline.runs.calibration import HEADING, calibrated, recording_of, subject_of
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.traces.scenario import MODE_FILE, SCENARIO_FILE, read_scenario
from cj_pipeline.traces.summary import read_summary

if TYPE_CHECKING:
    from pathlib import Path

    from cj_pipeline.traces.captured_scenario import ScenarioChoices
    from cj_pipeline.traces.provenance import Provenance
    from cj_pipeline.traces.scenario import Scenario

_REMEDY = (
    "Leave the mode out, and one is fitted to the new trace's own callbacks; or choose a built-in one that names no "
    "essay, such as default."
)


def fitted_mode_text(callbacks: Path, scenario: Scenario, provenance: Provenance | None = None) -> str | None:
    """Return the text of a mode file that is calibrated to callbacks; None where none of them has a winner."""
    mode = calibrated(subject_of(scenario), [recording_of(callbacks)], provenance=provenance)
    return None if mode is None else mode_text(mode, HEADING)


def fitted_mode_notes(folder: Path) -> tuple[str, ...]:
    """Say what the mode that was fitted to a new trace is, or what happened where no callback of it is an answer."""
    summary = read_summary(folder)
    if not summary.success_count:
        codes = ", ".join(f"{count} {code}" for code, count in summary.error_code_counts.items())
        return (f"No callback is an answer ({codes}): no mode is fitted to it, and parity with it proves nothing.",)
    file = folder / MODE_FILE
    return (f"{MODE_FILE}: {load_mode(str(file)).description}",) if file.is_file() else ()


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
