"""This module tests that a run is not executed by other code, nor in another data folder, than it was launched with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dagster import DagsterInstance

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.deployment import CODE_TAG, FOLDER_TAG, MARK, deployment_tags, require_same_deployment
from resources.warehouse import WarehouseResource


def test_the_launcher_marks_the_folder_once_and_its_runs_are_at_home_there(tmp_path: Path) -> None:
    first = deployment_tags(tmp_path / "data")
    assert deployment_tags(tmp_path / "data") == first
    assert first[FOLDER_TAG] == (tmp_path / "data" / MARK).read_text()
    require_same_deployment(first, tmp_path / "data")


def test_launchers_that_start_at_once_read_one_mark(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            found = list(pool.map(deployment_tags, [tmp_path / str(number)] * 8))
            assert len({tags[FOLDER_TAG] for tags in found}) == 1
            assert found[0][FOLDER_TAG]


def test_a_run_that_no_launcher_tagged_runs_anywhere(tmp_path: Path) -> None:
    require_same_deployment({}, tmp_path / "nothing")


def test_other_code_is_refused_with_both_digests_and_a_remedy(tmp_path: Path) -> None:
    tags = {**deployment_tags(tmp_path), CODE_TAG: "0123456789ab"}
    with pytest.raises(BadInput, match=r": code: runs the code .*launched by the code 0123456789ab\..*again"):
        require_same_deployment(tags, tmp_path)


@pytest.mark.parametrize(("other", "words"), [(False, "it has no file"), (True, "it has another")])
def test_another_folder_is_refused_with_its_variable_and_a_remedy(tmp_path: Path, other: bool, words: str) -> None:
    tags = deployment_tags(tmp_path / "shared")
    if other:
        deployment_tags(tmp_path / "own")
    with pytest.raises(BadInput, match=rf"CJ_PIPELINE_DATA_DIR: .*own is not the data folder.*{words}.*Mount"):
        require_same_deployment(tags, tmp_path / "own")
    assert (tmp_path / "own").exists() is other


def test_the_steps_of_a_run_ask_before_they_write(tmp_path: Path) -> None:
    from dagster import asset, materialize

    @asset
    def something(warehouse: WarehouseResource) -> None:
        raise AssertionError("it was computed")

    with DagsterInstance.ephemeral() as instance:
        result = materialize(
            [something],
            instance=instance,
            resources={"warehouse": WarehouseResource(root=str(tmp_path / "own"))},
            tags=dict(deployment_tags(tmp_path / "shared")),
            raise_on_error=False,
        )
    assert not result.success
    told = [event.event_specific_data for event in result.all_events if event.is_failure]
    assert "is not the data folder of the process that launched the run" in str(told)
    assert not (tmp_path / "own").exists()
