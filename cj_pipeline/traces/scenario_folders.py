"""This module finds the folders of scenarios below a root, without reading them."""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.foundation.errors import BadInput, did_you_mean, shortened
from cj_pipeline.foundation.names import SCENARIO, is_name, require_name
from cj_pipeline.traces.scenario import SCENARIO_FILE

CALLBACKS_FILE = "llm_callbacks.jsonl"
QUARANTINE_FILE = "quarantine.jsonl"
SUMMARY_FILE = "summary.json"
RECORDINGS_FOLDER = "recordings"


def scenario_ids(root: Path) -> tuple[str, ...]:
    """Return the names of the folders that hold a scenario.yaml, sorted; none when the root does not exist.

    A folder whose name begins with a dot is somebody's work in progress.
    """
    found = (path.parent.name for path in root.glob(f"*/{SCENARIO_FILE}"))
    return tuple(sorted(name for name in found if not name.startswith(".")))


def scenario_folder_below(root: Path, scenario_id: str) -> Path:
    """Return the folder of a scenario. Raises BadInput, with the ids there are, when there is none of that name."""
    if is_name(scenario_id, SCENARIO) and (folder := root / scenario_id).is_dir():
        return folder
    known = scenario_ids(root)
    if scenario_id in known:  # a folder that somebody named by hand
        require_name(scenario_id, SCENARIO, path=root)
    raise BadInput(
        f"no scenario '{shortened(scenario_id)}'.",
        path=root,
        remedy=did_you_mean(scenario_id, known) or "The folder holds no scenario at all.",
    )
