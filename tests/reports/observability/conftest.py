"""This module holds the terminal, and the stack that is driven once for all tests that ask about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.terminal import Terminal, terminal_of
from tests.reports.observability.driven import Driven, driven


@pytest.fixture
def cj_pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return terminal_of(monkeypatch, capsys)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """Half a minute to drive; read it, and change nothing."""
    with driven(tmp_path_factory.mktemp("driven")) as found:
        yield found
