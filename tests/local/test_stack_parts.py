"""What a part of the stack is told of the shell that starts it: nothing that speaks of another cluster or service."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.local.parts import parts_of
from cj_pipeline.local.stack_file import StackPlan
from cj_pipeline.local.stack_plan import StackRequest, plan_for
from tests.sides import LOWER5, scenario


def plan(tmp_path: Path, kafka: str | None) -> StackPlan:
    wanted = scenario(LOWER5)
    return plan_for(StackRequest(wanted, wanted.mode, tmp_path / "traces", tmp_path, kafka=kafka))


@pytest.mark.parametrize(("kafka", "kept"), [(None, False), ("broker:9092", True)])
def test_how_another_cluster_is_reached_is_kept_from_a_stack_with_a_broker_of_its_own(
    kafka: str | None, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_MOCK_MODE", "somebody_elses")
    (lps,) = [part for part in parts_of(plan(tmp_path, kafka)) if part.name == "lps"]
    assert ("KAFKA_SECURITY_PROTOCOL" in lps.environment) is kept
    assert lps.environment["LLM_PROVIDER_SERVICE_MOCK_MODE"] == "eng5_lower5_gpt51_low"
