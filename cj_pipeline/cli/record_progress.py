"""This module shows how far a recording is, and takes Ctrl-C for the wish to stop after what is in flight."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from time import monotonic
from types import FrameType

import click

from cj_pipeline.cli.output import say
from cj_pipeline.runs.recording.record import OnProgress, RecordingProgress

# Without a terminal, a line now and then: a log is read later, and a long silence looks like a hang.
SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def stop_signals() -> Iterator[Event]:
    """Yield an event that Ctrl-C and SIGTERM set. A second one ends the program at once; what is kept stays kept."""
    stop = Event()

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()
        say("stopping; waiting for what is in flight (again: at once)", err=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Pace:
    """Counts the answers of this session, and tells how long the rest will take."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._answers = 0
        self.errors: Counter[str] = Counter()

    def count(self, progress: RecordingProgress) -> None:
        """Take one answer in."""
        self._answers += 1
        if (error := progress.event.data.error_detail) is not None:
            self.errors[str(error.error_code)] += 1

    def line(self, progress: RecordingProgress) -> str:
        """Return how far the recording is, as one line."""
        left_s = (progress.wanted - progress.answered) * (self._clock() - self._began) / self._answers
        errors = ", ".join(f"{count} {code}" for code, count in self.errors.most_common())
        spent = "" if not progress.spent_usd else f", {progress.spent_usd:.4f} USD"
        return (
            f"run {progress.run}: {progress.answered} of {progress.wanted} answered"
            f"{f' ({errors})' if errors else ''}{spent}, {duration(left_s)} left"
        )


@contextmanager
def shown_progress(model: str) -> Iterator[OnProgress]:
    """Show each answer on standard error: in place on a terminal, as a line now and then elsewhere."""
    pace, terminal, last = Pace(), sys.stderr.isatty(), monotonic()

    def show(progress: RecordingProgress) -> None:
        nonlocal last
        pace.count(progress)
        done = progress.answered == progress.wanted
        if terminal:
            click.echo(f"\r\x1b[K{pace.line(progress)}", err=True, nl=done)
        elif done or monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = monotonic()
            click.echo(pace.line(progress), err=True)

    say(f"asking {model}", err=True)
    yield show


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(42), duration(250), duration(9000)
    ('42 s', '4 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
