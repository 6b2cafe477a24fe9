"""Reading, from the assignment to the last message: what a capture does between its draft and its trace.

Here: who reads which partitions, when reading ends, what is said meanwhile. Not here: the loop over messages
(reading.py), the end of another process (worker.py), the draft and the trace (capture.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.traces.capture.account import Reading
from cj_pipeline.traces.capture.checkpoints import Checkpoints
from cj_pipeline.traces.capture.lane import read_records
from cj_pipeline.traces.capture.reading import Clockwork, Ending, Reader, skip_what_is_gone
from cj_pipeline.traces.capture.seen import SeenIds
from cj_pipeline.traces.capture.sieve import Sieve
from cj_pipeline.traces.capture.worker import Worker, WorkerTask

if TYPE_CHECKING:
    from threading import Event

    from cj_pipeline.bus.kafka.settings import KafkaSettings
    from cj_pipeline.traces.capture.draft import Owner, TraceDraft
    from cj_pipeline.traces.capture.request import CaptureRequest
    from cj_pipeline.traces.capture.source import TopicSource

# Below so many messages a second process is not worth the 0.4 s that it takes to start.
WORTH_A_WORKER = 200_000
MOST_WORKERS = 4

PROGRESS_SECONDS = 0.2
# A followed topic may be given further partitions.
PARTITIONS_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class CaptureProgress:
    """How far a capture is. read, taken: messages so far. wanted: those there were at the start; None without end."""

    read: int
    taken: int
    wanted: int | None


class CaptureStopped(CjPipelineError):
    """A capture was stopped from outside; its draft is kept. taken: callbacks in it."""

    def __init__(self, scenario_id: str, taken: int) -> None:
        self.taken = taken
        super().__init__(
            f"stopped; the draft of {scenario_id} holds {taken} callbacks. Go on with --resume, or publish them with "
            "--finish."
        )


Progress = Callable[[CaptureProgress], None]


class Course:
    """Reading, from the assignment to the last message."""

    def __init__(
        self,
        request: CaptureRequest,
        draft: TraceDraft,
        source: TopicSource,
        owner: Owner,
        kafka: KafkaSettings,
        progress: Progress | None,
        stop: Event | None,
    ) -> None:
        self._request = request
        self._draft = draft
        self._source = source
        self._kafka = kafka
        self._progress = progress
        self._stop = stop
        self._limits = request.limits
        self._firsts = {int(number): first for number, first in owner.frame["firsts"].items()}
        self._ends = {int(number): end for number, end in owner.frame["ends"].items()}
        self._clockwork = Clockwork(request.limits)
        self._reported = self._looked = monotonic()
        self._lanes = {number: draft.lane(number, first) for number, first in self._firsts.items()}
        for number in draft.lanes():
            self._lanes[number] = draft.lane(number)
        self._checkpoints = Checkpoints(draft.folder, self._lanes)
        self._workers: list[Worker] = []
        self._elsewhere: set[int] = set()

    def run(self) -> Reading:
        """Read until a limit is reached. Raises CaptureStopped, with everything read so far made to last."""
        try:
            skip_what_is_gone(self._source, self._lanes, {} if self._limits.open_ended else self._ends)
            with ExitStack() as stack:
                self._start_workers(stack)
                ending = self._read()
                for worker in self._workers:
                    worker.stop()
                states = {number: lane.state for number, lane in self._lanes.items()}
                for worker in self._workers:
                    states |= worker.states()
            if ending is Ending.STOPPED:
                raise CaptureStopped(self._request.scenario_id, sum(state.taken for state in states.values()))
        except BaseException:
            self._checkpoints.save()
            raise
        self._checkpoints.close()
        for lane in self._lanes.values():
            lane.flush()
        return Reading(states, ending, self._limits)

    def _read(self) -> Ending:
        ends = {} if self._limits.open_ended else self._ends
        seen = self._seen()
        reader = Reader(
            self._source, self._lanes, Sieve(self._request.selection), ends, seen, self._limits.expected_count
        )
        if reader.count_reached():
            return Ending.COUNT_REACHED
        reader.begin()
        while not self._done(reader):
            if self._stop is not None and self._stop.is_set():
                return Ending.STOPPED
            if (expired := self._clockwork.expired()) is not None:
                return expired
            for worker in self._workers:
                worker.require_going()
            if reader.ended:
                self._clockwork.sign_of_life()
            reader.step(self._clockwork)
            if reader.count_reached():
                return Ending.COUNT_REACHED
            self._checkpoints.save_when_due()
            self._report()
            if self._limits.open_ended:
                self._look_for_partitions(reader)
        return Ending.END_REACHED

    def _done(self, reader: Reader) -> bool:
        # An open-ended capture of a topic without partitions to read still waits for what may come.
        return not self._limits.open_ended and reader.ended and all(worker.done for worker in self._workers)

    def _seen(self) -> SeenIds | None:
        """The ids that an awaited count counts, with those of the draft."""
        if self._limits.expected_count is None:
            return None
        seen = SeenIds()
        for number, lane in self._lanes.items():
            seen.update(read_records(self._draft.folder, number, lane.state)["request"])
        return seen

    def _start_workers(self, stack: ExitStack) -> None:
        """Hand some partitions to other processes where that is worth it, the largest shares spread evenly."""
        if self._limits.open_ended:
            return
        backlog = {
            number: left for number, lane in self._lanes.items() if (left := self._ends[number] - lane.state.next) > 0
        }
        for share in shares_of(backlog, self._request.workers)[1:]:
            for number in share:
                # The other process opens the lane's files itself.
                self._lanes.pop(number)
                self._draft.let_go(number)
            task = WorkerTask(
                config=self._kafka.client_config(),
                topic=self._request.topic,
                folder=self._draft.folder,
                firsts={number: self._firsts[number] for number in share},
                ends={number: self._ends[number] for number in share},
                selection=self._request.selection,
                redaction=self._request.redaction,
                keep_raw=self._request.keep_raw,
            )
            worker = Worker(task, self._draft.lock_descriptor)
            stack.callback(worker.close)
            self._workers.append(worker)

    def _look_for_partitions(self, reader: Reader) -> None:
        if monotonic() - self._looked < PARTITIONS_SECONDS:
            return
        self._looked = monotonic()
        new = [number for number in self._source.known_partitions() if number not in self._lanes]
        if not new:
            return
        for number, found in self._source.ranges(new).items():
            self._lanes[number] = self._draft.lane(number, found.low)
            reader.add({number: found.low})

    def _report(self) -> None:
        if self._progress is None or monotonic() - self._reported < PROGRESS_SECONDS:
            return
        self._reported = monotonic()
        wanted = None if self._limits.open_ended else sum(self._ends.values()) - sum(self._firsts.values())
        self._progress(
            CaptureProgress(
                read=sum(lane.state.read for lane in self._lanes.values()) + sum(w.read for w in self._workers),
                taken=sum(lane.state.taken for lane in self._lanes.values()) + sum(w.taken for w in self._workers),
                wanted=wanted,
            )
        )


def shares_of(backlog: Mapping[int, int], workers: int | None) -> list[list[int]]:
    """Partitions by the process that reads them; the first share is this process's own.

    backlog: messages to be read, by partition. workers: how many processes; None for as many as are worth it.
    """
    most = workers
    if most is None:
        most = 1 if sum(backlog.values()) < WORTH_A_WORKER else min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    shares: list[list[int]] = [[] for _ in range(max(1, min(most, len(backlog))))]
    loads = [0] * len(shares)
    for number, left in sorted(backlog.items(), key=lambda entry: (-entry[1], entry[0])):
        lightest = loads.index(min(loads))
        shares[lightest].append(number)
        loads[lightest] += left
    return shares
