"""This module listens for notices that another instance of the queue has put something in.

A notice is a hint: one that is lost costs the seconds until the queue next looks by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from redis.exceptions import RedisError

from cj_pipeline.foundation.retrying import backoff_s
from cj_pipeline.services.lps.queue.redis.calls import WAITS, redis_client

_log = logging.getLogger(__name__)


async def listen(url: str, channel: str, me: str, on_notice: Callable[[], None]) -> None:
    """Call `on_notice` for each notice that is not one's own, and after every gap. Runs until cancelled."""
    failures = 0
    while True:
        redis = redis_client(url, reply_timeout_s=None)  # on this connection silence is the rule
        try:
            async with redis, redis.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                on_notice()  # for what came while nobody listened
                failures = 0
                async for message in subscription.listen():
                    if message["data"] != me.encode():
                        on_notice()
        except (RedisError, OSError) as error:
            _log.info("not listening to Redis (%s)", type(error).__name__)
        failures += 1
        await asyncio.sleep(backoff_s(failures, WAITS))
