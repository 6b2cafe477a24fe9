"""This module follows the topic and checks that every accepted request has one callback, whatever was killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.contracts.callback import CallbackEvent, parse_callback


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that a client holds a 202 for. at_s: when, on the loop's clock; posts: how many it took."""

    correlation_id: str
    queue_id: str
    at_s: float
    posts: int


@dataclass(frozen=True, slots=True)
class Audit:
    """accepted, callbacks: requests; errors: those of them whose callback names no winner; repeats: further lines."""

    accepted: int
    callbacks: int
    errors: int
    repeats: int
    lost: tuple[str, ...]
    """Accepted, and no callback. Correlation ids, like the others."""
    differing: tuple[str, ...]
    """Called back twice, and not with the same bytes."""
    strange: int
    """Lines that are no callback, or of a request that nobody posted."""

    @property
    def kept(self) -> bool:
        """Whether all that was promised was done, and nothing else."""
        return not (self.lost or self.differing or self.strange)


def audit(accepted: Iterable[str], lines: Iterable[bytes]) -> Audit:
    """accepted: correlation ids; lines: of the topic's file, in order."""
    expected = set(accepted)
    first: dict[str, bytes] = {}
    errors = repeats = strange = 0
    differing: dict[str, None] = {}
    for line in lines:
        event = parse_callback(line)
        if not isinstance(event, CallbackEvent) or str(event.correlation_id) not in expected:
            strange += 1
            continue
        correlation_id = str(event.correlation_id)
        if correlation_id not in first:
            first[correlation_id] = line
            errors += not event.data.succeeded
            continue
        repeats += 1
        if line != first[correlation_id]:
            differing[correlation_id] = None
    lost = tuple(sorted(expected - first.keys()))
    return Audit(len(expected), len(first), errors, repeats, lost, tuple(differing), strange)


class Topic:
    """Follows a topic's file and remembers when each callback was first seen."""

    def __init__(self, folder: Path, topic: str) -> None:
        self._subscription = FolderBus(folder).subscribe(topic)
        self.lines: list[bytes] = []
        self.first: dict[str, bytes] = {}
        """The first callback of each correlation id."""
        self.seen_at_s: dict[str, float] = {}
        """On the loop's clock, 20 ms late at most."""

    async def follow(self) -> None:
        """Read until cancelled."""
        while True:
            line = (await self._subscription.next()).value
            self.lines.append(line)
            correlation_id = str(json.loads(line)["correlation_id"])
            if correlation_id not in self.first:
                self.first[correlation_id] = line
                self.seen_at_s[correlation_id] = asyncio.get_running_loop().time()


def recovery_s(when_s: float, accepted: Sequence[Accepted], seen_at_s: Mapping[str, float]) -> float:
    """How long after that moment the last request that was open at it had its callback; 0 when none was open."""
    open_then = [one.correlation_id for one in accepted if one.at_s <= when_s]
    return max((seen_at_s[one] - when_s for one in open_then if seen_at_s.get(one, 0.0) > when_s), default=0.0)
