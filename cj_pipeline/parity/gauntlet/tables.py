"""This module keeps what a gauntlet found in the folder of a run: a row for each wrong mock."""

from __future__ import annotations

from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.parity.gauntlet.gauntlet import Gauntlet
from cj_pipeline.runs.record import Side
from cj_pipeline.warehouse.rows import Row
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import GAUNTLET, PARITY_PART


def store_gauntlet(run: RunFolder, gauntlet: Gauntlet) -> DataPath:
    """Write a row for each wrong mock, and return the file."""
    origin = run.origin(*(("runs", side) for side in Side))
    return run.write(GAUNTLET, PARITY_PART, gauntlet_rows(gauntlet), origin)


def gauntlet_rows(gauntlet: Gauntlet) -> list[Row]:
    """Return the rows of the dataset `gauntlet`, in the order in which wrong mocks are listed."""
    return [
        {
            "scenario_id": gauntlet.scenario_id,
            "wrong_mock": one.name,
            "mock_group": one.group.value,
            "change": one.change,
            "essential": one.essential,
            "rate": one.rate,
            "first_check": one.first,
            "left_out": one.left_out,
            "blind": one.blind,
            "more_recorded": None if one.closing is None else one.closing.recorded,
            "times_live": None if one.closing is None else one.closing.live,
            "rate_then": None if one.closing is None else one.closing.rate,
        }
        for one in gauntlet.tried
    ]
