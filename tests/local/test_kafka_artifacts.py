"""The broker's files: fetched whole or not at all, and refused when they are not those that were pinned."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cj_pipeline.local.kafka_artifacts import PINNED, KafkaArtifacts, checksums, kafka_home
from cj_pipeline.local.programs import CannotStart, Unavailable, java, java_version, maven
from tests.house import REPOSITORY

JARS = {"broker.jar": b"all of Kafka", "client.jar": b"and its client"}

# Stands in for Maven: "fetches" the two jars, slowly enough for another process to come along, and counts its calls.
MAVEN = """#!/bin/sh
for argument; do case "$argument" in -DoutputDirectory=*) into="${argument#*=}";; esac; done
echo called >> "$(dirname "$0")/calls"
mkdir -p "$into"
printf 'all of Kafka' > "$into/broker.jar"
sleep 0.3
printf '%s' "${CLIENT:-and its client}" > "$into/client.jar"
"""

NO_NETWORK = """#!/bin/sh
echo '[ERROR] Failed to execute goal: Unknown host'
echo '[ERROR] To see the full stack trace, re-run Maven with -e'
exit 1
"""


@pytest.fixture
def artifacts(tmp_path: Path) -> KafkaArtifacts:
    """A Kafka of two small jars, not fetched yet."""
    pinned = tmp_path / "pinned"
    pinned.mkdir()
    (pinned / "pom.xml").write_text("<kafka.version>9.9</kafka.version>")
    sums = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in JARS.items())
    (pinned / "SHA256SUMS").write_text("".join(sums))
    return KafkaArtifacts(tmp_path / "home", pinned)


def program(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def maven_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = program(tmp_path, "mvn", MAVEN)
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    return path


def test_they_are_fetched_once(artifacts: KafkaArtifacts, maven_stand_in: Path) -> None:
    assert not artifacts.fetched
    folder = artifacts.verified()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == JARS
    assert artifacts.verified() == folder
    assert (maven_stand_in.parent / "calls").read_text() == "called\n"


FETCHING = """
import sys
from pathlib import Path
from cj_pipeline.local.kafka_artifacts import KafkaArtifacts

print(KafkaArtifacts(Path(sys.argv[1]), Path(sys.argv[2])).verified())
"""


def test_processes_that_come_at_once_fetch_once(artifacts: KafkaArtifacts, maven_stand_in: Path) -> None:
    command = [sys.executable, "-c", FETCHING, str(artifacts.home), str(artifacts.pinned)]
    processes = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == [f"{artifacts.folder}\n"] * 2
    assert [process.returncode for process in processes] == [0, 0]
    assert (maven_stand_in.parent / "calls").read_text() == "called\n"


def test_what_an_interrupted_fetch_left_is_not_taken_for_the_whole(
    artifacts: KafkaArtifacts, maven_stand_in: Path
) -> None:
    half = artifacts.home / ".fetching-x1" / "jars"
    half.mkdir(parents=True)
    (half / "broker.jar").write_bytes(b"all of")
    assert {path.name: path.read_bytes() for path in artifacts.verified().iterdir()} == JARS
    assert sorted(path.name for path in artifacts.home.iterdir()) == [".fetching.lock", artifacts.folder.name]


@pytest.mark.usefixtures("maven_stand_in")
def test_a_wrong_file_from_maven_is_refused_and_not_kept(
    artifacts: KafkaArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT", "something else")
    with pytest.raises(CannotStart, match=r"client\.jar' has sha256 \w{64} instead of \w{64}\. Maven brought it"):
        artifacts.verified()
    assert not artifacts.fetched


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("client.jar", b"and its cl1ent", "client.jar' has sha256 {found} instead of {expected}."),
        ("client.jar", None, "client.jar' is not there."),
        ("extra.jar", b"x", "extra.jar' is not part of this Kafka, and would be loaded with it."),
    ],
)
def test_a_cache_that_has_changed_is_refused_by_name(
    name: str, content: bytes | None, complaint: str, artifacts: KafkaArtifacts
) -> None:
    artifacts.folder.mkdir(parents=True)
    for jar, written in {**JARS, name: content}.items():
        if written is not None:
            (artifacts.folder / jar).write_bytes(written)
    found, expected = (hashlib.sha256(text).hexdigest() for text in (content or b"", JARS["client.jar"]))
    with pytest.raises(CannotStart) as caught:
        artifacts.verified()
    assert complaint.format(found=found, expected=expected) in str(caught.value)
    assert str(caught.value).endswith(f"Remove '{artifacts.folder}'; it is fetched again.")
    # A cache that was meddled with is an error of the machine's; only what is not there may be skipped.
    assert not isinstance(caught.value, Unavailable)


def test_without_a_network_maven_says_why(
    artifacts: KafkaArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(program(tmp_path, "mvn", NO_NETWORK).parent), prepend=":")
    with pytest.raises(Unavailable, match=r"It says: Failed to execute goal: Unknown host Mirrors and proxies"):
        artifacts.verified()
    assert list(artifacts.home.glob(".fetching-*")) == []


def test_other_checksums_are_another_folder(artifacts: KafkaArtifacts) -> None:
    before = artifacts.folder
    (artifacts.pinned / "SHA256SUMS").write_text("")
    assert artifacts.folder != before


def test_without_maven_and_java_the_message_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(Unavailable, match=r"apt-get install default-jdk-headless.*KAFKA_BOOTSTRAP_SERVERS"):
        java()
    with pytest.raises(Unavailable, match=r"apt-get install maven.*KAFKA_BOOTSTRAP_SERVERS"):
        maven()


@pytest.mark.parametrize(
    ("said", "feature_release"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),
        ("Error: could not open libjvm.so", 0),
    ],
)
def test_a_java_older_than_17_is_not_taken(
    said: str, feature_release: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(tmp_path, "java", f"#!/bin/sh\necho '{said}' >&2\n")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java_version(path) == feature_release
    if feature_release >= 17:
        assert java() == path
    else:
        with pytest.raises(Unavailable, match=f"is Java {feature_release}, and a broker needs 17 or later"):
            java()


def test_the_cache_is_below_the_data_folder_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CJ_PIPELINE_KAFKA_DIR", raising=False)
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path))
    assert kafka_home() == tmp_path / "kafka"
    monkeypatch.setenv("CJ_PIPELINE_KAFKA_DIR", str(tmp_path / "elsewhere"))
    assert kafka_home() == tmp_path / "elsewhere"


def test_every_jar_of_the_pinned_kafka_has_a_checksum() -> None:
    # 45 of Kafka's and one that lets it write a log.
    sums = checksums(PINNED / "SHA256SUMS")
    assert len(sums) == 46
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in sums.values())
    version = KafkaArtifacts(Path(), PINNED).version
    assert {"kafka_2.13-4.3.1.jar", "kafka-clients-4.3.1.jar", "slf4j-simple-1.7.36.jar"} <= sums.keys()
    assert version == "4.3.1"


def test_the_pom_names_no_place_to_fetch_from() -> None:
    text = (PINNED / "pom.xml").read_text()
    assert re.findall(r"<(?:repository|pluginRepository|mirror|url)>", text) == []
    assert set(re.findall(r"https?://[^\s<\"]+", text)) == {"http://maven.apache.org/POM/4.0.0"}
