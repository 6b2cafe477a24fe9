"""This module sorts the failures of all providers by one question: can the same request succeed later?

What is learned of one provider goes into this table and holds for the next. A name that an API gives its error says
more than the HTTP status, and the status more than the words of the message; an error in a reply of status 200 is
sorted as if it had the status that its code names, else as a gateway's 502.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import Reason
from cj_pipeline.foundation.retrying import RETRYABLE_STATUSES
from cj_pipeline.services.lps.providers.replies.errors import ErrorWords


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a failure means. error_type: production's word for its kind."""

    code: ErrorCode
    reason: Reason
    error_type: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """names: of errors, lower-case. prose: searched where neither names nor status say anything in particular."""

    reason: Reason
    names: str
    prose: str = r"(?!)"

    def is_named(self, words: ErrorWords) -> bool:
        return not words.names.isdisjoint(self.names.split())


# The first row that fits counts.
_PARTICULAR = (
    _Row(
        Reason.CONTEXT_TOO_LONG,
        "context_length_exceeded string_above_max_length request_too_large exceed_context_size_error"
        " context_window_exceeded context_length_error prompt_too_long",
        r"context (?:length|window|size)|maximum context|prompt is too long|input is too long|too many input tokens"
        r"|input token count|request too large",
    ),
    _Row(
        Reason.NO_CREDIT,
        "insufficient_quota billing_not_active billing_hard_limit_reached account_deactivated billing_error"
        " insufficient_credits insufficient_balance insufficient_user_quota payment_required access_terminated"
        " credit_balance_too_low quota_exhausted",
        r"credit balance|insufficient (?:credit|balance|fund|quota)|more credits|billing|payment required",
    ),
    _Row(Reason.FILTERED, "content_filter content_policy_violation responsibleaipolicyviolation data_inspection_failed"
         " moderation_blocked", r"content (?:policy|management|filter)|flagged|requires moderation|safety system"),
    _Row(
        Reason.UNAUTHORIZED,
        "invalid_api_key api_key_invalid authentication_error unauthenticated unauthorized"
        " invalid_authentication_error",
        r"api key|unauthori[sz]ed|no auth credentials",
    ),
    _Row(
        Reason.MODEL_NOT_FOUND,
        "model_not_found model_not_available deploymentnotfound unknown_model model_not_supported",
        r"\bmodels?\b.{0,100}(?:not found|not exist|not available|not supported|not a valid)|no such model"
        r"|not a valid model|no endpoints found|^model: ",
    ),
    _Row(
        Reason.RATE_LIMITED,
        "rate_limit_error rate_limit_exceeded ratelimitexceeded too_many_requests resource_exhausted"
        " throttlingexception throttling_error throttled rate_limited requests tokens concurrency_limit_exceeded",
        r"rate.?limit|too many requests|throttl|slow down|quota exceeded|concurrency limit",
    ),
    _Row(
        Reason.OVERLOADED,
        "overloaded_error overloaded engine_overloaded_error server_overloaded model_overloaded slow_down",
        r"overloaded|at capacity|no capacity|loading model|model is (?:currently )?loading|temporarily unavailable",
    ),
)  # fmt: skip
# Names that say no more than a status does.
_GENERAL = (
    _Row(Reason.FORBIDDEN, "permission_error permission_denied forbidden access_denied accessdeniedexception"),
    _Row(Reason.NOT_FOUND, "not_found not_found_error"),
    _Row(Reason.TIMEOUT, "timeout timeout_error request_timeout gateway_timeout deadline_exceeded", r"timed? ?out"),
    _Row(
        Reason.BAD_REQUEST,
        "invalid_request_error invalid_argument bad_request badrequesterror failed_precondition validation_error"
        " unsupported_parameter unsupported_value invalid_value unprocessable_entity",
    ),
    _Row(
        Reason.SERVER_ERROR,
        "server_error api_error internal internal_error internal_server_error internalservererror unavailable"
        " service_unavailable unavailable_error upstream_error bad_gateway",
        r"internal (?:server )?error",
    ),
)

_PER_DAY = re.compile(r"per.?day|daily|\brpd\b|\btpd\b")

_OK, _GATEWAY = 200, 502

_BY_STATUS = {
    401: Reason.UNAUTHORIZED,
    402: Reason.NO_CREDIT,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    408: Reason.TIMEOUT,
    413: Reason.CONTEXT_TOO_LONG,
    429: Reason.RATE_LIMITED,
    529: Reason.OVERLOADED,
}


def meaning_of(status: int, words: ErrorWords) -> Meaning:
    """Sort a failure. status: of the reply, which is 200 for an error in its body."""
    in_body = _OK <= status < 300
    named = next((row.reason for row in _PARTICULAR if row.is_named(words)), None)
    shown = status if not in_body else words.status or _GATEWAY
    reason = named or _by_status(shown)
    if named is None and reason in _SAY_LITTLE and words.prose:
        reason = next((row.reason for row in _PARTICULAR if re.search(row.prose, words.prose)), reason)
    if in_body and words.status is None and reason is Reason.SERVER_ERROR:
        rows = [row for row in _GENERAL if row.is_named(words)] or [
            row for row in _GENERAL if words.prose and re.search(row.prose, words.prose)
        ]
        reason = rows[0].reason if rows else reason
    if reason is Reason.RATE_LIMITED and "request too large" in words.prose:
        reason = Reason.CONTEXT_TOO_LONG  # larger than a minute's whole allowance
    elif reason is Reason.RATE_LIMITED and _per_day(words):
        reason = Reason.DAILY_LIMIT
    return _meaning(reason, shown)


# What a status of these says, the words of the message may say more exactly.
_SAY_LITTLE = frozenset({Reason.BAD_REQUEST, Reason.FORBIDDEN, Reason.NOT_FOUND, Reason.SERVER_ERROR})


def _by_status(status: int) -> Reason:
    if status >= 500:
        return _BY_STATUS.get(status, Reason.SERVER_ERROR)
    return _BY_STATUS.get(status, Reason.BAD_REQUEST) if status >= 400 else Reason.REDIRECTED


def _meaning(reason: Reason, status: int) -> Meaning:
    service, server_says = ErrorCode.EXTERNAL_SERVICE_ERROR, status in RETRYABLE_STATUSES
    match reason:
        case Reason.RATE_LIMITED | Reason.DAILY_LIMIT:
            return Meaning(ErrorCode.RATE_LIMIT, reason, "rate_limit", retryable=True)
        case Reason.NO_CREDIT if status == 429:
            return Meaning(ErrorCode.RATE_LIMIT, reason, "rate_limit", retryable=False)
        case Reason.OVERLOADED:
            return Meaning(service, reason, "overloaded", retryable=True)
        case Reason.UNAUTHORIZED | Reason.FORBIDDEN:
            return Meaning(ErrorCode.AUTHENTICATION_ERROR, reason, "authentication", retryable=False)
        case Reason.TIMEOUT:
            return Meaning(ErrorCode.TIMEOUT, reason, "timeout", retryable=True)
        case Reason.SERVER_ERROR:
            return Meaning(service, reason, "server_error", retryable=server_says)
        case Reason.REDIRECTED:
            return Meaning(service, reason, "unknown", retryable=False)
        case _:
            return Meaning(service, reason, "client_error", retryable=False)


def _per_day(words: ErrorWords) -> bool:
    return any(_PER_DAY.search(name) for name in words.names) or _PER_DAY.search(words.prose) is not None
