"""Brokers that die, are away, or let nobody in: what was published stays published, and readers miss nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from cj_pipeline.bus.kafka import bus as bus_module
from cj_pipeline.bus.kafka import topics as topics_module
from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.bus.kafka.errors import BrokerAway, NotAuthorised, NotDelivered, Undelivered
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.bus.protocol import Outgoing
from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.kafka_broker import KafkaBroker
from tests.guarded_kafka import GuardedBroker
from tests.kafka import create_topic, fresh_topic, values_of

NOBODY = "127.0.0.1:1"
TOPIC = "outages"


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_a_broker_that_is_killed_twice_loses_and_doubles_nothing(own_kafka: KafkaBroker) -> None:
    create_topic(own_kafka.bootstrap_servers, TOPIC)
    total = 4_000

    async def scene() -> tuple[list[Exception | None], list[bytes]]:
        bus = KafkaBus(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers))
        subscription = bus.subscribe(TOPIC)
        come: list[bytes] = []

        async def publish() -> list[Exception | None]:
            results: list[Exception | None] = []
            for start in range(0, total, 20):
                messages = [Outgoing(TOPIC, b"key", b"%d" % number) for number in range(start, start + 20)]
                results += await bus.publish_all(messages)
                await asyncio.sleep(0.005)
            return results

        async def read() -> None:
            while len(come) < total:
                come.append((await subscription.next()).value)

        async def strike() -> None:
            for reached in (500, 2_000):
                while len(come) < reached:
                    await asyncio.sleep(0.005)
                await asyncio.to_thread(own_kafka.kill)
                await asyncio.to_thread(own_kafka.start)

        async with asyncio.timeout(100):
            results, _, _ = await asyncio.gather(publish(), read(), strike())
        await bus.aclose()
        return results, come

    results, come = asyncio.run(scene())
    assert results == [None] * total
    assert come == numbered(total)
    assert values_of(own_kafka.bootstrap_servers, TOPIC) == numbered(total)


def test_a_service_may_be_started_before_its_broker(own_kafka: KafkaBroker, caplog: pytest.LogCaptureFixture) -> None:
    own_kafka.stop()

    async def scene() -> bytes:
        bus = KafkaBus(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers))
        preparing = asyncio.create_task(bus.prepare([TOPIC]))
        ending = asyncio.create_task(bus.end("another"))
        reading = asyncio.create_task(bus.subscribe(TOPIC).next())
        publishing = asyncio.create_task(bus.publish(TOPIC, b"1"))
        await asyncio.sleep(1.0)
        assert not any(task.done() for task in (preparing, ending, reading, publishing))
        await asyncio.to_thread(own_kafka.start)
        async with asyncio.timeout(60):
            await asyncio.gather(preparing, publishing)
            assert await ending == {}
            value = (await reading).value
        await bus.aclose()
        return value

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(scene()) == b"1"
    # One line for each client and kind of error, not for each attempt.
    told = [" ".join(record.message.split()[:3]) for record in caplog.records]
    assert 2 <= len(told) <= 8
    assert len(set(told)) == len(told)


def test_publishing_raises_when_no_broker_confirms_in_time() -> None:
    async def scene() -> list[Exception | None]:
        bus = KafkaBus(KafkaSettings(bootstrap_servers=NOBODY, extra={"delivery.timeout.ms": "300"}))
        results = await bus.publish_all([Outgoing(TOPIC, None, b"an essay's words")] * 3)
        await bus.aclose()
        return results

    for refused in asyncio.run(scene()):
        assert isinstance(refused, BrokerAway)
        assert str(refused) == "'outages': Local: Message timed out (_MSG_TIMED_OUT)."


def test_closing_says_how_much_was_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "CLOSE_S", 0.2)

    async def scene() -> list[Exception | None]:
        bus = KafkaBus(KafkaSettings(bootstrap_servers=NOBODY))
        publishing = asyncio.create_task(bus.publish_all([Outgoing(t, None, b"words") for t in ("one", "two", "one")]))
        await asyncio.sleep(0)
        with pytest.raises(Undelivered, match=r"^Not delivered within 0\.2 s: 2 to 'one', 1 to 'two'\.$"):
            await bus.aclose()
        await bus.aclose()
        return await publishing

    assert [type(refused) for refused in asyncio.run(scene())] == [BrokerAway] * 3


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, kafka_files: KafkaArtifacts) -> Iterator[GuardedBroker]:
    """A broker whose other listeners want user and password, one of them in TLS."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    with GuardedBroker(folder, "cj", "s3cret", kafka_files) as broker:
        yield broker


def through(settings: KafkaSettings, topic: str) -> bytes:
    """What arrives of a message."""

    async def scene() -> bytes:
        bus = KafkaBus(settings)
        try:
            async with asyncio.timeout(30):
                await bus.publish(topic, b"words")
                return (await bus.subscribe(topic).next()).value
        finally:
            await bus.aclose()

    return asyncio.run(scene())


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_who_says_the_password_is_let_in(guarded: GuardedBroker, protocol: str) -> None:
    in_tls = protocol == "SASL_SSL"
    settings = KafkaSettings.model_validate(
        {
            "bootstrap_servers": guarded.tls_bootstrap_servers if in_tls else guarded.sasl_bootstrap_servers,
            "security_protocol": protocol,
            "sasl_mechanism": "PLAIN",
            "sasl_username": "cj",
            "sasl_password": "s3cret",
            **({"ssl_ca_location": guarded.authority} if in_tls else {}),
        }
    )
    assert through(settings, fresh_topic("guarded")) == b"words"


def test_who_says_another_password_is_told_and_the_password_is_not(
    guarded: GuardedBroker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_module, "_REQUEST_TIMEOUT_S", 0.5)
    settings = KafkaSettings.model_validate(
        {
            "bootstrap_servers": guarded.sasl_bootstrap_servers,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "cj",
            "sasl_password": "mistyped",
            "extra": {"delivery.timeout.ms": "1500"},
        }
    )

    async def scene() -> None:
        bus = KafkaBus(settings)
        async with asyncio.timeout(30):
            with pytest.raises(NotAuthorised, match="_AUTHENTICATION"):
                await bus.end("any")
            with pytest.raises(NotAuthorised):
                await bus.prepare(["any"])
        with pytest.raises(NotDelivered):
            await bus.publish("any", b"words")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await bus.subscribe("any").next()
        await bus.aclose()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(scene())
    assert "uthentication failed" in caplog.text
    assert "mistyped" not in caplog.text
