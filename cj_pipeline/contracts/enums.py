"""This module holds the closed vocabularies of the wire, with their JSON literals.

Error codes are in errors.py; words that only one room uses are in that room.
"""

from __future__ import annotations

from enum import StrEnum


class Provider(StrEnum):
    """LLMProviderType on the wire."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GOOGLE = "google"
    OPENROUTER = "openrouter"
    MOCK = "mock"


class Winner(StrEnum):
    """EssayComparisonWinner on the wire: a position, not an essay."""

    A = "Essay A"
    B = "Essay B"


class LLMBatchingMode(StrEnum):
    """How the CJ engine asks for its comparisons to be sent."""

    PER_REQUEST = "per_request"
    SERIAL_BUNDLE = "serial_bundle"
    PROVIDER_BATCH_API = "provider_batch_api"


class QueueBackend(StrEnum):
    """Where accepted requests wait."""

    MEMORY = "memory"
    REDIS = "redis"


class QueueProcessingMode(StrEnum):
    """How the LPS works off its queue. `batch_api` is what the CJ engine calls `provider_batch_api`."""

    PER_REQUEST = "per_request"
    SERIAL_BUNDLE = "serial_bundle"
    BATCH_API = "batch_api"


class BatchApiMode(StrEnum):
    """When the LPS starts the jobs of `batch_api`."""

    DISABLED = "disabled"
    NIGHTLY = "nightly"
    OPPORTUNISTIC = "opportunistic"


class BatchJobStatus(StrEnum):
    """The status of a job of `batch_api`."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class QueueStatus(StrEnum):
    """The status of a request in the LPS queue."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    FAILED = "failed"


class ReasoningEffort(StrEnum):
    """Hint to models that reason before they answer."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class OutputVerbosity(StrEnum):
    """Hint to models whose answer length can be set."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class CJRequestType(StrEnum):
    """Why a comparison was asked for (`cj_request_type` in the request metadata)."""

    COMPARISON = "cj_comparison"
    RETRY = "cj_retry"
