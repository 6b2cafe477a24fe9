"""This module finds the folders of scenarios below a root, without reading them."""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.foundation.errors import BadInput, did_you_mean, shortened
from cj_pipeline.traces.scenario import SCENARIO_FILE, is_scenario_id

CALLBACKS_FILE = "llm_callbacks.jsonl"
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
    folder = root / scenario_id
    if not is_scenario_id(scenario_id) or not folder.is_dir():
        raise BadInput(
            f"no scenario '{shortened(scenario_id)}'.",
            path=root,
            remedy=did_you_mean(scenario_id, scenario_ids(root)) or "The folder holds no scenario at all.",
        )
    return folder
