"""A server as a child process: started when it answers, ended with all that it has started, gone with its owner."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cj_pipeline.local.programs import CannotStart
from cj_pipeline.local.server import Server, ServerEnded, ServerSpec, wait_for_an_end
from tests.house import REPOSITORY

UP = "open(sys.argv[1] + '/up', 'w').close(); time.sleep(600)"
SLEEPER = f"import sys, time; {UP}"
DEAF = f"import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {UP}"
# A parent that writes its child's number, and then sleeps beside it.
PARENT = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    f"open(sys.argv[1] + '/child', 'w').write(str(child.pid)); {UP}"
)
FAILS = "import sys; print('one\\ntwo', flush=True); sys.exit(3)"


def server(folder: Path, code: str, **given: object) -> Server:
    spec = ServerSpec(
        name="sleeper",
        address=str(folder),
        log=folder / "logs" / "sleeper.log",
        command=lambda: [sys.executable, "-c", code, str(folder)],
        answers=(folder / "up").exists,
        **given,  # type: ignore[arg-type]
    )
    return Server(spec)


def exists(pid: int) -> bool:
    """Whether a process has that number; one that is dead and was not reaped has not."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return said != "" and not said.startswith("Z")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("code", "grace_s"), [(SLEEPER, 30.0), (DEAF, 0.1)], ids=["listens", "deaf"])
def test_it_runs_until_it_is_stopped_whether_it_listens_or_not(code: str, grace_s: float, tmp_path: Path) -> None:
    with server(tmp_path, code, stop_timeout_s=grace_s) as running:
        pid = running.pid
        assert pid is not None
        assert exists(pid)
        running.start()  # again: nothing happens
        assert running.pid == pid
    assert running.pid is None
    assert not exists(pid)
    running.stop()  # again: nothing happens


@pytest.mark.parametrize("ended_by", ["stop", "kill"])
def test_what_it_has_started_ends_with_it(ended_by: str, tmp_path: Path) -> None:
    running = server(tmp_path, PARENT)
    running.start()
    child = int((tmp_path / "child").read_text())
    assert exists(child)
    getattr(running, ended_by)()
    wait_until(lambda: not exists(child))


OWNER = """
import sys, threading
from pathlib import Path
from tests.local.test_server import PARENT, server

running = server(Path(sys.argv[1]), PARENT)
thread = threading.Thread(target=running.start)  # whose end is not the owner's
thread.start()
thread.join()
print(running.pid, flush=True)
sys.stdin.read()
"""


def test_it_ends_with_its_owner_even_when_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        pids = [int(owner.stdout.readline()), int((tmp_path / "child").read_text())]
        assert all(exists(pid) for pid in pids)
        owner.kill()
    wait_until(lambda: not any(exists(pid) for pid in pids))


def test_one_that_ends_while_it_starts_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(
        CannotStart, match=r"(?s)^sleeper ended while it started\. Its log, .*sleeper\.log', ends:"
    ) as e:
        server(tmp_path, FAILS).start()
    assert str(e.value).endswith("\n  one\n  two")


def test_one_that_never_answers_is_killed_and_named(tmp_path: Path) -> None:
    silent = server(tmp_path, "import time; time.sleep(600)", start_timeout_s=0.2)
    with pytest.raises(CannotStart, match=r"sleeper does not answer at .* after 0\.2 s\. Its log, .* is empty\."):
        silent.start()
    assert silent.pid is None


def test_one_that_ends_later_ends_the_wait_with_the_end_of_its_log(tmp_path: Path) -> None:
    short = SLEEPER.replace("time.sleep(600)", "print('its last words'); sys.exit(7)")
    (tmp_path / "quiet").mkdir()
    last = r"(?s)^sleeper ended \(exit code 7\)\. Its log.*its last words$"
    with server(tmp_path / "quiet", SLEEPER) as quiet, server(tmp_path, short) as ending:  # noqa: SIM117
        with pytest.raises(ServerEnded, match=last):
            wait_for_an_end([quiet, ending])


def test_a_program_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    spec = ServerSpec("nobody", "", tmp_path / "log", lambda: ["/no/such/program"], lambda: True)
    with pytest.raises(CannotStart, match="/no/such/program cannot be run: No such file or directory"):
        Server(spec).start()


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "sleeper.log").write_text("before")
    with server(tmp_path, SLEEPER) as running:
        assert running.log.read_text() == ""
    assert (tmp_path / "logs" / "sleeper.log.1").read_text() == "before"
