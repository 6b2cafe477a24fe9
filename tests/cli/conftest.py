from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal, terminal_of
from tests.sides import TRACES


@pytest.fixture
def cj_pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Terminal:
    """The CLI on the committed scenarios, with a data folder of its own."""
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(TRACES))
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    return terminal_of(monkeypatch, capsys)
