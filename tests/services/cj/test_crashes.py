"""A process that dies at any commit leaves a batch that the next process brings to the same end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import pytest

from cj_pipeline.contracts.cj_events import ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC, RESOURCE_CONSUMPTION_TOPIC
from cj_pipeline.contracts.model import WireModel
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.results.outbox import write_event
from cj_pipeline.services.cj.store.tables import batch_states, batch_uploads, comparison_pairs
from tests.services.cj.crashing import DyingDatabase, Killed
from tests.services.cj.lab import OUTPUTS, World, request, world

ESSAYS = 4
BUDGET = 6


class ThinEvent(WireModel):
    entity_id: str


@dataclass(frozen=True)
class End:
    """What must not depend on crashes."""

    upload_status: str
    counters: tuple[int, int, int, int]
    results: str
    events: frozenset[tuple[str, str]]
    winners: tuple[tuple[str, str], ...]


async def end_of(w: World) -> End:
    (upload,), (state,) = await w.rows(batch_uploads), await w.rows(batch_states)
    (result,) = {json.dumps(event["data"]["essay_results"]) for event in w.events(ASSESSMENT_RESULT_TOPIC)}
    names = ("submitted_comparisons", "completed_comparisons", "failed_comparisons", "current_iteration")
    return End(
        upload_status=upload["status"],
        counters=tuple(state[name] for name in names),  # type: ignore[arg-type]
        results=result,
        events=frozenset((topic, event["event_id"]) for topic in OUTPUTS for event in w.events(topic)),
        winners=tuple((row["request_correlation_id"], row["winner"]) for row in await w.rows(comparison_pairs)),
    )


async def last_event(w: World) -> None:
    # The last of the three: a crash may lie between it and the one before.
    await w.next_event(RESOURCE_CONSUMPTION_TOPIC)


async def batch(**crash: int) -> tuple[End, int, bool]:
    """A batch, through a crash at a commit if there is one: its end, commits, and whether the crash came."""
    database = DyingDatabase()
    async with world(database=database) as w:
        already = database.commits
        for when, commit in crash.items():
            setattr(database, when, already + commit)
        await w.ask(request(ESSAYS, metadata={"max_comparisons": BUDGET}))
        crashed = await lives_to_the_end(w)
        if crashed:
            database.revive()
            assert not await lives_to_the_end(w)
        commits = database.commits - already
        await everything_is_once(w)
        return await end_of(w), commits, crashed


async def lives_to_the_end(w: World) -> bool:
    """Run a service until the batch is over; whether it was killed on the way."""
    async with w.service() as service:
        over = asyncio.create_task(last_event(w))
        failed = asyncio.create_task(service.wait())
        await asyncio.wait([over, failed], return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            await asyncio.sleep(60.0)  # the relay's own commit is still to come
        killed = failed.done() and isinstance(failed.exception(), Killed)
        over.cancel()
        failed.cancel()
        await asyncio.wait([over, failed])
    return killed


async def everything_is_once(w: World) -> None:
    for topic in OUTPUTS:
        # A crash between the bus and the mark publishes again, under the same id.
        assert len({event["event_id"] for event in w.events(topic)}) <= 1
    asked = [row["request_correlation_id"] for row in await w.rows(comparison_pairs)]
    callbacks: list[Any] = [event["data"]["correlation_id"] for event in w.events(COMPARISON_RESULT_TOPIC)]
    assert sorted(callbacks) == sorted(asked)
    assert len(set(asked)) == len(asked) <= BUDGET


@cache
def undisturbed() -> tuple[End, int, bool]:
    return run_virtual(batch())


COMMITS = 28
"""Of the undisturbed batch; the test below holds it."""


def test_the_undisturbed_batch_is_one_that_commits_often() -> None:
    end, commits, crashed = undisturbed()
    assert end.counters == (BUDGET, BUDGET, 0, 3)
    assert {topic for topic, _ in end.events} == {OUTPUTS[0], OUTPUTS[1], OUTPUTS[3]}
    assert (commits, crashed) == (COMMITS, False)


@pytest.mark.parametrize("when", ["die_before", "die_after"])
@pytest.mark.parametrize("commit", range(1, COMMITS + 1))
def test_a_crash_at_a_commit_changes_nothing(commit: int, when: str) -> None:
    end, _, crashed = run_virtual(batch(**{when: commit}))
    assert crashed
    assert end == undisturbed()[0]


@pytest.mark.parametrize("commit", range(1, COMMITS + 1))
def test_a_commit_that_fails_in_passing_changes_nothing(commit: int) -> None:
    # The process lives on, with whatever it keeps in memory.
    end, commits, crashed = run_virtual(batch(away_before=commit))
    assert not crashed
    assert commits >= COMMITS  # so the one that fails was among them
    assert end == undisturbed()[0]


def test_an_event_that_was_left_behind_is_published_at_once_by_the_next_process() -> None:
    async def script() -> None:
        async with world() as w:
            async with w.database.transaction() as transaction:
                data = ThinEvent(entity_id="bos-9")
                for _ in range(2):
                    await write_event(
                        transaction,
                        data,
                        aggregate_id="9",
                        topic=CJ_COMPLETED_TOPIC,
                        correlation_id=UUID(int=9),
                        key="bos-9",
                        now=w.clock.now(),
                    )
            async with w.service():
                await w.next_event(CJ_COMPLETED_TOPIC, patience_s=1.0)
            assert len(w.events(CJ_COMPLETED_TOPIC)) == 1

    run_virtual(script())


def test_a_restart_in_the_middle_of_every_wave_changes_nothing() -> None:
    async def script() -> End:
        async with world() as w:
            await w.ask(request(ESSAYS, metadata={"max_comparisons": BUDGET}))
            while not w.events(CJ_COMPLETED_TOPIC):
                async with w.service():
                    await asyncio.sleep(0.7)
            await asyncio.sleep(1.0)
            return await end_of(w)

    assert run_virtual(script()) == undisturbed()[0]
