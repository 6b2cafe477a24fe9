"""A broker that two further listeners guard with a password, one of them in TLS, for tests of secured connections."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.kafka_broker import KafkaBroker
from cj_pipeline.local.kafka_node import SETTINGS
from cj_pipeline.local.ports import LOOPBACK, free_port
from cj_pipeline.local.programs import java

# Kafka wants one. What it would protect lies beside it, in a folder that its user alone can read.
KEYSTORE_PASSWORD = "on-this-machine-only"


@dataclass(frozen=True, slots=True)
class Certificate:
    """keystore: PKCS 12, the broker's (KEYSTORE_PASSWORD); authority: PEM, what its clients trust."""

    keystore: Path
    authority: Path


def certificate(folder: Path, java: Path) -> Certificate:
    """Return the certificate of a folder; the first call makes it, valid for ten years. Raises CannotStart."""
    made = Certificate(folder / "broker.p12", folder / "authority.pem")
    if not made.authority.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made.keystore.unlink(missing_ok=True)
        store = ["-keystore", str(made.keystore), "-storepass", KEYSTORE_PASSWORD, "-alias", "broker"]
        who = ["-dname", f"CN={LOOPBACK}", "-ext", f"SAN=ip:{LOOPBACK},dns:localhost"]
        how = ["-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650", "-storetype", "PKCS12"]
        _keytool(java, "-genkeypair", *store, *who, *how)
        _keytool(java, "-exportcert", "-rfc", *store, "-file", str(made.authority))
    return made


def _keytool(java: Path, *arguments: str) -> None:
    subprocess.run([java.resolve().with_name("keytool"), *arguments], capture_output=True, check=True)


class GuardedBroker(KafkaBroker):
    """A broker with two listeners that demand a user (letters, digits, _) and a password (SASL/PLAIN)."""

    def __init__(self, folder: Path, user: str, password: str, artifacts: KafkaArtifacts) -> None:
        own = certificate(folder.absolute() / "tls", java())
        ports = {"SASL": free_port(), "TLS": free_port()}
        self.authority = own.authority  # what clients in TLS must trust (PEM)
        self.sasl_bootstrap_servers = f"{LOOPBACK}:{ports['SASL']}"
        self.tls_bootstrap_servers = f"{LOOPBACK}:{ports['TLS']}"
        super().__init__(folder, artifacts=artifacts, listeners=ports, settings=guarded_settings(user, password, own))


def guarded_settings(user: str, password: str, own: Certificate) -> dict[str, str]:
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    login = f"{module} required user_{user}={quoted(password)};"
    protocols = SETTINGS["listener.security.protocol.map"] + ",SASL:SASL_PLAINTEXT,TLS:SASL_SSL"
    settings = {"listener.security.protocol.map": protocols}
    for name in ("sasl", "tls"):
        settings[f"listener.name.{name}.sasl.enabled.mechanisms"] = "PLAIN"
        settings[f"listener.name.{name}.plain.sasl.jaas.config"] = login
    return settings | {
        "listener.name.tls.ssl.keystore.type": "PKCS12",
        "listener.name.tls.ssl.keystore.location": str(own.keystore),
        "listener.name.tls.ssl.keystore.password": KEYSTORE_PASSWORD,
    }


def quoted(text: str) -> str:
    """As JAAS wants it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
