"""What only Kafka has: partitions, retention, transactions, sizes, and an end that must be waited for.

Here: one broker that runs. Not here: brokers that die (test_kafka_outages.py), what every bus does (test_bus.py).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from itertools import groupby
from typing import Any

import pytest
import uvloop
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from cj_pipeline.bus.kafka import partitions as partitions_module
from cj_pipeline.bus.kafka import producer as producer_module
from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.bus.kafka.clients import new_producer
from cj_pipeline.bus.kafka.errors import MessageTooLarge, NoSuchTopic, NotDelivered, Undelivered
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.bus.protocol import Message, MessagesGone, Outgoing, Subscription
from cj_pipeline.foundation.errors import BadInput
from tests.kafka import create_topic, fresh_topic, values_of

Scene = Callable[[KafkaBus], Coroutine[Any, Any, Any]]


def with_bus(bootstrap: str, scene: Scene, **settings: Any) -> Any:
    """What comes of a scene with a bus that is closed after it."""

    async def main() -> Any:
        bus = KafkaBus(KafkaSettings(bootstrap_servers=bootstrap, **settings))
        try:
            async with asyncio.timeout(60):
                return await scene(bus)
        finally:
            await bus.aclose()

    return asyncio.run(main())


@pytest.fixture
def topic(kafka: str) -> str:
    name = fresh_topic("kafka-bus")
    create_topic(kafka, name)
    return name


@pytest.fixture
def admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka, "log_level": 0})


async def read(subscription: Subscription, number: int) -> list[Message]:
    return [await subscription.next() for _ in range(number)]


def outgoing(topic: str, *values: bytes, key: bytes | None = b"key") -> list[Outgoing]:
    return [Outgoing(topic, key, value) for value in values]


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


# murmur2 of keys, from Kafka's own tests of its client; 2^31 - 1 of them modulo the partitions is Java's choice.
@pytest.mark.parametrize(("key", "murmur2"), [(b"21", -973932308), (b"foobar", -790332482), (b"abc", 479470107)])
def test_a_key_has_the_partition_that_clients_in_java_give_it(kafka: str, key: bytes, murmur2: int) -> None:
    topic = fresh_topic("keys")
    create_topic(kafka, topic, 7)

    async def scene(bus: KafkaBus) -> int:
        await bus.publish(topic, b"1", key=key)
        return (await bus.subscribe(topic).next()).partition

    assert with_bus(kafka, scene) == (murmur2 & 0x7FFFFFFF) % 7


def test_every_partition_is_read_in_order_from_a_start_of_its_own(kafka: str) -> None:
    topic = fresh_topic("partitions")
    create_topic(kafka, topic, 3)

    async def scene(bus: KafkaBus) -> tuple[list[Message], Mapping[int, int], list[Message]]:
        await bus.publish_all([Outgoing(topic, b"%d" % (number % 20), b"%d" % number) for number in range(600)])
        everything = await read(bus.subscribe(topic), 600)
        ends = await bus.end(topic)
        start = {0: ends[0] - 2, 1: ends[1], 2: 0}
        return everything, ends, await read(bus.subscribe(topic, start), 2 + ends[2])

    everything, ends, later = with_bus(kafka, scene)
    assert sorted(int(message.value) for message in everything) == list(range(600))
    by_partition = {p: [m for m in everything if m.partition == p] for p in range(3)}
    for partition, messages in by_partition.items():
        assert [message.offset for message in messages] == list(range(ends[partition]))
        assert [int(message.value) for message in messages] == sorted(int(message.value) for message in messages)
    expected = {0: [ends[0] - 2, ends[0] - 1], 2: list(range(ends[2]))}
    in_order = sorted(later, key=lambda message: message.partition)
    found = {
        p: [message.offset for message in group] for p, group in groupby(in_order, lambda message: message.partition)
    }
    assert found == expected


def test_a_partition_that_a_topic_gets_later_is_read_from_its_beginning(
    kafka: str, topic: str, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions_module, "_LOOK_FOR_PARTITIONS_S", 0.2)

    async def scene(bus: KafkaBus) -> Message:
        subscription = bus.subscribe(topic)
        await bus.publish(topic, b"old")
        await subscription.next()
        admin.create_partitions([NewPartitions(topic, 2)])[topic].result(30)
        raw = Producer({"bootstrap.servers": kafka})
        for _ in range(200):
            # Brokers learn of it one after the other.
            try:
                raw.produce(topic, b"new", partition=1)
                break
            except KafkaException:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(raw.flush, 30)
        return await subscription.next()

    assert with_bus(kafka, scene) == Message(topic=topic, offset=0, key=None, value=b"new", partition=1)


def test_a_topic_that_does_not_exist_is_waited_for_without_a_word(kafka: str, caplog: pytest.LogCaptureFixture) -> None:
    topic = fresh_topic("later")

    async def scene(bus: KafkaBus) -> bytes:
        waiting = asyncio.create_task(bus.subscribe(topic).next())
        await asyncio.sleep(1.0)
        assert not waiting.done()
        assert await bus.end(topic) == {}  # waiting made none
        await bus.publish(topic, b"1")
        return (await waiting).value

    with caplog.at_level(logging.INFO):
        assert with_bus(kafka, scene) == b"1"
    # A producer on a fresh broker may have something to say.
    assert [record.message for record in caplog.records if "#producer" not in record.message] == []


def test_who_is_behind_the_retention_is_told_and_goes_on_with_what_is_left(
    kafka: str, topic: str, admin: AdminClient
) -> None:
    async def scene(bus: KafkaBus) -> tuple[MessagesGone, Message, Message]:
        await bus.publish_all(outgoing(topic, *numbered(10)))
        admin.delete_records([TopicPartition(topic, 0, 6)])[TopicPartition(topic, 0)].result(30)
        behind = bus.subscribe(topic, {0: 2})
        with pytest.raises(MessagesGone) as gone:
            await behind.next()
        # Who names no offset wants what there is, and misses nothing.
        return gone.value, await behind.next(), await bus.subscribe(topic).next()

    gone, next_one, first = with_bus(kafka, scene)
    assert (gone.topic, gone.partition, gone.wanted, gone.first) == (topic, 0, 2, 6)
    assert str(gone) == (
        f"'{topic}', partition 0: 4 messages were removed before they were read (offsets 2 to 5); "
        "reading goes on at offset 6."
    )
    assert (next_one.offset, first.offset) == (6, 6)


def test_who_reads_a_topic_that_is_made_anew_is_told_and_reads_the_new_one(
    kafka: str, topic: str, admin: AdminClient
) -> None:
    async def scene(bus: KafkaBus) -> tuple[MessagesGone, list[Message]]:
        await bus.publish_all(outgoing(topic, *numbered(10)))
        subscription = bus.subscribe(topic)
        await read(subscription, 10)
        admin.delete_topics([topic])[topic].result(30)
        while await bus.end(topic):
            await asyncio.sleep(0.05)
        create_topic(kafka, topic)
        await bus.publish_all(outgoing(topic, b"anew", b"and more"))
        with pytest.raises(MessagesGone) as gone:
            await subscription.next()
        return gone.value, await read(subscription, 2)

    gone, messages = with_bus(kafka, scene)
    assert (gone.wanted, gone.first) == (10, 0)
    assert "the log ends before offset 10, which was next" in str(gone)
    assert [(message.offset, message.value) for message in messages] == [(0, b"anew"), (1, b"and more")]


def test_a_message_that_is_too_large_fails_alone_and_is_not_quoted(kafka: str, topic: str) -> None:
    large = b"an essay's words " * 100_000  # 1.7 MB, of 1 MB that the client takes

    async def scene(bus: KafkaBus) -> list[Exception | None]:
        return await bus.publish_all(outgoing(topic, b"1", large, b"2"))

    before, failed, after = with_bus(kafka, scene)
    assert (before, type(failed), after) == (None, MessageTooLarge, None)
    assert "essay" not in str(failed)
    assert values_of(kafka, topic) == [b"1", b"2"]


def test_a_batch_that_the_broker_refuses_for_its_size_is_sent_again_one_by_one(kafka: str, admin: AdminClient) -> None:
    topic = fresh_topic("small")
    admin.create_topics([NewTopic(topic, 1, 1, config={"max.message.bytes": "4000"})])[topic].result(30)
    values = [b"%03d" % number + b"x" * 1_000 for number in range(30)]
    values[10] = b"an essay's words " * 400

    async def scene(bus: KafkaBus) -> list[Exception | None]:
        beside = asyncio.create_task(bus.publish_all(outgoing(topic, *[b"beside"] * 5)))
        results = await bus.publish_all(outgoing(topic, *values))
        assert await beside == [None] * 5
        return results

    results = with_bus(kafka, scene)
    assert [number for number, result in enumerate(results) if result is not None] == [10]
    assert type(results[10]) is MessageTooLarge
    assert "essay" not in str(results[10])
    stored = [value for value in values_of(kafka, topic) if value != b"beside"]
    assert stored == values[:10] + values[11:]


def test_a_full_queue_of_the_client_is_waited_for(kafka: str, topic: str) -> None:
    async def scene(bus: KafkaBus) -> list[Exception | None]:
        several = (
            bus.publish_all(outgoing(topic, *numbered(500)[start : start + 100])) for start in range(0, 500, 100)
        )
        return [result for results in await asyncio.gather(*several) for result in results]

    assert with_bus(kafka, scene, extra={"queue.buffering.max.messages": "7"}) == [None] * 500
    assert values_of(kafka, topic) == numbered(500)


def test_a_cluster_that_makes_no_such_topic_says_so(kafka: str) -> None:
    topic = fresh_topic("never")

    async def scene(bus: KafkaBus) -> None:
        with pytest.raises(NoSuchTopic, match=rf"'{topic}': .*\(_?UNKNOWN_TOPIC"):
            await bus.publish(topic, b"an essay's words")

    quick = {"allow.auto.create.topics": "false", "topic.metadata.propagation.max.ms": "200"}
    with_bus(kafka, scene, extra=quick)


def test_topics_are_made_as_they_are_set_up(kafka: str, topic: str, admin: AdminClient) -> None:
    new = fresh_topic("prepared")

    async def scene(bus: KafkaBus) -> Mapping[int, int]:
        await bus.prepare([topic, new])
        return await bus.end(new)

    assert with_bus(kafka, scene, topic_partitions=5, topic_replication=1) == dict.fromkeys(range(5), 0)
    assert len(admin.list_topics(topic, timeout=30).topics[topic].partitions) == 1


def test_a_topic_that_may_not_be_made_is_named_in_the_log(kafka: str, caplog: pytest.LogCaptureFixture) -> None:
    new = fresh_topic("prepared")
    with caplog.at_level(logging.WARNING):
        with_bus(kafka, lambda bus: bus.prepare([new]), topic_replication=99)
    assert f"topic '{new}' was not made: INVALID_REPLICATION_FACTOR" in caplog.text


def test_messages_of_a_transaction_that_was_given_up_are_not_read(kafka: str, topic: str) -> None:
    raw = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    raw.init_transactions(30)
    for value, end in ((b"given up", raw.abort_transaction), (b"kept", raw.commit_transaction)):
        raw.begin_transaction()
        raw.produce(topic, value)
        raw.flush(30)
        end(30)

    async def scene(bus: KafkaBus) -> list[Message]:
        subscription = bus.subscribe(topic)
        await bus.publish(topic, b"after")
        return await read(subscription, 2)

    messages = with_bus(kafka, scene)
    # 1 and 3 are the broker's marks of the transactions' ends.
    assert [(message.offset, message.value) for message in messages] == [(2, b"kept"), (4, b"after")]


def test_a_slow_reader_is_not_handed_everything_at_once(kafka: str, topic: str) -> None:
    async def scene(bus: KafkaBus) -> tuple[int, list[Message]]:
        await bus.publish_all(outgoing(topic, *numbered(5_000)))
        subscription = bus.subscribe(topic)
        first = await subscription.next()
        await asyncio.sleep(0.5)
        waiting = len(subscription._come)
        return waiting, [first, *await read(subscription, 4_999)]

    waiting, messages = with_bus(kafka, scene)
    assert 1 <= waiting < 1_250
    assert [message.value for message in messages] == numbered(5_000)


def test_a_producer_that_broke_for_good_is_replaced(
    kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def produce(self, *_: object, **__: object) -> None:
            raise KafkaException(KafkaError(KafkaError._FATAL, "an essay's words", fatal=True))

        def poll(self, _: float) -> int:
            return 0

        def purge(self) -> None:
            pass

        def __len__(self) -> int:
            return 0

    made: list[Any] = [Broken()]
    monkeypatch.setattr(
        producer_module, "new_producer", lambda settings: made.pop() if made else new_producer(settings)
    )
    with_bus(kafka, lambda bus: bus.publish_all(outgoing(topic, b"1", b"2")))
    assert values_of(kafka, topic) == [b"1", b"2"]
    ours = [record.message for record in caplog.records if not record.name.endswith("librdkafka")]
    assert ours == ["the Kafka producer broke and is replaced: _FATAL"]


def test_a_publish_that_is_given_up_arrives_once(kafka: str, topic: str) -> None:
    async def scene(bus: KafkaBus) -> None:
        publishing = asyncio.create_task(bus.publish(topic, b"1"))
        await asyncio.sleep(0)
        publishing.cancel()
        await bus.publish(topic, b"2")

    with_bus(kafka, scene)
    assert values_of(kafka, topic) == [b"1", b"2"]


def test_closing_delivers_what_was_handed_over_and_ends_every_thread(kafka: str, topic: str) -> None:
    async def scene() -> None:
        bus = KafkaBus(KafkaSettings(bootstrap_servers=kafka))
        await bus.publish(topic, b"0")
        subscription = bus.subscribe(topic)
        await subscription.next()
        waiting = asyncio.create_task(subscription.next())
        publishing = asyncio.create_task(bus.publish_all(outgoing(topic, b"1", b"2")))
        await asyncio.sleep(0)
        await bus.aclose()
        assert await publishing == [None, None]
        await asyncio.wait([waiting])
        while not waiting.exception():  # what had come before can still be taken
            waiting = asyncio.create_task(subscription.next())
            await asyncio.wait([waiting])
        assert "the subscription is closed" in str(waiting.exception())
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("kafka-")] == []
        with pytest.raises(RuntimeError, match="the bus is closed"):
            await bus.publish(topic, b"3")
        with pytest.raises(RuntimeError, match="the bus is closed"):
            bus.subscribe(topic)

    asyncio.run(scene())
    assert values_of(kafka, topic) == [b"0", b"1", b"2"]


def test_a_bus_that_nobody_closed_ends_its_threads_with_its_loop(kafka: str, topic: str) -> None:
    async def scene() -> None:
        bus = KafkaBus(KafkaSettings(bootstrap_servers=kafka))
        await bus.publish(topic, b"1")
        await bus.subscribe(topic).next()

    asyncio.run(scene())
    left = [thread for thread in threading.enumerate() if thread.name.startswith("kafka-")]
    for thread in left:
        thread.join(30)
    assert [thread for thread in left if thread.is_alive()] == []


def test_it_works_on_uvloop(kafka: str, topic: str) -> None:
    async def scene() -> list[Message]:
        bus = KafkaBus(KafkaSettings(bootstrap_servers=kafka))
        subscription = bus.subscribe(topic)
        reading = asyncio.create_task(read(subscription, 100))
        await bus.publish_all(outgoing(topic, *numbered(100)))
        messages = await reading
        await bus.aclose()
        return messages

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert [message.value for message in runner.run(scene())] == numbered(100)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "å", "a" * 250])
def test_a_name_that_no_topic_can_have_is_refused(name: str) -> None:
    async def scene() -> list[Exception | None]:
        bus = KafkaBus(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
        for asked in (bus.end(name), bus.prepare([name])):
            with pytest.raises(BadInput, match=r"is not a topic name\. Use 1 to 249 letters"):
                await asked
        with pytest.raises(BadInput, match="is not a topic name"):
            bus.subscribe(name)
        results = await bus.publish_all(outgoing(name, b"1"))
        await bus.aclose()
        return results

    (refused,) = asyncio.run(scene())
    assert isinstance(refused, BadInput)


def test_a_bus_that_closes_with_more_than_the_client_holds_leaves_nobody_waiting() -> None:
    async def scene() -> list[Exception | None]:
        # Nobody listens on port 1, and the client holds ten.
        settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", extra={"queue.buffering.max.messages": "10"})
        bus = KafkaBus(settings)
        publishing = asyncio.create_task(bus.publish_all([Outgoing("topic", None, b"x")] * 100))
        await asyncio.sleep(0.1)
        with pytest.raises(Undelivered, match="100 to 'topic'"):
            await bus.aclose()
        async with asyncio.timeout(10):
            return await publishing

    assert all(isinstance(end, NotDelivered) for end in asyncio.run(scene()))
