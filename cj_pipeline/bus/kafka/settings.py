"""This module holds how a Kafka cluster is reached: one set of settings for producers, consumers and admin clients.

`KafkaSettings(...)` never looks at the environment; `kafka_settings_from_environment` does. Where
KAFKA_BOOTSTRAP_SERVERS is unset or empty there is no Kafka.
"""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cj_pipeline.foundation.environment import read_environment
from cj_pipeline.foundation.errors import BadInput, did_you_mean

ENVIRONMENT_PREFIX = "KAFKA_"
BOOTSTRAP_SERVERS = "KAFKA_BOOTSTRAP_SERVERS"

_MOST_PORTS = 65_535


class SecurityProtocol(StrEnum):
    """How the connection is protected and who is let in."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def uses_sasl(self) -> bool:
        """Return whether a client says who it is."""
        return self.name.startswith("SASL_")

    @property
    def uses_ssl(self) -> bool:
        """Return whether the connection is encrypted."""
        return self.name.endswith("SSL")


class SaslMechanism(StrEnum):
    """How a client says who it is."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"
    GSSAPI = "GSSAPI"

    @property
    def wants_a_password(self) -> bool:
        """Return whether it needs user name and password; the other two are set up by KAFKA_EXTRA."""
        return self in {SaslMechanism.PLAIN, SaslMechanism.SCRAM_SHA_256, SaslMechanism.SCRAM_SHA_512}


VARIABLES = {
    "bootstrap.servers": "bootstrap_servers",
    "metadata.broker.list": "bootstrap_servers",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_username",
    "sasl.password": "sasl_password",
    "ssl.ca.location": "ssl_ca_location",
    "ssl.certificate.location": "ssl_certificate_location",
    "ssl.key.location": "ssl_key_location",
    "ssl.key.password": "ssl_key_password",
    "client.id": "client_id",
    "group.id": "group_id",
}
"""librdkafka's name of what has a setting of its own, and that setting's name."""

# What "no message lost, none out of order, none passed over" rests on.
_KEPT = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.gapless.guarantee",
        "enable.idempotence",
        "enable.partition.eof",
        "group.instance.id",
        "isolation.level",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "message.send.max.retries",
        "offset.store.method",
        "partitioner",
        "request.required.acks",
        "retries",
        "transactional.id",
    }
)


