"""Each night draws from its date, is published, and adds to the history that `parity/history` shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from dagster import materialize

from assets.history import NO_CHANGE, history_asset
from assets.partitions import ScenarioPartitions
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import HISTORY
from cj_pipeline.parity.history.history import load_history
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.tables import load_run
from cj_pipeline.traces.store import TraceStore
from cj_pipeline.warehouse.history import VERSION_KEY, history_folder
from cj_pipeline.warehouse.rows import table_of
from cj_pipeline.warehouse.schemas import HISTORY_SCHEMA
from resources.bus import BusResource
from resources.lps import LpsResource
from resources.warehouse import WarehouseResource
from tests.dagster_floor.floor import LOWER5, TRACES, execute, metadata, run_of
from tests.parity.history_rows import night


def test_a_night_draws_from_its_date_is_published_and_part_of_the_history(tmp_path: Path) -> None:
    for date in ("2026-05-03", "2026-05-04"):
        result = execute(LOWER5, tmp_path, lps={"night": date})
        document = load_run(run_of(result, tmp_path, LOWER5), Side.LIVE).document
        assert document.seed == int(date.replace("-", ""))
        assert str(metadata(result, "warehouse")["published"]).startswith(f"run {result.run_id}")
    found = load_history(tmp_path, LOWER5)
    assert found is not None
    assert [one.run["seed"] for one in found.nights] == [20260503, 20260504]
    shown = metadata(result, "parity/history")
    assert (shown["runs"], shown["changes"], shown["what_happened"]) == (2, 0, "nothing")


def test_a_night_that_is_no_date_is_refused() -> None:
    scenario = TraceStore(TRACES).scenario(LOWER5)
    with pytest.raises(BadInput, match="'tonight' is no date") as refusal:
        LpsResource(bus=BusResource(), night="tonight").seed_of(scenario)
    assert refusal.value.remedy == "Write it as 2026-05-03."


def planted(data: Path, nights: int) -> None:
    """A history in which the position effect moves by 2 logits after 60 nights."""
    values = np.random.default_rng(1).normal(0.0, 0.2, nights) + np.where(np.arange(nights) < 60, 0.0, 2.0)
    for number, value in enumerate(values.tolist()):
        row = night(number, value, scenario_id=LOWER5)
        path = history_folder(data, LOWER5) / f"{row['run_id']}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = dict.fromkeys(("recorded", "live", "value", "margin_low", "margin_high"))
        table = table_of(HISTORY_SCHEMA, [{**row, **numbers, "noise_low": None, "noise_high": None}], path, {})
        pq.write_table(table.replace_schema_metadata({VERSION_KEY: str(HISTORY.version)}), path)


def test_the_run_that_shows_a_change_is_warned_of_and_the_next_is_not(tmp_path: Path) -> None:
    passed = []
    for nights in (60, 67, 68):
        planted(tmp_path, nights)
        result = materialize(
            [history_asset(ScenarioPartitions(TRACES))],
            partition_key=LOWER5,
            resources={"warehouse": WarehouseResource(root=str(tmp_path))},
        )
        (check,) = result.get_asset_check_evaluations()
        assert check.check_name == NO_CHANGE
        passed.append(check.passed)
        said = str(check.description)
    assert passed == [True, False, True]
    assert said == f"{LOWER5}: nothing changed without a name."
    found = load_history(tmp_path, LOWER5)
    assert found is not None
    assert [(shift.check, f"{shift.begins:%m-%d}") for shift in found.shifts] == [("position_effect", "03-02")]
