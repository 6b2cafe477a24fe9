"""Signals, inside the process that gets them: what the served ones (test_served.py) cannot be made to do."""

from __future__ import annotations

import logging
import os
import signal

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.services.lps.serve import serve
from cj_pipeline.services.lps.service import LlmProviderService
from cj_pipeline.services.lps.settings import LpsSettings


def test_a_drain_that_breaks_is_logged_and_ends_the_process_all_the_same(monkeypatch, caplog):
    async def broken(self, within_s):
        raise RuntimeError("an essay's words")

    monkeypatch.setattr(LlmProviderService, "drain", broken)
    with caplog.at_level(logging.INFO, logger="cj_pipeline.services.lps"):
        serve(
            LpsSettings(host="127.0.0.1", port=0, environment="testing"),
            load_mode("default"),
            MemoryBus(),
            ready=lambda _: os.kill(os.getpid(), signal.SIGTERM),
        )
    said = [record.message for record in caplog.records if record.name.endswith("lps.serve")]
    assert said == ["listening", "draining", "the drain broke (RuntimeError)", "stopped"]
    assert "an essay's words" not in caplog.text
