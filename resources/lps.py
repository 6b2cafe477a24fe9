"""This module configures the LPS of the live side: mode, seed, pace, and a URL where it is deployed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from dagster import ConfigurableResource
from pydantic import Field

from cj_pipeline.bus.factory import create_bus
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.remote import Deployment, fresh_label
from cj_pipeline.runs.scenario_run import JudgeIdentity, Pace, ask_live, live_batch_ids
from cj_pipeline.runs.tables import Answers
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario
from cj_pipeline.traces.store import Trace
from resources.bus import BusResource


class LpsResource(ConfigurableResource[None]):
    """The service with its mock provider: embedded in the process of the step, or a deployed one by its URL."""

    bus: BusResource
    mode: str = Field(
        default="",
        description="Mode expression; `+overlay` is laid over the scenario's own mode; empty: the scenario's own mode.",
    )
    seed: int | None = Field(default=None, description="Of everything the mock draws; empty: the scenario's own seed.")
    night: str = Field(
        default="",
        description="A date, YYYY-MM-DD: without `seed`, the mock draws from the seed YYYYMMDD; the run is no trial. "
        "The nightly schedule gives it, so that each night is new evidence.",
    )
    realtime: bool = Field(
        default=False, description="Take as long as the latencies do. Same answers as in virtual time."
    )

    url: str = Field(
        default="",
        description="Base URL of a deployed LPS, which is asked in real time; empty: embedded, on `bus`.",
    )
    kafka: str = Field(
        default="",
        description="HOST:PORT of the brokers on which the deployed LPS publishes; empty: KAFKA_BOOTSTRAP_SERVERS, or "
        "the folder callbacks/ below the data folder where that is not set either.",
    )

    def mode_of(self, scenario: Scenario, scenario_file: Path) -> Mode:
        """Return the mode that answers for a scenario. Raises BadInput or UnknownMode when it does not exist."""
        return scenario_mode(scenario, self.mode or None, scenario_file=scenario_file)

    def is_trial(self, scenario: Scenario, scenario_file: Path) -> bool:
        """Return whether this is not the scenario's own live side, but another mode, seed or service."""
        own = scenario_mode(scenario, scenario_file=scenario_file)
        return (
            bool(self.url)
            or self.seed not in (None, scenario.live.seed)
            or self.mode_of(scenario, scenario_file).sha256() != own.sha256()
        )

    def seed_of(self, scenario: Scenario) -> int:
        """Return the seed of everything the mock draws. Raises BadInput for a night that is no date."""
        if self.seed is not None:
            return self.seed
        if not self.night:
            return scenario.live.seed
        try:
            return int(f"{date.fromisoformat(self.night):%Y%m%d}")
        except ValueError:
            raise BadInput(
                f"'{self.night}' is no date.", path="resource lps", field="night", remedy="Write it as 2026-05-03."
            ) from None

    def answers(self, scenario: Scenario, trace: Trace) -> Answers:
        """Ask the mock for the scenario's net and its repeats, and return the answers.

        Raises, for a deployed service, ServiceUnreachable, and BadInput where it runs another mode.
        """
        mode = self.mode_of(scenario, trace.folder / SCENARIO_FILE)
        recorded = [line.event for line in trace.callbacks.events]
        pace = Pace.REAL if self.realtime else Pace.VIRTUAL
        # A deployed service answers a batch id once: each run has batches of its own.
        label = fresh_label() if self.url else ""
        seed = self.seed_of(scenario)
        if self.url:
            answers = ask_live(scenario, recorded, mode, seed=seed, deployment=self._deployment(), label=label)
        else:
            answers = ask_live(scenario, recorded, mode, seed=seed, pace=pace, bus=self.bus.open())
        return Answers(
            judge=JudgeIdentity(mode.expression, mode.sha256()),
            seed=seed,
            events=answers.events,
            repeats=answers.repeats,
            service_metrics=answers.service_metrics,
            asked_batch_ids=live_batch_ids(scenario, len(answers.repeats), label),
            trial=self.is_trial(scenario, trace.folder / SCENARIO_FILE),
        )

    def _deployment(self) -> Deployment:
        folder = PipelineSettings().data_dir / "callbacks"
        return Deployment(self.url, lambda: create_bus(None, self.kafka or None, folder))
