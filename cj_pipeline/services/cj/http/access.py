"""This module decides who may use the admin's endpoints, by the bearer token (JWT) of a request.

It issues no tokens. A token never reaches a log or an answer.
"""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.requests import Request

from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.services.cj.settings import ENVIRONMENT_PREFIX, CjSettings, JwtAlgorithm

ADMIN = "admin"

_LEEWAY_S = 10
_KEYS_TIMEOUT_S = 5.0
# A token of a stranger must not make us ask for the keys again and again; a key that was withdrawn ends by then.
_KEYS_AT_MOST_EVERY_S = 10.0
_KEYS_LAST_S = 600.0

_KINDS: Mapping[JwtAlgorithm, type[object]] = {
    JwtAlgorithm.RS256: RSAPublicKey,
    JwtAlgorithm.ES256: EllipticCurvePublicKey,
}


class Denied(CjPipelineError):
    """A request that is not let in. status: 401 without a good token, 403 without the role, 503 without keys."""

    def __init__(self, problem: str, status: int = 401) -> None:
        self.status = status
        super().__init__(problem)


class Access:
    """Who may use the admin's endpoints of one service. Raises BadInput for keys that do not fit the algorithm."""

    def __init__(self, settings: CjSettings, clock: LoopClock, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._clock = clock
        self._client = client
        self._key = _key(settings)
        self._published: dict[str, Any] = {}
        self._asked_s = -math.inf
        self._got_s = -math.inf
        self._asking = asyncio.Lock()

    async def require(self, request: Request, *, changes: bool) -> None:
        """Let an admin in. changes: whether the request changes anything. Raises Denied."""
        settings = self._settings
        if not changes and self._has_internal_key(request):
            return
        if self._key is None and settings.jwt_jwks_url is None:
            # Whoever sets a key for reading does not mean that anybody may read.
            keyed = not changes and self._internal_key() is not None
            if settings.in_production or keyed or (changes and not settings.on_a_desk):
                raise Denied(
                    f"Nobody can be told apart here: set {ENVIRONMENT_PREFIX}JWT_SECRET_KEY, JWT_PUBLIC_KEY or "
                    "JWT_JWKS_URL."
                )
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Denied("A bearer token is needed: 'Authorization: Bearer ...'.")
        if ADMIN not in _roles(await self._claims(token.strip())):
            raise Denied(f"The token is good, and does not have the role '{ADMIN}'.", 403)

    def _has_internal_key(self, request: Request) -> bool:
        expected = self._internal_key()
        given = request.headers.get("x-internal-api-key", "")
        return expected is not None and hmac.compare_digest(given.encode(), expected.encode())

    def _internal_key(self) -> str | None:
        """Return the key that services read with; None where there is none, as compose exports a variable not set."""
        key = self._settings.internal_api_key
        return None if key is None else key.get_secret_value().strip() or None

    async def _claims(self, token: str) -> Mapping[str, Any]:
        settings = self._settings
        key = await self._published_key(token) if self._key is None else self._key
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                # By the kind of the key and never by the token, which may name any.
                algorithms=[_algorithm(settings, key).value],
                audience=settings.jwt_audience,
                issuer=settings.jwt_issuer,
                leeway=_LEEWAY_S,
                options={
                    "require": _required(settings),
                    "verify_aud": settings.jwt_audience is not None,
                    "verify_iss": settings.jwt_issuer is not None,
                },
            )
        except jwt.PyJWTError as refused:
            # The name of the fault, as `ExpiredSignatureError`: the message may quote the token.
            raise Denied(f"The token is refused: {type(refused).__name__}.") from None
        return claims

    async def _published_key(self, token: str) -> Any:
        try:
            name = str(jwt.get_unverified_header(token).get("kid", ""))
        except jwt.InvalidTokenError as refused:
            raise Denied(f"The token is refused: {type(refused).__name__}.") from None
        async with self._asking:
            now_s = self._clock.monotonic()
            old = now_s - self._got_s >= _KEYS_LAST_S
            if (old or name not in self._published) and now_s - self._asked_s >= _KEYS_AT_MOST_EVERY_S:
                self._asked_s = now_s  # of a fetch that fails as well
                self._published = await self._fetched()
                self._got_s = now_s
        if old and self._got_s != now_s:
            raise Denied(f"No keys could be got from {ENVIRONMENT_PREFIX}JWT_JWKS_URL.", 503)
        if name not in self._published:
            raise Denied("The token is refused: it names no key that is published.")
        return self._published[name]

    async def _fetched(self) -> dict[str, Any]:
        url = str(self._settings.jwt_jwks_url)
        try:
            answer = (await self._client.get(url, timeout=_KEYS_TIMEOUT_S)).raise_for_status()
            published = jwt.PyJWKSet.from_dict(answer.json()).keys
        except (httpx.HTTPError, ValueError, AttributeError, jwt.PyJWTError):
            raise Denied(f"No keys could be got from {ENVIRONMENT_PREFIX}JWT_JWKS_URL.", 503) from None
        return {key.key_id or "": key.key for key in published if isinstance(key.key, _kinds(self._settings))}


