"""Where reading begins, how far it has come, and what is done about messages that are gone."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from sqlalchemy import select, text

from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.bus.protocol import MessagesGone
from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.runs.virtual_time import run_real, run_virtual
from cj_pipeline.services.cj.settings import UnreadTopic
from cj_pipeline.services.cj.store.database import Database
from cj_pipeline.services.cj.store.tables import (
    SCHEMA_VERSION,
    batch_states,
    grade_projections,
    processed_essays,
    quarantined_messages,
    schema_versions,
    topic_positions,
)
from cj_pipeline.services.cj.topics.positions import Positions
from tests.kafka import create_topic, fresh_topic
from tests.servers import needs
from tests.services.cj.buses import ForgetfulBus, PartitionedBus
from tests.services.cj.lab import World, request, world
from tests.services.cj.lab import request as asked
from tests.services.cj.test_batches import completed, with_assignment

Row = tuple[str, int, int]


async def positions_in(database: Database) -> list[Row]:
    async with database.transaction() as transaction:
        rows = await transaction.all(select(topic_positions).order_by(*topic_positions.primary_key.columns))
    return [(row.topic, row.message_partition, row.next_offset) for row in rows]


async def positions_of(w: World, topic: str) -> dict[int, int]:
    return {partition: offset for name, partition, offset in await positions_in(w.database) if name == topic}


def test_every_partition_has_a_position_of_its_own_and_a_restart_reads_nothing_twice() -> None:
    async def script() -> None:
        async with world(bus=PartitionedBus()) as w:
            await w.ask(*(request(5, number=number) for number in range(2)))
            for _ in range(100):
                async with w.service():
                    await asyncio.sleep(0.7)
                if len(w.events(CJ_COMPLETED_TOPIC)) == 2:
                    break
            async with w.service():
                await asyncio.sleep(1.0)
            assert [state["completed_comparisons"] for state in await w.rows(batch_states)] == [20, 20]
            assert await w.rows(quarantined_messages) == []
            # 40 callbacks, dealt out to three.
            assert await positions_of(w, COMPARISON_RESULT_TOPIC) == {0: 14, 1: 13, 2: 13}
            assert await positions_of(w, ASSESSMENT_REQUEST_TOPIC) == {0: 1, 1: 1}

    run_virtual(script())


@pytest.mark.parametrize(("begin", "kept"), [("earliest", 4), ("latest", 0)])
def test_what_a_topic_held_before_is_read_or_left_out(begin: str, kept: int) -> None:
    async def script() -> None:
        async with world(bus=PartitionedBus(), unread_topics_begin=begin) as w:
            for _ in range(4):
                await w.bus.publish(COMPARISON_RESULT_TOPIC, b"another team's")
            async with w.service():
                await asyncio.sleep(1.0)
            assert len(await w.rows(quarantined_messages)) == kept
            assert await positions_of(w, COMPARISON_RESULT_TOPIC) == {0: 2, 1: 1, 2: 1}

    run_virtual(script())


def test_latest_counts_once_and_what_comes_while_no_process_runs_is_read() -> None:
    async def script() -> None:
        async with world(unread_topics_begin="latest") as w:
            async with w.service():
                await asyncio.sleep(1.0)  # there is no topic yet
            await w.bus.publish(COMPARISON_RESULT_TOPIC, b"noise")
            async with w.service():
                await asyncio.sleep(1.0)
            assert len(await w.rows(quarantined_messages)) == 1

    run_virtual(script())


def test_messages_that_are_gone_are_counted_and_logged_and_reading_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def script() -> str:
        bus = ForgetfulBus()
        async with world(bus=bus) as w, w.service() as service:
            await w.bus.publish(COMPARISON_RESULT_TOPIC, b"noise")
            await asyncio.sleep(1.0)
            bus.forget(COMPARISON_RESULT_TOPIC, 3)
            await asyncio.sleep(1.0)
            assert await positions_of(w, COMPARISON_RESULT_TOPIC) == {0: 5}
            offsets = [row["message_offset"] for row in await w.rows(quarantined_messages)]
            assert offsets == [0, 4]
            return service.metrics.exposition({}).decode()

    with caplog.at_level(logging.ERROR, logger="cj_pipeline.services.cj"):
        exposition = run_virtual(script())
    assert f'cj_messages_gone_total{{topic="{COMPARISON_RESULT_TOPIC}"}} 3.0' in exposition
    assert "3 messages were removed before they were read (offsets 1 to 3); reading goes on at offset 4" in caplog.text


@pytest.mark.parametrize(
    ("position", "wanted", "first", "lost", "after"),
    [
        (5, 5, 9, 4, 9),
        (7, 5, 9, 2, 9),  # another replica had come further
        (9, 5, 9, None, 9),  # or had passed the gap
        (12, 5, 9, None, 12),
        (5, 5, 0, 0, 0),  # the topic was made anew
        (6, 5, 0, 0, 0),  # and another replica had come further in the old one
        (2, 5, 0, None, 2),  # or has begun the new one
    ],
)
def test_of_replicas_that_find_a_gap_one_counts_it(
    position: int, wanted: int, first: int, lost: int | None, after: int
) -> None:
    async def script() -> None:
        async with world() as w:
            positions = Positions(w.database, w.bus, UnreadTopic.EARLIEST)
            async with w.database.transaction() as transaction:
                assert await positions.advance(transaction, "t", 1, position - 1)
            assert await positions.pass_gap(MessagesGone("t", 1, wanted, first)) == lost
            assert await positions_of(w, "t") == {1: after}

    run_virtual(script())


OLD_TABLES = """
    DROP TABLE cj_topic_positions;
    CREATE TABLE cj_topic_positions (topic VARCHAR(249) NOT NULL PRIMARY KEY, next_offset BIGINT NOT NULL);
    INSERT INTO cj_topic_positions VALUES ('requests', 3), ('callbacks', 5000000000);
    ALTER TABLE cj_quarantined_messages DROP COLUMN message_partition;
    UPDATE cj_schema_versions SET version = 1;
    INSERT INTO cj_quarantined_messages (topic, message_offset, reason, field, message, received_at)
        VALUES ('callbacks', 17, 'late', '', '', '2025-12-01 08:00:00')
