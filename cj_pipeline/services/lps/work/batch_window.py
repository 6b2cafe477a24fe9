"""This module says when jobs of `batch_api` may start in a day."""

from __future__ import annotations

from datetime import datetime, timedelta

from cj_pipeline.contracts.enums import BatchApiMode, QueueProcessingMode
from cj_pipeline.services.lps.settings import QueueSettings

_DAY_S = 86_400.0


def seconds_until_window(settings: QueueSettings, now: datetime) -> float:
    """0 within the window, and always where there is none; else until it opens. now: UTC."""
    if not _has_window(settings):
        return 0.0
    opens = now.replace(hour=settings.batch_api_nightly_start_hour, minute=0, second=0, microsecond=0)
    if opens > now:
        opens -= timedelta(days=1)
    if now < opens + timedelta(hours=settings.batch_api_nightly_hours):
        return 0.0
    return (opens + timedelta(days=1) - now).total_seconds()


def time_to_live_s(settings: QueueSettings, now: datetime) -> float:
    """How long a request that is accepted now may wait: its time to live counts from when its turn can come at all.

    At a provider's batch endpoint a turn takes a day. A request whose process dies meanwhile waits again, and must not
    expire before another process has found its job.
    """
    elsewhere_s = _DAY_S if settings.asks_batch_endpoints else 0.0
    return settings.queue_request_ttl_hours * 3600.0 + seconds_until_window(settings, now) + elsewhere_s


def _has_window(settings: QueueSettings) -> bool:
    return (
        settings.queue_processing_mode is QueueProcessingMode.BATCH_API
        and settings.batch_api_mode is BatchApiMode.NIGHTLY
    )
