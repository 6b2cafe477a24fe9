"""This module holds the Kafka cluster that callbacks are captured from, as a Dagster resource.

What is not given here comes from the `KAFKA_*` variables of the process that runs the step. A password cannot be given
here at all: the configuration of a run is stored with it, and shown.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from dagster import ConfigurableResource
from pydantic import Field

from cj_pipeline.bus.kafka.settings import KafkaSettings, kafka_settings_from_environment
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.capture.capture import CaptureResult, capture
from cj_pipeline.traces.capture.reading import OnProgress
from cj_pipeline.traces.capture.request import CaptureRequest
from cj_pipeline.traces.capture.source import Range, TopicSource


@dataclass(frozen=True, slots=True)
class TopicNow:
    """A topic at one moment. ranges: what each partition holds."""

    topic: str
    cluster_id: str
    ranges: dict[int, Range]


class KafkaResource(ConfigurableResource[None]):
    """How to reach a cluster. It connects when something is asked."""

    bootstrap_servers: str = Field(
        default="", description="HOST:PORT of some brokers, with commas between; empty: KAFKA_BOOTSTRAP_SERVERS."
    )
    security_protocol: str = Field(
        default="",
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; empty: KAFKA_SECURITY_PROTOCOL, or PLAINTEXT.",
    )
    sasl_mechanism: str = Field(
        default="", description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; empty: KAFKA_SASL_MECHANISM."
    )
    sasl_username: str = Field(default="", description="Empty: KAFKA_SASL_USERNAME.")
    sasl_password_variable: str = Field(
        default="",
        description="Name of the environment variable that holds the password, not the password; "
        "empty: KAFKA_SASL_PASSWORD.",
    )
    topic: str = Field(default=COMPARISON_RESULT_TOPIC, description="Topic whose state `kafka/callbacks` observes.")

    def settings(self) -> KafkaSettings:
        """Return all settings. Raises BadInput naming the variable, also where no cluster is named anywhere."""
        given = {
            name: value
            for name in ("bootstrap_servers", "security_protocol", "sasl_mechanism", "sasl_username")
            if (value := getattr(self, name))
        }
        if self.sasl_password_variable:
            given["sasl_password"] = self._password()
        return kafka_settings_from_environment(**given)

    def capture(self, request: CaptureRequest, *, on_progress: OnProgress | None = None) -> CaptureResult:
        """Capture into a trace folder; see cj_pipeline.traces.capture.capture."""
        return capture(request, self.settings(), on_progress=on_progress)

    def topic_now(self) -> TopicNow:
        """Return where the observed topic begins and ends now. Raises BadInput and CannotCapture."""
        with TopicSource(self.settings().client_config(), self.topic) as source:
            cluster_id, partitions = source.partitions()
            return TopicNow(self.topic, cluster_id, source.ranges(partitions))

    def _password(self) -> str:
        password = os.environ.get(self.sasl_password_variable)
        if password is None:
            raise BadInput(
                f"'{self.sasl_password_variable}' is no variable of this process's environment.",
                path="run configuration",
                field="resources.kafka.config.sasl_password_variable",
                remedy="Set it where the run is executed.",
            )
        return password
