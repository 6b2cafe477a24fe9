"""This module lives through two nights of a whole deployment, with all that goes wrong, and reads what arrives.

The nights are those of a turn of the year. The schedule launches them, by a clock that the test sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from cj_pipeline.alerts.night import State
from tests.alerts.receivers import Hook, webhook
from tests.dagster_floor.folders import recording
from tests.house import REPOSITORY
from tests.nights.deployment import Deployment, wait_until

pytestmark = [pytest.mark.servers("faketime", "postgresql"), pytest.mark.timeout(1800)]

FIRST, SECOND = date(2026, 12, 31), date(2027, 1, 1)

NOBODY = "http://127.0.0.1:1"
"""Where no LPS answers."""

RIGHT, WRONG = "mode: eng5_lower5_gpt51_low", "mode: eng5_lower5_gpt51_low+inverted"

RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as found:
        yield found


@pytest.fixture
def deployment(tmp_path: Path, hook: Hook) -> Iterator[Deployment]:
    """Two scenarios that are as expected, one whose mock is wrong, and one that a deployed LPS answers."""
    for name in ("autumn", "deployed", "spring", "winter"):
        recording(tmp_path / "traces", name)
    set_mode(tmp_path / "traces/spring", RIGHT, WRONG)
    settings = {
        "CJ_PIPELINE_ALERT_WEBHOOK": hook.url,
        "CJ_PIPELINE_ALERT_UI_URL": "http://dagster:3000",
        "CJ_PIPELINE_NIGHT_LPS": f"deployed={NOBODY}",
    }
    with Deployment(tmp_path, datetime(2026, 12, 31, 2, 55, tzinfo=UTC), settings) as made:
        yield made


def set_mode(folder: Path, old: str, new: str) -> None:
    """Edit the mode of a scenario."""
    text = (folder / "scenario.yaml").read_text(encoding="utf-8")
    assert old in text
    (folder / "scenario.yaml").write_text(text.replace(old, new), encoding="utf-8")


def example(name: str) -> str:
    """The message that docs/nightly.md shows, without its indentation."""
    page = (REPOSITORY / "docs/nightly.md").read_text(encoding="utf-8")
    block = page.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- end of {name} -->")[0]
    return "\n".join(line.removeprefix("    ") for line in block.strip("\n").splitlines())


def shown(text: str) -> str:
    """A message as the page shows it: every run has the same id, and the LPS a speaking address."""
    return RUN_ID.sub("5eb3c9f9-49fe-4545-bb9a-bcbf40f4e5c4", text).replace(NOBODY, "http://lps:8080")


def test_two_nights_with_a_wrong_mock_an_lps_that_is_away_and_a_daemon_that_is_killed(
    deployment: Deployment, hook: Hook, tmp_path: Path
) -> None:
    deployment.has_looked()
    deployment.begin_night(FIRST)

    def one_runs() -> bool:
        return any(run.status is DagsterRunStatus.STARTED for run in deployment.runs(FIRST))

    wait_until(one_runs, "the schedule launches the night", deployment)
    deployment.daemon.kill()
    wait_until(lambda: not one_runs(), "what had begun ends without the daemon", deployment)
    assert hook.got == []
    deployment.daemon.start()
    states = deployment.concluded(FIRST)
    expected = {"autumn": State.AS_EXPECTED, "winter": State.AS_EXPECTED}
    assert states == {**expected, "deployed": State.BROKE_OFF, "spring": State.NOT_AS_EXPECTED}
    ((headers, body),) = hook.got
    assert headers["Idempotency-Key"] == body["id"]
    assert body["night"] == "2026-12-31"
    last = {name: deployment.run_of(FIRST, name, DagsterRunStatus.FAILURE) for name in ("deployed", "spring")}
    for note in body["scenarios"]:
        run = last[note["scenario"]]
        assert run is not None
        assert note["run_url"] == f"http://dagster:3000/runs/{run.run_id}"
        assert note["since"] == "2026-12-31"

    set_mode(tmp_path / "traces/spring", WRONG, RIGHT)
    deployment.begin_night(SECOND)
    states = deployment.concluded(SECOND)
    assert states == {**expected, "deployed": State.BROKE_OFF, "spring": State.AS_EXPECTED}
    _, (_, body) = hook.got
    assert {note["scenario"]: (note["since"], note["recovered"]) for note in body["scenarios"]} == {
        "deployed": ("2026-12-31", False),
        "spring": ("", True),
    }
    # Each scenario had one run a night: nothing was launched twice, and nothing was to be tried again.
    assert [len(deployment.runs(night)) for night in (FIRST, SECOND)] == [4, 4]
    assert [shown(body["text"]) for _, body in hook.got] == [example("first-night"), example("second-night")]
