"""This module defines what can go wrong between a bus and its cluster; no exception quotes a message.

The classes differ because services log the class: "NotAuthorised" in a log is worth a support call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from cj_pipeline.bus.kafka.settings import ENVIRONMENT_PREFIX, VARIABLES
from cj_pipeline.foundation.errors import BadInput, CjPipelineError

_OPTION = re.compile(r'property:? "([\w.]+)"')


class NotDelivered(CjPipelineError):
    """A message that the cluster did not confirm. topic: its topic; reason: librdkafka's name of the error."""

    def __init__(self, topic: str, reason: str, sentence: str) -> None:
        self.topic = topic
        self.reason = reason
        super().__init__(f"'{topic}': {sentence} ({reason}).")


class MessageTooLarge(NotDelivered):
    """Larger than client, topic or broker allow: trying again cannot help."""


class BatchTooLarge(MessageTooLarge):
    """The broker refused the batch that a message went in; the message itself may be small."""


class BrokerAway(NotDelivered):
    """No confirmation came in time. The message may be in the topic all the same."""


class NotAuthorised(NotDelivered):
    """The cluster does not let this client in, or not write there."""


class NoSuchTopic(NotDelivered):
    """The topic does not exist, and the cluster makes none by itself."""


class Undelivered(CjPipelineError):
    """Messages that were handed over and not confirmed when the bus closed. counts: by topic."""

    def __init__(self, counts: Mapping[str, int], waited_s: float) -> None:
        self.counts = dict(counts)
        listed = ", ".join(f"{count} to '{topic}'" for topic, count in sorted(counts.items()))
        super().__init__(f"Not delivered within {waited_s:g} s: {listed}.")


_SORTS: Mapping[int, type[NotDelivered]] = {
    KafkaError.MSG_SIZE_TOO_LARGE: MessageTooLarge,
    KafkaError.RECORD_LIST_TOO_LARGE: MessageTooLarge,
    KafkaError._MSG_TIMED_OUT: BrokerAway,
    KafkaError._TIMED_OUT: BrokerAway,
    KafkaError._TRANSPORT: BrokerAway,
    KafkaError._ALL_BROKERS_DOWN: BrokerAway,
    KafkaError._PURGE_INFLIGHT: BrokerAway,  # given up when the bus closed
    KafkaError._PURGE_QUEUE: BrokerAway,
    KafkaError.NOT_ENOUGH_REPLICAS: BrokerAway,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: BrokerAway,
    KafkaError.REQUEST_TIMED_OUT: BrokerAway,
    KafkaError._AUTHENTICATION: NotAuthorised,
    KafkaError.SASL_AUTHENTICATION_FAILED: NotAuthorised,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: NotAuthorised,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: NotAuthorised,
    KafkaError._UNKNOWN_TOPIC: NoSuchTopic,
    KafkaError.UNKNOWN_TOPIC_OR_PART: NoSuchTopic,
    KafkaError._UNKNOWN_PARTITION: NoSuchTopic,
}


def not_delivered(topic: str, error: KafkaError) -> NotDelivered:
    """Return the exception for what librdkafka reported of a message."""
    # error.str() is librdkafka's or the broker's sentence for the code; neither knows what a message holds.
    return _SORTS.get(error.code(), NotDelivered)(topic, error.name(), error.str().rstrip("."))


def error_of(exception: KafkaException) -> KafkaError:
    """Return the error inside an exception of the client's."""
    error = exception.args[0]
    return error if isinstance(error, KafkaError) else KafkaError(KafkaError._FAIL)


def unusable_option(exception: Exception, config: Mapping[str, Any]) -> BadInput:
    """Return what to say of options that librdkafka refused when a client was made; never with a value.

    config: as the client was given it.
    """
    text = error_of(exception).str() if isinstance(exception, KafkaException) else str(exception)
    quoted = _OPTION.search(text)
    if quoted is not None:
        option = quoted.group(1)
    elif "SASL mechanism" in text:
        option = "sasl.mechanism"
    else:
        option = next((name for name in sorted(config, key=len, reverse=True) if name in text), None)
    known = "No such configuration property" not in text
    if option is None:
        problem = "librdkafka cannot be set up like this."
    else:
        problem = f"librdkafka {'cannot use this value of' if known else 'has no option'} '{option}'."
    return BadInput(
        problem,
        path="environment",
        field=ENVIRONMENT_PREFIX + VARIABLES.get(option or "", "extra").upper(),
        remedy="Its options are listed in librdkafka's CONFIGURATION.md.",
    )
