"""This module names why a comparison has no winner, more finely than the codes of the wire do.

A reason is a word in `error_detail.details.reason`. Consumers of production's wire read the code and never see it;
parity compares both, and redaction keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cj_pipeline.contracts.errors import ErrorCode

# The key in `error_detail.details`, and those beside it that say what the failed calls took: the names that answers
# have for the same.
REASON = "reason"
TOOK, BILLED, PRICE = "response_time_ms", "token_usage", "cost_estimate"

# What an answer's metadata says of it when it does not come as asked for: whether the confidence, the tokens and the
# price are known (only ever false), what was forgiven, and how often the judge was asked when that was more than once.
CONFIDENCE_KNOWN, TOKENS_KNOWN, COST_KNOWN = "confidence_known", "tokens_known", "cost_known"
FORGIVEN, ASKS = "forgiven", "asks"
ANSWER_MARKS = frozenset({CONFIDENCE_KNOWN, TOKENS_KNOWN, FORGIVEN, ASKS})

# A winner on the wire has a confidence; where the judge gave none that can be used, it is the middle of the scale, and
# `confidence_known` is false.
UNKNOWN_CONFIDENCE = 3.0


class Reason(StrEnum):
    """Why there is no winner."""

    RATE_LIMITED = "rate_limited"
    DAILY_LIMIT = "daily_limit"
    NO_CREDIT = "no_credit"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    BAD_REQUEST = "bad_request"
    CONTEXT_TOO_LONG = "context_too_long"
    MODEL_NOT_FOUND = "model_not_found"
    NOT_FOUND = "not_found"
    REDIRECTED = "redirected"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    CIRCUIT_OPEN = "circuit_open"
    UNREACHABLE = "unreachable"
    BROKEN_OFF = "broken_off"
    TIMEOUT = "timeout"
    EMPTY_BODY = "empty_body"
    WEB_PAGE = "web_page"
    NOT_JSON = "not_json"
    TOO_LONG = "too_long"
    MISSHAPEN = "misshapen"
    GENERATION_FAILED = "generation_failed"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    FILTERED = "filtered"
    EMPTY_ANSWER = "empty_answer"
    UNREADABLE = "unreadable"
    NO_OBJECT = "no_object"
    NO_WINNER = "no_winner"
    TIE = "tie"
    BOTH_NAMED = "both_named"
    CONTRADICTION = "contradiction"
    INVALID_BLOCKS = "invalid_blocks"
    UNKNOWN_MODEL = "unknown_model"
    NOT_REGISTERED = "not_registered"
    EXPIRED = "expired"
    GIVEN_UP = "given_up"
    SHUT_DOWN = "shut_down"
    CANCELLED = "cancelled"
    MISSING = "missing"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a reason means. codes: those it comes with; what_next: what the service does about it."""

    codes: tuple[ErrorCode, ...]
    meaning: str
    what_next: str


# An answer of the judge's without a usable verdict in it; above temperature 0 the next may have one.
ASKED_AGAIN = frozenset(
    {
        *(Reason.TRUNCATED, Reason.REFUSED, Reason.EMPTY_ANSWER, Reason.UNREADABLE, Reason.NO_OBJECT),
        *(Reason.NO_WINNER, Reason.TIE, Reason.BOTH_NAMED, Reason.CONTRADICTION),
    }
)

_AGAIN = "tried again"
_FINAL = "final"
_ASKED = "asked once more"

_SERVICE, _INVALID = ErrorCode.EXTERNAL_SERVICE_ERROR, ErrorCode.INVALID_RESPONSE

