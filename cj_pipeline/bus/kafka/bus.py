"""This module is the bus over a Kafka cluster, by librdkafka.

What it promises, and what not:

- `publish` returns once all in-sync replicas have the message, and raises when that is not known within 20 s. Order is
  kept within a partition; messages of one key share one.
- While a broker restarts, librdkafka sends again by itself and the broker tells repetitions apart: nothing is doubled.
  It cannot know that a message which a caller publishes again, after an error or in another process, is the same one.
  Such repetitions are recognised by their readers: callbacks by request id, events by event id.
- A reader's position is its own. Nothing is committed to the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from cj_pipeline.bus.kafka.errors import BatchTooLarge, Undelivered
from cj_pipeline.bus.kafka.producer import Deliveries
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.bus.kafka.subscription import KafkaSubscription
from cj_pipeline.bus.kafka.topics import Topics
from cj_pipeline.bus.protocol import Outgoing
from cj_pipeline.contracts.topics import is_topic_name
from cj_pipeline.foundation.errors import BadInput

# How long a service that ends waits for confirmations; orchestrators kill 30 s after SIGTERM, and 25 s may be a drain.
CLOSE_S = 4.0


class KafkaBus:
    """The bus protocol over one cluster. One event loop, of real time: a broker answers in no other.

    Clients of librdkafka are made when they are first needed; making a bus connects to nothing. They have threads, so a
    bus wants to be closed.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._deliveries: Deliveries | None = None
        self._topics: Topics | None = None
        self._subscriptions: list[KafkaSubscription] = []
        self._closed = False

    def __str__(self) -> str:
        return f"Kafka at {self._settings.bootstrap_servers}, {self._settings.security_protocol.value}"

    async def publish(self, topic: str, value: bytes, *, key: bytes | None = None) -> None:
        """Publish one message; returns once the cluster has confirmed it.

        The message is sent also when the caller is cancelled meanwhile. Raises BadInput for an illegal topic,
        NotDelivered (MessageTooLarge, BrokerAway, NotAuthorised, NoSuchTopic) for what was not confirmed.
        """
        (refused,) = await self.publish_all([Outgoing(topic, key, value)])
        if refused is not None:
            raise refused

    async def publish_all(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """Publish many, in order; return for each None or what `publish` would raise."""
        deliveries = self._delivering()
        results: list[Exception | None] = [None] * len(messages)
        under_way: dict[int, asyncio.Future[None]] = {}
        for position, message in enumerate(messages):
            try:
                _require_topic(message.topic)
            except BadInput as refused:
                results[position] = refused
            else:
                under_way[position] = deliveries.send(message)
        ends = await asyncio.gather(*under_way.values(), return_exceptions=True)
        for position, end in zip(under_way, ends, strict=True):
            results[position] = end if isinstance(end, Exception) else None
        # A broker refuses a whole batch for its size. Which of the messages is too large is seen one by one.
        for position in [position for position, end in enumerate(results) if isinstance(end, BatchTooLarge)]:
            results[position] = await deliveries.deliver_alone(messages[position])
        return results

    def subscribe(self, topic: str, start: Mapping[int, int] | None = None) -> KafkaSubscription:
        """Read a topic, all partitions of it, also those that it gets later.

        It need not exist yet. Raises BadInput for an illegal topic.
        """
        self._require_open()
        _require_topic(topic)
        subscription = KafkaSubscription(self._settings, topic, start or {})
        self._subscriptions.append(subscription)
        return subscription

    async def end(self, topic: str) -> Mapping[int, int]:
        """Return by partition the offset behind the last message; empty while there is no such topic.

        Waits while no broker answers. Raises BadInput for an illegal topic, NotAuthorised.
        """
        _require_topic(topic)
        return await self._of_topics().ends(topic)

    async def prepare(self, topics: Sequence[str]) -> None:
        """Make the topics that are not there, with KAFKA_TOPIC_PARTITIONS and KAFKA_TOPIC_REPLICATION.

        Waits while no broker answers. A topic that this client may not make is named in the log, and left to the
        cluster. Raises BadInput for an illegal topic, NotAuthorised when the cluster lets nobody in.
        """
        for topic in topics:
            _require_topic(topic)
        await self._of_topics().make(topics)

    async def aclose(self) -> None:
        """Wait up to 4 s for confirmations, then end everything, subscriptions too. A second time does nothing.

        Raises Undelivered with what was not confirmed, by topic; it may be in the topic all the same.
        """
        if self._closed:
            return
        self._closed = True
        self._topics = None
        for subscription in self._subscriptions:
            subscription.stop()
        left = {} if self._deliveries is None else await self._deliveries.finish(CLOSE_S)
        for subscription in self._subscriptions:
            await subscription.aclose()
        if left:
            raise Undelivered(left, CLOSE_S)

    def _delivering(self) -> Deliveries:
        self._require_open()
        if self._deliveries is None:
            self._deliveries = Deliveries(self._settings)
        return self._deliveries

    def _of_topics(self) -> Topics:
        self._require_open()
        if self._topics is None:
            self._topics = Topics(self._settings)
        return self._topics

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("the bus is closed")


def _require_topic(topic: str) -> None:
    if not is_topic_name(topic):
        raise BadInput(
            f"{topic[:60]!r} is not a topic name.",
            path="kafka",
            field="topic",
            remedy="Use 1 to 249 letters, digits, dots, underscores and hyphens; not '.' or '..'.",
        )
