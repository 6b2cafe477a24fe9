"""This module says where messages go, from the environment; nothing is set by default."""

from __future__ import annotations

from email.policy import EmailPolicy
from enum import StrEnum
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.foundation.environment import Listed, read_environment

PREFIX = "CJ_PIPELINE_ALERT_"


class Security(StrEnum):
    """How the connection to the mail server is secured."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class AlertSettings(BaseSettings):
    """From `CJ_PIPELINE_ALERT_` and the name of a field in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    webhook: SecretStr | None = None
    """URL that takes the message as JSON by POST: id, night, subject, text, scenarios."""
    slack_webhook: SecretStr | None = None
    """URL of an incoming webhook of Slack, or of what understands its JSON (Mattermost, Rocket.Chat)."""
    email_to: Listed[tuple[str, ...]] = ()
    """Addresses, with commas between them."""
    email_from: str = ""
    """Address of the sender; needed with email_to."""
    smtp_host: str = "localhost"
    """The mail server."""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    """Its port."""
    smtp_security: Security = Security.STARTTLS
    """starttls, tls or none."""
    smtp_user: str = ""
    """Empty: no log-in."""
    smtp_password: SecretStr = SecretStr("")
    """Of that user."""
    ui_url: str = ""
    """Base URL of the Dagster UI, for links to run and report; empty: the message names the run by its id."""

    @field_validator("webhook", "slack_webhook")
    @classmethod
    def _is_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("is no URL; it begins with https:// or http://")
        return url

    @field_validator("email_from", "email_to")
    @classmethod
    def _one_line(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for address in [given] if isinstance(given, str) else given:
            if address and not _is_address(address):
                raise ValueError("is no address of the form name@host")
        return given

    @model_validator(mode="after")
    def _sender(self) -> Self:
        if self.email_to and not self.email_from:
            raise ValueError(f"{PREFIX}EMAIL_TO needs {PREFIX}EMAIL_FROM")
        return self


def _is_address(text: str) -> bool:
    """Return whether the mail library reads this as one address, name@host, and nothing beside it."""
    if not text.isprintable() or " " in text:
        return False
    try:
        header = EmailPolicy().header_factory("To", text)
    except Exception:  # its parser breaks off with AttributeError, IndexError and others
        return False
    return [one.addr_spec for one in header.addresses] == [text] and not header.defects and "" not in text.split("@")


def alert_settings() -> AlertSettings:
    """Read the environment. Raises BadInput naming the variable."""
    return read_environment(AlertSettings)