def _as_options(given: object) -> object:
    """Read options from JSON, or from `key=value` with commas between."""
    if not isinstance(given, str):
        return given
    if given.lstrip().startswith("{"):
        try:
            # true and 5 as librdkafka writes them; every option of its is text to it.
            return {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in json.loads(given).items()
            }
        except ValueError:
            raise ValueError("not a JSON object; key=value with commas between them will do") from None
    options = {}
    for part in filter(None, (part.strip() for part in given.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            # Never the part itself: it may be the second half of a secret with a comma in it.
            raise ValueError("not a list of key=value with commas between them; write values with commas as JSON")
        options[name.strip()] = value.strip()
    return options


def _upper(name: object) -> object:
    return name.upper() if isinstance(name, str) else name


class KafkaSettings(BaseModel):
    """How one cluster is reached. Raises pydantic.ValidationError for a value that cannot be used."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    # A check of two settings is one of the later field, since complaints of a model name no variable: the order counts.
    bootstrap_servers: str
    """HOST:PORT of some brokers, with commas between them; the others are learned from these."""
    client_id: Annotated[str, Field(min_length=1)] = "cj-pipeline"
    """What brokers call this client in their logs and quotas."""
    group_id: Annotated[str, Field(min_length=1)] | None = None
    """What consumers are called; unset: the client's name. Nobody joins the group, and nothing is committed to it."""
    security_protocol: Annotated[SecurityProtocol, BeforeValidator(_upper)] = SecurityProtocol.PLAINTEXT
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    sasl_mechanism: Annotated[SaslMechanism | None, BeforeValidator(_upper)] = Field(None, validate_default=True)
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; OAUTHBEARER and GSSAPI are set up by KAFKA_EXTRA."""
    sasl_username: str | None = Field(None, validate_default=True)
    """For PLAIN and SCRAM."""
    sasl_password: SecretStr | None = Field(None, validate_default=True)
    """Its password; never shown."""
    ssl_ca_location: Path | None = None
    """Certificates of those who sign the brokers' (PEM); unset: the machine's own."""
    ssl_certificate_location: Path | None = None
    """This client's certificate (PEM), where brokers ask for one."""
    ssl_key_location: Path | None = Field(None, validate_default=True)
    """Its private key (PEM)."""
    ssl_key_password: SecretStr | None = None
    """Of the private key; never shown."""
    topic_partitions: Annotated[int, Field(ge=1)] | None = None
    """Partitions of a topic that a service makes because it is not there; unset: as the broker is configured."""
    topic_replication: Annotated[int, Field(ge=1)] | None = None
    """Copies of such a topic; unset: as the broker is configured."""
    extra: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_as_options)] = {}
    """Any other option of librdkafka: a JSON object, or key=value with commas between; values are never shown."""

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, servers: str) -> str:
        listed = [server.strip() for server in servers.split(",") if server.strip()]
        if not listed:
            raise ValueError("names no broker; use HOST:PORT, with commas between several")
        for server in listed:
            if "@" in server:
                # Not quoted: what is in front of it is somebody's password.
                raise ValueError("names a user; use KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
            _, colon, port = server.rpartition(":")
            if "/" in server or " " in server or not colon or not _is_port(port):
                raise ValueError(f"'{server}' is not HOST:PORT")
        return ",".join(listed)

    @field_validator("sasl_mechanism")
    @classmethod
    def _mechanism(cls, mechanism: SaslMechanism | None, info: ValidationInfo) -> SaslMechanism | None:
        protocol = info.data.get("security_protocol")
        if protocol is not None and protocol.uses_sasl and mechanism is None:
            raise ValueError(f"{protocol} needs one: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI")
        if protocol is not None and not protocol.uses_sasl and mechanism is not None:
            raise ValueError(f"has no effect while KAFKA_SECURITY_PROTOCOL is {protocol}; use SASL_SSL")
        return mechanism

    @field_validator("sasl_username", "sasl_password")
    @classmethod
    def _credentials(cls, given: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        mechanism = info.data.get("sasl_mechanism")
        if given is None and mechanism is not None and mechanism.wants_a_password:
            raise ValueError(f"{mechanism} needs it")
        if given is not None and mechanism is None and "sasl_mechanism" in info.data:
            raise ValueError("has no effect without KAFKA_SASL_MECHANISM")
        return given

    @field_validator("ssl_ca_location", "ssl_certificate_location", "ssl_key_location")
    @classmethod
    def _files(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        protocol = info.data.get("security_protocol")
        if path is not None and not path.exists():
            raise ValueError(f"there is no file '{path}'")
        if path is not None and protocol is not None and not protocol.uses_ssl:
            raise ValueError(f"has no effect while KAFKA_SECURITY_PROTOCOL is {protocol}; use SSL or SASL_SSL")
        if info.field_name == "ssl_key_location" and "ssl_certificate_location" in info.data:
            certificate = info.data["ssl_certificate_location"]
            if (path is None) != (certificate is None):
                raise ValueError("certificate and key go together; set both or neither")
        return path

    @field_validator("extra")
    @classmethod
    def _unreserved(cls, extra: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in sorted(extra):
            if name in VARIABLES:
                raise ValueError(f"{name} has a variable of its own: {ENVIRONMENT_PREFIX}{VARIABLES[name].upper()}")
            if name in _KEPT:
                raise ValueError(f"{name} cannot be changed: what the bus guarantees rests on it")
        return extra

    def client_config(self) -> dict[str, str | int | bool]:
        """Return librdkafka's options, for producers, consumers and admins; no group.id.

        Holds secrets: never log it.
        """
        config: dict[str, str | int | bool] = {
            # A dead connection is otherwise noticed with the next request only, which an idle consumer's is not.
            "socket.keepalive.enable": True,
            # librdkafka's own 10 s would add up to 10 s to every restart of a broker.
            "reconnect.backoff.max.ms": 1_000,
        }
        config |= {name: value.get_secret_value() for name, value in self.extra.items()}
        given: dict[str, str | Path | SecretStr | None] = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": self.client_id,
            "security.protocol": self.security_protocol.value.lower(),
            "sasl.mechanism": None if self.sasl_mechanism is None else self.sasl_mechanism.value,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password,
        }
        for name, value in given.items():
            if value is not None:
                config[name] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        return config


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= _MOST_PORTS


class KafkaEnvironment(BaseSettings, KafkaSettings):
    """The same settings, from `KAFKA_*`."""

    # Kubernetes exports KAFKA_PORT and the like for a service called kafka; those are not our mistake.
    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )


def kafka_is_configured() -> bool:
    """Return whether the environment names a cluster."""
    return bool(os.environ.get(BOOTSTRAP_SERVERS, "").strip())


def kafka_settings_from_environment(**given: object) -> KafkaSettings:
    """Read the process environment once; what is given counts instead.

    Raises BadInput naming the variable, also where neither the environment nor the caller names a cluster.
    """
    unknown = given.keys() - KafkaSettings.model_fields.keys()
    if unknown:
        name = min(unknown)
        raise BadInput(
            "is no setting of Kafka's.",
            path="settings",
            field=name,
            remedy=did_you_mean(name, KafkaSettings.model_fields),
        )
    if "bootstrap_servers" not in given and not kafka_is_configured():
        raise BadInput(
            "names no Kafka cluster.",
            path="environment",
            field=BOOTSTRAP_SERVERS,
            remedy="Set it to HOST:PORT of a broker, for example 127.0.0.1:9092.",
        )
    return KafkaSettings.model_validate(dict(read_environment(KafkaEnvironment, **given)))
