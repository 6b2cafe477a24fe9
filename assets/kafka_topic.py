"""This module holds the observable source `kafka/callbacks`, the topic of callbacks, with its job and its schedule.

No asset depends on it. A trace does not go stale because other batches are judged meanwhile, and most traces of a
repository never were on this topic.
"""

import warnings
from pathlib import Path

from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    BetaWarning,
    DataVersion,
    DefaultScheduleStatus,
    Failure,
    MetadataValue,
    ObserveResult,
    ScheduleDefinition,
    define_asset_job,
    multi_observable_source_asset,
)

from assets.specs import Group, asset_spec, table
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.traces.capture.lag import captures_in, lag
from resources.kafka import KafkaResource
from resources.trace_store import TraceStoreResource

KAFKA_CALLBACKS = AssetKey(["kafka", "callbacks"])
OBSERVE_JOB = "observe_kafka"


def kafka_topic() -> AssetsDefinition:
    """Declare `kafka/callbacks`."""
    spec = asset_spec(
        KAFKA_CALLBACKS,
        "The topic that callbacks come on: what each partition holds, and how much of it no capture has read. "
        "Nothing is read but offsets.",
        computed_by="traces",
        reads=[],
        group=Group.RECORDED,
        kinds=["kafka"],
    )
    with warnings.catch_warnings():
        # The decorator for many, since the one for one calls a deprecated property of Dagster's own while loading.
        warnings.simplefilter("ignore", BetaWarning)

        @multi_observable_source_asset(name="kafka_callbacks", specs=[spec])  # type: ignore[untyped-decorator]
        def callbacks(kafka: KafkaResource, trace_store: TraceStoreResource) -> ObserveResult:
            try:
                now = kafka.topic_now()
            except CjPipelineError as problem:
                raise Failure(str(problem), allow_retries=False) from None
            rows = lag(now.cluster_id, now.topic, now.ranges, captures_in(Path(trace_store.root)))
            ends = ",".join(f"{row.partition}={row.high}" for row in rows)
            return ObserveResult(
                data_version=DataVersion(f"{now.cluster_id}/{now.topic}/{ends}"),
                metadata={
                    "topic": now.topic,
                    "cluster_id": now.cluster_id,
                    "partitions": len(rows),
                    "messages": MetadataValue.int(sum(row.high - row.low for row in rows)),
                    "behind": MetadataValue.int(sum(row.behind for row in rows)),
                    "offsets": table(
                        {
                            "partition": row.partition,
                            "first": row.low,
                            "end": row.high,
                            "captured_to": "" if row.captured_to is None else str(row.captured_to),
                            "behind": row.behind,
                        }
                        for row in rows
                    ),
                },
            )

    observed: AssetsDefinition = callbacks
    return observed


observe_kafka = define_asset_job(
    OBSERVE_JOB,
    AssetSelection.assets(KAFKA_CALLBACKS),
    description="Looks at the topic of the callbacks: end offsets, and messages that no capture has read.",
)


def hourly_observation() -> ScheduleDefinition:
    """Declare the hourly observation, switched off: without a cluster it would fail 24 times a day."""
    return ScheduleDefinition(
        name="observe_kafka_hourly",
        job_name=OBSERVE_JOB,
        cron_schedule="0 * * * *",
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.STOPPED,
    )
