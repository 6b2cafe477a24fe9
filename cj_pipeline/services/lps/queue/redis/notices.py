"""Hearing that another instance of the queue has put something in.

Here: one subscription, renewed when it breaks. Not here: who sends (redis_scripts/dispatch.lua), what is done about it
(redis_queue.py).

A notice is a hint: one that is lost costs the seconds until the next tending.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from cj_pipeline.services.lps.queue.redis.calls import FIRST_BACKOFF_S, MAX_BACKOFF_S, PATIENCE_S

_log = logging.getLogger(__name__)


async def listen(url: str, channel: str, me: str, on_notice: Callable[[], None]) -> None:
    """Call `on_notice` for each notice that is not one's own, and after every gap. Runs until cancelled."""
    backoff_s = FIRST_BACKOFF_S
    while True:
        # No socket_timeout: on this connection silence is the rule.
        redis = Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=PATIENCE_S,
            socket_keepalive=True,
        )
        try:
            async with redis, redis.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                on_notice()  # for what came while nobody listened
                backoff_s = FIRST_BACKOFF_S
                async for message in subscription.listen():
                    if message["data"] != me.encode():
                        on_notice()
        except (RedisError, OSError) as error:
            _log.info("not listening to Redis (%s)", type(error).__name__)
        await asyncio.sleep(backoff_s)
        backoff_s = min(2.0 * backoff_s, MAX_BACKOFF_S)
