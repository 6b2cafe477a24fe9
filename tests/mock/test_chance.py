from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.mock.draws import Draws


@given(st.integers(), st.text(), st.integers(0, 9), st.text(max_size=20))
def test_a_draw_is_the_keyed_uniform_of_its_parts(seed, correlation_id, attempt, purpose):
    drawn = Draws(seed, correlation_id, attempt).uniform(purpose)
    assert drawn == uniform(seed, correlation_id, attempt, purpose)
    assert 0.0 <= drawn < 1.0


def test_draws_are_equal_when_their_parts_are():
    assert Draws(42, "id", 0) == Draws(42, "id", 0)
    assert Draws(42, "id", 0) != Draws(42, "id", 1)
    assert repr(Draws(42, "id", 0)) == "Draws(seed=42, correlation_id='id', attempt=0)"
