"""What every bus does, whatever carries it. A bus with a broker joins by one more entry in KINDS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.bus.protocol import Bus, Message, Outgoing, Subscription

TOPIC = "results"


@dataclass(frozen=True)
class Kind:
    """A way to make a bus, and where buses may differ."""

    make: Callable[[Path], Bus]
    keeps_keys: bool


KINDS = {
    "memory": Kind(lambda _: MemoryBus(), keeps_keys=True),
    "folder": Kind(FolderBus, keeps_keys=False),
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    the_kind: Kind = request.param
    return the_kind


@pytest.fixture
def make_bus(kind: Kind, tmp_path: Path) -> Callable[[], Bus]:
    return lambda: kind.make(tmp_path / "bus")


async def read(subscription: Subscription, number: int) -> list[bytes]:
    return [(await subscription.next()).value for _ in range(number)]


async def publish(bus: Bus, *values: bytes) -> None:
    for value in values:
        await bus.publish(TOPIC, value)


def test_a_message_arrives_as_it_was_published(kind: Kind, make_bus: Callable[[], Bus]) -> None:
    async def scene() -> Message:
        bus = make_bus()
        await bus.publish(TOPIC, b"\x00 any bytes", key=b"essay")
        return await bus.subscribe(TOPIC).next()

    key = b"essay" if kind.keeps_keys else None
    assert asyncio.run(scene()) == Message(topic=TOPIC, offset=0, key=key, value=b"\x00 any bytes")


def test_who_comes_late_starts_at_the_first_message(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> list[bytes]:
        bus = make_bus()
        await publish(bus, b"1", b"2")
        late = bus.subscribe(TOPIC)
        await publish(bus, b"3")
        return await read(late, 3)

    assert asyncio.run(scene()) == [b"1", b"2", b"3"]


def test_messages_come_in_order_and_count_from_zero(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> list[Message]:
        bus = make_bus()
        subscription = bus.subscribe(TOPIC)
        reading = asyncio.create_task(collect(subscription, 100))
        for number in range(100):
            await bus.publish(TOPIC, str(number).encode())
            if number % 7 == 0:
                await asyncio.sleep(0)
        return await reading

    async def collect(subscription: Subscription, number: int) -> list[Message]:
        return [await subscription.next() for _ in range(number)]

    messages = asyncio.run(scene())
    assert [int(message.value) for message in messages] == list(range(100))
    assert [message.offset for message in messages] == list(range(100))


def test_two_readers_have_positions_of_their_own(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> tuple[list[bytes], list[bytes]]:
        bus = make_bus()
        first, second = bus.subscribe(TOPIC), bus.subscribe(TOPIC)
        await publish(bus, b"1", b"2")
        ahead = await read(first, 2)
        return ahead, await read(second, 2)

    assert asyncio.run(scene()) == ([b"1", b"2"], [b"1", b"2"])


def test_one_message_wakes_every_waiting_reader(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> list[Message]:
        bus = make_bus()
        waiting = [asyncio.create_task(bus.subscribe(TOPIC).next()) for _ in range(3)]
        await asyncio.sleep(0)
        await publish(bus, b"1")
        return await asyncio.gather(*waiting)

    assert [message.value for message in asyncio.run(scene())] == [b"1"] * 3


def test_topics_do_not_mix(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> tuple[Message, Message]:
        bus = make_bus()
        await bus.publish("one", b"1")
        await bus.publish("two", b"2")
        return await bus.subscribe("two").next(), await bus.subscribe("one").next()

    two, one = asyncio.run(scene())
    assert (two.value, two.offset, one.value, one.offset) == (b"2", 0, b"1", 0)


def test_giving_up_a_wait_loses_nothing(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> list[bytes]:
        bus = make_bus()
        subscription = bus.subscribe(TOPIC)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await subscription.next()
        await publish(bus, b"1", b"2")
        return await read(subscription, 2)

    assert asyncio.run(scene()) == [b"1", b"2"]


def test_giving_up_in_the_moment_of_arrival_loses_nothing(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> list[bytes]:
        bus = make_bus()
        subscription = bus.subscribe(TOPIC)
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        await publish(bus, b"1")  # the reader is awake now, and has not run yet
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await publish(bus, b"2")
        return await read(subscription, 2)

    assert asyncio.run(scene()) == [b"1", b"2"]


def test_one_reader_giving_up_does_not_disturb_another(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> bytes:
        bus = make_bus()
        impatient, patient = (asyncio.create_task(bus.subscribe(TOPIC).next()) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.sleep(0)
        await publish(bus, b"1")
        return (await patient).value

    assert asyncio.run(scene()) == b"1"


def test_many_handed_over_at_once_arrive_in_order_in_their_topics(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> tuple[list[Exception | None], list[bytes], bytes]:
        bus = make_bus()
        handed = [("one", b"1"), ("two", b"2"), ("one", b"3")]
        results = await bus.publish_all([Outgoing(topic=topic, key=None, value=value) for topic, value in handed])
        return results, await read(bus.subscribe("one"), 2), (await bus.subscribe("two").next()).value

    assert asyncio.run(scene()) == ([None, None, None], [b"1", b"3"], b"2")


def test_handing_over_nothing_is_no_mistake(make_bus: Callable[[], Bus]) -> None:
    assert asyncio.run(make_bus().publish_all([])) == []


def test_who_has_read_some_starts_behind_them(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> list[Message]:
        bus = make_bus()
        await publish(bus, b"1", b"2", b"3")
        subscription = bus.subscribe(TOPIC, {0: 1})
        return [await subscription.next(), await subscription.next()]

    assert [(message.offset, message.value) for message in asyncio.run(scene())] == [(1, b"2"), (2, b"3")]


def test_who_starts_behind_the_end_waits_for_what_comes_there(make_bus: Callable[[], Bus]) -> None:
    async def scene() -> Message:
        bus = make_bus()
        await publish(bus, b"1")
        waiting = asyncio.create_task(bus.subscribe(TOPIC, {0: 2}).next())
        await publish(bus, b"2", b"3")
        return await waiting

    assert asyncio.run(scene()).value == b"3"
