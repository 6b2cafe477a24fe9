"""How far captures are behind a topic, from offsets alone."""

from __future__ import annotations

from datetime import UTC, datetime

from cj_pipeline.traces.capture.lag import PartitionLag, lag
from cj_pipeline.traces.capture.source import Range
from cj_pipeline.traces.capture_provenance import CaptureProvenance, PartitionRead

NOON = datetime(2025, 12, 5, 12, tzinfo=UTC)


def capture(read_to: dict[int, int], topic: str = "callbacks", cluster_id: str = "c1") -> CaptureProvenance:
    return CaptureProvenance(
        cluster_id=cluster_id,
        topic=topic,
        partitions=tuple(
            PartitionRead(partition=number, first_offset=0, end_offset=offset, next_offset=offset)
            for number, offset in read_to.items()
        ),
        selection={},
        began_at=NOON,
        finished_at=NOON,
        ending="end reached",
        read=sum(read_to.values()),
        counts={},
        partial=False,
    )


def behind(held: Range, *captures: CaptureProvenance) -> int:
    (row,) = lag("c1", "callbacks", {0: held}, captures)
    return row.behind


def test_without_a_capture_everything_that_is_there_is_unread() -> None:
    assert behind(Range(40, 100, 100)) == 60


def test_the_furthest_capture_of_the_topic_counts() -> None:
    assert behind(Range(0, 100, 100), capture({0: 70}), capture({0: 90}), capture({0: 10})) == 10


def test_captures_of_other_topics_and_other_clusters_do_not_count() -> None:
    others = (capture({0: 100}, topic="elsewhere"), capture({0: 100}, cluster_id="c2"))
    assert behind(Range(0, 100, 100), *others) == 100


def test_what_retention_took_is_not_waited_for() -> None:
    assert behind(Range(80, 100, 100), capture({0: 30})) == 20


def test_a_topic_that_was_made_again_is_all_unread() -> None:
    assert behind(Range(0, 5, 5), capture({0: 100})) == 5


def test_a_partition_that_was_added_since_has_a_row_of_its_own() -> None:
    rows = lag("c1", "callbacks", {1: Range(0, 7, 7), 0: Range(0, 9, 9)}, [capture({0: 9})])
    assert rows == (
        PartitionLag(partition=0, low=0, high=9, captured_to=9, behind=0),
        PartitionLag(partition=1, low=0, high=7, captured_to=None, behind=7),
    )
