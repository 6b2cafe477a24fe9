"""This module defines failures on the wire: the error codes, and the detail that a callback carries.

Exceptions are defined in the rooms that raise them, HTTP statuses in services/lps.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from cj_pipeline.contracts.model import WireModel


class ErrorCode(StrEnum):
    """Codes that every service may use; the literal is the name."""

    EXTERNAL_SERVICE_ERROR = "EXTERNAL_SERVICE_ERROR"
    CONFIGURATION_ERROR = "CONFIGURATION_ERROR"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    PARSING_ERROR = "PARSING_ERROR"
    PROCESSING_ERROR = "PROCESSING_ERROR"
    RATE_LIMIT = "RATE_LIMIT"
    TIMEOUT = "TIMEOUT"
    CONNECTION_ERROR = "CONNECTION_ERROR"
    AUTHENTICATION_ERROR = "AUTHENTICATION_ERROR"
    REQUEST_QUEUED = "REQUEST_QUEUED"
    INVALID_RESPONSE = "INVALID_RESPONSE"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    LLM_QUEUE_FULL = "LLM_QUEUE_FULL"
    LLM_INVALID_CALLBACK_TOPIC = "LLM_INVALID_CALLBACK_TOPIC"
    LLM_INVALID_CONFIG = "LLM_INVALID_CONFIG"


class ErrorDetail(WireModel):
    """Why a comparison has no winner."""

    # Any service's code may arrive here, so it is a pattern and not the enum above.
    error_code: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    message: str
    correlation_id: UUID
    timestamp: AwareDatetime
    service: str
    operation: str
    details: dict[str, Any] = Field(default_factory=dict)
    stack_trace: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
