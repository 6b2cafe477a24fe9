"""A second process that reads some of the partitions: `python -m cj_pipeline.traces.capture.worker`.

Here: its task, its loop, its reports; and the other end, which starts one and listens. Not here: what it does with a
message (reading.py), who is given which partitions (capture.py).

Reading a million callbacks is Python's work, and one Python uses one core. The task comes on standard input, where
secrets are not seen; when that closes, the worker stops: no worker outlives the capture that started it.
"""

from __future__ import annotations

import json
import pickle
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.traces.capture.checkpoints import Checkpoints
from cj_pipeline.traces.capture.lane import Lane, LaneState, as_bytes, state_from
from cj_pipeline.traces.capture.reading import Clockwork, Reader
from cj_pipeline.traces.capture.request import Limits, Selection
from cj_pipeline.traces.capture.sieve import Sieve
from cj_pipeline.traces.capture.source import CannotCapture, TopicSource
from cj_pipeline.traces.redaction.redaction import Redaction

REPORT_SECONDS = 0.2

# A worker stops between two steps; what then takes longer is a disk that does not answer.
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """What a worker reads. config: of librdkafka, secrets included. firsts, ends: offsets, by partition."""

    config: Mapping[str, str | int | bool]
    topic: str
    folder: Path
    firsts: dict[int, int]
    ends: dict[int, int]
    selection: Selection
    redaction: Redaction | None
    keep_raw: bool


class Worker:
    """One worker, as the capture that started it sees it. `close` it in any case."""

    def __init__(self, task: WorkerTask, keep_open: int) -> None:
        """keep_open: a descriptor that the worker holds on to, so that its draft is not free before it is gone."""
        self.read = 0
        self.taken = 0
        self._last: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cj_pipeline.traces.capture.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(keep_open,),
            # A Ctrl-C reaches the capture alone; it says when to stop.
            start_new_session=True,
        )
        self._listening = Thread(target=self._listen, name="capture worker", daemon=True)
        self._listening.start()
        if self._process.stdin is not None:
            pickle.dump(task, self._process.stdin)
            self._process.stdin.flush()

    @property
    def done(self) -> bool:
        """Whether it said its last word, or ended without one."""
        return not self._listening.is_alive()

    def require_going(self) -> None:
        """Raise CannotCapture when it ended without its last word."""
        if self.done and "states" not in self._last:
            self.states()

    def stop(self) -> None:
        """Let it end: it checkpoints what it has."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def states(self) -> dict[int, LaneState]:
        """Its lanes at the end; waits for it. Raises CannotCapture when it failed."""
        self._listening.join()
        if "error" in self._last:
            raise CannotCapture(self._last["error"])
        if "states" not in self._last:
            raise CannotCapture("a process that read some of the partitions ended. Go on with --resume.")
        return {int(number): state_from(state.encode()) for number, state in self._last["states"].items()}

    def close(self) -> None:
        """See it end, one way or the other."""
        self.stop()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listening.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._last = json.loads(line)
            self.read = self._last.get("read", self.read)
            self.taken = self._last.get("taken", self.taken)


def work(task: WorkerTask) -> None:
    """Read the task's partitions to their ends, or until standard input closes; report on standard output."""
    lanes = {
        number: Lane(task.folder, number, first, task.redaction, task.keep_raw) for number, first in task.firsts.items()
    }
    checkpoints = Checkpoints(task.folder, lanes)
    clockwork = Clockwork(Limits())
    reported = monotonic()
    try:
        with TopicSource(task.config, task.topic) as source:
            reader = Reader(source, lanes, Sieve(task.selection), task.ends)
            reader.begin()
            while not reader.ended and not select.select([sys.stdin], [], [], 0)[0]:
                reader.step(clockwork)
                checkpoints.save_when_due()
                if monotonic() - reported > REPORT_SECONDS:
                    reported = monotonic()
                    _report(read=sum(lane.state.read for lane in lanes.values()), taken=_taken(lanes))
            if reader.ended:
                checkpoints.close()
                for lane in lanes.values():
                    lane.flush()
            else:
                checkpoints.save()
    except BaseException:
        checkpoints.save()
        raise
    finally:
        for lane in lanes.values():
            lane.close()
    _report(
        read=sum(lane.state.read for lane in lanes.values()),
        taken=_taken(lanes),
        states={number: as_bytes(lane.state).decode() for number, lane in lanes.items()},
    )


def _taken(lanes: Mapping[int, Lane]) -> int:
    return sum(lane.state.taken for lane in lanes.values())


def _report(**content: object) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do the task on standard input."""
    task = pickle.load(sys.stdin.buffer)  # noqa: S301  from the capture that started this process, and nobody else
    try:
        work(task)
    except CjPipelineError as error:
        _report(error=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
