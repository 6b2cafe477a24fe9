"""This module tests virtual time, its clock, and draws that are the same in every process."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.seeding import keyed_generator, keyed_uuid, uniform
from cj_pipeline.runs.virtual_time import NothingLeftToWaitFor, TooLate, run_virtual

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)


def test_a_hundred_seconds_of_sleep_take_no_time() -> None:
    async def nap() -> float:
        await asyncio.sleep(100)
        return asyncio.get_running_loop().time()

    before = time.perf_counter()
    assert run_virtual(nap()) == 100.0
    assert time.perf_counter() - before < 5


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    async def scene() -> list[tuple[int, float]]:
        woken: list[tuple[int, float]] = []

        async def sleeper(seconds: int) -> None:
            await asyncio.sleep(seconds)
            woken.append((seconds, asyncio.get_running_loop().time()))

        await asyncio.gather(*(sleeper(seconds) for seconds in (30, 10, 20)))
        return woken

    assert run_virtual(scene()) == [(10, 10.0), (20, 20.0), (30, 30.0)]


def test_a_timeout_fires_at_its_time() -> None:
    async def scene() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(scene()) == 2.5


def test_a_loop_with_nothing_left_to_wait_for_says_so() -> None:
    async def deadlock() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingLeftToWaitFor, match="no timer is set"):
        run_virtual(deadlock())


def test_a_days_long_sleep_is_not_cut_at_the_selectors_limit() -> None:
    async def hibernate() -> float:
        await asyncio.sleep(100 * 24 * 3600)  # asyncio's selectors wait for a day at most
        return asyncio.get_running_loop().time()

    assert run_virtual(hibernate()) == 8_640_000.0


def test_a_loop_stops_before_its_clock_grows_too_coarse() -> None:
    with pytest.raises(TooLate, match="16777216 s"):
        run_virtual(asyncio.sleep(200 * 24 * 3600))


def test_the_clock_shows_simulated_time_from_its_origin() -> None:
    async def scene() -> tuple[datetime, datetime]:
        await asyncio.sleep(7)  # the clock starts when it is made, not when the loop was
        clock = LoopClock(NOON)
        first = clock.now()
        await asyncio.sleep(1.5)
        return first, clock.now()

    assert run_virtual(scene()) == (NOON, NOON + timedelta(seconds=1.5))


def test_the_clock_shows_the_machines_time_on_an_ordinary_loop() -> None:
    async def scene() -> datetime:
        return LoopClock().now()

    before = datetime.now(UTC)
    shown = asyncio.run(scene())
    assert before <= shown <= datetime.now(UTC) + timedelta(seconds=1)
    assert shown.utcoffset() == timedelta(0)


def test_draws_are_these_numbers_in_every_process_and_version() -> None:
    # By hand: the first 53 bits of sha256(b"4:coin;1:7;"), over 2**53.
    assert uniform("coin", 7) == 0.3704353579186057
    assert uniform("coin", 8) == 0.12342405729675354
    assert str(keyed_uuid("comparison", 7, "bos-1", 0, 0)) == "ca9c3ed8-7da7-824a-a795-054776fc5317"
    assert keyed_generator("jitter", 7).uniform() == 0.34420309834623586


def test_keys_are_not_run_together() -> None:
    assert uniform("a", "bc") != uniform("ab", "c")
    assert uniform("a", "") != uniform("a")
    assert uniform("1:a;") != uniform("a")


def test_draws_spread_evenly() -> None:
    drawn = np.array([uniform("spread", number) for number in range(20_000)])
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    # Standard error of the mean: 1 / sqrt(12 n) = 0.002; of a tenth's share: sqrt(0.09 / n) = 0.0021. Five of each.
    assert abs(drawn.mean() - 0.5) < 0.0102
    assert np.abs(np.histogram(drawn, bins=10, range=(0, 1))[0] / len(drawn) - 0.1).max() < 0.0106
    # Neighbouring keys are independent: their correlation has a standard error of 0.007.
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.035


@given(st.lists(st.one_of(st.text(), st.integers()), max_size=4))
def test_keyed_uuids_say_what_they_are(key: list[str | int]) -> None:
    identifier = keyed_uuid(*key)
    assert identifier.version == 8  # RFC 9562: the content is the vendor's own
    assert identifier.variant == RFC_4122
    assert identifier == keyed_uuid(*key)


def test_generators_of_different_keys_draw_differently() -> None:
    assert keyed_generator("a").integers(2**62) == keyed_generator("a").integers(2**62)
    assert keyed_generator("a").integers(2**62) != keyed_generator("b").integers(2**62)
