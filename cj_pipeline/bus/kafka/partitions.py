"""This module keeps a reader's partitions of one topic: which there are, and where reading goes on in each.

Everything here may block for a second or two, and is called in the reader's thread (subscription.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from cj_pipeline.bus.kafka.errors import error_of
from cj_pipeline.bus.protocol import Message, MessagesGone

_log = logging.getLogger(__name__)

# A topic that does not exist yet is looked for often, as somebody waits for it; a further partition comes once a year.
_LOOK_FOR_TOPIC_S = 0.2
_LOOK_FOR_PARTITIONS_S = 5.0
_METADATA_TIMEOUT_S = 1.0
_TRY_STALLED_S = 0.2
_WARN_AGAIN_S = 60.0

_ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})


class Partitions:
    """What a reader has of its topic.

    next_offsets: by partition, the offset that is wanted next; not there for one that begins wherever it begins.
    """

    def __init__(self, consumer: Consumer, topic: str, start: Mapping[int, int]) -> None:
        self.next_offsets = dict(start)
        self._consumer = consumer
        self._topic = topic
        self._assigned: set[int] = set()
        self._read: set[int] = set()
        self._stalled: set[int] = set()
        self._look_at_s = 0.0
        self._try_at_s = 0.0
        self._warned_until_s: dict[str, float] = {}

    def keep_up(self) -> list[MessagesGone]:
        """Assign new partitions, resume those that could not go on; return the gaps that were found."""
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look()
        if self._stalled and now_s >= self._try_at_s:
            self._try_at_s = now_s + _TRY_STALLED_S
            return [gone for gone in map(self._resume, sorted(self._stalled)) if gone is not None]
        return []

    def take(self, message: KafkaMessage) -> Message | MessagesGone | None:
        """Return what a reader gets for something that was polled; None for what is only logged."""
        error = message.error()
        partition, offset = message.partition(), message.offset()
        if error is None:
            assert partition is not None and offset is not None  # noqa: S101, PT018 - of every message
            self.next_offsets[partition] = offset + 1
            self._read.add(partition)
            if self._warned_until_s:
                self._warned_until_s.clear()
            return Message(self._topic, offset, message.key(), message.value() or b"", partition)
        if error.code() == KafkaError._AUTO_OFFSET_RESET and partition is not None:
            self._stalled.add(partition)
            return self._resume(partition)
        self._warn(error)
        return None

    def _look(self) -> None:
        wait_s = _LOOK_FOR_PARTITIONS_S if self._assigned else _LOOK_FOR_TOPIC_S
        try:
            found = self._consumer.list_topics(self._topic, timeout=_METADATA_TIMEOUT_S).topics[self._topic]
        except KafkaException as away:
            self._warn(error_of(away))
        else:
            if found.error is not None and found.error.code() not in _ABSENT:
                self._warn(found.error)
            new = sorted(found.partitions.keys() - self._assigned)
            if new:
                self._consumer.incremental_assign([self._begin(partition) for partition in new])
                self._assigned.update(new)
                wait_s = _LOOK_FOR_PARTITIONS_S
        self._look_at_s = time.monotonic() + wait_s

    def _begin(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition, self.next_offsets.get(partition, OFFSET_BEGINNING))

    def _resume(self, partition: int) -> MessagesGone | None:
        """Get a partition on whose wanted offset is not in the log."""
        wanted = self.next_offsets.get(partition)
        try:
            first, end = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=_METADATA_TIMEOUT_S
            )
            gone = None
            if wanted is not None and wanted > end and partition not in self._read:
                # A reader that names a start behind the end waits for what comes there.
                self._warn_of_early_start(partition, wanted, end)
                return None
            if wanted is not None and not first <= wanted <= end:
                gone = MessagesGone(self._topic, partition, wanted, first)
            if wanted is None or gone is not None:
                self.next_offsets[partition] = first
            # Not seek(): librdkafka has stopped fetching the partition and refuses it.
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            self._consumer.incremental_assign([self._begin(partition)])
        except KafkaException as away:
            self._warn(error_of(away))
            return None
        self._stalled.discard(partition)
        return gone

    def _warn_of_early_start(self, partition: int, wanted: int, end: int) -> None:
        if self._may_warn(f"start {partition}"):
            _log.warning(
                "'%s', partition %d ends at offset %d and is to be read from %d: nothing will come before that",
                *(self._topic, partition, end, wanted),
            )

    def _warn(self, error: KafkaError) -> None:
        if self._may_warn(error.name()):
            _log.warning("reading '%s': %s (%s)", self._topic, error.str(), error.name())

    def _may_warn(self, what: str) -> bool:
        """Return True once a minute, until messages come again."""
        now_s = time.monotonic()
        if now_s < self._warned_until_s.get(what, now_s):
            return False
        self._warned_until_s[what] = now_s + _WARN_AGAIN_S
        return True
