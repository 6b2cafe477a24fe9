"""This module runs the commands of docs/runbook.md in front of real services: Kafka, LPS, CJ and content service."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import jwt
import pytest

from cj_pipeline.eng5.inputs import SHIPPED_NET
from tests.cli import runbook
from tests.cli.terminal import Terminal
from tests.suites.test_served_suites import Deployment

KEY = "k" * 32
# The mock knows none of these texts, so it may order anchors otherwise than their grades do.
MAY_EXIT_WITH_1 = ("cj-pipeline eng5 report", "cj-pipeline eng5 positions")


@pytest.fixture
def deployment(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """Services of this test."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as started:
        yield Deployment(started, kafka, tmp_path)


@pytest.mark.servers("kafka")
def test_every_command_of_the_page_runs_in_front_of_services(
    cj_pipeline: Terminal, deployment: Deployment, tmp_path: Path
) -> None:
    shutil.copytree(SHIPPED_NET, "autumn")
    database, content = f"sqlite:///{tmp_path}/cj.db", deployment.content()
    queue = {"QUEUE_PROCESSING_MODE": "serial_bundle", "MOCK_LATENCY_MS": "20"}
    lps = deployment.serve(
        "lps", "serve", "--mode", "eng5_anchor_gpt51_low",
        **{f"LLM_PROVIDER_SERVICE_{name}": value for name, value in queue.items()},
    )  # fmt: skip
    settings = {
        "LLM_PROVIDER_SERVICE_URL": f"{lps}/api/v1",
        "CONTENT_SERVICE_URL": content,
        "DATABASE_URL": database,
        "JWT_SECRET_KEY": KEY,
        "ENABLE_LLM_BATCHING_METADATA_HINTS": "true",
        "MAX_PAIRWISE_COMPARISONS": "60",
        "UNREAD_TOPICS_BEGIN": "latest",
    }
    own = {
        "KAFKA_BOOTSTRAP_SERVERS": deployment.kafka,
        "CJ_SERVICE_URL": deployment.serve(
            "cj", "serve", **{f"CJ_ASSESSMENT_SERVICE_{name}": value for name, value in settings.items()}
        ),
        "CONTENT_SERVICE_URL": content,
        "CJ_ASSESSMENT_SERVICE_DATABASE_URL": database,
        "HULEEDU_ADMIN_TOKEN": jwt.encode({"sub": "runner", "roles": ["admin"], "exp": 4_000_000_000}, KEY, "HS256"),
    }
    runbook.play(cj_pipeline, own, MAY_EXIT_WITH_1)
    out = Path("runs") / "autumn"
    artefact = json.loads((out / "assessment_run.execute.json").read_text())
    assert artefact["metadata"]["batching"]["worked_off"] == {"serial_bundle": 60}
    assert artefact["validation"]["post_run"]["eng5_db_extract"]["status"] == "succeeded"
    document = json.loads((out / f"{os.environ['BATCH']}.json").read_text())
    assert len(document["comparisons"]) == 60
    assert len(document["grade_projections"]) == 12
    assert {row["known_grade"] for row in document["bradley_terry_stats"] if row["is_anchor"]} >= {"A", "B", "C+"}
    rollout = json.loads((out / "rollout" / "assessment_run.execute.json").read_text())
    assert rollout["metadata"]["batching"] == {
        "hint": "serial_bundle", "hints_carried": {"serial_bundle": 60}, "worked_off": {"serial_bundle": 60},
    }  # fmt: skip
