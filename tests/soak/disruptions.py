"""This module draws a schedule of disruptions from a seed and carries it out."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from cj_pipeline.foundation.seeding import uniform
from tests.soak.stage import Stage


class Kind(StrEnum):
    """By what it is called in the table."""

    SERVER_KILLED = "server killed"
    REDIS_KILLED = "redis killed"
    BOTH_KILLED = "both killed"
    SERVER_PAUSED = "server paused"
    """Longer than it shows a sign of life for: another instance takes over, and it wakes up to lost claims."""
    REDIS_PAUSED = "redis paused"
    SERVER_TERMINATED = "server terminated"
    """As a rolling update does."""


# How long each lasts, seconds, from and to. A sign of life lasts 10 s and is looked for every 3 s: 14 is past both. A
# reply of Redis is waited for 5 s; of its pauses some are longer.
LASTS_S = {
    Kind.SERVER_KILLED: (0.0, 0.0),
    Kind.REDIS_KILLED: (0.0, 2.0),
    Kind.BOTH_KILLED: (0.0, 2.0),
    Kind.SERVER_PAUSED: (14.0, 17.0),
    Kind.REDIS_PAUSED: (1.0, 7.0),
    Kind.SERVER_TERMINATED: (0.0, 0.0),
}
GAP_S = (1.0, 6.0)


@dataclass(frozen=True, slots=True)
class Disruption:
    """at_s: after the start; instance: which server, counted from 0."""

    at_s: float
    kind: Kind
    instance: int
    lasts_s: float


def schedule(seed: int, seconds: float, kinds: Sequence[Kind], instances: int) -> tuple[Disruption, ...]:
    """Disruptions one after another for so long, each kind once before any comes again."""
    planned: list[Disruption] = []
    at_s = 0.0
    for number, kind in enumerate(_decks(seed, kinds)):
        at_s += _between(GAP_S, uniform("soak", seed, "gap", number))
        lasts_s = _between(LASTS_S[kind], uniform("soak", seed, "lasts", number))
        if at_s + lasts_s > seconds:
            return tuple(planned)
        planned.append(Disruption(at_s, kind, int(uniform("soak", seed, "struck", number) * instances), lasts_s))
        at_s += lasts_s
    raise AssertionError("decks end")


async def carry_out(disruptions: Sequence[Disruption], stage: Stage) -> list[float]:
    """When each began, on the loop's clock."""
    loop = asyncio.get_running_loop()
    started, began = loop.time(), []
    for disruption in disruptions:
        await asyncio.sleep(max(0.0, started + disruption.at_s - loop.time()))
        began.append(loop.time())
        await _strike(disruption, stage)
    return began


async def _strike(disruption: Disruption, stage: Stage) -> None:
    served, redis = stage.instances[disruption.instance], stage.redis
    match disruption.kind:
        case Kind.SERVER_KILLED:
            served.send(signal.SIGKILL)
        case Kind.REDIS_KILLED:
            redis.kill()
            await asyncio.sleep(disruption.lasts_s)
            await asyncio.to_thread(redis.start)
        case Kind.BOTH_KILLED:
            served.send(signal.SIGKILL)
            redis.kill()
            await asyncio.sleep(disruption.lasts_s)
            await asyncio.to_thread(redis.start)
        case Kind.SERVER_PAUSED:
            served.send(signal.SIGSTOP)
            await asyncio.sleep(disruption.lasts_s)
            served.send(signal.SIGCONT)
        case Kind.REDIS_PAUSED:
            redis.freeze()
            await asyncio.sleep(disruption.lasts_s)
            redis.thaw()
        case Kind.SERVER_TERMINATED:
            served.send(signal.SIGTERM)


def _decks(seed: int, kinds: Sequence[Kind]) -> Iterator[Kind]:
    for deck in count():
        yield from sorted(kinds, key=lambda kind: uniform("soak", seed, "deck", deck, kind))


def _between(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return low + share * (high - low)
