"""This module counts what providers do: production's series, for the mock too where the event happens to it.

Labels are bounded: a model that the manifest does not have is counted as `other`, whatever a client calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, billed
from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.reasons import FORGIVEN, REASON, Reason
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.services.lps.providers.breaker import CircuitState
from cj_pipeline.services.lps.providers.manifest import Manifest, load_manifest
from cj_pipeline.services.lps.providers.model_labels import DEFAULT_MODEL, ModelLabels
from cj_pipeline.services.lps.providers.prompts import normalised_ttl
from cj_pipeline.services.lps.series import Series

_STATE_VALUES = {CircuitState.CLOSED: 0, CircuitState.OPEN: 1, CircuitState.HALF_OPEN: 2}

_REASONS = frozenset(reason.value for reason in Reason)

# Metadata that ties a comparison to a batch or an assignment, whose comparisons share what is cached.
_ASSIGNMENT_KEYS = ("assignment_id", "bos_batch_id", "cj_batch_id")


class ProviderMetrics:
    """The providers' series in one registry. manifest: its models have labels; the built-in one by default."""

    def __init__(self, registry: CollectorRegistry, manifest: Manifest | None = None) -> None:
        self.model_label = ModelLabels(manifest or load_manifest()).of
        """A model as these series name it."""

        def counter(name: str, text: str, *labels: str) -> Series[Counter]:
            return Series(Counter(f"llm_provider_{name}", text, labels, registry=registry))

        def gauge(name: str, text: str, *labels: str) -> Series[Gauge]:
            return Series(Gauge(f"llm_provider_{name}", text, labels, registry=registry))

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Series[Histogram]:
            return Series(Histogram(f"llm_provider_{name}", text, labels, buckets=buckets, registry=registry))

        by_model = ("provider", "model")
        self._errors = counter("errors_total", "Attempts that gave no answer.", *by_model, "error_type")
        self._api_errors = counter(
            "api_errors_total",
            "The same by HTTP status; none where there was no reply.",
            *("provider", "error_type", "http_status_code"),
        )
        self._reasons = counter(
            "failure_reasons_total", "Attempts that gave no answer, by the reason.", "provider", "error_code", "reason"
        )
        self._asked_again = counter(
            "verdict_retries_total",
            "Answers without a usable verdict, after which the judge was asked again.",
            *("provider", "reason"),
        )
        self._forgiven = counter(
            "verdict_forgiven_total",
            "Answers that were read although they were not as asked for.",
            *(*by_model, "forgiven"),
        )
        self._blocks = counter(
            "prompt_blocks_total",
            "Prompt blocks of requests that were sent; a request without any counts as legacy_user_prompt.",
            *(*by_model, "target", "cacheable", "ttl"),
        )
        self._prompt_tokens = histogram(
            "prompt_tokens_histogram",
            "Words (blanks and line breaks plus one) of a prompt's cacheable part, the rest, or one without blocks.",
            tuple(2.0**power for power in range(4, 14)),
            *(*by_model, "section"),
        )
        self._cache_scope = counter(
            "cache_scope_total", "Answers, by whether others share their prompt's cache.", *by_model, "scope", "result"
        )
        self._cache_events = counter("prompt_cache_events_total", "What a prompt cache did.", *by_model, "result")
        self._cache_tokens = counter(
            "prompt_cache_tokens_total", "Tokens read from a prompt cache or written to it.", *by_model, "direction"
        )
        self._ttl_violations = counter(
            "prompt_ttl_violations_total", "Requests whose blocks cannot be cached as asked.", *by_model, "stage"
        )
        self._tokens = counter("tokens_used_total", "Tokens as the API counts them.", *by_model, "token_type")
        self._cost = counter("cost_dollars_total", "US dollars; answers of unknown price add nothing.", *by_model)
        self._validation = histogram(
            "validation_duration_seconds",
            "Reading a reply.",
            (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
            *("provider", "validation_type"),
        )
        circuit = ("service", "circuit_name")
        self._circuit_state = gauge("circuit_breaker_state", "0 closed, 1 open, 2 half open.", *circuit)
        self._circuit_changes = counter(
            "circuit_breaker_state_changes_total", "Moves of a breaker.", *circuit, "from_state", "to_state"
        )
        self._circuit_calls = counter(
            "circuit_breaker_calls_total",
            "Calls behind a breaker: success, failure, uncounted, or rejected.",
            *(*circuit, "result"),
        )
        self._pool_size = gauge("connection_pool_size", "Connections a provider may hold.", "provider")
        self._pool_active = gauge("connection_pool_active", "Calls under way.", "provider")

    def dispatched(self, provider: Provider, model: str | None, request: ComparisonRequest) -> None:
        """A request goes to a provider. model: asked for; None when the request leaves it to the provider."""
        name, label = provider, self.model_label(model)
        if not request.prompt_blocks:
            self._blocks.labels(name, label, "legacy_user_prompt", "false", "none").inc()
            self._prompt_tokens.labels(name, label, "legacy").observe(_words(request.user_prompt))
            return
        words = {"static": 0, "dynamic": 0}
        for block in request.prompt_blocks:
            target = "system" if block.target == "system" else "user_content"
            ttl = (normalised_ttl(block.ttl) or "invalid") if block.cacheable else "none"
            self._blocks.labels(name, label, target, "true" if block.cacheable else "false", ttl).inc()
            words["static" if block.cacheable else "dynamic"] += _words(block.content)
        for section, count in words.items():
            self._prompt_tokens.labels(name, label, section).observe(count)

    def answered(
        self, provider: Provider, model: str | None, request: ComparisonRequest, answer: ProviderAnswer
    ) -> None:
        """A provider gave a winner. model: as for `dispatched`; where it names none, the answer does."""
        name, label = provider, self.model_label(answer.model if model in (None, DEFAULT_MODEL) else model)
        self._spent(name, label, answer.token_usage, answer.cost_estimate)
        for mark in answer.metadata.get(FORGIVEN, ()):
            self._forgiven.labels(name, label, mark).inc()
        read, written = (
            answer.metadata.get("cache_read_input_tokens", 0),
            answer.metadata.get("cache_creation_input_tokens", 0),
        )
        self._cache_scope.labels(name, label, _scope(request.metadata), _cache_result(read, written)).inc()

    def unanswered(self, provider: Provider, model: str | None, failure: Failure) -> None:
        """An attempt at a provider is over without an answer; it may have been billed. model: as for `dispatched`."""
        reason = failure.details.get(REASON)
        # A mode may call a failure anything, and each name would be a series.
        named = reason if reason in _REASONS else ("none" if reason is None else "other")
        self._reasons.labels(provider, failure.code, named).inc()
        tokens, cost = billed(failure)
        if tokens is not None:
            self._spent(provider, self.model_label(model), tokens, cost)

    def asked_again(self, provider: Provider, reason: str) -> None:
        """An answer held no verdict, and the judge is asked once more."""
        self._asked_again.labels(provider, reason).inc()

    def _spent(self, provider: Provider, label: str, tokens: TokenUsage, cost: float) -> None:
        self._tokens.labels(provider, label, "prompt").inc(tokens.prompt_tokens)
        self._tokens.labels(provider, label, "completion").inc(tokens.completion_tokens)
        self._cost.labels(provider, label).inc(cost)

    def failed(self, provider: Provider, model: str, error_type: str, http_status: int | None) -> None:
        """An attempt gave no answer. http_status: None when there was no reply."""
        status = "none" if http_status is None else str(http_status)
        self._errors.labels(provider, self.model_label(model), error_type).inc()
        self._api_errors.labels(provider, error_type, status).inc()

    def cached(self, provider: Provider, model: str, read_tokens: int, written_tokens: int) -> None:
        """A reply said what the provider's prompt cache did."""
        name, label = provider, self.model_label(model)
        self._cache_events.labels(name, label, _cache_result(read_tokens, written_tokens)).inc()
        self._cache_tokens.labels(name, label, "read").inc(read_tokens)
        self._cache_tokens.labels(name, label, "write").inc(written_tokens)

    def ttl_violation(self, provider: Provider, model: str, stage: str) -> None:
        """A request's blocks cannot be cached as asked."""
        self._ttl_violations.labels(provider, self.model_label(model), stage).inc()

    def validated(self, provider: Provider, seconds: float) -> None:
        """A reply was read and held a verdict."""
        self._validation.labels(provider, "comparison_response").observe(seconds)

    def pool(self, provider: Provider, *, size: int, active: int) -> None:
        """A call began or ended."""
        self._pool_size.labels(provider).set(size)
        self._pool_active.labels(provider).set(active)

    def circuit_state(self, circuit_name: str, state: CircuitState) -> None:
        """Set the state of a breaker."""
        self._circuit_state.labels(LPS_SOURCE_SERVICE, circuit_name).set(_STATE_VALUES[state])

    def circuit_changed(self, circuit_name: str, before: CircuitState, after: CircuitState) -> None:
        """A breaker has moved."""
        self._circuit_changes.labels(LPS_SOURCE_SERVICE, circuit_name, before.value, after.value).inc()

    def circuit_called(self, circuit_name: str, result: str) -> None:
        """A call behind a breaker is over, or was not let through."""
        self._circuit_calls.labels(LPS_SOURCE_SERVICE, circuit_name, result).inc()


def _words(text: str) -> int:
    # Splitting 1.5 kB takes 6 us, counting 0.2; the buckets double from one to the next.
    return text.count(" ") + text.count("\n") + 1 if text else 0


def _scope(metadata: Mapping[str, Any]) -> str:
    if not metadata:
        return "unknown"
    return "assignment" if any(metadata.get(key) for key in _ASSIGNMENT_KEYS) else "adhoc"


def _cache_result(read_tokens: int, written_tokens: int) -> str:
    if read_tokens > 0:
        return "hit"
    return "miss" if written_tokens > 0 else "bypass"
