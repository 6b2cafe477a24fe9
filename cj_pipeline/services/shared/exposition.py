"""This module writes a registry of series as Prometheus text."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


def exposition(registry: CollectorRegistry) -> bytes:
    """Format 0.0.4, without the `_created` samples.

    They hold the machine's time of day, which would make two equal runs differ; the client library's own switch for
    them is global to the process.
    """
    return generate_latest(_WithoutCreated(registry))


class _WithoutCreated(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
