"""This module configures the CJ engine: which of its settings differ from the scenario's for one run."""

from __future__ import annotations

from typing import Any

from dagster import ConfigurableResource
from pydantic import Field, ValidationError

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import replay
from cj_pipeline.runs.tables import Answers
from cj_pipeline.traces.scenario import Scenario


class CjEngineResource(ConfigurableResource[None]):
    """The engine under the scenario's settings, or some of them replaced."""

    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Engine settings instead of the scenario's, by the names of scenario.yaml's section `engine`.",
    )

    def configured(self, scenario: Scenario) -> Scenario:
        """Return the scenario with this engine's settings, on both sides. Raises BadInput naming a bad setting."""
        try:
            engine = EngineSettings.model_validate({**scenario.engine.model_dump(), **self.settings})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            known = EngineSettings.model_fields
            raise BadInput(
                f"{first['msg']}.",
                path="run configuration",
                field=f"resources.engine.config.settings.{field}",
                remedy="" if field in known else did_you_mean(field, known),
            ) from None
        return scenario.model_copy(update={"engine": engine})

    def is_trial(self, scenario: Scenario) -> bool:
        """Return whether a setting differs from the scenario's own."""
        return self.configured(scenario).engine != scenario.engine

    def replay(self, scenario: Scenario, side: Side, answers: Answers) -> RunRecord:
        """Replay one side's answers through the engine."""
        return replay(
            self.configured(scenario),
            answers.events,
            side=side,
            judge=answers.judge,
            seed=answers.seed,
            repeats=answers.repeats,
            service_metrics=answers.service_metrics,
            quarantined_lines=len(answers.quarantined),
            asked_batch_ids=answers.asked_batch_ids,
        )