EXPLANATIONS: Mapping[Reason, Explanation] = {
    Reason.RATE_LIMITED: Explanation((ErrorCode.RATE_LIMIT,), "too many requests or tokens a minute", _AGAIN),
    Reason.DAILY_LIMIT: Explanation(
        (ErrorCode.RATE_LIMIT,),
        "the requests of a day are used up",
        "tried again at the reset that the provider names, if the request lives until then",
    ),
    Reason.NO_CREDIT: Explanation((ErrorCode.RATE_LIMIT, _SERVICE), "the account has no money or no quota", _FINAL),
    Reason.UNAUTHORIZED: Explanation((ErrorCode.AUTHENTICATION_ERROR,), "the key is missing or wrong", _FINAL),
    Reason.FORBIDDEN: Explanation((ErrorCode.AUTHENTICATION_ERROR,), "the key may not do this", _FINAL),
    Reason.BAD_REQUEST: Explanation((_SERVICE,), "the API does not take the request", _FINAL),
    Reason.CONTEXT_TOO_LONG: Explanation((_SERVICE,), "the prompt is longer than the model reads", _FINAL),
    Reason.MODEL_NOT_FOUND: Explanation((_SERVICE,), "the API does not have the model", _FINAL),
    Reason.NOT_FOUND: Explanation((_SERVICE,), "there is nothing at this address; check the base URL", _FINAL),
    Reason.REDIRECTED: Explanation((_SERVICE,), "the API is elsewhere; check the base URL", _FINAL),
    Reason.OVERLOADED: Explanation((_SERVICE,), "the provider has too much to do", _AGAIN),
    Reason.SERVER_ERROR: Explanation((_SERVICE,), "the provider failed", _AGAIN + ", unless its status says no"),
    Reason.CIRCUIT_OPEN: Explanation(
        (_SERVICE,),
        "nothing was sent: the provider failed repeatedly",
        "held until the provider is back",
    ),
    Reason.UNREACHABLE: Explanation((ErrorCode.CONNECTION_ERROR,), "no connection", _AGAIN),
    Reason.BROKEN_OFF: Explanation((ErrorCode.CONNECTION_ERROR,), "the connection ended before the reply did", _AGAIN),
    Reason.TIMEOUT: Explanation((ErrorCode.TIMEOUT,), "no reply in time", _AGAIN),
    Reason.EMPTY_BODY: Explanation((_SERVICE,), "a reply without a body", _AGAIN),
    Reason.WEB_PAGE: Explanation((_SERVICE,), "a page of something in between", _AGAIN),
    Reason.NOT_JSON: Explanation((_SERVICE,), "a body that is no JSON, or half of it", _AGAIN),
    Reason.TOO_LONG: Explanation((_SERVICE,), "a body of more than 8 MB", _FINAL),
    Reason.MISSHAPEN: Explanation((_INVALID,), "JSON in another shape than the API documents", _FINAL),
    Reason.GENERATION_FAILED: Explanation((_SERVICE,), "the provider says that it failed while writing", _AGAIN),
    Reason.TRUNCATED: Explanation((_SERVICE,), "cut off at the limit of tokens", _ASKED),
    Reason.REFUSED: Explanation((_INVALID,), "the judge does not want to compare", _ASKED),
    Reason.FILTERED: Explanation((_INVALID, _SERVICE), "a filter took the prompt or the answer", _FINAL),
    Reason.EMPTY_ANSWER: Explanation((_INVALID,), "an answer without a word in it", _ASKED + ", at temperature 0 too"),
    Reason.UNREADABLE: Explanation((ErrorCode.PARSING_ERROR,), "words without a JSON object", _ASKED),
    Reason.NO_OBJECT: Explanation((_INVALID,), "JSON that is no object", _ASKED),
    Reason.NO_WINNER: Explanation((_INVALID,), "an object that names neither essay", _ASKED),
    Reason.TIE: Explanation((_INVALID,), "the judge calls it a tie", _ASKED),
    Reason.BOTH_NAMED: Explanation((_INVALID,), "both essays are named as the winner", _ASKED),
    Reason.CONTRADICTION: Explanation((_INVALID,), "two verdicts that disagree", _ASKED),
    Reason.INVALID_BLOCKS: Explanation((ErrorCode.VALIDATION_ERROR,), "blocks that cannot be cached as asked", _FINAL),
    Reason.UNKNOWN_MODEL: Explanation((ErrorCode.CONFIGURATION_ERROR,), "the manifest lacks the model", _FINAL),
    Reason.NOT_REGISTERED: Explanation((ErrorCode.CONFIGURATION_ERROR,), "this process lacks the provider", _FINAL),
    Reason.EXPIRED: Explanation((ErrorCode.TIMEOUT,), "the time to live passed before its turn came", _FINAL),
    Reason.GIVEN_UP: Explanation((ErrorCode.TIMEOUT,), "no attempt came to an end", _FINAL),
    Reason.SHUT_DOWN: Explanation((ErrorCode.SERVICE_UNAVAILABLE,), "the service was stopped", _FINAL),
    Reason.CANCELLED: Explanation((_SERVICE,), "somebody stopped the batch job at the provider", _FINAL),
    Reason.MISSING: Explanation((ErrorCode.PROCESSING_ERROR,), "the results of the batch job lack it", _FINAL),
    Reason.INTERNAL: Explanation((ErrorCode.PROCESSING_ERROR,), "a defect of the service; see its log", _FINAL),
}


def is_measured(metadata: Mapping[str, object]) -> bool:
    """Return whether the tokens of an answer are known, and so whether they and their price can be compared."""
    return metadata.get(TOKENS_KNOWN) is not False
