"""What the service counts: production's series, as far as this version writes them.

Here: names, labels, buckets and one method per event. Not here: series that nothing would write yet.

Each service has its own registry, so two in one process do not mix, and a fresh one starts at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cj_pipeline.contracts.enums import Provider, QueueProcessingMode
from cj_pipeline.lps.queue import QueueDepth

_REQUEST_TYPE = "comparison"
# What production writes where a refused request never got far enough to name its provider or model.
_UNKNOWN = "unknown"


class LpsMetrics:
    """The series of one service. depth: asked at every scrape."""

    def __init__(self, queue_processing_mode: QueueProcessingMode, depth: Callable[[], QueueDepth]) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._mode = queue_processing_mode.value
        self._requests = Counter(
            "llm_provider_requests_total",
            "Comparison requests, by what the door said.",
            ("provider", "model", "request_type", "status"),
            registry=self.registry,
        )
        queue_depth = Gauge(
            "llm_provider_queue_depth",
            "Requests in the queue; total counts those being answered too.",
            ("queue_type",),
            registry=self.registry,
        )
        queue_depth.labels("total").set_function(lambda: depth().total)
        queue_depth.labels("queued").set_function(lambda: depth().queued)
        self._wait = Histogram(
            "llm_provider_queue_wait_time_seconds",
            "From acceptance to the start of the request's own turn.",
            ("queue_processing_mode", "result"),
            buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
            registry=self.registry,
        )
        self._processing = Histogram(
            "llm_provider_queue_processing_time_seconds",
            "The request's own turn, all attempts.",
            ("provider", "status"),
            buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60),
            registry=self.registry,
        )
        self._callbacks = Counter(
            "llm_provider_comparison_callbacks_total",
            "Callbacks that the bus took.",
            ("queue_processing_mode", "result"),
            registry=self.registry,
        )
        self._bundle_calls = Counter(
            "llm_provider_serial_bundle_calls_total",
            "Bundles answered.",
            ("provider", "model"),
            registry=self.registry,
        )
        self._bundle_items = Histogram(
            "llm_provider_serial_bundle_items_per_call",
            "Requests in a bundle.",
            ("provider", "model"),
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )

    def accepted(self, provider: Provider, model: str) -> None:
        """A POST was answered with 202."""
        self._requests.labels(provider.value, model, _REQUEST_TYPE, "queued").inc()

    def refused(self, provider: Provider | None = None, model: str | None = None) -> None:
        """A POST was answered with an error."""
        name = _UNKNOWN if provider is None else provider.value
        self._requests.labels(name, model or _UNKNOWN, _REQUEST_TYPE, "failed").inc()

    def processed(self, provider: Provider, *, result: str, waited_s: float, took_s: float) -> None:
        """A request had its turn. result: success or failure."""
        self._wait.labels(self._mode, result).observe(waited_s)
        self._processing.labels(provider.value, result).observe(took_s)

    def called_back(self, *, result: str) -> None:
        """The bus took a callback. result: success or failure."""
        self._callbacks.labels(self._mode, result).inc()

    def bundled(self, provider: Provider, model: str, items: int) -> None:
        """A bundle is over."""
        self._bundle_calls.labels(provider.value, model).inc()
        self._bundle_items.labels(provider.value, model).observe(items)

    def exposition(self) -> bytes:
        """Prometheus text, format 0.0.4."""
        return generate_latest(_WithoutCreated(self.registry))


class _WithoutCreated(Collector):
    """A registry without the `_created` samples.

    They hold the machine's time of day, which would make two equal runs differ; the client library's own switch for
    them is global to the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
