"""Processes that outlive the command which starts them, and are found again by the next one.

Here: starting one in a session of its own, telling whether the process of a number is still that process, ending it
with all that it has started. Not here: what is run (parts.py), what is kept about it (stack_file.py).

POSIX only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.local.programs import CannotStart

_LOOK_S = 0.02

# Children of this process: whoever starts them may also be who ends them, and must then reap them.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


class ProcessId(FileModel):
    """A process, told apart from a later one of the same number. started: as the system notes it; any text."""

    pid: int
    started: str


def start(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> ProcessId:
    """Start a command in a session of its own; both its streams go to the end of the log. Raises CannotStart."""
    with log.open("ab") as stream:
        try:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        except OSError as error:
            raise CannotStart(f"{command[0]} cannot be run: {error.strerror}.") from None
    _CHILDREN[process.pid] = process
    return ProcessId(pid=process.pid, started=_started(process.pid) or "")


def runs(process: ProcessId) -> bool:
    """Whether that very process runs; one that has ended and was not reaped does not."""
    alive = process.started != "" and _started(process.pid) == process.started
    # After the look, not before it: one that ended in between would stay unreaped.
    child = None if alive else _CHILDREN.get(process.pid)
    if child is not None and child.poll() is not None:
        del _CHILDREN[process.pid]
    return alive


def end(process: ProcessId, *, which: signal.Signals, grace_s: float) -> None:
    """Ask it to end, then kill whatever is left of its group. Does nothing when another process has its number.

    which: SIGKILL for one that takes no hint; grace_s: how long it has to end by itself.
    """
    if not runs(process) and _exists(process.pid):
        return
    if which is not signal.SIGKILL:
        _send(process.pid, which)
        deadline = time.monotonic() + grace_s
        while runs(process) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
    # The group also of one that has ended: what it started may not have, and while it has not, nobody else gets the
    # number.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS says the second of a group of zombies
        return
    while runs(process):
        time.sleep(_LOOK_S)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _send(pid: int, which: signal.Signals) -> None:
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return


def _started(pid: int) -> str | None:
    """When a process was started; None when there is none, or only its exit code is left."""
    try:
        # The name, in parentheses, may hold anything: what follows the last one is numbered from field 3.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    except ProcessLookupError:
        return None
    state, threads, started = fields[0], int(fields[17]), fields[19]
    # A JVM that was killed is a zombie for half a second in which its other threads still hold its ports.
    over = state == "X" or (state == "Z" and threads <= 1)
    return None if over else started


def _started_by_ps(pid: int) -> str | None:
    """The same where there is no /proc."""
    asked = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    state, _, started = said.partition(" ")
    return None if not said or state.startswith("Z") else started.strip()
