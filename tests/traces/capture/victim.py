"""A capture that is killed again and again: `python -m tests.traces.capture.victim BOOTSTRAP TOPIC FOLDER KILLS SEED`.

Here: the process that is killed, and its parent, which forks it anew from one import of everything. Prints JSON: the
digest of an undisturbed capture, those of the resumed ones, and how many kills there were.

A kill is SIGKILL before the n-th call of a function, Python's or C's: between a statement and its commit, between the
checksums and the rename, in the middle of publishing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import numpy as np

from cj_pipeline.traces.capture import reading
from cj_pipeline.traces.capture.capture import capture
from cj_pipeline.traces.capture.draft import draft_folder, is_unfinished
from cj_pipeline.traces.capture.request import Beginning
from cj_pipeline.traces.provenance import file_sha256
from tests.traces.capture.topics import request, settings


def work(bootstrap: str, topic: str, folder: Path, scenario_id: str, kill_at: int | None) -> int:
    """One attempt, in this process; the number of calls it took."""
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    begun = is_unfinished(folder / scenario_id)
    asked = request(topic, folder, scenario_id, beginning=Beginning.RESUME if begun else Beginning.NEW)
    sys.setprofile(count)
    capture(asked, settings(bootstrap))
    sys.setprofile(None)
    return calls


def attempt(bootstrap: str, topic: str, folder: Path, scenario_id: str, kill_at: int | None) -> int | None:
    """One attempt, in a process of its own; None where that was killed."""
    reading_end, writing_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing_end, str(work(bootstrap, topic, folder, scenario_id, kill_at)).encode())
        os._exit(0)
    os.close(writing_end)
    with os.fdopen(reading_end) as answer:
        told = answer.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) == (told == ""), "the capture failed instead of being killed"
    return int(told) if told else None


def main() -> None:
    bootstrap, topic, folder, kills, seed = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    # Small steps, and a commit after each: as many different states to be killed in as possible.
    reading.BATCH = 50
    reading.COMMIT_SECONDS = 0.0
    total = attempt(bootstrap, topic, folder, "undisturbed", None)
    assert total is not None
    chance = np.random.default_rng(int(seed))
    killed, digests, number = 0, [], 0
    while killed < kills:
        number += 1
        name = f"killed_{number}"
        while killed < kills and not (folder / name).exists():
            # Up to twice the whole: some attempts must get as far as publishing, and beyond.
            killed += attempt(bootstrap, topic, folder, name, int(chance.integers(1, total + 1))) is None
        if draft_folder(folder / name).exists():
            attempt(bootstrap, topic, folder, name, None)
        digests.append(file_sha256(folder / name / "llm_callbacks.jsonl"))
    leftovers = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
    undisturbed = file_sha256(folder / "undisturbed" / "llm_callbacks.jsonl")
    sys.stdout.write(json.dumps([undisturbed, digests, killed, leftovers]) + "\n")


if __name__ == "__main__":
    main()
