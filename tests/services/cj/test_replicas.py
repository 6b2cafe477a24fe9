"""Two replicas on one database and one bus: nothing is submitted twice, and nothing ends twice."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import delete, text
from sqlalchemy.exc import OperationalError

from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.model import WireModel
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.runs.virtual_time import run_real, run_virtual
from cj_pipeline.services.cj.batch.stored_batch import StateCache, lock_batch
from cj_pipeline.services.cj.results.outbox import OutboxRelay, write_event
from cj_pipeline.services.cj.store.database import Database, OtherSchema, is_away
from cj_pipeline.services.cj.store.tables import (
    SCHEMA_VERSION,
    batch_states,
    batch_uploads,
    comparison_pairs,
    metadata,
    quarantined_messages,
    schema_versions,
    topic_positions,
    wave_submissions,
)
from tests.servers import needs
from tests.services.cj.lab import OUTPUTS, World, request, settings, world

BATCHES = 3


async def emptied(w: World) -> None:
    """Nothing of an earlier test: they share one server."""
    async with w.database.transaction() as transaction:
        for table in reversed(metadata.sorted_tables):
            if table is not schema_versions:
                await transaction.execute(delete(table))


async def race(url: str, replicas: int, latency_ms: int) -> None:
    """Some batches at once, every callback twice, by several replicas that all read everything."""
    async with world("cj_generic_batch", url=url, lps={"mock_latency_ms": latency_ms}) as w, AsyncExitStack() as stack:
        await emptied(w)
        publish_all = w.bus.publish_all

        async def twice(messages):  # type: ignore[no-untyped-def]
            await publish_all(messages)
            return await publish_all([m for m in messages if m.topic == COMPARISON_RESULT_TOPIC]) or [None]

        w.bus.publish_all = twice  # type: ignore[method-assign]
        databases = [Database(url) for _ in range(replicas)]
        for database in databases:
            stack.push_async_callback(database.aclose)
            await stack.enter_async_context(w.service(database))
        await w.ask(*(request(5, number=number) for number in range(BATCHES)))
        async with asyncio.timeout(50.0 * 60):
            await w.next_event(CJ_COMPLETED_TOPIC, BATCHES - 1)
            while len(w.events(OUTPUTS[-1])) < BATCHES or not await all_callbacks_read(w):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        await nothing_is_doubled(w)


async def all_callbacks_read(w: World) -> bool:
    positions = {row["topic"]: row["next_offset"] for row in await w.rows(topic_positions)}
    return positions.get(COMPARISON_RESULT_TOPIC) == 2 * 20 * BATCHES


async def nothing_is_doubled(w: World) -> None:
    assert set(w.lps.posts.values()) == {1}
    assert w.published() == dict(zip(OUTPUTS, (BATCHES, BATCHES, 0, BATCHES), strict=True))
    for topic in OUTPUTS:
        events = w.events(topic)
        assert len({event["event_id"] for event in events}) == len(events)
    assert len(await w.rows(batch_uploads)) == BATCHES
    for state in await w.rows(batch_states):
        assert (state["state"], state["submitted_comparisons"], state["completed_comparisons"]) == ("COMPLETED", 20, 20)
    pairs = await w.rows(comparison_pairs)
    assert len(pairs) == 20 * BATCHES
    for batch_id in {pair["cj_batch_id"] for pair in pairs}:
        numbers = sorted(pair["answer_number"] for pair in pairs if pair["cj_batch_id"] == batch_id)
        assert numbers == list(range(1, 21))
    kept = [row["reason"] for row in await w.rows(quarantined_messages)]
    assert len(kept) == 20 * BATCHES
    assert set(kept) <= {"duplicate", "late"}
    assert all(row["sent"] for row in await w.rows(wave_submissions))
    positions = {row["topic"]: row["next_offset"] for row in await w.rows(topic_positions)}
    assert positions[COMPARISON_RESULT_TOPIC] == 2 * 20 * BATCHES


def test_two_replicas_on_sqlite_in_virtual_time(tmp_path: Path) -> None:
    run_virtual(race(f"sqlite:///{tmp_path}/cj.db", 2, 200))


def test_three_replicas_on_sqlite_that_are_answered_at_once(tmp_path: Path) -> None:
    run_real(race(f"sqlite:///{tmp_path}/cj.db", 3, 0))


def test_three_replicas_on_postgresql(postgres_url: str) -> None:
    run_real(race(postgres_url, 3, 0))


def test_a_sqlite_that_another_process_holds_is_an_error_that_trying_again_can_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cj_pipeline.services.cj.store.sqlite_driver.PATIENCE_S", 0.05)

    async def script() -> None:
        database = Database(f"sqlite:///{tmp_path}/cj.db")
        ends: list[str] = []
        database.watch(lambda how, _: ends.append(how), lambda kind: None)
        async with database.transaction() as transaction:
            await transaction.execute(text("CREATE TABLE a (x integer)"))
        with closing(sqlite3.connect(tmp_path / "cj.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(OperationalError, match="locked") as raised:
                async with database.transaction() as transaction:
                    await transaction.execute(text("INSERT INTO a VALUES (1)"))
        assert is_away(raised.value)
        async with database.transaction() as transaction:
            await transaction.execute(text("INSERT INTO a VALUES (1)"))
        await database.aclose()
        assert ends == ["commit", "commit"]

    run_real(script())


def test_a_session_that_is_ended_in_a_transaction_is_an_error_that_trying_again_can_help(postgres_url: str) -> None:
    async def script() -> None:
        database = Database(postgres_url)
        seen: list[tuple[str, float]] = []
        database.watch(lambda how, took_s: seen.append((how, took_s)), lambda kind: None)
        with pytest.raises(Exception, match="connection") as raised:
            async with database.transaction() as transaction:
                await transaction.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert is_away(raised.value)
        async with database.transaction() as transaction:
            assert (await transaction.first(text("SELECT 1"))) is not None
        await database.aclose()
        assert [how for how, _ in seen] == ["rollback", "commit"]
        assert all(0 <= took_s < 60 for _, took_s in seen)

    run_real(script())


def test_a_postgresql_that_ends_every_session_again_and_again_costs_nothing(postgres_url: str) -> None:
    async def script() -> None:
        async with world(url=postgres_url, lps={"mock_latency_ms": 5}) as w:
            await emptied(w)
            admin = await asyncpg.connect(postgres_url)
            await w.ask(*(request(5, number=number) for number in range(BATCHES)))
            ended = 0
            async with asyncio.timeout(300), w.service() as service:
                while len(w.events(OUTPUTS[-1])) < BATCHES:
                    await asyncio.sleep(0.15)
                    if ended < 12:
                        ended += await admin.fetchval(
                            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                            "WHERE usename = 'cj' AND pid <> pg_backend_pid()"
                        )
                    assert service.running
                await asyncio.sleep(1.0)
            await admin.close()
            assert ended >= 1
            for state in await w.rows(batch_states):
                assert (state["state"], state["completed_comparisons"]) == ("COMPLETED", 20)
            assert {len({event["event_id"] for event in w.events(topic)}) for topic in OUTPUTS} == {0, BATCHES}
            assert set(w.lps.posts.values()) <= {1, 2}

    run_real(script())


def test_a_wave_whose_sender_died_is_sent_by_another_once_its_lease_is_over(tmp_path: Path) -> None:
    async def script() -> None:
        url = f"sqlite:///{tmp_path}/cj.db"
        async with world(url=url) as w:
            w.lps.shut = True
            await w.ask(request(3))
            async with w.service():
                await asyncio.sleep(0.5)  # claimed, and not sent
            w.lps.shut = False
            async with w.service():
                await asyncio.sleep(settings().submission_lease_seconds - 2.0)
                assert not w.lps.posts
                await w.next_event(CJ_COMPLETED_TOPIC, patience_s=10.0)
            assert set(w.lps.posts.values()) == {1}

    run_virtual(script())


def test_a_lease_is_renewed_for_as_long_as_its_sender_sends(tmp_path: Path) -> None:
    async def script() -> None:
        url = f"sqlite:///{tmp_path}/cj.db"
        # Attempts at 0, 100 and 300 s; a lease of 30 s.
        slow = {"llm_retry_wait_min_seconds": 100.0, "llm_retry_wait_max_seconds": 200.0}
        async with world(url=url, submission_lease_seconds=30.0, **slow) as w:
            w.lps.shut = True
            other = Database(url)
            await w.ask(request(3))
            async with w.service(), w.service(other):
                await asyncio.sleep(250.0)
                w.lps.shut = False
                await w.next_event(CJ_COMPLETED_TOPIC)
                await asyncio.sleep(1000.0)  # whoever had taken it over would still be sending
            await other.aclose()
            assert set(w.lps.posts.values()) == {1}

    run_virtual(script())


def test_a_replica_takes_up_what_another_one_began(tmp_path: Path) -> None:
    # Each sees half of the callbacks first: no state in memory is good without a look at the database.
    async def script() -> None:
        async with world(url=f"sqlite:///{tmp_path}/cj.db") as w:
            await w.ask(request(5))
            for _ in range(200):
                async with w.service():
                    await asyncio.sleep(0.25)
                if w.events(CJ_COMPLETED_TOPIC):
                    break
            (state,) = await w.rows(batch_states)
            assert (state["state"], state["completed_comparisons"]) == ("COMPLETED", 20)

    run_virtual(script())


def test_two_replicas_that_take_callbacks_in_turn_agree_about_every_one(tmp_path: Path) -> None:
    async def script() -> None:
        async with world(url=f"sqlite:///{tmp_path}/cj.db") as w:
            other = Database(f"sqlite:///{tmp_path}/cj.db")
            replicas = (w.service(), w.service(other))
            await w.ask(request(5))
            await replicas[0]._requests._take(await w.bus.message(ASSESSMENT_REQUEST_TOPIC, 0))
            for offset in range(20):
                message = await w.bus.message(COMPARISON_RESULT_TOPIC, offset)
                await replicas[offset % 2]._callbacks._take(message)
            (state,) = await w.rows(batch_states)
            assert (state["state"], state["completed_comparisons"], state["current_iteration"]) == ("COMPLETED", 20, 6)
            for replica in replicas:
                await replica._submitter.stop()
            await other.aclose()

    run_virtual(script())


@pytest.fixture(params=["sqlite", needs("postgresql")])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/cj.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


async def with_a_batch(w: World) -> int:
    """A batch whose callbacks nobody takes in; its id."""
    await emptied(w)
    replica = w.service()
    await w.ask(request(3))
    await replica._requests._take(await w.bus.message(ASSESSMENT_REQUEST_TOPIC, 0))
    await replica._submitter.stop()
    return int((await w.rows(batch_states))[0]["batch_id"])


def test_a_batch_that_one_transaction_works_on_is_waited_for(url: str) -> None:
    async def script() -> None:
        async with world(url=url) as w:
            cj_batch_id = await with_a_batch(w)
            other = Database(url)
            order: list[str] = []

            async def work(database: Database, name: str, for_s: float) -> None:
                async with database.transaction() as transaction:
                    await lock_batch(transaction, cj_batch_id, StateCache())
                    order.append(f"{name} begins")
                    await asyncio.sleep(for_s)
                    order.append(f"{name} ends")

            first = asyncio.create_task(work(w.database, "first", 0.3))
            await asyncio.sleep(0.1)
            await work(other, "second", 0.0)
            await first
            assert order == ["first begins", "first ends", "second begins", "second ends"]
            await other.aclose()

    run_real(script())


def test_two_relays_publish_an_event_once(url: str) -> None:
    async def script() -> None:
        async with world(url=url) as w:
            await with_a_batch(w)
            async with w.database.transaction() as transaction:
                for number in range(3):
                    await write_event(
                        transaction,
                        WireModel(),
                        aggregate_id=str(number),
                        topic=CJ_COMPLETED_TOPIC,
                        correlation_id=UUID(int=number),
                        key="k",
                        now=w.clock.now(),
                    )
            publish_all = w.bus.publish_all

            async def slowly(messages):  # type: ignore[no-untyped-def]
                await asyncio.sleep(0.05)
                return await publish_all(messages)

            w.bus.publish_all = slowly  # type: ignore[method-assign]
            other = Database(url)
            relays = [OutboxRelay(database, w.bus, w.clock, w.settings) for database in (w.database, other)]
            await asyncio.gather(*(relay.publish_some() for relay in relays))
            assert len(w.events(CJ_COMPLETED_TOPIC)) == 3
            await other.aclose()

    run_real(script())


@pytest.mark.parametrize("kind", ["sqlite", needs("postgresql")])
def test_a_schema_of_another_version_is_not_served(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/cj.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))

    async def script() -> None:
        database = Database(url)
        try:
            await asyncio.gather(*(database.create_schema(LoopClock()) for _ in range(3)))
            async with database.transaction() as transaction:
                await transaction.execute(schema_versions.update().values(version=99))
            with pytest.raises(OtherSchema, match="99"):
                await database.create_schema(LoopClock())
            async with database.transaction() as transaction:
                await transaction.execute(schema_versions.update().values(version=SCHEMA_VERSION))
        finally:
            await database.aclose()

    run_real(script())


def test_a_stored_request_is_the_same_json_in_both_databases(postgres_url: str) -> None:
    async def script() -> None:
        async with world(url=postgres_url, lps={"mock_latency_ms": 0}) as w:
            await emptied(w)
            await w.ask(request(2, metadata={"max_comparisons": 1}))
            async with w.service():
                await w.next_event(CJ_COMPLETED_TOPIC)
            (upload,), (state,) = await w.rows(batch_uploads), await w.rows(batch_states)
            assert upload["created_at"].tzinfo is None
            assert state["last_activity_at"].utcoffset() is not None
            assert json.dumps(upload["processing_metadata"]["original_request"])

    run_real(script())
