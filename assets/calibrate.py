"""This module declares the asset `calibration` and its checks: does a mode that fits the recordings foretell others?

Nothing is written and nothing depends on it: the mode that fits is shown, and `cj-pipeline calibrate` writes it. The
checks only warn. They are about what a mode can say of this judge; whether the scenario's own mode is faithful is for
the gates of `parity/report`.
"""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    multi_asset,
)

from assets.specs import CALIBRATION, TRACE, Group, about, asset_spec, table
from cj_pipeline.mock.mode.held_out import MEASURES, HeldOutCheck, held_out_checks
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.mock.mode.text import mode_text
from cj_pipeline.parity.compare import Verdict
from cj_pipeline.runs.calibration import HEADING, calibrated, recording_of, subject_of
from resources.trace_store import TraceStoreResource

QUESTIONS: dict[str, str] = {
    "winners_coin": "Does the mode foretell held-out winners better than a coin?",
    "winners_scale": "Do recorded answers foretell held-out ones no worse than the scale alone?",
    **{
        name: f"Does the mock lie no farther from held-out answers than two samples of this judge? ({measure})"
        for name, measure in MEASURES.items()
    },
}

# What the event log keeps of the mode's file; a larger one is written by the command.
MOST_SHOWN = 50_000


def calibration_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `calibration` and the checks of its held-out fit."""
    spec = asset_spec(
        CALIBRATION,
        "The mode that fits all recordings of a scenario, where each of its numbers comes from, and how well it "
        "foretells answers that it was not fitted to. `cj-pipeline calibrate SCENARIO -o FILE` writes it.",
        computed_by="calibration",
        reads=[TRACE],
        group=Group.RECORDED,
        partitions=scenarios,
    )
    checks = [
        AssetCheckSpec(name, asset=CALIBRATION, description=question, partitions_def=scenarios)
        for name, question in QUESTIONS.items()
    ]

    @multi_asset(name="calibration", specs=[spec], check_specs=checks)
    def calibration(
        context: AssetExecutionContext, trace_store: TraceStoreResource
    ) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
        scenario = trace_store.scenario(context.partition_key)
        recordings = trace_store.recordings(context.partition_key)
        recorded = [recording_of(recording.path) for recording in recordings]
        mode = calibrated(subject_of(scenario), recorded, provenance=recordings[0].provenance)
        yield MaterializeResult(
            asset_key=CALIBRATION,
            data_version=None if mode is None else DataVersion(mode.sha256()),
            metadata={"calibrated": "no: no callback has a winner"} if mode is None else _shown(mode),
        )
        yield from held_out_results(context.partition_key, mode)

    return calibration


def held_out_results(scenario_id: str, mode: Mode | None) -> Iterator[AssetCheckResult]:
    """Yield one result for each check; one that cannot be measured here has not passed: it warns, and says why."""
    held = None if mode is None else mode.held_out
    rows = {} if held is None else {row.name: row for row in held_out_checks(held)}
    for name in QUESTIONS:
        yield _result(
            scenario_id,
            name,
            rows.get(name),
            "too little can be held out" if held is None else "too few answers for it",
        )


def _result(scenario_id: str, name: str, row: HeldOutCheck | None, reason: str) -> AssetCheckResult:
    if row is None:
        return AssetCheckResult(
            asset_key=CALIBRATION,
            check_name=name,
            passed=False,
            severity=AssetCheckSeverity.WARN,
            description=about(scenario_id, f"off: {reason}."),
            metadata={"verdict": Verdict.OFF.value},
        )
    # A distance may be at most so large; a log-likelihood must be at least so large.
    side = "ceiling" if name in MEASURES else "floor"
    return AssetCheckResult(
        asset_key=CALIBRATION,
        check_name=name,
        passed=row.passed and row.judged,
        severity=AssetCheckSeverity.WARN,
        description=about(scenario_id, row.sentence),
        metadata={"verdict": _verdict(row).value, "value": row.value, side: row.limit},
    )


def _verdict(row: HeldOutCheck) -> Verdict:
    if not row.judged:
        return Verdict.OFF
    return Verdict.PASS if row.passed else Verdict.FAIL


def _shown(mode: Mode) -> dict[str, Any]:
    text = mode_text(mode, HEADING)
    held = mode.held_out
    return {
        "description": MetadataValue.md(mode.description),
        "origins": table({"section": name, "origin": origin} for name, origin in mode.origins.items()),
        "held_out": {} if held is None else held.model_dump(mode="json"),
        "mode": MetadataValue.md(f"```yaml\n{text}```")
        if len(text) <= MOST_SHOWN
        else f"{len(text)} characters; cj-pipeline calibrate writes them",
    }
