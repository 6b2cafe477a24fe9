"""Secrets may be given as files, each of them, and nothing of a file is ever told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from cj_pipeline.alerts.settings import PREFIX as ALERT_PREFIX
from cj_pipeline.alerts.settings import AlertSettings
from cj_pipeline.bus.kafka.settings import ENVIRONMENT_PREFIX as KAFKA_PREFIX
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.secret_files import SECRETS, read_secret_files
from cj_pipeline.services.cj.settings import ENVIRONMENT_PREFIX as CJ_PREFIX
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.lps.settings import ENVIRONMENT_PREFIX as LPS_PREFIX
from cj_pipeline.services.lps.settings import LpsSettings

NAME = "OPENAI_API_KEY"


def test_a_secret_is_what_its_file_holds_and_a_child_process_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    environment = {f"{NAME}_FILE": str(tmp_path / "key"), "PATH": "/bin"}
    read_secret_files(environment)
    assert environment == {NAME: "sk-1", "PATH": "/bin"}


def test_an_empty_variable_names_no_file_and_gives_way_to_one(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1")
    environment = {f"{NAME}_FILE": str(tmp_path / "key"), NAME: "", "KAFKA_SASL_PASSWORD_FILE": ""}
    read_secret_files(environment)
    assert environment == {NAME: "sk-1", "KAFKA_SASL_PASSWORD_FILE": ""}


def test_other_variables_that_end_so_are_left_alone() -> None:
    environment = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere", "SSL_CERT_FILE": "/nowhere"}
    read_secret_files(environment)
    assert set(environment) == {"AWS_WEB_IDENTITY_TOKEN_FILE", "SSL_CERT_FILE"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, f"environment: {NAME}_FILE: '{{path}}' cannot be read: No such file or directory. Name a file"),
        (b"", f"environment: {NAME}_FILE: '{{path}}' is empty. Write the secret into it."),
        (b"sk-\0", f"environment: {NAME}_FILE: '{{path}}' cannot be read: it holds a NUL. Name a file"),
        (b"sk-\xff", f"environment: {NAME}_FILE: '{{path}}' cannot be read: it is no UTF-8 text."),
    ],
)
def test_a_file_that_cannot_be_used_is_named(content: bytes | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        read_secret_files({f"{NAME}_FILE": str(path)})
    assert str(raised.value).startswith(told.format(path=path))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="it is no regular file"):
        read_secret_files({"OPENAI_API_KEY_FILE": str(tmp_path / "pipe")})


def test_a_secret_that_is_given_twice_is_refused_without_being_quoted(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1")
    with pytest.raises(BadInput, match=rf"{NAME}_FILE: is set, and so is {NAME}\. Unset one\.") as raised:
        read_secret_files({f"{NAME}_FILE": str(tmp_path / "key"), NAME: "sk-2"})
    assert "sk-" not in str(raised.value)


def holds_a_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(holds_a_secret(part) for part in get_args(annotation))


@pytest.mark.parametrize(
    ("prefix", "settings"),
    [(ALERT_PREFIX, AlertSettings), (KAFKA_PREFIX, KafkaSettings), (LPS_PREFIX, LpsSettings), (CJ_PREFIX, CjSettings)],
)
def test_every_setting_that_is_a_secret_can_be_a_file(prefix: str, settings: type[BaseModel]) -> None:
    fields = settings.model_fields.items()
    secrets = {prefix + name.upper() for name, field in fields if holds_a_secret(field.annotation)}
    assert secrets
    assert secrets - SECRETS == set()
