"""This module says where the pipeline finds its scenarios and puts its data.

Settings of a service are in its own settings.py, those of the engine in contracts/engine_settings.py.
"""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class PipelineSettings(BaseSettings):
    """From `CJ_PIPELINE_` and the name of a field in capitals; relative paths count from the working directory.

    cache_dir: of what follows from its inputs alone; `cache/` below the data folder unless it is given.
    code_url: where a reader of the UI finds this folder of code, as https://host/owner/project/blob/main; unset: on
    this machine; empty: nowhere, and assets have no link.
    """

    model_config = SettingsConfigDict(env_prefix="CJ_PIPELINE_", frozen=True)

    data_dir: Path = Path("data")
    traces_dir: Path = Path("traces")
    cache_dir: Path | None = None
    code_url: str | None = None
