"""When jobs of batch_api may start in a day."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cj_pipeline.services.lps.settings import LpsSettings
from cj_pipeline.services.lps.work.batch_window import seconds_until_window, time_to_live_s


def nightly(start_hour: int = 1, hours: int = 4, **others) -> LpsSettings:
    return LpsSettings(
        **{
            "queue_processing_mode": "batch_api",
            "batch_api_mode": "nightly",
            "batch_api_nightly_start_hour": start_hour,
            "batch_api_nightly_hours": hours,
            **others,
        }
    )


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2025, 12, 1, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "hours", "now", "wait_s"),
    [
        (1, 4, at(1), 0.0),
        (1, 4, at(4, 59, 59), 0.0),
        (1, 4, at(5), 20 * 3600.0),
        (1, 4, at(0, 59, 59), 1.0),
        (1, 4, at(14, 30), 10.5 * 3600),
        # Over midnight: 22 to 2.
        (22, 4, at(21, 59), 60.0),
        (22, 4, at(22), 0.0),
        (22, 4, at(0), 0.0),
        (22, 4, at(1, 59, 59), 0.0),
        (22, 4, at(2), 20 * 3600.0),
        # All day: never closed.
        (7, 24, at(6, 59, 59), 0.0),
        (7, 24, at(7), 0.0),
    ],
)
def test_how_long_it_is_until_the_window_opens(start, hours, now, wait_s):
    assert seconds_until_window(nightly(start, hours), now) == wait_s


@pytest.mark.parametrize(
    "others",
    [
        {"batch_api_mode": "disabled"},
        {"batch_api_mode": "opportunistic"},
        {"queue_processing_mode": "serial_bundle"},
        {"queue_processing_mode": "per_request"},
    ],
)
def test_no_other_mode_has_a_window(others):
    assert seconds_until_window(nightly(**others), at(14)) == 0.0


def test_a_time_to_live_counts_from_when_the_turn_can_come():
    settings = nightly(queue_request_ttl_hours=4.0)
    assert time_to_live_s(settings, at(2)) == 4 * 3600.0
    # Accepted at 14:00, the window opens 11 h later.
    assert time_to_live_s(settings, at(14)) == (11 + 4) * 3600.0
