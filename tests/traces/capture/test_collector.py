"""The garbage collector is away while messages are read, and back afterwards."""

from __future__ import annotations

import gc

import pytest

from cj_pipeline.traces.capture.reading import uncollected


def test_the_collector_is_off_for_a_step_and_on_again() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_step_that_fails_gives_the_collector_back() -> None:
    with pytest.raises(ZeroDivisionError), uncollected():
        _ = 1 / 0
    assert gc.isenabled()


def test_who_reads_without_a_collector_is_not_given_one() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
