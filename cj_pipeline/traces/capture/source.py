"""This module reads a topic: partitions assigned by hand, offsets named, nothing committed.

It also knows which of Kafka's complaints pass by themselves. It does not look into messages (reading.py).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cj_pipeline.bus.kafka.errors import unusable_option
from cj_pipeline.foundation.errors import CjPipelineError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

log = logging.getLogger(__name__)

# How long a broker may take to say anything at all before the capture gives up on it.
REACH_SECONDS = 10.0
# A complaint that goes on is repeated in the log: a capture without limits does not wait in silence.
COMPLAINT_SECONDS = 60.0

# Messages fetched ahead, over all partitions. Smaller lets the reader starve while it writes; larger is memory only.
AHEAD_MESSAGES = 100_000
AHEAD_KILOBYTES = 65_536

_CONSUMER = {
    # Named for the quota and the log of the broker; no group is joined and no offset is committed.
    "group.id": "cj-pipeline-capture",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # What retention deleted is a gap to be reported, not a reason to begin elsewhere without a word.
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    # The end may be a control record or a compacted one, which nobody ever gets to see.
    "enable.partition.eof": True,
    # What it has to say comes by the callback, once; its own log repeats it with every attempt to connect.
    "log_level": 0,
}

# Unless KAFKA_EXTRA says otherwise.
_PACE = {
    "queued.min.messages": AHEAD_MESSAGES,
    "queued.max.messages.kbytes": AHEAD_KILOBYTES,
    "fetch.max.bytes": 52_428_800,
    "max.partition.fetch.bytes": 10_485_760,
    "fetch.wait.max.ms": 100,
}

_NOT_ALLOWED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
_GONE = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
OUT_OF_RANGE = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})


class CannotCapture(CjPipelineError):
    """The topic cannot be read; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Range:
    """What a partition holds: offsets from `low` to `high`, which is not included.

    stable: where the first open transaction begins; `high` when there is none. Nobody may read on from there yet.
    """

    low: int
    high: int
    stable: int


