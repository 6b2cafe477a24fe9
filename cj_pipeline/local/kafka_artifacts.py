"""This module fetches Apache Kafka's jars once with Maven, and compares them with their checksums at every use.

The cache is `kafka/` below the data folder, or CJ_PIPELINE_KAFKA_DIR; tests and `cj-pipeline kafka` share it. Maven
uses the mirrors of its user's settings.xml; the checksums decide whether the jars are accepted.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.local.folder_lock import folder_lock
from cj_pipeline.local.programs import CannotStart, Unavailable, maven

PINNED = Path(__file__).with_name("kafka")

# 44 MB. A slow line takes minutes; a proxy that never answers should not take for ever.
_FETCH_TIMEOUT_S = 600


class LocalKafkaSettings(BaseSettings):
    """Where the broker's files and the data of `cj-pipeline kafka` are: `CJ_PIPELINE_KAFKA_DIR`."""

    model_config = SettingsConfigDict(env_prefix="CJ_PIPELINE_", frozen=True)

    kafka_dir: Path | None = None


def kafka_home() -> Path:
    """Return CJ_PIPELINE_KAFKA_DIR, else `kafka/` below CJ_PIPELINE_DATA_DIR, as an absolute path."""
    chosen = LocalKafkaSettings().kafka_dir
    return (PipelineSettings().data_dir / "kafka" if chosen is None else chosen).absolute()


@dataclass(frozen=True, slots=True)
class KafkaArtifacts:
    """The jars of one pinned Kafka. home: the cache; pinned: the folder with pom.xml and SHA256SUMS."""

    home: Path
    pinned: Path = PINNED

    @property
    def version(self) -> str:
        """Return Kafka's version, from the pom."""
        pom = (self.pinned / "pom.xml").read_text(encoding="utf-8")
        return pom.partition("<kafka.version>")[2].partition("</kafka.version>")[0]

    @property
    def folder(self) -> Path:
        """Return the folder of the jars; other checksums have another one, so a new pin is fetched, not refused."""
        sums = hashlib.sha256((self.pinned / "SHA256SUMS").read_bytes()).hexdigest()
        return self.home / f"jars-{self.version}-{sums[:8]}"

    @property
    def fetched(self) -> bool:
        """Return whether the folder of the jars exists; nothing is read."""
        return self.folder.is_dir()

    def verified(self) -> Path:
        """Return the folder of the jars, fetched if need be, each compared with its checksum (once a process).

        Raises Unavailable when they are not there and cannot be had, CannotStart naming a file that is wrong,
        missing or not of this Kafka.
        """
        if not self.fetched:
            self._fetch()
        _verify_once(self.folder, self.pinned)
        return self.folder

    def _fetch(self) -> None:
        program = maven()
        # One at a time: Maven's own repository is not made for two that fill it.
        with folder_lock(self.home / ".fetching.lock"):
            if self.fetched:
                return
            for left_over in self.home.glob(".fetching-*"):
                shutil.rmtree(left_over)
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=self.home) as temporary:
                jars = Path(temporary) / "jars"
                _copy_dependencies(program, self.pinned / "pom.xml", jars)
                _verify(jars, self.pinned, "Maven brought it: look at its mirrors, and into its local repository.")
                jars.rename(self.folder)


def _copy_dependencies(program: Path, pom: Path, into: Path) -> None:
    command = [str(program), "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={into}"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"Maven did not fetch Kafka within {_FETCH_TIMEOUT_S} s. Is there a network?") from None
    if done.returncode != 0:
        said = next((line for line in done.stdout.splitlines() if line.startswith("[ERROR]")), "[ERROR] nothing")
        raise Unavailable(
            f"Maven could not fetch Kafka. It says: {said.removeprefix('[ERROR]').strip()} "
            "Mirrors and proxies are set in Maven's settings.xml."
        )


@cache
def _verify_once(folder: Path, pinned: Path) -> None:
    _verify(folder, pinned, f"Remove '{folder}'; it is fetched again.")


def _verify(folder: Path, pinned: Path, remedy: str) -> None:
    expected = checksums(pinned / "SHA256SUMS")
    present = {path.name: path for path in folder.iterdir()}
    for name in sorted(present.keys() - expected.keys()):
        raise CannotStart(f"'{present[name]}' is not part of this Kafka, and would be loaded with it. {remedy}")
    for name in sorted(expected.keys() - present.keys()):
        raise CannotStart(f"'{folder / name}' is not there. {remedy}")
    for name, path in sorted(present.items()):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected[name]:
            raise CannotStart(f"'{path}' has sha256 {found} instead of {expected[name]}. {remedy}")


def checksums(path: Path) -> dict[str, str]:
    """Return the SHA-256 by file name of a file that sha256sum wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
