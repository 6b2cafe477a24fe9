"""This module runs one soak: load on several instances, disruptions, and the findings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.lps.lab import TOPIC
from tests.soak.clients import Clients
from tests.soak.disruptions import Disruption, carry_out
from tests.soak.promises import Audit, Topic, audit, recovery_s
from tests.soak.stage import Stage

# What a killed instance left is taken over after 13 s, and it may be killed again; what takes longer is lost.
SETTLES_S = 120.0
# A repetition that is still to come: a paused instance wakes up with callbacks that another has published.
LINGERS_S = 2.0


@dataclass(frozen=True, slots=True)
class Findings:
    """posts: requests sent, repetitions included; restarts: of instances; recovery_s: of each disruption, in order."""

    audit: Audit
    posts: int
    refused: tuple[str, ...]
    """Answers to a client that no repetition helps with."""
    disagreeing: tuple[str, ...]
    """Requests whose status or result does not fit their callback."""
    tracebacks: tuple[str, ...]
    """Events that an instance logged with one."""
    restarts: int
    disruptions: tuple[Disruption, ...]
    recovery_s: tuple[float, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise was."""
        return self.audit.kept and not (self.refused or self.disagreeing)


async def soak(
    folder: Path,
    seconds: float,
    disruptions: Sequence[Disruption],
    *,
    seed: int,
    instances: int,
    rate: float = 60.0,
    at_least: int = 0,
    **settings: object,
) -> Findings:
    """Run one. folder: an empty one of its own; rate: posts a second; at_least: requests accepted before it ends."""
    async with Stage(folder, instances, **settings) as stage:
        topic = Topic(stage.callbacks, TOPIC)
        following = asyncio.create_task(topic.follow())
        clients = Clients(stage.urls, seed=seed, rate=rate)
        try:
            _, began = await asyncio.gather(clients.post_for(seconds), carry_out(disruptions, stage))
            while len(clients.accepted) < at_least:  # a busy machine takes longer than the time given
                await clients.post_for(1.0)
            await _all_answered(clients, topic)
            disagreeing = await clients.disagreements(topic.first)
            await asyncio.sleep(LINGERS_S)
        finally:
            following.cancel()
            await asyncio.wait([following])
        following.cancelled() or following.result()
        return Findings(
            audit=audit((one.correlation_id for one in clients.accepted), topic.lines),
            posts=clients.posts,
            refused=tuple(clients.refused),
            disagreeing=tuple(disagreeing),
            tracebacks=tuple(stage.tracebacks()),
            restarts=stage.starts,
            disruptions=tuple(disruptions),
            recovery_s=tuple(recovery_s(when_s, clients.accepted, topic.seen_at_s) for when_s in began),
        )


async def _all_answered(clients: Clients, topic: Topic) -> None:
    until = asyncio.get_running_loop().time() + SETTLES_S
    while asyncio.get_running_loop().time() < until:
        if all(one.correlation_id in topic.first for one in clients.accepted):
            return
        await asyncio.sleep(0.1)
