"""How a cluster is named, what librdkafka is told, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cj_pipeline.bus.kafka.clients import new_admin, new_consumer, new_producer
from cj_pipeline.bus.kafka.settings import KafkaSettings, kafka_is_configured, kafka_settings_from_environment
from cj_pipeline.foundation.errors import BadInput

BROKER = "127.0.0.1:1"  # nobody listens
SASL = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "cj"}


@pytest.fixture(autouse=True)
def no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KafkaSettings.model_fields:
        monkeypatch.delenv(f"KAFKA_{name.upper()}", raising=False)


def test_without_the_variable_there_is_no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not kafka_is_configured()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "  ")
    assert not kafka_is_configured()
    with pytest.raises(BadInput, match=r"KAFKA_BOOTSTRAP_SERVERS: names no Kafka cluster\. Set it to HOST:PORT"):
        kafka_settings_from_environment()
    assert kafka_settings_from_environment(bootstrap_servers=BROKER).bootstrap_servers == BROKER


def test_every_setting_has_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {}
    for name in ("ca", "certificate", "key"):
        files[name] = tmp_path / f"{name}.pem"
        files[name].write_text("")
    exported = {
        "BOOTSTRAP_SERVERS": "one:9092, [::1]:9093",
        "CLIENT_ID": "parity",
        "SECURITY_PROTOCOL": "sasl_ssl",
        "SASL_MECHANISM": "scram-sha-256",
        "SASL_USERNAME": "cj",
        "SASL_PASSWORD": "s3cret",
        "SSL_CA_LOCATION": str(files["ca"]),
        "SSL_CERTIFICATE_LOCATION": str(files["certificate"]),
        "SSL_KEY_LOCATION": str(files["key"]),
        "SSL_KEY_PASSWORD": "s3cret too",
        "TOPIC_PARTITIONS": "6",
        "TOPIC_REPLICATION": "3",
        "EXTRA": "linger.ms=20, compression.type=zstd",
        "PORT": "tcp://10.0.0.1:9092",  # as Kubernetes exports for a service called kafka
    }
    for name, value in exported.items():
        monkeypatch.setenv(f"KAFKA_{name}", value)
    settings = kafka_settings_from_environment()
    assert (settings.topic_partitions, settings.topic_replication) == (6, 3)
    assert settings.client_config() == {
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 1000,
        "bootstrap.servers": "one:9092,[::1]:9093",
        "client.id": "parity",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "cj",
        "sasl.password": "s3cret",
        "ssl.ca.location": str(files["ca"]),
        "ssl.certificate.location": str(files["certificate"]),
        "ssl.key.location": str(files["key"]),
        "ssl.key.password": "s3cret too",
        "linger.ms": "20",
        "compression.type": "zstd",
    }


def test_explicit_settings_do_not_look_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_CLIENT_ID", "somebody")
    assert KafkaSettings(bootstrap_servers=BROKER).client_id == "cj-pipeline"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BOOTSTRAP_SERVERS", "http://kafka:9092", "'http://kafka:9092' is not HOST:PORT"),
        ("BOOTSTRAP_SERVERS", "kafka", "'kafka' is not HOST:PORT"),
        ("BOOTSTRAP_SERVERS", "me:secret@kafka:9092", "names a user; use KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ("BOOTSTRAP_SERVERS", "kafka:99999", "'kafka:99999' is not HOST:PORT"),
        ("BOOTSTRAP_SERVERS", ",", "names no broker"),
        ("SECURITY_PROTOCOL", "TLS", "Input should be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        ("SASL_MECHANISM", "PLAIN", "has no effect while KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        ("SASL_PASSWORD", "s3cret", "has no effect without KAFKA_SASL_MECHANISM"),
        ("SSL_CA_LOCATION", "/no/such/ca.pem", "there is no file '/no/such/ca.pem'"),
        ("SSL_CA_LOCATION", "/", "has no effect while KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        ("TOPIC_PARTITIONS", "0", "greater than or equal to 1"),
        ("EXTRA", "acks=1", "acks cannot be changed: what the bus guarantees rests on it"),
        ("EXTRA", "group.id=mine", "group.id has a variable of its own: KAFKA_GROUP_ID"),
        ("EXTRA", "sasl.password=s3cret", "sasl.password has a variable of its own: KAFKA_SASL_PASSWORD"),
        ("EXTRA", '{"linger.ms": ', "not a JSON object"),
        ("EXTRA", "sasl.oauthbearer.config=x,s3cret", "not a list of key=value"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_and_no_secret_with_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", BROKER)
    monkeypatch.setenv(f"KAFKA_{name}", value)
    with pytest.raises(BadInput) as refused:
        kafka_settings_from_environment()
    assert refused.value.field == f"KAFKA_{name}"
    assert told in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"security_protocol": "SASL_SSL"}, "SASL_MECHANISM"),
        ({**SASL, "sasl_username": None, "sasl_password": "s3cret"}, "SASL_USERNAME"),
        (SASL, "SASL_PASSWORD"),
        ({"security_protocol": "SSL", "ssl_certificate_location": "/"}, "SSL_KEY_LOCATION"),
        ({"security_protocol": "SSL", "ssl_key_location": "/"}, "SSL_KEY_LOCATION"),
    ],
)
def test_settings_that_need_each_other_are_asked_for(given: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        kafka_settings_from_environment(bootstrap_servers=BROKER, **given)
    assert refused.value.field == f"KAFKA_{field}"
    assert "s3cret" not in str(refused.value)


def test_options_may_be_json_with_numbers_and_commas() -> None:
    settings = KafkaSettings(bootstrap_servers=BROKER, extra='{"linger.ms": 3, "debug": "broker,topic"}')  # type: ignore[arg-type]
    assert settings.client_config().items() >= {("linger.ms", "3"), ("debug", "broker,topic")}


def test_secrets_are_neither_shown_nor_written() -> None:
    secrets = {"sasl_password": "s3cret", "ssl_key_password": "s3cret", "extra": {"ssl.keystore.password": "s3cret"}}
    settings = KafkaSettings.model_validate({"bootstrap_servers": BROKER, **SASL, **secrets})
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "s3cret" not in text
    assert settings.client_config()["sasl.password"] == "s3cret"
    with pytest.raises(ValidationError) as invalid:
        KafkaSettings.model_validate({"bootstrap_servers": BROKER, "sasl_pasword": "s3cret"})
    assert "s3cret" not in str(invalid.value)


def test_a_setting_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean 'client_id'"):
        kafka_settings_from_environment(bootstrap_servers=BROKER, clientid="x")


@pytest.mark.parametrize("new", [new_producer, new_consumer, new_admin])
@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({"extra": {"linger.milliseconds": "5"}}, "KAFKA_EXTRA", "has no option 'linger.milliseconds'"),
        ({"extra": {"socket.timeout.ms": "s3cret"}}, "KAFKA_EXTRA", "cannot use this value of 'socket.timeout.ms'"),
        (
            {"security_protocol": "SSL", "ssl_ca_location": __file__},
            "KAFKA_SSL_CA_LOCATION",
            "cannot use this value of 'ssl.ca.location'",
        ),
    ],
)
def test_what_librdkafka_does_not_take_is_named_without_its_value(
    new: Any, given: dict[str, Any], field: str, told: str
) -> None:
    with pytest.raises(BadInput) as refused:
        new(KafkaSettings(bootstrap_servers=BROKER, **given))
    assert refused.value.field == field
    assert told in str(refused.value)
    assert "s3cret" not in str(refused.value)
