"""Who may use the admin's endpoints: tokens made here by hand, by each kind of key."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import Request

from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.http.access import Access, Denied
from cj_pipeline.services.cj.settings import CjSettings
from tests.services.cj.test_endpoints import served

SECRET = "a secret of more than thirty-two bytes"
OTHER = "another one of more than thirty-two bytes"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
PATH = "/admin/v1/assessment-instructions"
BODY = {"assignment_id": "assignment-1", "instructions_text": "Reward ideas."}


def pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def token(key: Any = SECRET, algorithm: str = "HS256", *, kid: str | None = None, **claims: Any) -> str:
    told = {"sub": "admin-1", "roles": ["admin"], "exp": time.time() + 600, "aud": "platform", "iss": "identity"}
    told = {name: value for name, value in {**told, **claims}.items() if value is not None}
    return jwt.encode(told, key, algorithm, headers=None if kid is None else {"kid": kid})


def post(bearer: str | None, **settings: Any) -> httpx.Response:
    async def script() -> httpx.Response:
        async with served(**settings) as (_, client):
            headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}".encode()}
            return await client.post(PATH, json=BODY, headers=headers)

    return run_virtual(script())


BY_SECRET = {"jwt_secret_key": SECRET, "jwt_audience": "platform", "jwt_issuer": "identity"}


@pytest.mark.parametrize(
    ("key", "algorithm", "settings"),
    [
        (SECRET, "HS256", BY_SECRET),
        (SECRET, "HS256", {"jwt_secret_key": SECRET}),
        (RSA, "RS256", {"jwt_public_key": pem(RSA), "jwt_algorithm": "RS256"}),
        (RSA, "RS256", {"jwt_public_key": pem(RSA).replace("\n", "\\n")}),
        (EC, "ES256", {"jwt_public_key": pem(EC), "jwt_audience": "platform"}),
    ],
)
def test_an_admins_token_is_let_in(key: Any, algorithm: str, settings: dict[str, Any]) -> None:
    assert post(token(key, algorithm), **settings).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_700_000_000},
        {"exp": None},
        {"aud": "another"},
        {"aud": None},
        {"iss": "another"},
        {"iss": None},
        {"nbf": 4_102_444_800},  # in 2100: `now` would be that of the collection
        {"key": OTHER},
    ],
)
def test_a_token_that_is_not_for_us_is_refused(claims: dict[str, Any]) -> None:
    bearer = token(**claims)
    answer = post(bearer, **BY_SECRET)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json()["error"].startswith("The token is refused: ")
    assert bearer not in answer.text


# Clocks of two machines differ by seconds. In seconds from now; those within the leeway have 8 s to get there.
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"exp": -2}, 200),
        ({"exp": -30}, 401),
        ({"nbf": 2}, 200),
        ({"nbf": 30}, 401),
        ({"nbf": -30}, 200),
        ({"iat": 2}, 200),
        ({"iat": 30}, 401),
        ({"iat": -30}, 200),
    ],
)
def test_times_have_a_leeway_of_seconds_and_no_more(claims: dict[str, float], status: int) -> None:
    times = {name: time.time() + seconds for name, seconds in claims.items()}
    assert post(token(**times), **BY_SECRET).status_code == status
    assert post(token(**times), jwt_secret_key=SECRET).status_code == status


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["soon", [1], {"a": 1}])
def test_a_time_that_is_none_is_refused(claim: str, value: Any) -> None:
    assert post(token(**{claim: value}), **BY_SECRET).status_code == 401


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": ["another", "platform"]}, 200),
        ({"aud": ["another"]}, 401),
        ({"aud": ["platform", 7]}, 401),
        ({"aud": "PLATFORM"}, 401),
        ({"iss": "identity/"}, 401),
        ({"iss": ["identity"]}, 401),
        ({"roles": "admin"}, 200),
        ({"roles": ["teacher", "admin"]}, 200),
        ({"roles": ["Admin"]}, 403),
        ({"roles": {"admin": True}}, 403),
    ],
)
def test_claims_are_compared_as_they_are(claims: dict[str, Any], status: int) -> None:
    # The library refuses to write some of these; a stranger's would not.
    assert post(signed({"alg": "HS256"}, **claims), **BY_SECRET).status_code == status


def signed(header: dict[str, Any], secret: bytes = SECRET.encode(), **claims: Any) -> str:
    """A token of any header and claims, signed by HMAC-SHA-256 whatever its header says."""
    told = {"roles": ["admin"], "exp": time.time() + 600, "aud": "platform", "iss": "identity", **claims}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"typ": "JWT", **header}, told)
    ]
    digest = hmac.digest(secret, b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(digest).rstrip(b"=")]).decode()


def test_the_forger_can_forge() -> None:
    assert post(signed({"alg": "HS256"}), **BY_SECRET).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        *(
            {"alg": name}
            for name in ("none", "None", "NONE", "nOnE", "", None, 0, "HS512", "hs256", "RS256", ["HS256"])
        ),
        {},
        {"alg": "HS256", "crit": ["exp"], "exp": True},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
    ],
)
def test_a_header_cannot_say_how_it_is_checked(header: dict[str, Any]) -> None:
    assert post(signed(header), **BY_SECRET).status_code == 401


@pytest.mark.parametrize("header", [{"jku": "https://evil/keys"}, {"jwk": {"kty": "oct", "k": "ZXZpbA"}}, {"x5u": "x"}])
def test_a_header_cannot_bring_its_own_key(header: dict[str, Any]) -> None:
    evil = signed({"alg": "HS256", **header}, b"evil")
    assert post(evil, **BY_SECRET).status_code == 401


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_another_algorithm_of_the_right_key_is_refused(algorithm: str) -> None:
    assert post(token(RSA, algorithm), jwt_public_key=pem(RSA)).status_code == 401
    assert post(token(RSA, algorithm), jwt_public_key=pem(RSA), jwt_algorithm="RS256").status_code == 401


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_of_the_right_secret_is_refused(algorithm: str) -> None:
    long = 2 * SECRET
    assert post(token(long, algorithm), jwt_secret_key=long).status_code == 401
    assert post(token(long, "HS256"), jwt_secret_key=long).status_code == 200


@pytest.mark.parametrize("scheme", ["Basic", "Token", "", "Bearer:", "JWT"])
def test_another_scheme_than_bearer_is_refused(scheme: str) -> None:
    async def script() -> tuple[int, int]:
        async with served(**BY_SECRET) as (_, client):
            headers = [{"Authorization": f"{word} {token()}"} for word in (scheme, "bEARER")]
            wrong, right = [await client.post(PATH, json=BODY, headers=one) for one in headers]
            return wrong.status_code, right.status_code

    assert run_virtual(script()) == (401, 200)


@pytest.mark.parametrize("bearer", [None, "", "x", "a.b.c", "\u00e9.b.c"])
def test_no_token_and_nonsense_are_refused(bearer: str | None) -> None:
    assert post(bearer, **BY_SECRET).status_code == 401


@pytest.mark.parametrize("roles", [None, [], ["teacher"], "teacher", ["administrator"], [{"admin": 1}]])
def test_another_role_is_forbidden(roles: Any) -> None:
    assert post(token(roles=roles), **BY_SECRET).status_code == 403


def test_a_token_without_a_signature_is_refused() -> None:
    unsigned = jwt.encode({"roles": ["admin"], "exp": time.time() + 600}, None, "none")
    assert post(unsigned, jwt_secret_key=SECRET).status_code == 401
    assert post(unsigned, jwt_public_key=pem(RSA)).status_code == 401


@pytest.mark.parametrize("key", [RSA, EC])
def test_the_public_half_of_a_key_signs_nothing(key: Any) -> None:
    # The classic: a token of HS256 whose secret is the published key, as it is written anywhere.
    public = key.public_key()
    algorithm = jwt.algorithms.RSAAlgorithm if key is RSA else jwt.algorithms.ECAlgorithm
    jwk = algorithm.to_jwk(public, as_dict=True)
    written = [
        *(
            pem(key).encode(),
            pem(key).strip().encode(),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        ),
        *(json.dumps(jwk).encode(), jwk.get("n", jwk.get("x")).encode(), b""),
    ]
    forged = [signed({"alg": "HS256", "kid": "one"}, secret) for secret in written]
    assert {post(one, jwt_public_key=pem(key)).status_code for one in forged} == {401}
    publisher = Publisher(("one", key))
    assert statuses(publisher, *forged, token(key, "RS256" if key is RSA else "ES256", kid="one")) == [401] * 6 + [200]


def test_a_secret_that_is_published_signs_nothing() -> None:
    class Careless(Publisher):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            secret = base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")
            return httpx.Response(200, json={"keys": [{"kty": "oct", "kid": "one", "k": secret, "alg": "HS256"}]})

    assert statuses(Careless(), signed({"alg": "HS256", "kid": "one"})) == [401]


def test_a_key_checks_its_own_tokens_alone() -> None:
    publisher = Publisher(("one", RSA), ("two", EC))
    swapped = [token(RSA, "RS256", kid="two"), token(EC, "ES256", kid="one"), token(RSA, "RS256"), token(EC, "ES256")]
    assert statuses(publisher, *swapped) == [401] * 4
    assert statuses(publisher, token(EC, "ES256", kid="two"), jwt_algorithm="RS256") == [401]


@pytest.mark.parametrize(
    ("settings", "write", "read"),
    [
        ({"host": "127.0.0.1"}, 200, 200),
        ({"host": "localhost", "environment": "dev"}, 200, 200),
        ({"host": "0.0.0.0"}, 401, 200),  # noqa: S104
        ({"host": "127.0.0.1", "environment": "staging"}, 401, 200),
        ({"host": "127.0.0.1", "environment": "production", "enable_admin_endpoints": True}, 401, 401),
        (BY_SECRET | {"host": "127.0.0.1"}, 401, 401),
        (BY_SECRET | {"internal_api_key": "k" * 40}, 401, 200),
        ({"host": "127.0.0.1", "internal_api_key": "k" * 40}, 200, 200),
        ({"host": "0.0.0.0", "internal_api_key": "k" * 40}, 401, 200),  # noqa: S104
    ],
)
def test_without_a_token_only_a_desk_can_be_written_to(settings: dict[str, Any], write: int, read: int) -> None:
    async def script() -> None:
        async with served(**settings) as (_, client):
            headers = {"X-Internal-API-Key": "k" * 40}
            assert (await client.post(PATH, json=BODY, headers=headers)).status_code == write
            assert (await client.get(PATH, headers=headers)).status_code == read
            if "internal_api_key" in settings:
                for wrong in ({}, {"X-Internal-API-Key": "k"}, {"X-Internal-API-Key": ""}):
                    assert (await client.get(PATH, headers=wrong)).status_code == 401

    run_virtual(script())


def test_every_route_of_the_admins_asks_who_it_is() -> None:
    async def script() -> None:
        async with served(**BY_SECRET) as (_, client):
            for path in (
                *("/assessment-instructions", "/assessment-instructions/a", "/assessment-instructions/assignment/a"),
                *("/assessment-instructions/course/a", "/student-prompts", "/student-prompts/assignment/a"),
                *("/judge-rubrics", "/judge-rubrics/assignment/a", "/anchors/assignment/a"),
            ):
                answers = [await client.request(method, f"/admin/v1{path}") for method in ("GET", "POST", "DELETE")]
                assert {answer.status_code for answer in answers} <= {401, 405}
                assert 401 in {answer.status_code for answer in answers}
            assert (await client.post("/api/v1/anchors/register")).status_code == 401
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/metrics")).status_code == 200

    run_virtual(script())


class Publisher(httpx.AsyncBaseTransport):
    """Where keys are published. answer: the set, or a status."""

    def __init__(self, *keys: tuple[str, Any]) -> None:
        self.keys = dict(keys)
        self.asked = 0
        self.status = 200

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        documents = []
        for kid, key in self.keys.items():
            of_rsa = isinstance(key, rsa.RSAPrivateKey)
            algorithm = jwt.algorithms.RSAAlgorithm if of_rsa else jwt.algorithms.ECAlgorithm
            documents.append({**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid})
        return httpx.Response(self.status, json={"keys": documents})


def statuses(publisher: Publisher, *bearers: str, wait_s: float = 0.0, **settings: Any) -> list[int]:
    async def script() -> list[int]:
        async with httpx.AsyncClient(transport=publisher) as client:
            access = Access(CjSettings(jwt_jwks_url="https://identity/keys", **settings), LoopClock(), client)
            found = []
            for bearer in bearers:
                header = (b"authorization", f"Bearer {bearer}".encode())
                try:
                    await access.require(Request({"type": "http", "headers": [header]}), changes=True)
                    found.append(200)
                except Denied as denied:
                    found.append(denied.status)
                await asyncio.sleep(wait_s)
            return found

    return run_virtual(script())


def test_published_keys_are_got_once_and_again_for_a_key_that_is_new() -> None:
    publisher = Publisher(("one", RSA), ("two", EC))
    good = [token(RSA, "RS256", kid="one"), token(EC, "ES256", kid="two")]
    assert statuses(publisher, *good, *good) == [200, 200, 200, 200]
    assert publisher.asked == 1
    stranger = token(EC, "ES256", kid="three")
    assert statuses(publisher, *[stranger] * 5, good[0]) == [401] * 5 + [200]
    assert publisher.asked == 2
    assert statuses(publisher, *[stranger] * 3, wait_s=61.0) == [401] * 3
    assert publisher.asked == 5
    assert statuses(publisher, *good, jwt_algorithm="RS256") == [200, 401]
    assert statuses(publisher, token(RSA, "RS256", kid="two"), token(RSA, "RS256")) == [401, 401]


def test_keys_that_cannot_be_got_are_nobodys_fault_who_asks() -> None:
    publisher = Publisher(("one", RSA))
    publisher.status = 500
    assert statuses(publisher, token(RSA, "RS256", kid="one")) == [503]


def test_keys_that_cannot_be_got_are_not_asked_for_again_at_once() -> None:
    publisher = Publisher(("one", RSA))
    publisher.status = 500
    assert statuses(publisher, *[token(RSA, "RS256", kid="one")] * 20) == [503] + [503] * 19
    assert publisher.asked == 1


def test_a_key_that_is_no_longer_published_ends_within_minutes() -> None:
    publisher = Publisher(("one", RSA))

    async def script() -> list[int]:
        async with httpx.AsyncClient(transport=publisher) as client:
            access = Access(CjSettings(jwt_jwks_url="https://identity/keys"), LoopClock(), client)
            found = []
            for _ in range(3):
                header = (b"authorization", f"Bearer {token(RSA, 'RS256', kid='one')}".encode())
                try:
                    await access.require(Request({"type": "http", "headers": [header]}), changes=True)
                    found.append(200)
                except Denied as denied:
                    found.append(denied.status)
                publisher.keys = {"two": RSA}
                await asyncio.sleep(400.0)
            return found

    assert run_virtual(script()) == [200, 200, 401]


def test_many_at_once_ask_for_the_keys_once() -> None:
    publisher = Publisher(("one", RSA))

    async def script() -> None:
        async with httpx.AsyncClient(transport=publisher) as client:
            access = Access(CjSettings(jwt_jwks_url="https://identity/keys"), LoopClock(), client)
            header = (b"authorization", f"Bearer {token(EC, 'ES256', kid='strange')}".encode())
            asked = [access.require(Request({"type": "http", "headers": [header]}), changes=True) for _ in range(50)]
            assert all(isinstance(one, Denied) for one in await asyncio.gather(*asked, return_exceptions=True))

    run_virtual(script())
    assert publisher.asked == 1


def test_an_empty_internal_key_opens_nothing() -> None:
    async def script() -> None:
        async with served(jwt_secret_key=SECRET, internal_api_key="") as (_, client):
            assert (await client.get("/admin/v1/assessment-instructions")).status_code == 401

    run_virtual(script())


@pytest.mark.parametrize("roles", [5, True, 1.5, {"admin": False}, {"admin": True}, [None, 5]])
def test_roles_that_are_no_list_of_names_let_nobody_in(roles: Any) -> None:
    assert post(token(roles=roles), **BY_SECRET).status_code == 403


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"jwt_algorithm": "RS256", "jwt_secret_key": SECRET}, "JWT_ALGORITHM: is RS256, which needs JWT_PUBLIC_KEY"),
        ({"jwt_algorithm": "HS256", "jwt_public_key": pem(RSA)}, "JWT_ALGORITHM: is HS256, which needs JWT_SECRET_KEY"),
        ({"jwt_algorithm": "ES256", "jwt_public_key": pem(RSA)}, "JWT_PUBLIC_KEY: is no key for ES256"),
        ({"jwt_public_key": "-----BEGIN"}, "JWT_PUBLIC_KEY: is no public key"),
        ({"jwt_public_key_path": "/nowhere/at/all.pem"}, "JWT_PUBLIC_KEY_PATH: is no public key"),
        ({"jwt_secret_key": ""}, "JWT_SECRET_KEY: is empty"),
        ({"jwt_audience": "platform"}, "JWT_SECRET_KEY: is not set"),
    ],
)
def test_keys_that_do_not_fit_keep_the_service_from_starting(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Access(CjSettings(**settings), None, None)  # type: ignore[arg-type]