"""


@pytest.mark.parametrize("kind", ["sqlite", needs("postgresql")])
def test_a_database_of_the_version_before_keeps_its_rows(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/cj.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))

    async def script() -> None:
        database = Database(url)
        try:
            await database.create_schema(LoopClock())
            async with database.transaction() as transaction:
                for statement in OLD_TABLES.split(";"):
                    await transaction.execute(text(statement))
            replicas = [Database(url) for _ in range(3)]
            await asyncio.gather(*(replica.create_schema(LoopClock()) for replica in replicas))
            for replica in replicas:
                await replica.aclose()
            assert await positions_in(database) == [("callbacks", 0, 5_000_000_000), ("requests", 0, 3)]
            async with database.transaction() as transaction:
                (kept,) = await transaction.all(select(quarantined_messages))
                versions = await transaction.all(select(schema_versions.c.version))
            assert (kept.message_partition, kept.message_offset, kept.reason) == (0, 17, "late")
            assert [row.version for row in versions] == [1, SCHEMA_VERSION]
        finally:
            await database.aclose()

    run_real(script())


WITHOUT_TIMES = """
    ALTER TABLE cj_processed_essays DROP COLUMN created_at;
    ALTER TABLE cj_processed_essays DROP COLUMN updated_at;
    ALTER TABLE grade_projections DROP COLUMN created_at;
    DELETE FROM cj_schema_versions WHERE version < 3;
    UPDATE cj_schema_versions SET version = 2
"""


@pytest.mark.parametrize("kind", ["sqlite", needs("postgresql")])
def test_essays_and_grades_of_the_version_before_get_their_times(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/cj.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))

    async def script() -> None:
        async with world(url=url) as w:
            await with_assignment(w)
            await completed(w, asked(assignment_id="assignment-1"))
            before = [await w.rows(table) for table in (processed_essays, grade_projections)]
            async with w.database.transaction() as transaction:
                for statement in WITHOUT_TIMES.split(";"):
                    await transaction.execute(text(statement))
            await w.database.create_schema(LoopClock())
            for rows, table in zip(before, (processed_essays, grade_projections), strict=True):
                assert len(rows) > 0
                after = await w.rows(table)
                assert all(row.pop("created_at") is not None for row in after)
                for row in [*rows, *after]:
                    row.pop("created_at", None)
                    row.pop("updated_at", None)
                assert after == rows

    run_virtual(script()) if kind == "sqlite" else run_real(script())


def test_latest_is_on_record_although_there_was_no_topic_yet() -> None:
    async def script() -> None:
        async with world(bus=PartitionedBus(), unread_topics_begin="latest") as w:
            async with w.service():
                await asyncio.sleep(1.0)
            await w.bus.publish(COMPARISON_RESULT_TOPIC, b"noise")
            async with w.service():
                await asyncio.sleep(1.0)
            assert len(await w.rows(quarantined_messages)) == 1

    run_virtual(script())


def test_what_retention_took_before_a_topic_was_ever_read_is_not_missed(kafka: str, tmp_path: Path) -> None:
    topic = fresh_topic("old")
    create_topic(kafka, topic, 2)
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    for number in range(20):
        producer.produce(topic, str(number).encode(), partition=number % 2)
    producer.flush(30)
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    for deleted in admin.delete_records([TopicPartition(topic, partition, 7) for partition in (0, 1)]).values():
        deleted.result(30)

    async def script() -> set[tuple[int, int]]:
        bus, database = KafkaBus(KafkaSettings(bootstrap_servers=kafka)), Database(f"sqlite:///{tmp_path}/cj.db")
        await database.create_schema(LoopClock())
        subscription = bus.subscribe(topic, await Positions(database, bus, UnreadTopic.EARLIEST).begin(topic))
        read = [await subscription.next() for _ in range(6)]
        await bus.aclose()
        await database.aclose()
        return {(message.partition, message.offset) for message in read}

    assert run_real(script()) == {(partition, offset) for partition in (0, 1) for offset in (7, 8, 9)}
