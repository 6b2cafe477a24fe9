"""This module tests messages with real processes: several that conclude one night at once, and some that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from cj_pipeline.alerts.channels import channels_of
from cj_pipeline.alerts.conclude import conclude
from cj_pipeline.alerts.message import Alert
from cj_pipeline.alerts.night import Outcome, State, read_night
from cj_pipeline.alerts.outbox import outbox, send_waiting
from cj_pipeline.alerts.settings import AlertSettings
from tests.alerts.receivers import webhook
from tests.house import REPOSITORY

NOW = datetime(2026, 5, 3, 3, 20, tzinfo=UTC)
NIGHT = NOW.date()
RED = Outcome(scenario_id="a", state=State.NOT_AS_EXPECTED, run_id="r1", words="NO PARITY", sentences=("a gate",))

# Concludes a night when its standard input says so; `KILLED` is where it kills itself, if anywhere.
CONCLUDER = """
import os, signal, sys
from pathlib import Path
from cj_pipeline.alerts import conclude as module
from cj_pipeline.alerts import outbox
from cj_pipeline.alerts.channels import channels_of
from cj_pipeline.alerts.settings import alert_settings
from tests.alerts.test_processes import NIGHT, NOW, RED

root, run_id, killed = sys.argv[1:]

def dies(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

channels = channels_of(alert_settings())
if killed == "written":
    module.write_night = dies
if killed == "sent":
    send = channels["webhook"]
    channels["webhook"] = lambda alert: (send(alert), dies())
print("ready", flush=True)
sys.stdin.readline()
module.conclude(Path(root), NIGHT, [RED.model_copy(update={"run_id": run_id})], channels, NOW)
"""


def concluder(root: Path, url: str, run_id: str, killed: str = "") -> subprocess.Popen[str]:
    """A process that is about to conclude the night."""
    process = subprocess.Popen(
        [sys.executable, "-c", CONCLUDER, str(root), run_id, killed],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "CJ_PIPELINE_ALERT_WEBHOOK": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str]) -> int:
    """Let it conclude, and return how it ended."""
    process.communicate("go\n", timeout=60)
    return process.returncode


def test_of_processes_that_conclude_a_night_at_once_one_sends_the_message(tmp_path: Path) -> None:
    with webhook() as hook:
        processes = [concluder(tmp_path, hook.url, f"r{number}") for number in range(3)]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait(60) for process in processes] == [0, 0, 0]
        for process in processes:
            process.communicate()
    assert [body["subject"] for _, body in hook.got] == [
        "CJ Pipeline, night of 2026-05-03: 1 of 1 scenarios not as expected: a"
    ]
    (kept,) = outbox(tmp_path)
    assert kept.waiting == ()


def test_a_process_that_is_killed_after_it_wrote_the_message_or_sent_it_loses_none(tmp_path: Path) -> None:
    with webhook() as hook:
        # Written and not sent: the night is not concluded, and the message waits.
        assert ended(concluder(tmp_path, hook.url, "r1", "written")) == -signal.SIGKILL
        assert read_night(tmp_path, NIGHT) is None
        (kept,) = outbox(tmp_path)
        assert (kept.waiting, hook.got) == (("webhook",), [])
        # Sent and not marked: it is sent again, under the same id.
        assert ended(concluder(tmp_path, hook.url, "r2", "sent")) == -signal.SIGKILL
        channels = channels_of(AlertSettings.model_validate({"webhook": hook.url}))
        assert send_waiting(tmp_path, channels, NOW) == []
        conclude(tmp_path, NIGHT, [RED], channels, NOW)
    assert [headers["Idempotency-Key"] for headers, _ in hook.got] == [kept.alert.id] * 2
    assert outbox(tmp_path)[0].waiting == ()


def test_a_message_that_another_process_is_sending_is_left_to_it(tmp_path: Path) -> None:
    sent: list[Alert] = []

    def slow(alert: Alert) -> None:
        sent.append(alert)
        assert send_waiting(tmp_path, {"webhook": sent.append}, NOW) == []  # meanwhile, in another process

    conclude(tmp_path, NIGHT, [RED], {"webhook": slow}, NOW)
    assert len(sent) == 1
