"""This module lets processes sleep under `libfaketime`, which takes the clock of `time.sleep` for the wall clock."""

import select
import time


def sleep(seconds: float) -> None:
    """Sleep as long as asked."""
    select.select([], [], [], seconds)


time.sleep = sleep
