"""This module makes topics of a cluster and says where they end, on an event loop.

While no broker answers both wait: a service may be started before its broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import NewTopic, OffsetSpec  # type: ignore[attr-defined]

from cj_pipeline.bus.kafka.clients import new_admin
from cj_pipeline.bus.kafka.errors import error_of, not_delivered
from cj_pipeline.bus.kafka.settings import KafkaSettings

_log = logging.getLogger(__name__)

_REQUEST_TIMEOUT_S = 5.0
_BETWEEN_ATTEMPTS_S = 0.5
_BROKERS_CHOICE = -1

_AWAY = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._WAIT_CACHE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_LEADER_FOR_PARTITION,  # of a topic that was made a moment ago, too
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
    }
)
_ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})


class Topics:
    """A cluster's topics. Raises BadInput, when made, for an option that librdkafka does not take."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._refused: KafkaError | None = None
        self._admin = new_admin(settings, self._noticed)

    async def make(self, names: Sequence[str]) -> None:
        """Make the topics that are not there; one that the cluster refuses to make is named in the log.

        It may be there all the same, or be made by the cluster when it is first used. Raises NotAuthorised when the
        cluster lets nobody in by these settings.
        """
        left = list(names)
        while left:
            asked = [
                NewTopic(
                    name,
                    num_partitions=self._settings.topic_partitions or _BROKERS_CHOICE,
                    replication_factor=self._settings.topic_replication or _BROKERS_CHOICE,
                )
                for name in left
            ]
            left = []
            for name, future in self._admin.create_topics(asked, request_timeout=_REQUEST_TIMEOUT_S).items():
                try:
                    await asyncio.wrap_future(future)
                except KafkaException as refused:
                    error = error_of(refused)
                    if error.code() in _AWAY:
                        left.append(name)
                    elif error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                        _log.warning("topic '%s' was not made: %s", name, error.name())
                else:
                    _log.info("made topic '%s'", name)
            if left:
                await self._wait(left[0])

    async def ends(self, topic: str) -> Mapping[int, int]:
        """Return by partition the offset behind the last message; empty while there is no such topic.

        Raises NotAuthorised when the cluster does not tell this client, NotDelivered for what else it refuses.
        """
        while True:
            try:
                described = self._admin.describe_topics(TopicCollection([topic]), request_timeout=_REQUEST_TIMEOUT_S)
                partitions = (await asyncio.wrap_future(described[topic])).partitions
                latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
                ends = self._admin.list_offsets(
                    {TopicPartition(topic, partition.id): latest for partition in partitions},
                    request_timeout=_REQUEST_TIMEOUT_S,
                )
                return {asked.partition: (await asyncio.wrap_future(end)).offset for asked, end in ends.items()}
            except KafkaException as refused:
                error = error_of(refused)
                if error.code() in _ABSENT:
                    return {}
                if error.code() not in _AWAY:
                    raise not_delivered(topic, error) from None
            await self._wait(topic)

    async def _wait(self, topic: str) -> None:
        """Wait until the next attempt. Raises NotAuthorised where it could not succeed."""
        # To requests, a wrong password looks like a broker that is away; only this callback knows better.
        self._admin.poll(0)
        if self._refused is not None:
            refused, self._refused = self._refused, None
            raise not_delivered(topic, refused)
        await asyncio.sleep(_BETWEEN_ATTEMPTS_S)

    def _noticed(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            self._refused = error
