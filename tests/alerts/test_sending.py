"""This module tests that a message arrives by each channel, and that a failure or a restart loses none."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email import message_from_string, policy
from pathlib import Path

import pytest

from cj_pipeline.alerts.channels import NotSent, channels_of
from cj_pipeline.alerts.message import Alert
from cj_pipeline.alerts.outbox import keep, outbox, send_waiting
from cj_pipeline.alerts.settings import AlertSettings, alert_settings
from cj_pipeline.foundation.errors import BadInput
from tests.alerts.receivers import endless, mail_server, webhook

NOW = datetime(2026, 5, 3, 3, 20, tzinfo=UTC)

ALERT = Alert(
    id="night-2026-05-03-0a1b2c3d",
    night=date(2026, 5, 3),
    subject="CJ Pipeline, night of 2026-05-03: 1 of 3 scenarios not as expected: a",
    scenarios=(),
    changes=("a <b> & c: 40 % more tokens, häufig",),
)


def mail_settings(port: int, **given: object) -> AlertSettings:
    """Mail to two people by a server of this machine."""
    values = {"email_to": "one@example.org,two@example.org", "email_from": "cj@example.org", "smtp_security": "none"}
    return AlertSettings.model_validate({**values, "smtp_host": "127.0.0.1", "smtp_port": port, **given})


def test_a_webhook_gets_the_whole_message_under_its_id() -> None:
    with webhook() as hook:
        channels_of(AlertSettings.model_validate({"webhook": hook.url}))["webhook"](ALERT)
    ((headers, body),) = hook.got
    assert headers["Idempotency-Key"] == body["id"] == ALERT.id
    assert body["subject"] == ALERT.subject
    assert ALERT.changes[0] in body["text"]


def test_slack_gets_text_in_which_nothing_is_markup() -> None:
    with webhook() as hook:
        channels_of(AlertSettings.model_validate({"slack_webhook": hook.url}))["slack"](ALERT)
    ((_, body),) = hook.got
    assert list(body) == ["text"]
    assert body["text"].startswith(f"*{ALERT.subject}*\n")
    assert "a &lt;b&gt; &amp; c" in body["text"]


def test_mail_goes_to_each_address_with_the_id_as_its_own() -> None:
    with mail_server() as box:
        channels_of(mail_settings(box.port))["email"](ALERT)
    assert box.recipients == ["one@example.org", "two@example.org"]
    mail = message_from_string(box.mails[0], policy=policy.default)
    assert mail["Subject"] == ALERT.subject
    assert mail["Message-ID"] == f"<{ALERT.id}@example.org>"
    assert "häufig" in mail.get_content()


def test_a_redirect_and_a_failure_are_no_success_and_do_not_say_the_secret_address() -> None:
    for status in (302, 307, 404, 500):
        with webhook(status) as hook, pytest.raises(NotSent, match=str(status)) as caught:
            channels_of(AlertSettings.model_validate({"webhook": hook.url}))["webhook"](ALERT)
        assert "secret" not in str(caught.value)
        assert (len(hook.got), hook.followed) == (1, 0)
    with pytest.raises(NotSent, match="nobody answers") as caught:  # the server is gone
        channels_of(AlertSettings.model_validate({"webhook": hook.url}))["webhook"](ALERT)
    assert "secret" not in str(caught.value)


def test_mail_is_never_sent_in_the_clear_where_starttls_is_asked() -> None:
    with mail_server() as box, pytest.raises(NotSent, match="SMTPNotSupportedError"):
        channels_of(mail_settings(box.port, smtp_security="starttls"))["email"](ALERT)
    assert box.mails == []


def test_an_address_that_is_refused_is_named() -> None:
    with mail_server("two@example.org") as box, pytest.raises(NotSent, match=r"refused for two@example\.org"):
        channels_of(mail_settings(box.port))["email"](ALERT)
    assert len(box.mails) == 1


@pytest.mark.parametrize(
    ("given", "environment"),
    [
        ({"webhook": "http://hooks..example.org/secret"}, {}),
        ({"webhook": f"http://{'a' * 64}.example.org/secret"}, {}),
        ({"webhook": "http://127.0.0.1:9/secret"}, {"ALL_PROXY": "socks5://secret"}),
        ({"webhook": "http://127.0.0.1:9/secret"}, {"ALL_PROXY": "x://secret"}),
        ({"webhook": "https://127.0.0.1:9/secret"}, {"SSL_CERT_FILE": "/secret/none.pem"}),
        ({"smtp_host": "mail..secret"}, {}),
        ({"smtp_host": "a" * 64 + ".secret"}, {}),
        ({"smtp_user": "sécret", "smtp_password": "secret"}, {}),
    ],
)
def test_a_channel_that_cannot_be_used_as_it_is_set_keeps_no_other_from_sending(
    given: dict[str, str], environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bad = "webhook" if "webhook" in given else "email"
    with mail_server(extensions=("AUTH PLAIN",)) as box:
        channels = channels_of(mail_settings(box.port, **given))
        sent: list[Alert] = []
        channels = {bad: channels[bad], "other": sent.append}
        keep(tmp_path, ALERT, channels, NOW)
        (problem,) = send_waiting(tmp_path, channels, NOW)
    assert sent == [ALERT]
    assert problem.startswith(f"{ALERT.id} was not sent by {bad}, and is tried again: cannot be used as it is set (")
    assert f"CJ_PIPELINE_ALERT_{'WEBHOOK' if bad == 'webhook' else 'SMTP_'}" in problem
    assert "secret" not in problem
    assert outbox(tmp_path)[0].waiting == (bad,)


@pytest.mark.parametrize(
    ("channel", "repeated"), [("webhook", b"H"), ("slack", b"HTTP/1.1 100 Continue\r\n\r\n"), ("email", b"220-x\r\n")]
)
def test_a_server_that_never_comes_to_an_end_holds_a_message_no_longer_than_the_deadline(
    channel: str, repeated: bytes
) -> None:
    with endless(repeated) as port:
        url = f"http://127.0.0.1:{port}/secret"
        settings = mail_settings(port, webhook=url, slack_webhook=url)
        with pytest.raises(NotSent, match=r"the server was not done after 0\.2 s"):
            channels_of(settings, deadline_s=0.2)[channel](ALERT)


def test_what_one_channel_takes_is_not_sent_to_it_again_and_the_other_is_tried_later(tmp_path: Path) -> None:
    with webhook() as good, webhook(500, 500) as bad:
        settings = AlertSettings.model_validate({"webhook": good.url, "slack_webhook": bad.url})
        channels = channels_of(settings)
        keep(tmp_path, ALERT, channels, NOW)
        assert send_waiting(tmp_path, channels, NOW) == [
            f"{ALERT.id} was not sent by slack, and is tried again: the answer was 500."
        ]
        assert send_waiting(tmp_path, channels, NOW + timedelta(seconds=59)) == []  # not due yet
        assert len(send_waiting(tmp_path, channels, NOW + timedelta(seconds=60))) == 1
        assert send_waiting(tmp_path, channels, NOW + timedelta(seconds=240)) == []
        assert send_waiting(tmp_path, channels, NOW + timedelta(days=1)) == []
        assert (len(good.got), len(bad.got)) == (1, 3)
    assert outbox(tmp_path)[0].waiting == ()


def test_a_channel_that_is_away_is_tried_with_one_message_and_the_others_wait(tmp_path: Path) -> None:
    ids = [f"night-2026-05-0{day}-0a1b2c3d" for day in (1, 2, 3)]
    tried: list[str] = []
    taken: list[str] = []

    def away(alert: Alert) -> None:
        tried.append(alert.id)
        raise NotSent("nobody answers (ConnectTimeout)")

    channels = {"webhook": away, "other": lambda alert: taken.append(alert.id)}
    for number, alert_id in enumerate(ids):
        keep(tmp_path, ALERT.model_copy(update={"id": alert_id}), channels, NOW - timedelta(hours=3 - number))
    assert len(send_waiting(tmp_path, channels, NOW)) == 1
    assert tried == ids[:1]
    assert taken == ids


def test_messages_arrive_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    ids = [f"night-2026-05-0{day}-0a1b2c3d" for day in (1, 2, 3)]
    tried: list[str] = []
    away = True

    def channel(alert: Alert) -> None:
        tried.append(alert.id)
        if away:
            raise NotSent("nobody answers (ConnectTimeout)")

    def write(number: int, seconds: float) -> None:
        alert = ALERT.model_copy(update={"id": ids[number]})
        keep(tmp_path, alert, {"webhook": channel}, NOW + timedelta(seconds=seconds))

    def send(seconds: float, **how: bool) -> list[str]:
        tried.clear()
        send_waiting(tmp_path, {"webhook": channel}, NOW + timedelta(seconds=seconds), **how)
        return tried[:]

    write(0, 0)
    assert send(0) == ids[:1]
    write(1, 10)
    assert send(10) == ids[:1]  # with a new message the oldest is tried again
    assert send(20) == []  # two failures: two minutes
    assert send(20, at_once=True) == ids[:1]
    assert send(139) == []
    write(2, 140)
    away = False
    assert send(140) == ids
    assert send(141) == []
    assert send(141, at_once=True) == []


def test_a_process_that_dies_after_writing_or_while_sending_loses_no_message(tmp_path: Path) -> None:
    with webhook() as hook:
        channels = channels_of(AlertSettings.model_validate({"webhook": hook.url}))
        keep(tmp_path, ALERT, channels, NOW)  # died here

        def dies(alert: Alert) -> None:
            channels["webhook"](alert)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            send_waiting(tmp_path, {"webhook": dies}, NOW)
        assert send_waiting(tmp_path, channels, NOW) == []
        # Twice, and the receiver can tell.
        assert [headers["Idempotency-Key"] for headers, _ in hook.got] == [ALERT.id, ALERT.id]


def test_a_message_is_tried_for_a_week_and_kept_for_a_month(tmp_path: Path) -> None:
    tried: list[Alert] = []
    keep(tmp_path, ALERT, {"webhook": tried.append}, NOW)
    assert send_waiting(tmp_path, {"webhook": tried.append}, NOW + timedelta(days=8)) == []
    assert tried == []
    assert len(outbox(tmp_path)) == 1
    send_waiting(tmp_path, {}, NOW + timedelta(days=31))
    assert outbox(tmp_path) == ()


def test_a_damaged_message_is_named_and_keeps_no_other_back(tmp_path: Path) -> None:
    sent: list[Alert] = []
    keep(tmp_path, ALERT, {"webhook": sent.append}, NOW)
    (tmp_path / "alerts/night-2026-05-02-ffffffff.json").write_text("{")
    (tmp_path / "alerts/x.json").mkdir()
    damaged, folder = send_waiting(tmp_path, {"webhook": sent.append}, NOW)
    assert damaged.endswith("night-2026-05-02-ffffffff.json is no message; remove it.")
    assert folder.endswith("x.json is no message; remove it.")
    assert sent == [ALERT]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("WEBHOOK", "hooks.example.org/x", "is no URL"),
        ("EMAIL_TO", "me@example.org", "EMAIL_TO needs CJ_PIPELINE_ALERT_EMAIL_FROM"),
        ("EMAIL_TO", "nobody", "is no address"),
        ("EMAIL_TO", "one@example.org,a@[", "is no address"),
        ("EMAIL_FROM", "a@b\nBcc: c@d", "is no address"),
        ("EMAIL_FROM", "CJ<a@b>", "is no address"),
        ("EMAIL_FROM", "a@", "is no address"),
        ("SMTP_PORT", "0", "greater than or equal to 1"),
        ("SMTP_SECURITY", "ssl", "'starttls', 'tls' or 'none'"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named_without_its_value(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CJ_PIPELINE_ALERT_{variable}", value)
    with pytest.raises(BadInput, match=f"environment: CJ_PIPELINE_ALERT_.*{said}") as caught:
        alert_settings()
    assert "hooks.example" not in str(caught.value)


def test_nothing_is_sent_anywhere_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CJ_PIPELINE_ALERT_WEBHOOK", raising=False)
    assert channels_of(alert_settings()) == {}
