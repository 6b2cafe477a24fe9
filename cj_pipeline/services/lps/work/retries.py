"""This module decides whether a failed attempt is made again, and after how long."""

from __future__ import annotations

from cj_pipeline.contracts.answer import Failure
from cj_pipeline.foundation.retrying import Waits, backoff_s
from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.settings import QueueSettings


def retry_delay_s(request: QueuedRequest, failure: Failure, settings: QueueSettings, now_s: float) -> float | None:
    """Seconds until the next attempt; None when there is none.

    The backoff doubles with each attempt and is then shortened by up to half, by a draw keyed by the request: a wave
    that failed together must not come back together. A Retry-After is waited for in full, whatever the backoff; where
    the request does not live until then, its failure is the answer now.
    now_s: on the loop's monotonic clock.
    """
    if not failure.worth_retrying or request.attempts >= settings.queue_max_retries:
        return None
    waits = Waits(settings.queue_retry_backoff_seconds, settings.queue_retry_backoff_max_seconds)
    jittered = backoff_s(request.attempts + 1, waits) * (
        1.0 - 0.5 * uniform("lps", "backoff", str(request.correlation_id), request.attempts)
    )
    delay_s = max(jittered, failure.retry_after_s or 0.0)
    return delay_s if now_s + delay_s < request.expires_at else None
