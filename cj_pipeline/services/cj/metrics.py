"""This module counts what the CJ service does: production's series and some more.

Each service has its own registry. Every series is written by something a batch, a callback or a request can do; a test
walks the registry and fails on one that nothing writes. What a transaction counts is counted after its commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cj_pipeline.engine.effects import CallbackKind, PoolChange, SubmitWave, Taken
from cj_pipeline.engine.state import Decision, State, WaveKind
from cj_pipeline.services.shared.exposition import exposition

# The library's own, which production's histograms have where none are named.
_SECONDS = tuple(Histogram.DEFAULT_BUCKETS[:-1])
_LONGER = (20, 30, 60, 300)
_DATABASE = "cj_assessment_service_database"


class CjMetrics:
    """The series of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._declare_http()
        self._declare_intake()
        self._declare_callbacks()
        self._declare_batches()
        self._declare_database()

    def _declare_http(self) -> None:
        self._http = self._counter(
            "cj_assessment_http_requests_total", "HTTP requests.", "method", "endpoint", "status_code"
        )
        self._http_duration = self._histogram(
            "cj_assessment_http_request_duration_seconds", "One HTTP request.", _SECONDS, "method", "endpoint"
        )
        self._admin = self._counter(
            "cj_admin_instruction_operations_total",
            "Instructions and anchors read or changed over HTTP.",
            "operation",
            "status",
        )
        self._llm_calls = self._counter(
            "cj_assessment_llm_api_calls_total", "Posts to the LPS.", "provider", "model", "status"
        )

    def _declare_intake(self) -> None:
        self._operations = self._counter(
            "cj_assessment_operations_total", "Batches taken in and ended.", "operation", "status"
        )
        self._intake = self._histogram(
            "huleedu_cj_assessment_duration_seconds",
            "Taking a request in, texts included.",
            (10, 30, 60, 120, 300, 600, 1200),
        )
        self._request_latency = self._histogram(
            "kafka_message_queue_latency_seconds",
            "From a request's event to its being taken in.",
            # Production's buckets, and those beyond that a queue which is behind needs.
            (*_SECONDS, *_LONGER),
        )
        self._prompt_failures = self._counter(
            "huleedu_cj_prompt_fetch_failures_total", "Prompts and rubrics that could not be had.", "reason"
        )
        self._prompt_successes = self._counter("huleedu_cj_prompt_fetch_success_total", "Prompts that were had.")
        self._essay_failures = self._counter(
            "cj_essay_fetch_failures_total", "Essays and anchors left out for want of a text.", "kind", "reason"
        )

    def _declare_callbacks(self) -> None:
        self._callbacks = self._counter(
            "cj_callbacks_processed_total", "Messages on the callback topic; error: could not be used.", "status"
        )
        self._callback_latency = self._histogram(
            "cj_callback_latency_seconds",
            "From a callback's envelope to its being taken in.",
            (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120),
        )
        self._callback_processing = self._histogram(
            "cj_callback_processing_duration_seconds", "Taking one callback in.", (0.01, 0.05, 0.1, 0.5, 1, 2, 5)
        )
        self._comparisons = self._counter("cj_comparisons_total", "Comparisons answered, each once.", "status")
        self._orphans = self._counter(
            "cj_orphan_callbacks_total", "Callbacks for comparisons that were never asked.", "source_service"
        )
        self._uncounted = self._counter(
            "cj_uncounted_callbacks_total", "Callbacks that repeat one or come after the end.", "kind"
        )
        self._quarantined = self._counter("cj_quarantined_messages_total", "Messages kept aside.", "topic", "reason")
        self._gone = self._counter(
            "cj_messages_gone_total", "Messages that were removed from a topic before they were read.", "topic"
        )
        self._failed = self._counter(
            "cj_failed_comparisons_total", "Failed comparisons that will be asked again.", "failure_reason"
        )
        self._retry_batches = self._counter("cj_retry_batches_submitted_total", "Retry waves.")
        self._retry_successes = self._counter("cj_successful_retries_total", "Retries that gave a winner.")
        self._given_up = self._counter("cj_permanently_failed_comparisons_total", "Comparisons that failed for good.")
        self._pool_size = Gauge(
            "cj_failed_pool_size", "Failed comparisons of an open batch.", ("batch_id",), registry=self.registry
        )

    def _declare_batches(self) -> None:
        self._requests = self._counter("cj_llm_requests_total", "Comparisons in waves, retries aside.", "batching_mode")
        self._batches = self._counter("cj_llm_batches_started_total", "Batches taken in.", "batching_mode")
        self._waves = self._counter("cj_llm_waves_started_total", "Waves, retries aside.", "batching_mode")
        self._decisions = self._counter("cj_workflow_decisions_total", "Decisions of the engine.", "decision")
        self._changes = self._histogram(
            "cj_score_stability_changes", "Largest movement of a score, logits.", (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1)
        )
        self._progress = self._histogram(
            "cj_batch_progress_percentage",
            "Share of the budget that is answered at a decision.",
            (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100),
        )
        self._inflated = self._counter("cj_bt_se_inflated_batches_total", "Batches whose scores are uncertain.")
        self._sparse = self._counter("cj_bt_sparse_coverage_batches_total", "Batches with too few comparisons.")
        self._made = self._histogram(
            "huleedu_cj_comparisons_made", "Comparisons of a batch.", (0, 10, 25, 50, 100, 200, 500, 1000)
        )
        self._iterations = self._histogram(
            "cj_iterations_per_batch", "Waves of a batch.", (1, 2, 3, 5, 10, 15, 20, 30, 50)
        )
        self._duration = self._histogram(
            "cj_batch_processing_duration_seconds",
            "From a batch's first row to its end.",
            (60, 120, 300, 600, 1200, 1800, 3600, 7200),
        )
        self._states = Gauge("cj_batch_state", "Batches by state.", ("state",), registry=self.registry)
        self._stuck = Gauge("cj_stuck_batches_detected", "Stuck batches of the last look.", registry=self.registry)
        self._recovered = self._counter("cj_stuck_batches_recovered_total", "Stuck batches that were scored.")
        self._stuck_failed = self._counter("cj_stuck_batches_failed_total", "Stuck batches that failed.")

    def _declare_database(self) -> None:
        self._active = Gauge(
            f"{_DATABASE}_connections_active", "Connections in use, this request's among them.", registry=self.registry
        )
        self._idle = Gauge(f"{_DATABASE}_connections_idle", "Open connections that wait.", registry=self.registry)
        self._transactions = self._histogram(
            f"{_DATABASE}_transaction_duration_seconds", "One transaction.", _SECONDS, "result"
        )
        self._database_errors = self._counter(f"{_DATABASE}_errors_total", "Errors of the database.", "error_type")

    def connections(self, active: int, idle: int) -> None:
        """Set the gauges of the pool."""
        self._active.set(active)
        self._idle.set(idle)

    def transaction_ended(self, result: str, took_s: float) -> None:
        """Count a transaction. result: commit or rollback."""
        self._transactions.labels(result).observe(took_s)

    def database_failed(self, error_type: str) -> None:
        """Count an error of the database."""
        self._database_errors.labels(error_type).inc()

    def responded(self, method: str, endpoint: str, status: int, took_s: float) -> None:
        """Count an answered HTTP request. endpoint: the route, never the path, which clients choose."""
        self._http.labels(method, endpoint, str(status)).inc()
        self._http_duration.labels(method, endpoint).observe(took_s)

    def admin_operation(self, operation: str, status: str) -> None:
        """Count an answer of an admin endpoint. status: success or error."""
        self._admin.labels(operation, status).inc()

    def llm_call(self, provider: str, model: str, status: str) -> None:
        """Count a comparison that was posted for the last time. status: queued or error."""
        self._llm_calls.labels(provider, model, status).inc()

    def operation(self, operation: str, status: str) -> None:
        """operation: intake or finalize; status: success or failure."""
        self._operations.labels(operation, status).inc()

    def taken_in(self, *, took_s: float, latency_s: float) -> None:
        """Count a request that became a batch. latency_s: of its event on the bus."""
        self._intake.observe(took_s)
        self._request_latency.observe(max(0.0, latency_s))

    def prompt_failed(self, reason: str) -> None:
        """Count a prompt or rubric that could not be had."""
        self._prompt_failures.labels(reason).inc()

    def prompt_had(self) -> None:
        """Count a prompt that was fetched."""
        self._prompt_successes.inc()

    def essay_dropped(self, kind: str, reason: str) -> None:
        """Count an essay without text. kind: student or anchor."""
        self._essay_failures.labels(kind, reason).inc()

    def callback_handled(self, *, usable: bool, latency_s: float | None, took_s: float) -> None:
        """Count a handled message of the callback topic. latency_s: None where it tells no time."""
        self._callbacks.labels("success" if usable else "error").inc()
        if latency_s is not None:
            self._callback_latency.observe(max(0.0, latency_s))
        self._callback_processing.observe(took_s)

    def orphaned(self, source_service: str) -> None:
        """Count a callback that belongs to no comparison."""
        self._orphans.labels(source_service).inc()

    def quarantined(self, topic: str, reason: str) -> None:
        """Count a message that was kept aside."""
        self._quarantined.labels(topic, reason).inc()

    def messages_gone(self, topic: str, messages: int) -> None:
        """Count a gap in a topic. messages: how many offsets wide; 0 where the topic was made again."""
        self._gone.labels(topic).inc(messages)

    def answered(self, taken: Taken) -> None:
        """Count a delivery that the engine took."""
        if not taken.counted:
            self._uncounted.labels(taken.kind.value).inc()
            return
        self._comparisons.labels("completed" if taken.kind is CallbackKind.SUCCESS else "failed").inc()
        match taken.pool:
            case PoolChange.ENTERED | PoolChange.FAILED_AGAIN:
                self._failed.labels(taken.error_code or "unknown").inc()
            case PoolChange.PERMANENTLY_FAILED:
                self._given_up.inc()
            case PoolChange.RETRIED_WITH_SUCCESS:
                self._retry_successes.inc()

    def batch_started(self, batching_mode: str) -> None:
        """Count a batch, once however many waves it has."""
        self._batches.labels(batching_mode).inc()

    def wave(self, wave: SubmitWave, batching_mode: str) -> None:
        """Count a wave that is to be sent."""
        if wave.kind is WaveKind.RETRY:
            self._retry_batches.inc()
            return
        self._requests.labels(batching_mode).inc(len(wave.comparisons))
        self._waves.labels(batching_mode).inc()

    def decided(self, decision: Decision, progress: float) -> None:
        """Count a decision of the engine. progress: share of the budget, 0 to 1."""
        self._decisions.labels(decision.kind.value).inc()
        if decision.max_score_change is not None:
            self._changes.observe(decision.max_score_change)
        self._progress.observe(100.0 * progress)

    def pool_of(self, state: State) -> None:
        """Set the gauges of a batch's pool after a decision; a batch that is over has none."""
        label = str(state.batch.cj_batch_id)
        if not state.finished and state.pool.entries:
            self._pool_size.labels(label).set(len(state.pool.entries))
        else:
            with suppress(KeyError):
                self._pool_size.remove(label)

    def ended(self, state: State, took_s: float) -> None:
        """Count a batch that is over."""
        self._made.observe(state.submitted)
        self._iterations.observe(len(state.waves))
        self._duration.observe(took_s)

    def scored(self, *, inflated: bool, sparse: bool) -> None:
        """Count a batch whose scores were published."""
        self._inflated.inc(inflated)
        self._sparse.inc(sparse)

    def stuck(self, found: int) -> None:
        """Count a look of the monitor."""
        self._stuck.set(found)

    def recovered(self) -> None:
        """Count a stuck batch that was scored."""
        self._recovered.inc()

    def stuck_failed(self) -> None:
        """Count a stuck batch that failed."""
        self._stuck_failed.inc()

    def exposition(self, states: Mapping[str, int]) -> bytes:
        """Prometheus text, format 0.0.4. states: batches in the database by state, of all replicas."""
        self._states.clear()
        for state, batches in sorted(states.items()):
            self._states.labels(state).set(batches)
        return exposition(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)
