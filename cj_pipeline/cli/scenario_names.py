"""This module finds the folder of a scenario that is named on the command line: by its id or by a path."""

from __future__ import annotations

import os
from pathlib import Path


def scenario_folder(name: str) -> Path:
    """Return the folder of a scenario given by its id or by the path of its folder, with or without a slash behind it.

    Raises BadInput naming the ids there are.
    """
    # os.path and not Path.is_dir, which raises for a name that no file system takes.
    if os.path.isdir(name):  # noqa: PTH112
        path = Path(name)
        return path if path.name else path.absolute()
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.traces.scenario_folders import scenario_folder_below

    return scenario_folder_below(PipelineSettings().traces_dir, name.rstrip("/"))
