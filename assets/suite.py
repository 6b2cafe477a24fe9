"""This module holds the asset `parity/suite`, every scenario on one line, with one check over all of them.

The checks of a scenario are kept by partition, and the UI shows whose turn was last. The check `all_as_expected` says
whether anything is red. It blocks nothing: a scenario's run is not red because another scenario is.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetsDefinition,
    FreshnessPolicy,
    MaterializeResult,
    PartitionsDefinition,
    multi_asset,
)

from assets.specs import CATALOGUE, CHECKS, SUITE, Group, asset_spec, table
from cj_pipeline.parity.tables import StoredVerdict, stored_verdicts
from cj_pipeline.parity.verdict import Parity
from resources.warehouse import WarehouseResource

ALL_AS_EXPECTED = "all_as_expected"

SCENARIOS, SCENARIO = "scenarios", "scenario"
"""The metadata with a line for each scenario, and its column of names."""

EVERY_NIGHT = FreshnessPolicy.cron(deadline_cron="0 5 * * *", lower_bound_delta=timedelta(hours=2), timezone="UTC")
"""The night begins at 03:00 UTC. A suite that is not of this night by five is shown as stale."""


def suite_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `parity/suite` and its check."""
    spec = asset_spec(
        SUITE,
        "Every scenario that has a published comparison, one line each. Look here first.",
        # The catalogue's step publishes; a suite before it would show the run before this one.
        computed_by="parity",
        reads=[CHECKS, CATALOGUE],
        group=Group.PARITY,
        freshness=EVERY_NIGHT,
    )
    question = "Is the published verdict of every scenario the one that it expects?"
    check = AssetCheckSpec(ALL_AS_EXPECTED, asset=SUITE, description=question)

    @multi_asset(name="parity_suite", specs=[spec], check_specs=[check])
    def suite(warehouse: WarehouseResource) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
        verdicts, damaged = stored_verdicts(warehouse.open(), scenarios.get_partition_keys())
        yield MaterializeResult(
            asset_key=SUITE,
            metadata={
                SCENARIOS: table(_line(one) for one in verdicts),
                "scenarios_compared": len(verdicts),
                **{
                    f"scenarios_{verdict.name.lower()}": sum(one.verdict is verdict for one in verdicts)
                    for verdict in Parity
                },
            },
        )
        yield rolled_up(verdicts, damaged)

    return suite


def _line(one: StoredVerdict) -> dict[str, str | int]:
    # The UI cuts off what does not fit beside its menus: what people look for comes first.
    return {
        "verdict": one.words,
        SCENARIO: one.scenario_id,
        "gates_failed": len(one.failing),
        "failing": ", ".join(one.failing),
        "inconclusive": one.inconclusive,
        "checks_on": one.checks_on,
        "checks_off": one.checks_off,
        "run": one.run_id,
    }


def rolled_up(verdicts: Sequence[StoredVerdict], damaged: Sequence[str] = ()) -> AssetCheckResult:
    """Return one result over all scenarios: CANNOT TELL where PARITY was expected warns, as in its own run.

    damaged: a sentence for each file that cannot be read. Its verdict is not known, so the check fails.
    """
    red = [one for one in verdicts if not one.as_expected]
    doubtful = not damaged and all(one.verdict is Parity.CANNOT_TELL and one.expected is Parity.PARITY for one in red)
    named = "; ".join([*(f"{one.scenario_id}: {one.words}" for one in red), *(text.rstrip(".") for text in damaged)])
    return AssetCheckResult(
        asset_key=SUITE,
        check_name=ALL_AS_EXPECTED,
        passed=not named,
        severity=AssetCheckSeverity.WARN if doubtful else AssetCheckSeverity.ERROR,
        description=f"{named}." if named else f"All of {len(verdicts)} scenarios are as expected.",
        metadata={"value": len(red) + len(damaged), "ceiling": 0},
    )
