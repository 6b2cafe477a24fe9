"""A broker of one's own: up, down, killed and back, and gone with its owner."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.kafka_broker import KafkaBroker
from cj_pipeline.local.ports import free_port
from cj_pipeline.local.programs import CannotStart
from tests.guarded_kafka import GuardedBroker
from tests.kafka import create_topic, fresh_topic, values_of


def publish(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def test_what_was_acknowledged_outlives_a_kill_and_a_stop(own_kafka: KafkaBroker) -> None:
    address = own_kafka.bootstrap_servers
    create_topic(address, "kept", partitions=3)
    publish(address, "kept", b"before the kill")
    own_kafka.kill()
    assert own_kafka.pid is None
    own_kafka.start()
    publish(address, "kept", b"before the stop")
    own_kafka.stop()
    own_kafka.start()
    assert own_kafka.bootstrap_servers == address
    assert sorted(values_of(address, "kept", partitions=3)) == [b"before the kill", b"before the stop"]


def test_a_second_start_changes_nothing(own_kafka: KafkaBroker) -> None:
    pid = own_kafka.pid
    own_kafka.start()
    assert own_kafka.pid == pid


def test_tests_share_a_broker_and_take_topics_of_their_own(kafka: str) -> None:
    one, other = fresh_topic("shared"), fresh_topic("shared")
    assert one != other
    create_topic(kafka, one, partitions=2)
    publish(kafka, one, b"a", b"b")
    assert sorted(values_of(kafka, one, partitions=2)) == [b"a", b"b"]


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path, kafka_files: KafkaArtifacts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"^Port {port} of 127\.0\.0\.1 is taken by another process\."):
            KafkaBroker(tmp_path, port, artifacts=kafka_files).start()
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_cannot_read_its_data_says_where_its_log_is(tmp_path: Path, kafka_files: KafkaArtifacts) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\n")
    broker = KafkaBroker(tmp_path, artifacts=kafka_files)
    with pytest.raises(CannotStart, match="Kafka ended while it started") as caught:
        broker.start()
    assert f"'{broker.log}'" in str(caught.value)
    assert "Stored node id 7" in str(caught.value)
    assert broker.pid is None


def test_two_further_listeners_let_in_who_knows_the_password(tmp_path: Path, kafka_files: KafkaArtifacts) -> None:
    # With what Kafka's two formats take for their own, or cannot hold.
    password = 'so "secret" \\ it is, übrigens'

    def brokers(**settings: str) -> int:
        given = {name.replace("_", "."): value for name, value in settings.items()}
        admin = AdminClient({"sasl.mechanism": "PLAIN", "sasl.username": "capture", "log_level": 0} | given)
        return len(admin.list_topics(timeout=2).brokers)

    with GuardedBroker(tmp_path, "capture", password, kafka_files) as broker:
        plain = {"bootstrap_servers": broker.sasl_bootstrap_servers, "security_protocol": "SASL_PLAINTEXT"}
        tls = {"bootstrap_servers": broker.tls_bootstrap_servers, "security_protocol": "SASL_SSL"}
        assert brokers(**plain, sasl_password=password) == 1
        assert brokers(**tls, sasl_password=password, ssl_ca_location=str(broker.authority)) == 1
        with pytest.raises(KafkaException):
            brokers(**plain, sasl_password=password.upper())
        # Signed by itself: whoever does not trust it does not talk to it.
        with pytest.raises(KafkaException):
            brokers(**tls, sasl_password=password)
        (holding,) = [path for path in tmp_path.iterdir() if path.is_file() and b"secret" in path.read_bytes()]
        assert holding.stat().st_mode & 0o077 == 0


def test_free_ports_are_no_ports_of_outgoing_connections() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(ports) < min(lowest_outgoing, 32_000)
