"""This module declares the sensor that makes a partition of a new trace folder and requests its parity run.

The cursor holds a digest for each scenario seen so far. The first tick of an instance only notes what is there: the
nightly schedule runs it, and an instance should not begin with twenty runs.
"""

import json
from collections.abc import Iterator, Mapping

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from assets.jobs import ALL_JOB
from assets.partitions import SCENARIOS, ScenarioPartitions
from cj_pipeline.traces.arrivals import Arrivals, Recording, arrivals

SENSOR = "new_traces"

# Of each digest in the cursor, which every tick stores again.
DIGITS = 16

# A folder of 500 traces that is copied in at once is run over 25 ticks, and the queue stays usable meanwhile.
MOST_IN_A_TICK = 20

# Some 180,000 callbacks, all of which a run holds in memory. People start larger ones where they know the machine.
MOST_BYTES = 200_000_000


def new_traces_sensor(scenarios: ScenarioPartitions) -> SensorDefinition:
    """Declare the sensor `new_traces`, which runs every half minute."""

    @sensor(
        name=SENSOR,
        job_name=ALL_JOB,
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.RUNNING,
        description="Makes a partition of every new trace folder, drops those of folders that are gone, and runs "
        "parity of each new or replaced recording, once.",
    )
    def new_traces(context: SensorEvaluationContext) -> SensorResult:
        if not scenarios.traces_dir.is_dir():
            return SensorResult(skip_reason=SkipReason("There is no folder of traces; nothing is taken for gone."))
        first_look = context.cursor is None
        noted: dict[str, str] = json.loads(context.cursor or "{}")
        found = arrivals(scenarios.traces_dir, noted)
        taken = dict(list(found.new.items())[: None if first_look else MOST_IN_A_TICK])
        remarks = [] if first_look else [*_remarks(found.broken, taken)]
        for remark in remarks:
            context.log.warning(remark)
        requests = [
            RunRequest(run_key=f"{scenario_id}/{recording.sha256}", partition_key=scenario_id)
            for scenario_id, recording in taken.items()
            if not first_look and recording.size <= MOST_BYTES
        ]
        listed = set(context.instance.get_dynamic_partitions(SCENARIOS))
        added = [key for key in found.present if key not in listed]
        gone = sorted(listed - set(found.present))
        return SensorResult(
            run_requests=requests,
            skip_reason=None if requests else SkipReason(" ".join(remarks) or _nothing_to_run(found, first_look)),
            dynamic_partitions_requests=[
                *([scenarios.build_add_request(added)] if added else []),
                *([scenarios.build_delete_request(gone)] if gone else []),
            ],
            # Those that are gone stay noted: a folder that is mounted again brings nothing new.
            cursor=json.dumps(
                noted | {key: recording.sha256[:DIGITS] for key, recording in taken.items()}, sort_keys=True
            ),
        )

    return new_traces


def _nothing_to_run(found: Arrivals, first_look: bool) -> str:
    if first_look:
        return f"First look: noted {len(found.present)} scenarios, which the nightly schedule runs."
    return f"Nothing new among {len(found.present)} scenarios."


def _remarks(broken: Mapping[str, str], taken: Mapping[str, Recording]) -> Iterator[str]:
    """Yield a sentence for each folder that is not run although it is new."""
    for scenario_id, place in broken.items():
        yield f"{scenario_id} cannot be used ({place}); cj-pipeline traces validate says why."
    for scenario_id, recording in taken.items():
        if recording.size > MOST_BYTES:
            yield f"{scenario_id} has {recording.size / 1e6:.0f} MB of callbacks, too many to be run unasked."