class TopicSource:
    """One consumer of one topic. A context manager. Everything it does can raise CannotCapture."""

    def __init__(self, config: Mapping[str, str | int | bool], topic: str) -> None:
        """Open a consumer. config: of KafkaSettings.client_config. Raises BadInput for an option that nobody takes."""
        self.topic = topic
        self._servers = config["bootstrap.servers"]
        self._refusal: KafkaError | None = None
        self._trouble: KafkaError | None = None
        self._complained: dict[int, float] = {}
        self._config: dict[str, Any] = {**_PACE, **config, **_CONSUMER, "error_cb": self._complaint}
        try:
            self._consumer = Consumer(self._config)
        except (KafkaException, ValueError, TypeError) as refused:
            raise unusable_option(refused, config) from None

    def partitions(self) -> tuple[str, tuple[int, ...]]:
        """Return the cluster's id, and the topic's partitions."""
        metadata = self._metadata(self.topic)
        topic = metadata.topics[self.topic]
        if topic.error is not None and topic.error.code() in _GONE:
            public = [name for name in self._metadata(None).topics if not name.startswith("__")]
            raise CannotCapture(
                f"topic '{self.topic}' is not on the cluster at {self._servers}. "
                + (did_you_mean(self.topic, public) or "It holds no topic that this user may see.")
            )
        if topic.error is not None:
            raise self._refused(topic.error)
        return str(metadata.cluster_id or ""), tuple(sorted(topic.partitions))

    def known_partitions(self) -> tuple[int, ...]:
        """Return the topic's partitions now; none when nobody answers, which is not the moment to complain."""
        try:
            return tuple(sorted(self._consumer.list_topics(self.topic, timeout=1.0).topics[self.topic].partitions))
        except KafkaException:
            return ()

    def _metadata(self, topic: str | None) -> Any:
        deadline = monotonic() + REACH_SECONDS
        while True:
            try:
                return self._consumer.list_topics(topic, timeout=min(1.0, REACH_SECONDS))
            except KafkaException as error:
                # The call says "timed out"; why it did is what librdkafka complains of meanwhile, and tells when asked.
                self._consumer.poll(0.0)
                if self._refusal is not None or monotonic() >= deadline:
                    raise self._unreachable(error.args[0]) from None

    def ranges(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Return what each partition holds now, by the broker's high watermark."""
        numbers = sorted(partitions)
        # A consumer of committed records is given the end of those; one of all records is given the high watermark.
        everything = Consumer({**self._config, "isolation.level": "read_uncommitted"})
        try:
            found = {}
            for number in numbers:
                low, stable = self._watermarks(self._consumer, number)
                # Asked one after the other: a transaction may end between the two.
                found[number] = Range(low, max(stable, self._watermarks(everything, number)[1]), stable)
            return found
        finally:
            everything.close()

    def _watermarks(self, consumer: Consumer, partition: int) -> tuple[int, int]:
        try:
            return consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=REACH_SECONDS)
        except KafkaException as error:
            raise self._unreachable(error.args[0]) from None

    def offsets_at(self, since_ms: int, partitions: Iterable[int]) -> dict[int, int | None]:
        """Return, by partition, the first offset stamped at `since_ms` or later; None where there is none yet."""
        wanted = [TopicPartition(self.topic, partition, since_ms) for partition in partitions]
        try:
            found = self._consumer.offsets_for_times(wanted, timeout=REACH_SECONDS)
        except KafkaException as error:
            raise self._unreachable(error.args[0]) from None
        return {answer.partition: answer.offset if answer.offset >= 0 else None for answer in found}

    def assign(self, offsets: Mapping[int, int]) -> None:
        """Read some partitions, each from an offset, besides those that are read already."""
        self._consumer.incremental_assign(
            [TopicPartition(self.topic, partition, offset) for partition, offset in sorted(offsets.items())]
        )

    def unassign(self, partition: int) -> None:
        """Stop reading a partition; what was fetched of it is forgotten."""
        self._consumer.incremental_unassign([TopicPartition(self.topic, partition)])

    def consume(self, most: int, seconds: float) -> list[Message]:
        """Return what is there, or comes soon: messages and, as messages with an error, ends of partitions.

        Raises CannotCapture when the cluster no longer lets this user in.
        """
        messages = self._consumer.consume(most, timeout=seconds)
        if not messages and self._refusal is not None:
            raise self._refused(self._refusal)
        return messages

    def judge_error(self, error: KafkaError) -> None:
        """Return from what passes by itself, said once in the log; raise CannotCapture for what does not."""
        code = error.code()
        if code in _NOT_ALLOWED or code in _GONE or error.fatal():
            raise self._refused(error)
        self._complaint(error)

    def close(self) -> None:
        """Let go of the cluster."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _complaint(self, error: KafkaError) -> None:
        if error.code() in _NOT_ALLOWED:
            self._refusal = error
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._trouble = error
        # librdkafka connects again by itself and complains of each attempt; one line a kind and minute is enough.
        if monotonic() - self._complained.get(error.code(), -COMPLAINT_SECONDS) >= COMPLAINT_SECONDS:
            self._complained[error.code()] = monotonic()
            log.warning("Kafka: %s. Trying again until the capture's own limits.", error.str())

    def _unreachable(self, error: KafkaError) -> CannotCapture:
        if self._refusal is not None:
            return self._refused(self._refusal)
        why = (self._trouble or error).str()
        return CannotCapture(
            f"no broker answered at {self._servers} within {REACH_SECONDS:.0f} s ({why}). "
            "Start one, or name another with --kafka or KAFKA_BOOTSTRAP_SERVERS."
        )

    def _refused(self, error: KafkaError) -> CannotCapture:
        if error.code() in _GONE:
            return CannotCapture(
                f"topic '{self.topic}' is no longer on the cluster at {self._servers}. "
                "What was taken is kept; publish it with --finish."
            )
        if error.code() in _NOT_ALLOWED:
            return CannotCapture(
                f"the cluster at {self._servers} does not let this user read '{self.topic}' ({error.str()}). "
                "Check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, and that the user may read and describe the topic."
            )
        return CannotCapture(f"Kafka gave up on '{self.topic}' ({error.str()}). Go on with --resume.")