def _key(settings: CjSettings) -> Any:
    """Return the key that tokens are checked by; None where there is none, or where it is published."""
    secret = settings.jwt_secret_key
    wants_secret = settings.jwt_algorithm is JwtAlgorithm.HS256 or (
        settings.jwt_algorithm is None and not _has_public_key(settings)
    )
    if wants_secret:
        if secret is None and settings.jwt_algorithm is not None:
            raise _unfit("JWT_ALGORITHM", "is HS256, which needs JWT_SECRET_KEY.")
        if secret is not None and not secret.get_secret_value():
            raise _unfit("JWT_SECRET_KEY", "is empty, so that anybody could sign.")
        if secret is None and (settings.jwt_audience or settings.jwt_issuer):
            raise _unfit("JWT_SECRET_KEY", "is not set, and neither is a public key; other JWT_* are.")
        return None if secret is None else secret.get_secret_value()
    if settings.jwt_jwks_url is not None:
        return None
    if not _has_public_key(settings):
        raise _unfit(
            "JWT_ALGORITHM", f"is {settings.jwt_algorithm}, which needs JWT_PUBLIC_KEY, _PUBLIC_KEY_PATH or _JWKS_URL."
        )
    name = "JWT_PUBLIC_KEY" if settings.jwt_public_key is not None else "JWT_PUBLIC_KEY_PATH"
    try:
        text = settings.jwt_public_key or Path(str(settings.jwt_public_key_path)).read_text(encoding="utf-8")
        # In a variable, line ends are often written out.
        key = load_pem_public_key(text.replace("\\n", "\n").encode())
    except (OSError, ValueError):
        raise _unfit(name, "is no public key (PEM).") from None
    if not isinstance(key, _kinds(settings)):
        raise _unfit(name, f"is no key for {settings.jwt_algorithm or 'RS256 or ES256'}.")
    return key


def _kinds(settings: CjSettings) -> tuple[type[object], ...]:
    return tuple(_KINDS.values()) if settings.jwt_algorithm is None else (_KINDS[settings.jwt_algorithm],)


def _has_public_key(settings: CjSettings) -> bool:
    return any((settings.jwt_public_key, settings.jwt_public_key_path, settings.jwt_jwks_url))


def _algorithm(settings: CjSettings, key: object) -> JwtAlgorithm:
    """Return what tokens must be signed by: what is set, else what the key is for."""
    fitting = next((algorithm for algorithm, kind in _KINDS.items() if isinstance(key, kind)), JwtAlgorithm.HS256)
    return settings.jwt_algorithm or fitting


def _required(settings: CjSettings) -> list[str]:
    claims = {"exp": True, "aud": settings.jwt_audience is not None, "iss": settings.jwt_issuer is not None}
    return [name for name, wanted in claims.items() if wanted]


def _roles(claims: Mapping[str, Any]) -> set[str]:
    roles = claims.get("roles")
    listed = roles if isinstance(roles, list) else [roles]
    return {role for role in listed if isinstance(role, str)}


def _unfit(name: str, problem: str) -> BadInput:
    remedy = "Change the variable, or unset all of JWT_*."
    return BadInput(problem, path="environment", field=f"{ENVIRONMENT_PREFIX}{name}", remedy=remedy)
