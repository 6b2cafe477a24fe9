"""This module replays a recording under other engine settings: the same answers, other decisions.

No provider is asked and nothing is stored. Scores are compared with the scale of the whole recording, so agreement says
how much of the recording a setting keeps, not how right the recording is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cj_pipeline.bt.agreement import kendall_tau_b, rank_correlation, without_rounding_error
from cj_pipeline.bt.diagnostics import se_summary
from cj_pipeline.bt.fit import neutral_fit
from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.engine.scoring.scores import SCORING_ERRORS, outcomes, score
from cj_pipeline.engine.state import Batch, State
from cj_pipeline.runs.batch_run import run_batch
from cj_pipeline.runs.scenario_run import require_known_essays
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.runs.what_if_grid import Variant
from cj_pipeline.runs.what_if_judge import RecallingJudge, Recording, recording_of
from cj_pipeline.traces.scenario import Scenario

Progress = Callable[[int], None]
"""Called with the number of runs ended since the last call."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run under one combination of settings.

    comparisons: submitted; decision, reason: the last of the log, empty where there was nothing to decide;
    tau_b, spearman: its scores against those of the whole recording, 0 where either has no order;
    mean_se, max_se: logits as displayed, 2.0 at most; success_rate: None when nothing was asked;
    repeated_share, invented_share: of the answers; 0 when nothing was asked.
    """

    seed: int
    comparisons: int
    waves: int
    upload_status: str
    decision: str
    reason: str
    tau_b: float
    spearman: float
    mean_se: float
    max_se: float
    success_rate: float | None
    repeated_share: float
    invented_share: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One combination of settings and its trials, one a seed."""

    variant: Variant
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A recording under its own settings and under others. as_recorded: the replay itself, which needs no seed."""

    scenario: Scenario
    seeds: tuple[int, ...]
    as_recorded: Outcome
    outcomes: tuple[Outcome, ...]


def replayed_settings(scenario: Scenario) -> EngineSettings:
    """Return the settings of a replay, which a variant changes: the scenario's, over the recorded pairs."""
    return scenario.engine.model_copy(update={"pairing": Pairing.RECORDED})


def what_if(
    scenario: Scenario,
    events: Sequence[CallbackEvent],
    variants: Sequence[Variant],
    *,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> WhatIf:
    """Run every variant once a seed over the recorded answers.

    seeds: of the engine's choices and of answers that are not on record; the same ones for every variant, so that two
    variants differ by their settings and not by their luck. Raises StrangeEssay, NothingToRecall.
    """
    essays = tuple(sorted(item.id for item in scenario.net.items))
    require_known_essays(scenario, events)
    recording = recording_of(events, essays, scenario.engine.bt_alpha)

    async def run_all() -> WhatIf:
        as_recorded = Variant(replayed_settings(scenario))
        recorded = await _trial(scenario, recording, as_recorded, scenario.live.seed)
        tried: list[Outcome] = []
        for variant in variants:
            trials: list[Trial] = []
            for seed in seeds:
                trials.append(await _trial(scenario, recording, variant, seed))
                if progress is not None:
                    progress(1)
            tried.append(Outcome(variant, tuple(trials)))
        return WhatIf(scenario, tuple(seeds), Outcome(as_recorded, (recorded,)), tuple(tried))

    return run_virtual(run_all())


async def _trial(scenario: Scenario, recording: Recording, variant: Variant, seed: int) -> Trial:
    judge = RecallingJudge(recording, seed)
    batch = Batch(
        bos_batch_id=f"what-if-{scenario.scenario_id}",
        cj_batch_id=scenario.batch.cj_batch_id,
        items=tuple(recording.scores),
        settings=variant.settings,
        seed=seed,
        plan=recording.plan,
    )
    state, _ = await run_batch(batch, judge)
    return _measured(state, judge, recording, seed)


def _measured(state: State, judge: RecallingJudge, recording: Recording, seed: int) -> Trial:
    try:
        fitted = score(state).fit
    except SCORING_ERRORS:
        fitted = neutral_fit(len(state.batch.items))
    own, whole = without_rounding_error(fitted.theta), without_rounding_error(list(recording.scores.values()))
    errors = se_summary(fitted.standard_error, outcomes(state))
    last = state.decisions[-1] if state.decisions else None
    asked = max(state.callbacks, 1)
    return Trial(
        seed=seed,
        comparisons=state.submitted,
        waves=len(state.waves),
        upload_status=state.upload_status.value,
        decision="" if last is None else last.kind.value,
        reason="" if last is None else last.reason,
        tau_b=kendall_tau_b(own, whole),
        spearman=rank_correlation(own, whole),
        mean_se=errors.mean_se,
        max_se=errors.max_se,
        success_rate=state.completed / state.callbacks if state.callbacks else None,
        repeated_share=judge.repeated / asked,
        invented_share=judge.invented / asked,
    )
