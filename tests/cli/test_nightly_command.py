"""`cj-pipeline nightly` and `alerts`: every scenario once, what CI reads of it, and the message."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from dagster import AssetKey, DagsterInstance, RunsFilter

from cj_pipeline.alerts.channels import NotSent
from cj_pipeline.alerts.message import Alert
from cj_pipeline.alerts.night import note_first_night
from cj_pipeline.alerts.outbox import keep, send_waiting
from cj_pipeline.alerts.settings import PREFIX, AlertSettings
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.instance import URL_VARIABLE
from resources.lps import LpsResource
from tests.alerts.receivers import webhook
from tests.cli.terminal import Terminal
from tests.house import REPOSITORY
from tests.sides import LOWER5, TRACES

OTHER = "eng5_lower5_148_gpt51_low_20251202"


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cj_pipeline: Terminal) -> Path:
    """One scenario whose mock is wrong, and one that cannot be used."""
    folder = tmp_path / "traces"
    for name in (LOWER5, OTHER):
        shutil.copytree(TRACES / name, folder / name)
    wrong = folder / LOWER5 / "scenario.yaml"
    wrong.write_text(wrong.read_text().replace("mode: eng5_lower5_gpt51_low", "mode: eng5_lower5_gpt51_low+inverted"))
    unusable = folder / OTHER / "scenario.yaml"
    unusable.write_text(unusable.read_text().replace("profile: eng5_lower5", "profile: eng5_lover5"))
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_night_runs_what_it_can_and_says_what_is_red_to_people_ci_and_a_webhook(
    cj_pipeline: Terminal, traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as hook:
        monkeypatch.setenv(f"{PREFIX}WEBHOOK", hook.url)
        files = ("--junit", "junit.xml", "--markdown", "summary.md", "--html", "pages")
        answer = cj_pipeline("nightly", "--night", "2026-05-03", *files, columns=80)
    assert answer.code == 2  # a scenario cannot be used, which outweighs a red one
    # The last things that a log shows: the table of what failed, and what was told.
    failed = answer.out.index(f"{LOWER5}: failed gates")
    assert failed < answer.out.index("rank_agreement", failed) < answer.out.index("CJ Pipeline, night of 2026-05-03")
    assert max(map(len, answer.out.splitlines())) <= 80
    ((_, body),) = hook.got
    assert {note["scenario"]: note["state"] for note in body["scenarios"]} == {
        LOWER5: "not as expected",
        OTHER: "cannot be used",
    }
    suites = {suite.get("name"): suite for suite in ElementTree.parse(tmp_path / "junit.xml").getroot()}  # noqa: S314
    assert set(suites) == {LOWER5, OTHER}
    assert int(str(suites[LOWER5].get("failures"))) >= 5
    (error,) = suites[OTHER].iter("error")
    assert "scenario.yaml: profile" in str(error.get("message"))
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "2 of 2 scenarios are not as expected." in summary
    assert "| cannot be used |" in summary
    assert (tmp_path / "pages/scenarios" / f"{LOWER5}.html").is_file()
    with DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        (run,) = instance.get_runs(RunsFilter(tags={"cj_pipeline/night": "2026-05-03"}))
        assert not instance.telemetry_enabled
        assert instance.get_materialized_partitions(AssetKey(["parity", "report"])) == {LOWER5}
    assert run.tags["dagster/partition"] == LOWER5
    assert f"Message {body['id']}: taken by webhook." in " ".join(answer.out.split())
    listed = cj_pipeline("alerts", "list", "--json").document
    assert [(kept["alert"]["id"], list(kept["channels"])) for kept in listed] == [(body["id"], ["webhook"])]


def test_a_night_asks_the_deployed_lps_and_removes_old_runs(
    cj_pipeline: Terminal, traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def away(self: LpsResource, *_: object) -> None:
        asked.append(f"{self.url} {self.night}")
        raise BadInput("is another service.", path=self.url)

    monkeypatch.setattr(LpsResource, "answers", away)
    monkeypatch.setenv("CJ_PIPELINE_NIGHT_LPS", f"{LOWER5}=http://lps:8080")
    monkeypatch.setenv("CJ_PIPELINE_NIGHT_KEEP_RUNS", "3")
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    old = tmp_path / "data/runs/old" / LOWER5 / "callbacks"
    old.mkdir(parents=True)
    os.utime(old.parent, (1.7e9, 1.7e9))
    answer = cj_pipeline("nightly", "--night", "2026-05-03", "--no-alerts")
    assert asked == ["http://lps:8080 2026-05-03"]
    assert "live_callbacks: http://lps:8080: is another service." in " ".join(answer.out.split())
    assert "Runs removed from the data folder: 1." in answer.err
    assert not old.exists()


def test_a_folder_without_scenarios_is_named(cj_pipeline: Terminal, traces: Path) -> None:
    shutil.rmtree(traces)
    answer = cj_pipeline("nightly")
    assert answer.code == 2
    assert f"{traces}: holds no scenario." in answer.err


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        (("--junit", "none/junit.xml"), {}, "none: --junit: cannot be written: No such file or directory."),
        (("--markdown", "file/summary.md"), {}, "file: --markdown: cannot be written: Not a directory."),
        (("--html", "file/pages"), {}, "--html: cannot be written: Not a directory."),
        ((), {"EMAIL_TO": "a@["}, f"{PREFIX}EMAIL_TO"),
    ],
)
def test_a_mistake_is_told_before_the_night(
    options: tuple[str, ...],
    variables: dict[str, str],
    said: str,
    cj_pipeline: Terminal,
    traces: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("file").touch()
    for name, value in variables.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    monkeypatch.setattr("cj_pipeline.cli.nightly._run", lambda *_: pytest.fail("the night began"))
    answer = cj_pipeline("nightly", "--night", "2026-05-03", *options)
    assert answer.code == 2
    assert said in " ".join(answer.err.split())


def test_a_deployed_lps_for_a_scenario_that_is_not_there_is_refused_before_the_night(
    cj_pipeline: Terminal, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_NIGHT_LPS", f"{LOWER5}x=http://user:hidden@lps:8080")
    monkeypatch.setattr("cj_pipeline.cli.nightly._run", lambda *_: pytest.fail("the night began"))
    answer = cj_pipeline("nightly", "--night", "2026-05-03")
    assert answer.code == 2
    assert f"CJ_PIPELINE_NIGHT_LPS names '{LOWER5}x', and there is no such scenario." in answer.err
    assert "hidden" not in answer.err


def test_the_table_is_printed_though_the_night_cannot_be_kept(
    cj_pipeline: Terminal, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "alerts/x.json")

    monkeypatch.setattr("cj_pipeline.alerts.conclude.conclude", full)
    monkeypatch.setattr("cj_pipeline.cli.nightly._run", lambda *_: [])
    printed: list[object] = []
    monkeypatch.setattr("cj_pipeline.cli.warehouse.print_suite", printed.append)
    answer = cj_pipeline("nightly", "--night", "2026-05-03")
    assert (answer.code, printed) == (2, [[]])
    assert "No space left on device" in answer.err


def test_a_night_that_is_missing_fails_the_check_of_a_watch(
    cj_pipeline: Terminal, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cj_pipeline.cli.alerts.utc_now", lambda: datetime(2026, 5, 3, 6, tzinfo=UTC))
    answer = cj_pipeline("alerts", "check")
    assert answer.code == 1
    assert (
        "The night of 2026-05-03 did not run. None was ever concluded. The next begins on 2026-05-04 at" in answer.err
    )
    monkeypatch.setattr("cj_pipeline.cli.alerts.utc_now", lambda: datetime(2026, 5, 3, 4, tzinfo=UTC))
    assert cj_pipeline("alerts", "check").code == 0


@pytest.mark.parametrize(
    ("day", "code", "said"),
    [
        (3, 0, "No night was due yet. The first begins on 2026-05-04 at 03:00 UTC."),
        (4, 1, "The night of 2026-05-04 did not run. None was ever concluded."),
    ],
)
def test_no_night_is_missing_before_the_first_one_that_a_daemon_waits_for(
    day: int, code: int, said: str, cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path))
    note_first_night(tmp_path, date(2026, 5, 4))
    monkeypatch.setattr("cj_pipeline.cli.alerts.utc_now", lambda: datetime(2026, 5, day, 6, tzinfo=UTC))
    answer = cj_pipeline("alerts", "check")
    assert (answer.code, said in " ".join((answer.out + answer.err).split())) == (code, True)


def test_a_message_can_be_tried(cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = cj_pipeline("alerts", "test")
    assert answer.code == 2
    assert f"{PREFIX}WEBHOOK" in answer.err
    with webhook(200, 500) as hook:
        monkeypatch.setenv(f"{PREFIX}SLACK_WEBHOOK", hook.url)
        assert cj_pipeline("alerts", "test").code == 0
        answer = cj_pipeline("alerts", "test")
    assert (answer.code, answer.err) == (3, "slack: the answer was 500")
    assert len(hook.got) == 2


def test_every_setting_is_documented() -> None:
    page = (REPOSITORY / "docs/nightly.md").read_text(encoding="utf-8")
    assert [name for name in AlertSettings.model_fields if f"`{name.upper()}`" not in page] == []


def test_a_message_that_was_refused_is_told_as_kept_and_sent_later(
    cj_pipeline: Terminal, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook(503) as hook:
        monkeypatch.setenv(f"{PREFIX}WEBHOOK", hook.url)
        answer = cj_pipeline("nightly", "--night", "2026-05-03")
    (kept,) = cj_pipeline("alerts", "list", "--json").document
    message = kept["alert"]["id"]
    assert f"Message {message}: kept for webhook." in " ".join(answer.out.split())
    assert f"{message} was not sent by webhook, and is tried again" in answer.err
    with webhook() as hook:
        monkeypatch.setenv(f"{PREFIX}WEBHOOK", hook.url)
        sent = cj_pipeline("alerts", "send")
    assert (sent.code, sent.out) == (0, f"{message} was taken by webhook.\nMessages that wait: 0.\n")
    assert [body["id"] for _, body in hook.got] == [message]
    assert cj_pipeline("alerts", "send").out == "Messages that wait: 0.\n"


@pytest.mark.usefixtures("no_catalogue")
def test_a_run_that_broke_off_after_its_verdict_is_an_error_in_junit(cj_pipeline: Terminal, traces: Path) -> None:
    answer = cj_pipeline("nightly", "--night", "2026-05-03", "--no-alerts", "--junit", "junit.xml")
    assert answer.code == 2
    suites = {suite.get("name"): suite for suite in ElementTree.parse("junit.xml").getroot()}  # noqa: S314
    (error,) = suites[LOWER5].iter("error")
    assert "warehouse.duckdb: cannot be written." in str(error.get("message"))
    assert (suites[LOWER5].get("errors"), suites[LOWER5].get("tests")) == ("1", str(len(suites[LOWER5])))
    assert len(suites[LOWER5]) > 40


def test_a_message_that_was_told_before_there_was_a_channel_is_not_called_taken(
    cj_pipeline: Terminal, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cj_pipeline("nightly", "--night", "2026-05-03", "--no-alerts")
    with webhook() as hook:
        monkeypatch.setenv(f"{PREFIX}WEBHOOK", hook.url)
        answer = cj_pipeline("nightly", "--night", "2026-05-03")
        sent = cj_pipeline("alerts", "send")
    assert hook.got == []
    assert "kept in the data folder, for no channel." in " ".join(answer.out.split())
    assert sent.out == "Messages that wait: 0.\n"


def test_a_message_that_is_too_old_to_be_sent_is_neither_taken_nor_waits(
    cj_pipeline: Terminal, traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    for days in (8, 31):
        alert = Alert(id=f"old-{days}", night=now.date(), subject="old", scenarios=(), changes=())
        keep(tmp_path / "data", alert, {"webhook": lambda _: None}, now - timedelta(days=days))
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    with webhook() as hook:
        monkeypatch.setenv(f"{PREFIX}WEBHOOK", hook.url)
        answer = cj_pipeline("alerts", "send")
    assert (answer.code, answer.out, hook.got) == (0, "Messages that wait: 0.\n", [])


def test_list_and_doctor_say_when_a_message_that_waits_is_tried_next(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Alert) -> None:
        raise NotSent("nobody answers (ConnectError)")

    now = datetime(2026, 5, 3, 3, 20, tzinfo=UTC)
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv(f"{PREFIX}WEBHOOK", "http://127.0.0.1:9/hidden")
    for command in ("alerts", "doctor"):
        monkeypatch.setattr(f"cj_pipeline.cli.{command}.utc_now", lambda: now)
    for days, channel in ((8, "webhook"), (1, "slack"), (0, "webhook")):
        alert = Alert(id=f"night-{days}", night=now.date(), subject="red", scenarios=())
        keep(tmp_path, alert, {channel: away}, now - timedelta(days=days))
    send_waiting(tmp_path, {"webhook": away}, now)
    listed = cj_pipeline("alerts", "list", "--json").document
    assert [one["next_try"] for one in listed] == [
        {"webhook": None},  # too old
        {"slack": None},  # not set
        {"webhook": "2026-05-03T03:21:00+00:00"},
    ]
    table = " ".join(cj_pipeline("alerts", "list", columns=200).out.split())
    assert "webhook: nobody answers (ConnectError), next try 2026-05-03 03:21 UTC" in table
    assert "slack: not tried, no further try" in table
    found = {row["what"]: row["detail"] for row in cj_pipeline("doctor", "--json").document}
    assert found["alerts"].endswith("; a message waits for webhook, next try 2026-05-03 03:21 UTC")
    now += timedelta(hours=1)  # and no daemon runs
    found = {row["what"]: row["detail"] for row in cj_pipeline("doctor", "--json").document}
    assert found["alerts"].endswith("; a message waits for webhook, due since 2026-05-03 03:21 UTC")
