"""The place of the datasets: a folder or an address on object storage, and what cannot be there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cj_pipeline.cli.main import refuse_object_storage
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.warehouse.content_cache import cache_in
from cj_pipeline.warehouse.data_root import data_root
from cj_pipeline.warehouse.deployment import FOLDER_TAG, deployment_tags, require_same_deployment

OBJECT_STORAGE = "cj_pipeline.warehouse.object_storage"


def test_a_folder_is_a_folder_whether_it_is_given_or_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path))
    assert data_root() == data_root(str(tmp_path)) == PipelineSettings().data_dir == tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", "night")
    assert data_root() == tmp_path / "night"


def test_with_data_on_object_storage_the_rest_stays_in_the_local_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", "s3://lake/night")
    assert PipelineSettings().data_dir == Path("data")
    monkeypatch.setenv("CJ_PIPELINE_LOCAL_DIR", str(tmp_path))
    assert (PipelineSettings().data_dir, PipelineSettings().data_address) == (tmp_path, "s3://lake/night")
    monkeypatch.delenv("CJ_PIPELINE_CACHE_DIR")
    assert cache_in(PipelineSettings().data_dir).folder == tmp_path / "cache"


def test_without_s3fs_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules, OBJECT_STORAGE, raising=False)
    with pytest.raises(CjPipelineError, match=r"needs s3fs: `make s3`, or install cj-pipeline\[s3\]"):
        data_root("s3://lake/night")


@pytest.mark.parametrize("address", ["s3://", "s3:///night", "s3://lake/night*", "s3://lake/../other", "s3://lake/[a]"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="Write it as s3://BUCKET/PREFIX"):
        data_root(address)


@pytest.mark.parametrize("address", ["S3://lake/night", "s3:/lake/night", "gs://lake", "https://key:hidden@lake"])
def test_an_address_that_would_become_a_folder_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", address)
    with pytest.raises(BadInput, match="CJ_PIPELINE_DATA_DIR: is neither a folder nor s3://BUCKET/PREFIX") as e:
        data_root()
    assert "hidden" not in str(e.value)


@pytest.mark.parametrize("name", ["CJ_PIPELINE_LOCAL_DIR", "CJ_PIPELINE_TRACES_DIR", "CJ_PIPELINE_CACHE_DIR"])
def test_another_folder_on_object_storage_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "s3://lake/x")
    with pytest.raises(BadInput, match=f"{name}.*is kept on the machine"):
        PipelineSettings()


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["parity", "x", "--html", "s3://lake/page.html"], {}),
        (["eng5", "execute", "--output-dir=s3://lake/runs"], {}),
        ([], {"CJ_PIPELINE_KAFKA_DIR": "s3://lake/kafka"}),
        ([], {"DAGSTER_HOME": "s3://lake/home"}),
    ],
)
def test_the_terminal_refuses_object_storage_for_anything_but_datasets(
    arguments: list[str], environment: dict[str, str]
) -> None:
    with pytest.raises(BadInput, match="where only the datasets of runs can be"):
        refuse_object_storage(arguments, environment)


def test_the_terminal_takes_the_address_of_datasets_and_a_query_about_them() -> None:
    refuse_object_storage(["sql", "from 's3://lake/x.parquet'"], {"CJ_PIPELINE_DATA_DIR": "s3://lake/night"})


def test_a_worker_with_a_folder_is_not_one_of_a_deployment_with_a_bucket(tmp_path: Path) -> None:
    tags = {**deployment_tags(tmp_path), FOLDER_TAG: "s3://lake/night"}
    with pytest.raises(BadInput, match="is not the data folder of the process that launched the run"):
        require_same_deployment(tags, tmp_path)
