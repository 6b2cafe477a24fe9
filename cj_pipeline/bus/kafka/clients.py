"""This module makes librdkafka's producers, consumers and admin clients as this bus needs them, and says why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from cj_pipeline.bus.kafka.errors import unusable_option
from cj_pipeline.bus.kafka.log_rate_limit import LogRateLimit
from cj_pipeline.bus.kafka.settings import KafkaSettings

# librdkafka's own lines: without a logger it writes them to standard error, among a service's JSON.
_log = logging.getLogger("cj_pipeline.bus.kafka.librdkafka")
_log.addFilter(LogRateLimit(60.0))

_DELIVERY_TIMEOUTS = {"delivery.timeout.ms", "message.timeout.ms"}


def new_producer(settings: KafkaSettings) -> Producer:
    """Return a producer that loses, doubles and reorders nothing. Raises BadInput for an unusable option."""
    config: dict[str, Any] = settings.client_config() | {"enable.idempotence": True, "acks": "all"}
    # Java's way from key to partition. librdkafka's own is another, and one key of two services would have two places.
    config["partitioner"] = "murmur2_random"
    config.setdefault("linger.ms", 5)
    config.setdefault("queue.buffering.max.kbytes", 128 * 1024)  # its own limit is 1 GiB, which a service has not
    if not _DELIVERY_TIMEOUTS & config.keys():
        # A broker that restarts is back after 3 to 15 s. Later than that, the outboxes that call us try again.
        config["delivery.timeout.ms"] = 20_000
    try:
        return Producer(config, logger=_log)
    except (KafkaException, ValueError, TypeError) as refused:
        raise unusable_option(refused, config) from None


def new_consumer(settings: KafkaSettings) -> Consumer:
    """Return a consumer whose partitions are assigned by hand. Raises BadInput for an unusable option."""
    config: dict[str, Any] = settings.client_config() | {
        # Asked for by the client, joined by nobody: positions are the reader's own.
        "group.id": settings.group_id or f"{settings.client_id}-unused",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # a reader that is behind the retention gets an error
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
        "max.poll.interval.ms": 86_400_000,  # a reader may wait for its database for as long as it takes
    }
    config.setdefault("queued.max.messages.kbytes", 16 * 1024)  # its own limit is 64 MiB for every subscription
    config.setdefault("fetch.queue.backoff.ms", 50)  # 1 s of its own after that limit was met, with nothing to do
    try:
        return Consumer(config, logger=_log)
    except (KafkaException, ValueError, TypeError) as refused:
        raise unusable_option(refused, config) from None


def new_admin(settings: KafkaSettings, on_error: Callable[[KafkaError], None] = lambda _: None) -> AdminClient:
    """Return an admin client. on_error: called in `poll` with errors of the connection.

    Raises BadInput for an unusable option.
    """
    # It is polled rarely, so lines for a logger would pile up; each request reports its own failure.
    config: dict[str, Any] = settings.client_config() | {"log_level": 0, "error_cb": on_error}
    try:
        return AdminClient(config)
    except (KafkaException, ValueError, TypeError) as refused:
        raise unusable_option(refused, config) from None
