"""What the parts of a stack are given: the scenario's settings, and nothing that speaks of another cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.local.parts import servers_of
from cj_pipeline.local.stack_plan import StackPlan
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.lps.settings import LpsSettings
from tests.sides import GENERIC, LOWER5, scenario


def plan(tmp_path: Path, kafka: str | None = None) -> StackPlan:
    wanted = scenario(LOWER5)
    return StackPlan(wanted, wanted.mode, tmp_path / "traces", tmp_path, kafka=kafka)


@pytest.mark.parametrize(("cluster", "kept"), [(None, False), ("broker:9092", True)])
def test_how_another_cluster_is_reached_is_kept_from_a_stack_with_a_broker_of_its_own(
    cluster: str | None, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_MOCK_MODE", "somebody_elses")
    environment = servers_of(plan(tmp_path, cluster))["lps"].spec.environment
    assert environment is not None
    assert ("KAFKA_SECURITY_PROTOCOL" in environment) is kept
    assert environment["LLM_PROVIDER_SERVICE_MOCK_MODE"] == "eng5_lower5_gpt51_low"


def test_a_stack_has_a_broker_of_its_own_unless_one_is_named(tmp_path: Path) -> None:
    assert list(servers_of(plan(tmp_path))) == ["kafka", "content", "lps", "cj", "dagster"]
    assert list(servers_of(plan(tmp_path, "broker:9092"))) == ["content", "lps", "cj", "dagster"]


@pytest.mark.parametrize("scenario_id", [LOWER5, GENERIC])
def test_both_services_name_one_provider_and_the_mock_answers_for_it(scenario_id: str, tmp_path: Path) -> None:
    wanted = scenario(scenario_id)
    there = StackPlan(wanted, wanted.mode, tmp_path / "traces", tmp_path)
    lps, cj = LpsSettings(**there.lps_settings()), CjSettings.model_validate(there.cj_settings())
    assert lps.use_mock_llm is True
    assert lps.default_llm_provider == cj.default_llm_provider == wanted.provider.name


def test_the_cj_service_has_the_engine_settings_of_the_scenario(tmp_path: Path) -> None:
    left_out = {"pairing", "pair_generation_seed", "bt_alpha"}
    given = CjSettings.model_validate(plan(tmp_path).cj_settings())
    assert given.engine().model_dump(exclude=left_out) == scenario(LOWER5).engine.model_dump(exclude=left_out)
