"""What every bus does, whatever carries it. Another one joins by one more entry in KINDS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.bus.protocol import Bus, Message, Outgoing, Subscription
from tests.kafka import create_topic, fresh_topic
from tests.servers import needs


@dataclass(frozen=True)
class Kind:
    """A way to make a bus, and where buses may differ. broker: whether topics are shared with other tests."""

    make: Callable[[pytest.FixtureRequest], Bus]
    keeps_keys: bool
    broker: bool = False


def kafka_bus(request: pytest.FixtureRequest) -> Bus:
    return KafkaBus(KafkaSettings(bootstrap_servers=request.getfixturevalue("kafka")))


KINDS = {
    "memory": Kind(lambda _: MemoryBus(), keeps_keys=True),
    "folder": Kind(lambda request: FolderBus(request.getfixturevalue("tmp_path") / "bus"), keeps_keys=False),
    "kafka": Kind(kafka_bus, keeps_keys=True, broker=True),
}


@pytest.fixture(params=[KINDS["memory"], KINDS["folder"], needs("kafka", KINDS["kafka"])], ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    the_kind: Kind = request.param
    return the_kind


@pytest.fixture
def topic(kind: Kind, request: pytest.FixtureRequest) -> str:
    """A topic of one partition: offsets of several do not count from zero together."""
    name = fresh_topic("results")
    if kind.broker:
        create_topic(request.getfixturevalue("kafka"), name)
    return name


@pytest.fixture
def make_bus(kind: Kind, request: pytest.FixtureRequest) -> Iterator[Callable[[], Bus]]:
    made: list[Bus] = []

    def make() -> Bus:
        made.append(kind.make(request))
        return made[-1]

    yield make
    for bus in made:
        asyncio.run(bus.aclose())  # the loop that it was used on is gone by now


async def read(subscription: Subscription, number: int) -> list[bytes]:
    return [(await subscription.next()).value for _ in range(number)]


async def publish(bus: Bus, topic: str, *values: bytes) -> None:
    for value in values:
        await bus.publish(topic, value)


def test_a_message_arrives_as_it_was_published(kind: Kind, make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> Message:
        bus = make_bus()
        await bus.publish(topic, b"\x00 any bytes", key=b"essay")
        return await bus.subscribe(topic).next()

    key = b"essay" if kind.keeps_keys else None
    assert asyncio.run(scene()) == Message(topic=topic, offset=0, key=key, value=b"\x00 any bytes")


def test_who_comes_late_starts_at_the_first_message(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> list[bytes]:
        bus = make_bus()
        await publish(bus, topic, b"1", b"2")
        late = bus.subscribe(topic)
        await publish(bus, topic, b"3")
        return await read(late, 3)

    assert asyncio.run(scene()) == [b"1", b"2", b"3"]


def test_messages_come_in_order_and_count_from_zero(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> list[Message]:
        bus = make_bus()
        subscription = bus.subscribe(topic)
        reading = asyncio.create_task(collect(subscription, 100))
        for number in range(100):
            await bus.publish(topic, str(number).encode())
            if number % 7 == 0:
                await asyncio.sleep(0)
        return await reading

    async def collect(subscription: Subscription, number: int) -> list[Message]:
        return [await subscription.next() for _ in range(number)]

    messages = asyncio.run(scene())
    assert [int(message.value) for message in messages] == list(range(100))
    assert [message.offset for message in messages] == list(range(100))


def test_two_readers_have_positions_of_their_own(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> tuple[list[bytes], list[bytes]]:
        bus = make_bus()
        first, second = bus.subscribe(topic), bus.subscribe(topic)
        await publish(bus, topic, b"1", b"2")
        ahead = await read(first, 2)
        return ahead, await read(second, 2)

    assert asyncio.run(scene()) == ([b"1", b"2"], [b"1", b"2"])


def test_one_message_wakes_every_waiting_reader(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> list[Message]:
        bus = make_bus()
        waiting = [asyncio.create_task(bus.subscribe(topic).next()) for _ in range(3)]
        await asyncio.sleep(0)
        await publish(bus, topic, b"1")
        return await asyncio.gather(*waiting)

    assert [message.value for message in asyncio.run(scene())] == [b"1"] * 3


def test_topics_do_not_mix(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> tuple[Message, Message]:
        bus = make_bus()
        await bus.publish(f"{topic}.one", b"1")
        await bus.publish(f"{topic}.two", b"2")
        return await bus.subscribe(f"{topic}.two").next(), await bus.subscribe(f"{topic}.one").next()

    two, one = asyncio.run(scene())
    assert (two.value, two.offset, one.value, one.offset) == (b"2", 0, b"1", 0)


def test_giving_up_a_wait_loses_nothing(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> list[bytes]:
        bus = make_bus()
        subscription = bus.subscribe(topic)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await subscription.next()
        await publish(bus, topic, b"1", b"2")
        return await read(subscription, 2)

    assert asyncio.run(scene()) == [b"1", b"2"]


def test_giving_up_in_the_moment_of_arrival_loses_nothing(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> list[bytes]:
        bus = make_bus()
        subscription = bus.subscribe(topic)
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        await publish(bus, topic, b"1")  # the reader is awake now, and has not run yet
        waiting.cancel()
        # A broker's message may be there sooner than its confirmation: then the reader has it, and was not given up.
        (end,) = await asyncio.gather(waiting, return_exceptions=True)
        had = [end.value] if isinstance(end, Message) else []
        assert had or isinstance(end, asyncio.CancelledError)
        await publish(bus, topic, b"2")
        return had + await read(subscription, 2 - len(had))

    assert asyncio.run(scene()) == [b"1", b"2"]


def test_one_reader_giving_up_does_not_disturb_another(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> bytes:
        bus = make_bus()
        impatient, patient = (asyncio.create_task(bus.subscribe(topic).next()) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.sleep(0)
        await publish(bus, topic, b"1")
        return (await patient).value

    assert asyncio.run(scene()) == b"1"


def test_many_handed_over_at_once_arrive_in_order_in_their_topics(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> tuple[list[Exception | None], list[bytes], bytes]:
        bus = make_bus()
        handed = [(f"{topic}.one", b"1"), (f"{topic}.two", b"2"), (f"{topic}.one", b"3")]
        results = await bus.publish_all([Outgoing(topic=name, key=b"key", value=value) for name, value in handed])
        return results, await read(bus.subscribe(f"{topic}.one"), 2), (await bus.subscribe(f"{topic}.two").next()).value

    assert asyncio.run(scene()) == ([None, None, None], [b"1", b"3"], b"2")


def test_handing_over_nothing_is_no_mistake(make_bus: Callable[[], Bus], topic: str) -> None:
    assert asyncio.run(make_bus().publish_all([])) == []


def test_who_has_read_some_starts_behind_them(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> list[Message]:
        bus = make_bus()
        await publish(bus, topic, b"1", b"2", b"3")
        subscription = bus.subscribe(topic, {0: 1})
        return [await subscription.next(), await subscription.next()]

    assert [(message.offset, message.value) for message in asyncio.run(scene())] == [(1, b"2"), (2, b"3")]


def test_who_starts_behind_the_end_waits_for_what_comes_there(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> Message:
        bus = make_bus()
        await publish(bus, topic, b"1")
        waiting = asyncio.create_task(bus.subscribe(topic, {0: 2}).next())
        await publish(bus, topic, b"2", b"3")
        return await waiting

    assert asyncio.run(scene()).value == b"3"


def test_who_starts_at_the_end_is_given_what_comes_from_then_on(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> Message:
        bus = make_bus()
        await publish(bus, topic, b"1", b"2")
        subscription = bus.subscribe(topic, await bus.end(topic))
        await publish(bus, topic, b"3")
        return await subscription.next()

    assert asyncio.run(scene()).value == b"3"


def test_a_topic_that_does_not_exist_ends_where_it_will_begin(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> Message:
        bus = make_bus()
        end = await bus.end(f"{topic}.new")
        await publish(bus, f"{topic}.new", b"1")
        return await bus.subscribe(f"{topic}.new", end).next()

    assert asyncio.run(scene()).value == b"1"


def test_a_topic_may_be_prepared_before_and_after_its_first_message(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> list[bytes]:
        bus = make_bus()
        await bus.prepare([f"{topic}.new", topic])
        await publish(bus, f"{topic}.new", b"1")
        await bus.prepare([f"{topic}.new"])
        await publish(bus, f"{topic}.new", b"2")
        return await read(bus.subscribe(f"{topic}.new"), 2)

    assert sorted(asyncio.run(scene())) == [b"1", b"2"]


def test_closing_twice_is_no_mistake(make_bus: Callable[[], Bus], topic: str) -> None:
    async def scene() -> None:
        bus = make_bus()
        await publish(bus, topic, b"1")
        await bus.subscribe(topic).next()
        await bus.aclose()
        await bus.aclose()

    asyncio.run(scene())
