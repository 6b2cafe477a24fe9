"""This module hands one message to where it goes: a webhook, Slack, mail. It tries once; the outbox tries again."""

from __future__ import annotations

import smtplib
import ssl
import threading
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from functools import partial
from typing import Any

import httpx

from cj_pipeline.alerts.message import Alert
from cj_pipeline.alerts.settings import PREFIX, AlertSettings, Security
from cj_pipeline.foundation.errors import CjPipelineError

TIMEOUT_S = 10.0
"""Of one wait for the network."""

DEADLINE_S = 20.0
"""Of a whole message in one channel: a server that sends a byte a second never meets TIMEOUT_S.

A tick of the sensor may try a channel twice, an old message and a new one, and Dagster gives it 60 s.
"""

MOST_SLACK = 35_000
"""Characters: Slack cuts a message at 40,000."""

Channel = Callable[[Alert], None]


class NotSent(CjPipelineError):
    """A message that did not arrive, and why. It does not name the address of a webhook, which is a secret."""


def channels_of(settings: AlertSettings, *, deadline_s: float = DEADLINE_S) -> dict[str, Channel]:
    """Return the channels that are set, by name; each sends one message within the deadline, or raises NotSent."""
    found: dict[str, Channel] = {}
    if settings.webhook is not None:
        send = partial(_post, settings.webhook.get_secret_value(), webhook_document)
        found["webhook"] = partial(_in_time, send, f"{PREFIX}WEBHOOK, ALL_PROXY and SSL_CERT_FILE", deadline_s)
    if settings.slack_webhook is not None:
        send = partial(_post, settings.slack_webhook.get_secret_value(), slack_document)
        found["slack"] = partial(_in_time, send, f"{PREFIX}SLACK_WEBHOOK, ALL_PROXY and SSL_CERT_FILE", deadline_s)
    if settings.email_to:
        found["email"] = partial(_in_time, partial(_mail, settings), f"{PREFIX}SMTP_* and EMAIL_*", deadline_s)
    return found


def webhook_document(alert: Alert) -> dict[str, Any]:
    """Return the message as a generic webhook gets it."""
    return {**alert.model_dump(mode="json"), "text": alert.text}


def slack_document(alert: Alert) -> dict[str, Any]:
    """Return the message as Slack takes it, with the three characters escaped that it reads as markup."""
    text = f"*{alert.subject}*\n" + "\n".join(alert.lines)
    for character, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, escaped)
    return {"text": text if len(text) <= MOST_SLACK else f"{text[:MOST_SLACK]}\n(cut)"}


def mail_of(alert: Alert, settings: AlertSettings) -> EmailMessage:
    """Return the message as mail. Its Message-ID is the id, so that a mailbox can tell one that comes twice."""
    mail = EmailMessage()
    mail["Subject"] = alert.subject
    mail["From"] = settings.email_from
    mail["To"] = ", ".join(settings.email_to)
    mail["Message-ID"] = f"<{alert.id}@{settings.email_from.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    # Every server takes ASCII.
    mail.set_content("\n".join(alert.lines) + "\n", cte="quoted-printable")
    return mail


def _in_time(send: Channel, variables: str, deadline_s: float, alert: Alert) -> None:
    """Send by a thread that is left behind when the deadline passes. variables: where a mistake would be, in words."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            send(alert)
        except BaseException as error:  # no mistake in one channel may keep the others from sending, or pass as sent
            raised.append(error)

    thread = threading.Thread(target=run, name="alert channel", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if thread.is_alive():
        raise NotSent(f"the server was not done after {deadline_s:g} s")
    for error in raised:
        if isinstance(error, NotSent):
            raise error
        # Its words may hold the address of a webhook.
        raise NotSent(f"cannot be used as it is set ({type(error).__name__}); look at {variables}")


def _post(url: str, document: Callable[[Alert], Mapping[str, Any]], alert: Alert) -> None:
    try:
        answer = httpx.post(
            url, json=document(alert), headers={"Idempotency-Key": alert.id}, timeout=TIMEOUT_S, follow_redirects=False
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotSent(f"nobody answers ({type(error).__name__})") from None
    if not answer.is_success:
        raise NotSent(f"the answer was {answer.status_code}")


def _mail(settings: AlertSettings, alert: Alert) -> None:
    where = (settings.smtp_host, settings.smtp_port)
    try:
        if settings.smtp_security is Security.TLS:
            server: smtplib.SMTP = smtplib.SMTP_SSL(*where, timeout=TIMEOUT_S, context=ssl.create_default_context())
        else:
            server = smtplib.SMTP(*where, timeout=TIMEOUT_S)
        with server:
            if settings.smtp_security is Security.STARTTLS:
                server.starttls(context=ssl.create_default_context())
            if settings.smtp_user:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            refused = server.send_message(mail_of(alert, settings))
    except (OSError, smtplib.SMTPException) as error:
        raise NotSent(f"{where[0]}:{where[1]} took no mail ({type(error).__name__})") from None
    if refused:
        raise NotSent(f"refused for {', '.join(sorted(refused))}")
