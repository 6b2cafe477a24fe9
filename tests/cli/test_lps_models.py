"""`lps models` and `lps payload`: what can be asked, and what exactly would be sent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.batches.job import Job
from cj_pipeline.services.lps.providers.batches.store import JobStore
from cj_pipeline.services.lps.providers.model import StructuredOutput
from tests.cli.terminal import Terminal

OWN = """schema_version: 1
models:
  - {model_id: claude-opus-4-7, provider: anthropic, supports_temperature: false, reasoning_efforts: [low],
     effort_shape: adaptive_thinking, notes: Thinks as it likes.}
  - {model_id: gpt-5.1, provider: openai, cost_per_1k_input_tokens: 0.00125}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(OWN)
    return path


def test_models_shows_what_a_manifest_adds_and_changes(cj_pipeline: Terminal, own: Path) -> None:
    answer = cj_pipeline("lps", "models", "--manifest", own)
    assert answer.code == 0
    assert "the manifest adds claude-opus-4-7 of anthropic" in answer.out
    assert "the manifest changes gpt-5.1 of openai: cost_per_1k_input_tokens" in answer.out
    assert "claude-opus-4-7: Thinks as it likes." in answer.out
    listed = {entry["model_id"]: entry for entry in cj_pipeline("lps", "models", "--manifest", own, "--json").document}
    assert (listed["gpt-5.1"]["origin"], listed["claude-opus-4-7"]["origin"]) == ("changed", "added")
    assert listed["gpt-4o-2024-11-20"]["origin"] == "built in"
    assert [name for name, entry in listed.items() if entry["is_default"] and entry["provider"] == "openai"] == [
        "gpt-5-mini-2025-08-07"
    ]


def test_models_reads_the_manifest_that_the_service_would(
    cj_pipeline: Terminal, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_MODEL_MANIFEST_PATH", str(own))
    rows = cj_pipeline("lps", "models", "--csv").out.splitlines()
    assert "anthropic,claude-opus-4-7,unknown,unknown,tool_use,added" in rows


def test_a_manifest_that_cannot_be_used_is_named_with_its_line(cj_pipeline: Terminal, own: Path) -> None:
    own.write_text(OWN.replace("adaptive_thinking", "by_magic"))
    answer = cj_pipeline("lps", "models", "--manifest", own)
    assert answer.code == 2
    assert f"{own}:4: models.0.effort_shape" in answer.err


def test_payload_shows_the_call_without_its_secrets(
    cj_pipeline: Terminal, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_ANTHROPIC_BASE_URL", "https://gateway.example.org/v1")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_ANTHROPIC_EXTRA_HEADERS", '{"X-Gateway": "sk-secret"}')
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_ANTHROPIC_EXTRA_QUERY", '{"token": "sk-secret"}')
    answer = cj_pipeline("lps", "payload", "claude-opus-4-7", "--effort", "low", "--manifest", own, "--json")
    assert "sk-secret" not in answer.out + answer.err
    call = answer.document
    assert call["url"] == "https://gateway.example.org/v1/messages?token=%2A%2A%2A"
    assert (call["headers"]["x-api-key"], call["headers"]["x-gateway"]) == ("***", "***")
    assert call["body"]["thinking"] == {"type": "adaptive"}
    assert call["timeouts_s"] == {"connect": 8, "read": 35, "total": 45}
    shown = cj_pipeline("lps", "payload", "claude-opus-4-7", "--effort", "low", "--manifest", own).out
    assert shown.startswith("POST https://gateway.example.org/v1/messages?token=")
    assert '"effort": "low"' in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("claude-opus-4-6",), "Did you mean 'claude-opus-4-7'?"),
        (("claude-opus-4-7", "--effort", "high"), "does not take 'high'"),
        (("gpt-5.1", "--max-tokens", "99999"), "writes at most 16384 tokens"),
    ],
)
def test_what_cannot_be_asked_is_bad_input(
    arguments: tuple[str, ...], said: str, cj_pipeline: Terminal, own: Path
) -> None:
    answer = cj_pipeline("lps", "payload", *arguments, "--manifest", own)
    assert answer.code == 2
    assert said in answer.err


def test_jobs_lists_what_is_under_way_at_providers(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cj_pipeline("lps", "jobs").code == 2
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_BATCH_API_JOBS_PATH", str(tmp_path / "jobs"))
    assert cj_pipeline("lps", "jobs").out == f"no job is open in '{tmp_path / 'jobs'}'\n"
    JobStore(tmp_path / "jobs").put(
        Job(
            job_id="j1",
            provider=Provider.OPENAI,
            base_url="https://api.openai.com/v1",
            model="gpt-5.1",
            structure=StructuredOutput.JSON_SCHEMA,
            created_at=datetime(2025, 12, 1, tzinfo=UTC),
            custom_ids=("a", "b"),
            submitted=2,
            remote_id="batch_7",
        )
    )
    rows = cj_pipeline("lps", "jobs", "--csv").out.splitlines()
    assert rows[1] == "2025-12-01T00:00:00+00:00,openai,gpt-5.1,batch_7,2"
    assert cj_pipeline("lps", "jobs", "--json").document[0]["custom_ids"] == ["a", "b"]
    assert "batch_7" in cj_pipeline("lps", "jobs").out


def test_doctor_says_which_models_are_asked_where(
    cj_pipeline: Terminal, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def models() -> dict[str, str]:
        found = cj_pipeline("doctor", "--json").document
        return next(finding for finding in found if finding["what"] == "models")

    assert models()["detail"] == "13 built in; no provider has a key, so the mock alone"
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_MODEL_MANIFEST_PATH", str(own))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_OPENAI_BASE_URL", "http://localhost:11434/v1")
    assert models()["detail"] == (
        f"13 built in, 1 added and 1 changed by '{own}'; anthropic at https://api.anthropic.com/v1,"
        " openai at http://localhost:11434/v1 without a key"
    )
    own.write_text(OWN.replace("adaptive_thinking", "by_magic"))
    assert models()["state"] == "missing"
