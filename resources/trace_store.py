"""This module configures the folder of traces and which of its scenarios a job may read."""

from __future__ import annotations

from pathlib import Path

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field, PrivateAttr

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.recorded_side import recorded_answers
from cj_pipeline.runs.tables import Answers
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario
from cj_pipeline.traces.store import Recording, Trace, TraceStore

PROFILE_TAG = "cj_pipeline/profile"
"""Run tag: take scenarios of this profile only."""


class TraceStoreResource(ConfigurableResource[None]):
    """A folder of scenarios; of one profile when the run is tagged with one."""

    root: str = Field(description="Folder with one folder per scenario.")
    _profile: str | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Keep the profile that the run is tagged with."""
        if context.run is not None:
            self._profile = context.run.tags.get(PROFILE_TAG)

    def folder(self, scenario_id: str) -> Path:
        """Return the folder of one scenario."""
        return Path(self.root) / scenario_id

    def scenario_file(self, scenario_id: str) -> Path:
        """Return the file that people edit; errors about a scenario name it."""
        return self.folder(scenario_id) / SCENARIO_FILE

    def scenario(self, scenario_id: str) -> Scenario:
        """Return one scenario. Raises BadInput when there is none, or it is of another profile."""
        return self._of_profile(TraceStore(Path(self.root)).scenario(scenario_id))

    def trace(self, scenario_id: str) -> Trace:
        """Return one verified trace. Raises BadInput as `scenario` does, and when anything in the folder was edited."""
        trace = TraceStore(Path(self.root)).trace(scenario_id)
        self._of_profile(trace.scenario)
        return trace

    def recordings(self, scenario_id: str) -> tuple[Recording, ...]:
        """Return the verified recordings of one scenario, the main one first, without reading their callbacks."""
        scenario, recordings = TraceStore(Path(self.root)).recordings(scenario_id)
        self._of_profile(scenario)
        return recordings

    def answers(self, scenario: Scenario, trace: Trace) -> Answers:
        """Return what the recorded judge answered: the usable lines of every recording, and those that are not."""
        return recorded_answers(scenario, trace)

    def _of_profile(self, scenario: Scenario) -> Scenario:
        if self._profile not in (None, scenario.profile):
            raise BadInput(
                f"is '{scenario.profile}', and this job takes '{self._profile}' only.",
                path=self.scenario_file(scenario.scenario_id),
                field="profile",
                remedy="Launch the job of its profile, or parity_all.",
            )
        return scenario
