"""This module makes a broker's self-signed TLS certificate for the loopback interface, with Java's keytool."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.local.ports import LOOPBACK
from cj_pipeline.local.programs import CannotStart, Unavailable

# Kafka wants one. What it would protect lies beside it, in a folder that its user alone can read.
KEYSTORE_PASSWORD = "on-this-machine-only"  # noqa: S105


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
    program = java.resolve().with_name("keytool")
    if not program.exists():
        raise Unavailable(f"No '{program}', which comes with every complete Java. TLS needs it.")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotStart(f"keytool cannot make a certificate: {done.stdout.strip()}")
