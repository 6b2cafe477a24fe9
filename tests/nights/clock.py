"""This module shows processes a clock that a test sets: `libfaketime` (Debian's package `faketime`) in each of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def missing() -> str | None:
    """Say why there is no such clock on this machine; None where there is one."""
    return None if LIBRARIES else "faketime is not installed (apt-get install faketime)"


class FakeClock:
    """The wall clock of the processes that have `environment`; waits and durations stay as they are."""

    def __init__(self, file: Path, now: datetime) -> None:
        """Set the clock. file: where the processes read it, again every second; now: aware."""
        self._file = file
        self._ahead = timedelta()
        self.set(now)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to see this clock."""
        return {
            "LD_PRELOAD": str(LIBRARIES[-1]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # the name in older versions
            "NO_FAKE_STAT": "1",
        }

    @property
    def now(self) -> datetime:
        """What it shows."""
        return datetime.now(UTC) + self._ahead

    def set(self, now: datetime) -> None:
        """Jump to an instant, forward or back."""
        self._ahead = now - datetime.now(UTC)
        seconds = round(self._ahead.total_seconds())
        self._ahead = timedelta(seconds=seconds)
        temporary = self._file.with_name(f".{self._file.name}")
        temporary.write_text(f"{seconds:+d}\n", encoding="ascii")
        temporary.chmod(0o644)
        temporary.replace(self._file)

    def pass_on(self, time: timedelta) -> None:
        """Jump by so much."""
        self.set(self.now + time)
