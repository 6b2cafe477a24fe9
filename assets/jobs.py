"""This module declares the jobs that materialise a scenario.

Every job has the same partitions definition, because its assets have it. The job of a profile carries the profile as a
tag, and TraceStoreResource refuses scenarios of another profile, from the UI, the CLI and a backfill.

Dagster ends a run of theirs that takes more than an hour (run_monitoring in dagster.yaml): a run that hangs would keep
its place in the queue for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import AssetSelection, define_asset_job

from assets.specs import EXPERIMENT, GAUNTLET
from cj_pipeline.traces.scenario import Profile
from resources.trace_store import PROFILE_TAG

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

ALL_JOB = "parity_all"
GAUNTLET_JOB = "parity_gauntlet"

LIMITS = {"dagster/max_runtime": "3600"}
"""Run tags: seconds."""


def profile_job_name(profile: Profile) -> str:
    """Return the name of the job of one profile's scenarios."""
    return f"parity_{profile}"


def parity_jobs() -> list[UnresolvedAssetJobDefinition]:
    """Declare one job for every scenario, one for those of each profile, and one with wrong mocks."""
    # An experiment is of no scenario.
    with_gauntlet = AssetSelection.all() - AssetSelection.assets(EXPERIMENT)
    everything = with_gauntlet - AssetSelection.assets(GAUNTLET)
    return [
        define_asset_job(
            ALL_JOB,
            everything,
            description="Every asset and check of a scenario, of whatever profile, without the gauntlet.",
            tags=LIMITS,
        ),
        define_asset_job(
            GAUNTLET_JOB,
            with_gauntlet,
            description="Every asset and check of a scenario, and every wrong mock against its comparison.",
            tags=LIMITS,
        ),
        *(
            define_asset_job(
                profile_job_name(profile),
                everything,
                description=f"Every asset and check of a scenario of the profile {profile}; refuses any other.",
                tags={**LIMITS, PROFILE_TAG: profile.value},
            )
            for profile in Profile
        ),
    ]
