"""This module says what a night does beside running every scenario, from the environment; nothing is set by default."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cj_pipeline.foundation.environment import read_environment
from cj_pipeline.foundation.errors import did_you_mean

PREFIX = "CJ_PIPELINE_NIGHT_"


_NAME = re.compile(r"[\w.-]+")
_URL = re.compile(r"https?://[^\s,/]+(/\S*)?")


def _by_scenario(given: object) -> object:
    """Read `scenario=URL,scenario=URL`."""
    if not isinstance(given, str):
        return given
    found: dict[str, str] = {}
    for number, part in enumerate(given.split(","), start=1):
        scenario_id, equals, url = (word.strip() for word in part.partition("="))
        # No message quotes a part: a URL may hold a password, with a comma or an equals sign in it.
        if not equals or not _NAME.fullmatch(scenario_id):
            raise ValueError(f"part {number} of it is not of the form scenario=URL")
        if not _URL.fullmatch(url):
            raise ValueError(f"part {number} of it has no URL of the form https://HOST[:PORT] or http://HOST[:PORT]")
        if scenario_id in found:
            raise ValueError(f"part {number} of it names a scenario that it has named before")
        found[scenario_id] = url
    return found


class NightSettings(BaseSettings):
    """From `CJ_PIPELINE_NIGHT_` and the name of a field in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    lps: Annotated[dict[str, str], NoDecode, BeforeValidator(_by_scenario)] = {}
    """Deployed LPS that is asked for a scenario, instead of the embedded one: scenario=URL, with commas between."""
    keep_runs: int | None = Field(default=None, ge=1)
    """Whole runs of a scenario that stay in the data folder; empty: all."""
    keep_days: int | None = Field(default=None, ge=7)
    """Days for which Dagster keeps runs of nights with their events, at least a week; empty: for ever."""

    def strangers(self, scenario_ids: Iterable[str]) -> dict[str, str]:
        """Return a sentence about each name in `lps` that is none of these scenarios: asked is the embedded LPS."""
        known = frozenset(scenario_ids)
        return {
            name: f"{PREFIX}LPS names '{name}', and there is no such scenario. {did_you_mean(name, known)}".rstrip()
            for name in self.lps
            if name not in known
        }


def night_settings() -> NightSettings:
    """Read the environment. Raises BadInput naming the variable."""
    return read_environment(NightSettings)
