"""This module tests what a night is told as: which scenarios, since when, what has recovered, and when nothing is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from cj_pipeline.alerts.conclude import conclude
from cj_pipeline.alerts.message import Alert, alert_of
from cj_pipeline.alerts.night import Night, Outcome, State, due_night, is_over, last_night, read_night
from cj_pipeline.alerts.outbox import outbox
from cj_pipeline.parity.history.history import Night as HistoryNight
from cj_pipeline.parity.history.history import ScenarioHistory

NOW = datetime(2026, 5, 3, 3, 20, tzinfo=UTC)
NIGHT = date(2026, 5, 3)

GREEN = Outcome(scenario_id="a", state=State.AS_EXPECTED, run_id="r1", words="PARITY, 0 of 45 gates failed")
RED = Outcome(
    scenario_id="a",
    state=State.NOT_AS_EXPECTED,
    run_id="r2",
    words="NO PARITY, 1 of 45 gates failed",
    sentences=("tokens_total: 60 tokens live, 40 recorded (tolerance -4 to +4)",),
)
BROKEN = Outcome(scenario_id="b", state=State.BROKE_OFF, run_id="r3", sentences=("live_callbacks: nobody answers",))


def told(root: Path, night: date, *outcomes: Outcome) -> Alert | None:
    """The message about a night that is concluded at its end."""
    alert, problems = conclude(root, night, outcomes, {}, NOW, ui_url="http://ui:3000/")
    assert problems == []
    return alert


def test_the_first_green_night_is_recorded_and_told_to_nobody(tmp_path: Path) -> None:
    assert told(tmp_path, NIGHT, GREEN) is None
    assert outbox(tmp_path) == ()
    night = read_night(tmp_path, NIGHT)
    assert night is not None
    assert night.outcomes == (GREEN,)


def test_the_message_names_scenario_gate_date_run_and_report(tmp_path: Path) -> None:
    alert = told(tmp_path, NIGHT, RED, BROKEN, GREEN.model_copy(update={"scenario_id": "c"}))
    assert alert is not None
    assert alert.subject == "CJ Pipeline, night of 2026-05-03: 2 of 3 scenarios not as expected: a, b"
    assert alert.lines == (
        "a: not as expected since 2026-05-03. NO PARITY, 1 of 45 gates failed",
        "    tokens_total: 60 tokens live, 40 recorded (tolerance -4 to +4)",
        "    report: http://ui:3000/assets/parity/report?view=partitions&partition=a",
        "    run: http://ui:3000/runs/r2",
        "b: broke off since 2026-05-03",
        "    live_callbacks: nobody answers",
        "    report: http://ui:3000/assets/parity/report?view=partitions&partition=b",
        "    run: http://ui:3000/runs/r3",
        f"Message {alert.id}.",
    )


def test_red_keeps_its_first_date_and_recovery_is_told_once(tmp_path: Path) -> None:
    days = [NIGHT + timedelta(days=number) for number in range(4)]
    told(tmp_path, days[0], RED)
    still = told(tmp_path, days[1], RED.model_copy(update={"state": State.BROKE_OFF}))
    assert still is not None
    assert still.scenarios[0].since == "2026-05-03"
    again = told(tmp_path, days[2], GREEN)
    assert again is not None
    assert again.subject == "CJ Pipeline, night of 2026-05-05: 1 of 1 scenarios as expected again, and so all are"
    assert again.lines[0] == "a: as expected again. PARITY, 0 of 45 gates failed"
    assert told(tmp_path, days[3], GREEN) is None


def test_what_is_removed_while_it_is_red_is_told_once_as_gone(tmp_path: Path) -> None:
    days = [NIGHT + timedelta(days=number) for number in range(4)]
    other = GREEN.model_copy(update={"scenario_id": "c"})
    told(tmp_path, days[0], RED, other)
    told(tmp_path, days[1], RED, BROKEN, other)
    gone = told(tmp_path, days[2], other)
    assert gone is not None
    assert gone.subject == "CJ Pipeline, night of 2026-05-05: 1 scenarios as expected; no longer there: a, b"
    assert gone.lines == (
        "a: gone since 2026-05-05. It was red since 2026-05-03: not as expected",
        "b: gone since 2026-05-05. It was red since 2026-05-04: broke off",
        f"Message {gone.id}.",
    )
    assert told(tmp_path, days[2], other) is None  # run once more
    assert told(tmp_path, days[3], other) is None


def test_what_is_removed_is_told_beside_what_is_red_and_only_if_it_was_red_last(tmp_path: Path) -> None:
    told(tmp_path, NIGHT - timedelta(days=1), RED, BROKEN)
    told(tmp_path, NIGHT, RED, BROKEN.model_copy(update={"state": State.AS_EXPECTED}))
    removed = told(tmp_path, NIGHT, RED)  # by hand, in the afternoon
    assert removed is not None
    assert [note.scenario for note in removed.scenarios] == ["a"]
    red = told(tmp_path, NIGHT + timedelta(days=1), BROKEN)
    assert red is not None
    assert [(note.scenario, note.state) for note in red.scenarios] == [("b", "broke off"), ("a", "gone")]
    again = told(tmp_path, NIGHT + timedelta(days=1), BROKEN)
    assert again == red
    still = told(tmp_path, NIGHT + timedelta(days=2), BROKEN)
    assert still is not None
    assert [note.scenario for note in still.scenarios] == ["b"]


def test_the_same_night_concluded_again_is_the_same_message_and_other_news_are_another(tmp_path: Path) -> None:
    first = told(tmp_path, NIGHT, RED)
    (tmp_path / "nights/2026-05-03.json").unlink()  # killed between message and record
    assert told(tmp_path, NIGHT, RED) == first
    assert len(outbox(tmp_path)) == 1
    mended = told(tmp_path, NIGHT, GREEN)  # by hand, in the afternoon
    assert mended is not None
    assert mended.scenarios[0].recovered
    assert len({kept.alert.id for kept in outbox(tmp_path)}) == 2


def test_the_same_night_run_again_is_the_same_message(tmp_path: Path) -> None:
    first, again = (told(tmp_path, NIGHT, RED.model_copy(update={"run_id": run_id})) for run_id in ("r2", "r9"))
    assert first is not None
    assert again is not None
    assert first.id == again.id
    for change in ({"state": State.BROKE_OFF}, {"sentences": ("another gate",)}, {"scenario_id": "b"}):
        other = told(tmp_path, NIGHT, RED.model_copy(update=change))
        assert other is not None
        assert other.id != first.id


def test_killed_before_the_record_a_night_is_concluded_again_and_loses_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("keep", "write_night"):
        with monkeypatch.context() as patched:
            patched.setattr(f"cj_pipeline.alerts.conclude.{step}", killed)
            with pytest.raises(KeyboardInterrupt):
                told(tmp_path, NIGHT, RED)
        assert read_night(tmp_path, NIGHT) is None  # so that the night is concluded again
    (kept,) = outbox(tmp_path)  # killed at the record: the message was kept already
    assert told(tmp_path, NIGHT, RED) == kept.alert
    assert len(outbox(tmp_path)) == 1


def test_a_past_night_is_not_told_a_date_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = NOW + timedelta(days=3)
    red = HistoryNight("r2", late, {}, {"run_verdict": "NO PARITY", "expected_verdict": "PARITY"})
    history = ScenarioHistory("a", (red,), (), ())
    assert history.red_since == late
    monkeypatch.setattr("cj_pipeline.alerts.conclude.load_history", lambda *_: history)
    alert = told(tmp_path, NIGHT, RED)
    assert alert is not None
    assert alert.scenarios[0].since == "2026-05-03"
    later = told(tmp_path, NIGHT + timedelta(days=9), RED.model_copy(update={"scenario_id": "c"}))
    assert later is not None
    assert later.scenarios[0].since == "2026-05-06"  # an earlier day of the history stays


def test_a_change_without_a_name_is_told_though_all_is_green() -> None:
    night = Night(night=NIGHT, concluded_at=NOW, outcomes=(GREEN,), changes=("a: tokens_total changed",))
    alert = alert_of(night, None)
    assert alert is not None
    assert alert.lines[0] == "a: tokens_total changed"
    assert "changed without a name" in alert.subject


def test_many_sentences_are_cut_and_counted() -> None:
    red = RED.model_copy(update={"sentences": tuple(f"gate {number}" for number in range(30)), "since": NIGHT})
    alert = alert_of(Night(night=NIGHT, concluded_at=NOW, outcomes=(red,)), None)
    assert alert is not None
    assert "    and 22 more" in alert.lines
    assert len(alert.scenarios[0].sentences) == 30


@pytest.mark.parametrize(
    ("hour", "minute", "night", "over"),
    [(2, 59, date(2026, 5, 2), True), (3, 0, NIGHT, False), (4, 59, NIGHT, False), (5, 0, NIGHT, True)],
)
def test_a_night_begins_at_three_and_is_late_at_five(hour: int, minute: int, night: date, over: bool) -> None:
    now = datetime(2026, 5, 3, hour, minute, tzinfo=UTC)
    assert due_night(now) == night
    assert is_over(night, now) is over


def test_the_night_before_is_the_newest_and_not_a_later_one(tmp_path: Path) -> None:
    for number in (1, 5):
        told(tmp_path, NIGHT + timedelta(days=number), GREEN)
    found = last_night(tmp_path, NIGHT + timedelta(days=4))
    assert found is not None
    assert found.night == date(2026, 5, 4)
    assert last_night(tmp_path, NIGHT) is None


def test_a_damaged_night_keeps_no_message_back(tmp_path: Path) -> None:
    told(tmp_path, NIGHT - timedelta(days=2), RED)
    for number in (0, 1):
        (tmp_path / f"nights/{NIGHT - timedelta(days=number)}.json").write_text("{")
    assert read_night(tmp_path, NIGHT) is None
    alert = told(tmp_path, NIGHT, RED)
    assert alert is not None
    assert alert.scenarios[0].since == "2026-05-01"
    assert read_night(tmp_path, NIGHT) is not None


def test_a_folder_in_the_place_of_a_night_is_told_and_keeps_no_message_back(tmp_path: Path) -> None:
    place = tmp_path / f"nights/{NIGHT}.json"
    place.mkdir(parents=True)
    sent: list[Alert] = []
    alert, (problem,) = conclude(tmp_path, NIGHT, [RED], {"other": sent.append}, NOW)
    assert sent == [alert]
    assert problem == f"the night of 2026-05-03 was not recorded: {place}: Is a directory."
    assert last_night(tmp_path, NIGHT + timedelta(days=1)) is None


@pytest.mark.parametrize("of", [NIGHT, NIGHT - timedelta(days=1)])
def test_a_night_of_a_newer_version_is_named_and_left_and_keeps_no_message_back(tmp_path: Path, of: date) -> None:
    place = tmp_path / f"nights/{of}.json"
    place.parent.mkdir()
    place.write_text('{"schema_version": 2, "of_tomorrow": true}')
    sent: list[Alert] = []
    alert, (problem,) = conclude(tmp_path, NIGHT, [RED], {"other": sent.append}, NOW)
    assert sent == [alert]
    assert problem.startswith(f"{place}: is version 2 of the record of a night, which a newer cj-pipeline wrote")
    assert place.read_text() == '{"schema_version": 2, "of_tomorrow": true}'


def test_a_message_that_a_newer_version_keeps_is_not_written_again(tmp_path: Path) -> None:
    alert = told(tmp_path, NIGHT, RED)
    assert alert is not None
    place = tmp_path / f"alerts/{alert.id}.json"
    place.write_text('{"schema_version": 3, "of_tomorrow": true}')
    (tmp_path / f"nights/{NIGHT}.json").unlink()
    again, (problem,) = conclude(tmp_path, NIGHT, [RED], {}, NOW, ui_url="http://ui:3000/")
    assert again == alert
    assert problem.startswith(f"{place}: is version 3 of a kept message")
    assert place.read_text() == '{"schema_version": 3, "of_tomorrow": true}'


def test_what_is_red_again_within_a_night_is_told_again(tmp_path: Path) -> None:
    first, good, again = (told(tmp_path, NIGHT, one) for one in (RED, GREEN, RED))
    assert first is not None
    assert good is not None
    assert again is not None
    assert len({first.id, good.id, again.id}) == 3
    assert told(tmp_path, NIGHT, RED) == again  # which was sent


def test_a_night_that_was_mended_by_hand_and_is_run_once_more_sends_nothing_new(tmp_path: Path) -> None:
    told(tmp_path, NIGHT - timedelta(days=1), RED)
    told(tmp_path, NIGHT, RED)
    mended = told(tmp_path, NIGHT, GREEN)
    assert told(tmp_path, NIGHT, GREEN) == mended
    assert len(outbox(tmp_path)) == 3


def test_a_night_that_fails_for_another_reason_is_told_again(tmp_path: Path) -> None:
    first = told(tmp_path, NIGHT, RED)
    other = told(tmp_path, NIGHT, RED.model_copy(update={"sentences": ("cost: 2 live, 1 recorded",)}))
    assert first is not None
    assert other is not None
    assert other.lines != first.lines
    assert other.id != first.id


def test_a_night_that_is_run_once_more_keeps_its_message_though_a_later_one_was_told(tmp_path: Path) -> None:
    first = told(tmp_path, NIGHT, RED)
    told(tmp_path, NIGHT + timedelta(days=1), RED)
    assert told(tmp_path, NIGHT, RED) == first


def test_a_message_whose_time_has_no_zone_keeps_no_other_back(tmp_path: Path) -> None:
    alert = told(tmp_path, NIGHT, RED)
    assert alert is not None
    place = tmp_path / f"alerts/{alert.id}.json"
    (tmp_path / "alerts/spoilt.json").write_text(place.read_text().replace("+00:00", "").replace('00Z"', '00"'))
    assert [kept.alert.id for kept in outbox(tmp_path)] == [alert.id]
