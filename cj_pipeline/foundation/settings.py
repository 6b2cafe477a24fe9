"""This module says where the pipeline finds its scenarios and puts its data.

Settings of a service are in its own settings.py, those of the engine in contracts/engine_settings.py.
"""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class PipelineSettings(BaseSettings):
    """From `CJ_PIPELINE_DATA_DIR` and `CJ_PIPELINE_TRACES_DIR`; relative paths count from the working directory."""

    model_config = SettingsConfigDict(env_prefix="CJ_PIPELINE_", frozen=True)

    data_dir: Path = Path("data")
    traces_dir: Path = Path("traces")
