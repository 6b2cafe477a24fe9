"""This module reads when a provider wants to be asked again, from headers and bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from cj_pipeline.contracts.reasons import Reason
from cj_pipeline.services.lps.providers.replies.errors import ErrorWords

# Nobody waits for longer; what says so has another calendar, or counts in milliseconds.
MOST_WAIT_S = 24 * 3600.0

_RESETS = ("x-ratelimit-reset", "ratelimit-reset", "x-ratelimit-reset-after")
_MILLISECONDS_SINCE_1970, _SECONDS_SINCE_1970 = 1e11, 1e8


def retry_after_s(headers: Mapping[str, str], words: ErrorWords, reason: Reason, now: datetime) -> float | None:
    """Return the seconds to wait, at most a day; None where the provider does not say.

    now: our own clock, for dates that the server sends without its own. A day's quota ends at the reset that is named;
    the delay of seconds that Google's body names all the same is that of another quota.
    """
    seconds = _header_s(headers, now)
    if seconds is None and reason is not Reason.DAILY_LIMIT:
        seconds = _google_delay_s(words.parts)
    if seconds is None and reason in (Reason.RATE_LIMITED, Reason.DAILY_LIMIT):
        seconds = _reset_s(headers, words.parts, now)
    return None if seconds is None else min(seconds, MOST_WAIT_S)


def _header_s(headers: Mapping[str, str], now: datetime) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))  # OpenAI's own, more exact
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    header = headers.get("retry-after")
    if header is None:
        return None
    seconds = _number(header)
    if seconds is not None:
        return max(0.0, seconds)
    until, sent = _date(header), _date(headers.get("date"))
    if until is None:
        return None
    # By the server's own clock where it shows one, which need not agree with ours.
    return max(0.0, (until - (sent or now)).total_seconds())


def _reset_s(headers: Mapping[str, str], error: Mapping[str, Any], now: datetime) -> float | None:
    for found in _resets(headers, error):
        value = _number(found)
        if value is None:
            continue
        if value >= _SECONDS_SINCE_1970:
            value = value / (1000 if value >= _MILLISECONDS_SINCE_1970 else 1) - now.timestamp()
        if value > 0:  # one that is over says nothing about the next
            return value
    return None


def _resets(headers: Mapping[str, str], error: Mapping[str, Any]) -> Iterator[object]:
    yield from (headers.get(name) for name in _RESETS)
    metadata = error.get("metadata")
    repeated = metadata.get("headers") if isinstance(metadata, dict) else None
    if isinstance(repeated, dict):
        yield from (value for name, value in repeated.items() if str(name).lower() in _RESETS)


def _number(value: object) -> float | None:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _date(text: str | None) -> datetime | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text or "")
        except (ValueError, TypeError):
            continue
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)  # dates of HTTP are GMT
    return None


def _google_delay_s(error: Mapping[str, Any]) -> float | None:
    """Google has no Retry-After; a `RetryInfo` among the error's details says `"37s"`."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            seconds = _number(delay.removesuffix("s"))
            return None if seconds is None else max(0.0, seconds)
    return None
