"""This module says where the pipeline finds its scenarios and puts its data.

Settings of a service are in its own settings.py, those of the engine in contracts/engine_settings.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.foundation.data_path import is_s3, local_only
from cj_pipeline.foundation.errors import BadInput


class PipelineSettings(BaseSettings):
    """From `CJ_PIPELINE_` and the name of a field in capitals; relative paths count from the working directory.

    data_place: `CJ_PIPELINE_DATA_DIR`, a folder or s3://BUCKET/PREFIX;
    local_dir: what stays on this machine where the data is on object storage (docs/object-storage.md);
    cache_dir: of what follows from its inputs alone; `cache/` below `data_dir` unless it is given;
    storage_timeout_s: for one request to object storage, its retries included;
    code_url: where a reader of the UI finds this folder of code, as https://host/owner/project/blob/main; unset: on
    this machine; empty: nowhere, and assets have no link.
    """

    model_config = SettingsConfigDict(env_prefix="CJ_PIPELINE_", frozen=True)

    data_place: str = Field(default="data", validation_alias="CJ_PIPELINE_DATA_DIR")
    local_dir: Path = Path("data")
    traces_dir: Path = Path("traces")
    cache_dir: Path | None = None
    code_url: str | None = None
    storage_timeout_s: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _on_this_machine(self) -> Self:
        if re.match(r"[A-Za-z][\w+.-]+:/", self.data_place) and not is_s3(self.data_place):
            raise BadInput(
                "is neither a folder nor s3://BUCKET/PREFIX.",  # not quoted: such a URL may hold a key
                path="environment",
                field="CJ_PIPELINE_DATA_DIR",
                remedy="Name a folder, or write s3:// in small letters and with two slashes.",
            )
        for name in ("local_dir", "traces_dir", "cache_dir"):
            if (folder := getattr(self, name)) is not None:
                local_only(folder, f"CJ_PIPELINE_{name.upper()}")
        return self

    @property
    def data_dir(self) -> Path:
        """The data folder on this machine: `local_dir` where datasets are on object storage."""
        return self.local_dir if is_s3(self.data_place) else Path(self.data_place)

    @property
    def data_address(self) -> str:
        """Where the datasets are, from whatever folder one looks: an absolute path, or s3://BUCKET/PREFIX."""
        return self.data_place if is_s3(self.data_place) else str(self.data_dir.absolute())
