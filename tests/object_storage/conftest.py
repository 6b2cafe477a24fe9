"""This module gives tests a server of object storage, and a prefix of their own on it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.warehouse.data_root import data_root
from tests.object_storage.server import BUCKET, ObjectServer, object_server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """A server that this process is set up for."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def address(s3: ObjectServer) -> str:
    """A prefix where nothing is."""
    return f"s3://{BUCKET}/night {uuid4().hex}"


@pytest.fixture
def root(address: str) -> DataPath:
    return data_root(address)
