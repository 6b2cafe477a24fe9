"""Waves worked out from rows that do not number them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.traces.importing.cj_waves import waves_of
from tests.traces.importing.batches import kept_batch


@pytest.mark.parametrize("essays", [2, 3, 5, 7])
def test_they_are_the_waves_that_the_engine_asked(essays: int, tmp_path: Path) -> None:
    # Odd numbers leave one essay out of each wave; small nets are resampled in whole passes.
    kept = kept_batch(f"sqlite:///{tmp_path}/cj.db", essays, min_resampling_net_size=5)
    columns = frozenset({"pair_generation_mode"})
    asked = waves_of(kept.pairs, columns, None, "serial_bundle").asked
    assert {pair["request_correlation_id"]: pair["iteration"] for pair in kept.pairs} == {
        correlation_id: one.wave for correlation_id, one in asked.items()
    }


def test_a_job_of_a_provider_asks_everything_in_one_wave(tmp_path: Path) -> None:
    kept = kept_batch(f"sqlite:///{tmp_path}/cj.db", 5)
    waves = waves_of(kept.pairs, frozenset(), None, "provider_batch_api")
    assert {one.wave for one in waves.asked.values()} == {0}


@pytest.mark.parametrize("snapshot", ["", "[]", "{}", '{"waves": 3}', '{"waves": [], "batch": {}}'])
def test_a_stored_state_that_is_not_ours_is_not_relied_on(snapshot: str) -> None:
    rows = [
        {"request_correlation_id": name, "essay_a_els_id": one, "essay_b_els_id": other}
        for name, one, other in (("x", "1", "2"), ("y", "3", "4"), ("z", "1", "3"))
    ]
    waves = waves_of(rows, frozenset(), snapshot, None)
    assert [asked.wave for asked in waves.asked.values()] == [0, 0, 1]
    assert waves.engine is None
