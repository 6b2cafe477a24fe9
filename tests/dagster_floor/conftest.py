from __future__ import annotations

import pytest

from tests.dagster_floor.kept import Runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs that several tests look at."""
    return Runs(lambda: tmp_path_factory.mktemp("kept"))
