"""This module counts requests, the queue, its strategies and callbacks: production's series and some more.

Each service has its own registry, so two in one process do not mix, and a fresh one starts at zero. Every series here
is written by something a request can do; a test walks the registry and fails on one that nothing writes.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cj_pipeline.contracts.enums import BatchJobStatus, Provider, QueueProcessingMode
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.services.lps.queue.queue import QueueDepth
from cj_pipeline.services.lps.series import Series
from cj_pipeline.services.shared.exposition import exposition

_REQUEST_TYPE = "comparison"
# What production writes where a refused request never got far enough to name its provider or model, and of bundles
# whose lead names no model.
_UNKNOWN = "unknown"

_ITEMS = (1, 2, 4, 8, 16, 32, 64)


class LpsMetrics:
    """The series of one service."""

    def __init__(self, queue_processing_mode: QueueProcessingMode) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._mode = queue_processing_mode.value
        self._requests = self._counter(
            "requests_total",
            "Comparison requests: queued, or failed where they were refused.",
            "provider",
            "model",
            "request_type",
            "status",
        )
        self._http = self._counter("http_requests_total", "HTTP requests.", "method", "endpoint", "status_code")
        self._http_duration = self._histogram(
            "http_request_duration_seconds",
            "HTTP requests, from the head to the answer.",
            Histogram.DEFAULT_BUCKETS[:-1],
            "method",
            "endpoint",
        )
        self._availability = Gauge(
            "llm_provider_availability_percentage",
            "100 while a provider may be asked, 0 while it is left alone because it failed repeatedly.",
            ("provider",),
            registry=self.registry,
        )
        self._depth = Gauge(
            "llm_provider_queue_depth",
            "Requests in the queue; total counts those being answered and those whose callback waits for the bus too.",
            ("queue_type",),
            registry=self.registry,
        )
        self._wait = self._histogram(
            "queue_wait_time_seconds",
            "From acceptance to the start of the turn that decided, without earlier attempts.",
            (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
            "queue_processing_mode",
            "result",
        )
        self._processing = self._histogram(
            "queue_processing_time_seconds",
            "One attempt at one request.",
            (0.1, 0.5, 1, 2, 5, 10, 30, 60),
            "provider",
            "status",
        )
        self._callbacks = self._counter(
            "comparison_callbacks_total", "Callbacks that the bus took.", "queue_processing_mode", "result"
        )
        self._publish_failures = Counter(
            "llm_provider_callback_publish_failures_total",
            "Attempts to publish a callback that the bus did not take.",
            registry=self.registry,
        )
        self._usage_dropped = Counter(
            "llm_provider_usage_events_dropped_total",
            "Usage events that could not be published.",
            registry=self.registry,
        )
        self._retries = self._counter("queue_retries_total", "Attempts that are made again.", "provider", "error_code")
        self._held = self._counter(
            "queue_held_total",
            "Requests put back without losing an attempt.",
            "provider",
        )
        self._reclaimed = self._counter(
            "queue_reclaimed_total", "Claims that ran out and were taken back.", "provider", "queue_processing_mode"
        )
        self._expiry = self._counter(
            "queue_expiry_total",
            "Requests that ended without an answer of a provider.",
            "provider",
            "queue_processing_mode",
            "expiry_reason",
        )
        self._expiry_age = self._histogram(
            "queue_expiry_age_seconds",
            "Age of requests that expired.",
            (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
            "provider",
            "queue_processing_mode",
        )
        self._bundle_calls = self._counter("serial_bundle_calls_total", "Bundles answered.", "provider", "model")
        self._bundle_items = self._histogram(
            "serial_bundle_items_per_call", "Requests in a bundle.", _ITEMS, "provider", "model"
        )
        self._jobs = self._counter("batch_api_jobs_total", "Jobs of batch_api.", "provider", "model", "status")
        self._job_items = self._histogram(
            "batch_api_items_per_job", "Requests in a job.", (*_ITEMS, 128), "provider", "model"
        )
        self._job_duration = self._histogram(
            "batch_api_job_duration_seconds",
            "From a job's start to its end.",
            (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300),
            "provider",
            "model",
        )

    def accepted(self, provider: Provider, model: str) -> None:
        """A POST was answered with 202."""
        self._requests.labels(provider, model, _REQUEST_TYPE, "queued").inc()

    def refused(self, provider: Provider | None = None, model: str | None = None) -> None:
        """A POST was answered with an error."""
        name = _UNKNOWN if provider is None else provider
        self._requests.labels(name, model or _UNKNOWN, _REQUEST_TYPE, "failed").inc()

    def responded(self, method: str, endpoint: str, status: int, took_s: float) -> None:
        """An HTTP request was answered. endpoint: the route, never the path, which clients choose."""
        self._http.labels(method, endpoint, str(status)).inc()
        self._http_duration.labels(method, endpoint).observe(took_s)

    def processed(self, provider: Provider, *, result: str, took_s: float) -> None:
        """An attempt is over. result: success or failure."""
        self._processing.labels(provider, result).observe(took_s)

    def concluded(self, result: str, *, waited_s: float) -> None:
        """A request is over. result: success, failure or expired."""
        self._wait.labels(self._mode, result).observe(waited_s)

    def retried(self, provider: Provider, code: ErrorCode) -> None:
        """An attempt failed and will be made again."""
        self._retries.labels(provider, code).inc()

    def held(self, provider: Provider) -> None:
        """A request went back without losing an attempt."""
        self._held.labels(provider).inc()

    def reclaimed(self, provider: Provider) -> None:
        """A claim ran out and its request waits again."""
        self._reclaimed.labels(provider, self._mode).inc()

    def expired(self, provider: Provider, *, reason: str, age_s: float) -> None:
        """A request ends unanswered. reason: ttl or processing_timeout."""
        self._expiry.labels(provider, self._mode, reason).inc()
        self._expiry_age.labels(provider, self._mode).observe(age_s)

    def called_back(self, result: str) -> None:
        """The bus took a callback. result: success, failure or expired."""
        self._callbacks.labels(self._mode, result).inc()

    def publish_failed(self) -> None:
        """The bus did not take a callback."""
        self._publish_failures.inc()

    def usage_event_dropped(self) -> None:
        """The bus did not take a usage event, or the line of them is full."""
        self._usage_dropped.inc()

    def bundled(self, provider: Provider, model: str | None, items: int) -> None:
        """A bundle is over. model: None where its lead leaves that to the provider."""
        self._bundle_calls.labels(provider, model or _UNKNOWN).inc()
        self._bundle_items.labels(provider, model or _UNKNOWN).observe(items)

    def job_scheduled(self, provider: Provider, model: str, items: int) -> None:
        """A job of batch_api begins."""
        self._jobs.labels(provider, model, BatchJobStatus.SCHEDULED).inc()
        self._job_items.labels(provider, model).observe(items)

    def job_ended(self, provider: Provider, model: str, status: BatchJobStatus, took_s: float) -> None:
        """A job of batch_api ends: completed, failed or cancelled."""
        self._jobs.labels(provider, model, status).inc()
        self._job_duration.labels(provider, model).observe(took_s)

    def exposition(self, depth: QueueDepth | None, available: Mapping[Provider, bool]) -> bytes:
        """Prometheus text, format 0.0.4.

        depth: None when the queue cannot tell; its gauge is then absent. available: whether a provider may be asked.
        """
        for provider, may_be_asked in available.items():
            self._availability.labels(provider).set(100.0 if may_be_asked else 0.0)
        self._depth.clear()
        if depth is not None:
            self._depth.labels("total").set(depth.total)
            self._depth.labels("queued").set(depth.queued)
        return exposition(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Series[Counter]:
        return Series(Counter(f"llm_provider_{name}", text, labels, registry=self.registry))

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Series[Histogram]:
        return Series(Histogram(f"llm_provider_{name}", text, labels, buckets=buckets, registry=self.registry))
