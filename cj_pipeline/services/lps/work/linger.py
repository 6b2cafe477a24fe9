"""This module says how long a bundle or job that is not full waits for more requests.

The requests of a wave are posted one after another: without a wait the first is answered alone, before its neighbours
are there, and 10 comparisons with hints of 2 took 9 bundles.
"""

from __future__ import annotations

from collections.abc import Sequence

from cj_pipeline.contracts.enums import BatchApiMode, QueueProcessingMode
from cj_pipeline.services.lps.queue.bundling import bundle_hint, bundle_limit
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.settings import QueueSettings


def linger_left_s(settings: QueueSettings, members: Sequence[QueuedRequest], cap: int, now: float) -> float:
    """Return for how much longer these wait; 0 when they are as many as may be, or have waited enough.

    An opportunistic job waits so long in all. A bundle waits for the next request, and only where its lead says how
    many belong to its wave: on a busy machine a wave takes seconds to post, and never stops for long.
    """
    lead = members[0]
    if len(members) >= bundle_limit(lead, cap):
        return 0.0
    until = now
    if settings.queue_processing_mode is QueueProcessingMode.SERIAL_BUNDLE:
        if bundle_hint(lead) is not None:
            until = max(member.enqueued_at for member in members) + settings.serial_bundle_linger_ms / 1000.0
    elif settings.batch_api_mode is BatchApiMode.OPPORTUNISTIC:
        until = lead.enqueued_at + settings.batch_api_linger_seconds
    return max(0.0, until - now)
