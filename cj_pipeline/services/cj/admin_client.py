"""This module calls the admin's endpoints of a CJ service, with the token that the environment has.

Tokens come from who runs the identity service; one for a desk can be made here, by the service's own secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import jwt

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.environment import is_development
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.services.cj.environment import settings_from_environment
from cj_pipeline.services.cj.settings import ENVIRONMENT_PREFIX, CjSettings

TOKEN_VARIABLES = ("HULEEDU_SERVICE_ACCOUNT_TOKEN", "HULEEDU_ADMIN_TOKEN")
"""Where a token is looked for, in this order."""

_TIMEOUT_S = 15.0
_LIFETIME_S = 3600.0


class NoToken(CjPipelineError):
    """No token can be had."""


class AdminRefused(CjPipelineError):
    """A call that the service refuses, or does not answer."""


def token_of_environment() -> str | None:
    """Return the token of the environment, else one for a desk, else None: a desk without a key wants none."""
    for name in TOKEN_VARIABLES:
        if token := os.environ.get(name, "").strip():
            return token
    settings = settings_from_environment(database_url="sqlite://")
    return None if settings.jwt_secret_key is None else desk_token(settings)


def desk_token(settings: CjSettings, *, subject: str = "cj-pipeline", lifetime_s: float = _LIFETIME_S) -> str:
    """Return a token of the role admin, signed by the service's secret. Raises NoToken outside development."""
    if not is_development(settings.environment):
        raise NoToken(
            f"ENVIRONMENT is '{settings.environment}', where tokens come from the identity service: set "
            f"{TOKEN_VARIABLES[0]} to one."
        )
    if settings.jwt_secret_key is None or not settings.jwt_secret_key.get_secret_value():
        raise NoToken(f"{ENVIRONMENT_PREFIX}JWT_SECRET_KEY is not set, and a token is signed by it.")
    now = utc_now().timestamp()
    claims = {"sub": subject, "roles": ["admin"], "iat": int(now), "exp": int(now + lifetime_s)}
    claims |= {name: value for name, value in (("aud", settings.jwt_audience), ("iss", settings.jwt_issuer)) if value}
    return jwt.encode(claims, settings.jwt_secret_key.get_secret_value(), "HS256")


def claims_of(token: str) -> Mapping[str, Any]:
    """Return what a token says; whether that is true is for the service to check. Raises NoToken."""
    try:
        claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise NoToken("What is set as a token is none (JWT).") from None
    return claims


class CjAdmin:
    """The admin's endpoints of the service at a URL."""

    def __init__(self, url: str, token: str | None, *, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._transport = transport

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the answer's document; None where it has none. Raises AdminRefused with the service's own words."""
        try:
            with httpx.Client(transport=self._transport, headers=self._headers, timeout=_TIMEOUT_S) as client:
                answer = client.request(method, self._url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AdminRefused(f"{self._url}: no CJ service answers there ({type(error).__name__}).") from None
        try:
            document = answer.json() if answer.content else None
        except ValueError:
            document = None
        if not answer.is_success:
            said = document.get("error") if isinstance(document, dict) else None
            raise AdminRefused(f"{method} {path}: {answer.status_code}: {said or answer.reason_phrase}")
        return document

    def instructions(self, assignment_id: str) -> Any:
        """Return the instructions of an assignment. Raises AdminRefused."""
        return self.call("GET", f"/admin/v1/assessment-instructions/assignment/{segment(assignment_id)}")

    def anchors(self, assignment_id: str) -> Any:
        """Return the anchors of an assignment. Raises AdminRefused."""
        return self.call("GET", f"/admin/v1/anchors/assignment/{segment(assignment_id)}")

    def register_anchor(self, assignment_id: str, grade: str, text: str, label: str | None = None) -> Any:
        """Make or replace an anchor. Raises AdminRefused."""
        body = {"assignment_id": assignment_id, "grade": grade, "essay_text": text, "anchor_label": label}
        return self.call("POST", "/api/v1/anchors/register", body)


def segment(name: str) -> str:
    """Return a name as one segment of a path, whatever it holds."""
    return quote(name, safe="")
