"""An edited, incomplete or unproven trace is refused, and the complaint names the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.store import TraceStore, read_trace
from tests.traces.folders import LOWER5, SCENARIOS, TRACES, copy_of

if TYPE_CHECKING:
    from pathlib import Path

COVERED = ("llm_callbacks.jsonl", "summary.json", "provenance.json", "published.yaml")


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_a_committed_trace_is_accepted(scenario_id: str) -> None:
    trace = read_trace(TRACES / scenario_id)
    assert trace.scenario.scenario_id == trace.provenance.scenario_id == scenario_id
    assert len(trace.sha256) == 64


@pytest.mark.parametrize("name", COVERED)
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_one_flipped_byte_is_refused_and_its_file_named(name: str, where: float, tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[round(where * (len(content) - 1))] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(BadInput, match="sha256 is") as caught:
        read_trace(folder)
    assert caught.value.path == folder / name


@pytest.mark.parametrize("name", COVERED)
def test_a_file_that_is_gone_is_named(name: str, tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    (folder / name).unlink()
    with pytest.raises(BadInput) as caught:
        read_trace(folder)
    assert name in str(caught.value)


def test_an_edited_digest_is_refused(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    sums = (folder / "SHA256SUMS").read_text(encoding="utf-8")
    (folder / "SHA256SUMS").write_text("0" * 64 + sums[64:], encoding="utf-8")
    with pytest.raises(BadInput, match="recorded was 0000"):
        read_trace(folder)


@pytest.mark.parametrize("name", ["llm_callbacks.jsonl", "summary.json", "provenance.json", "published.yaml"])
def test_a_file_whose_digest_was_taken_out_is_refused(name: str, tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in lines if name not in line), encoding="utf-8")
    with pytest.raises(BadInput, match=rf"{name}: is not listed in SHA256SUMS"):
        read_trace(folder)


def test_checksums_without_any_callbacks_are_refused(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in lines if "jsonl" not in line), encoding="utf-8")
    (folder / "llm_callbacks.jsonl").unlink()
    with pytest.raises(BadInput, match=r"llm_callbacks\.jsonl: is not covered"):
        read_trace(folder)


def test_scenario_yaml_may_be_edited(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    with (folder / "scenario.yaml").open("a", encoding="utf-8") as file:
        file.write("\nchecks_off: {latency_p99: ten calls have no tail}\n")
    assert read_trace(folder).scenario.checks_off == {"latency_p99": "ten calls have no tail"}


def test_an_unknown_scenario_gets_the_nearest_name() -> None:
    with pytest.raises(BadInput, match="Did you mean 'eng5_lower5_gpt51_low_20251202'"):
        TraceStore(TRACES).trace("eng5_lower5_gpt51_20251202")


def test_a_provenance_copied_from_another_recording_is_refused(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path).rename(tmp_path / "my_batch")
    scenario = folder / "scenario.yaml"
    scenario.write_text(scenario.read_text().replace(f"scenario_id: {LOWER5}", "scenario_id: my_batch"))
    with pytest.raises(BadInput, match=r"provenance\.json: scenario_id: is 'eng5_lower5_gpt51_low_20251202'"):
        read_trace(folder)


def test_a_recording_of_other_essays_than_the_scenarios_names_line_and_field(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    scenario = folder / "scenario.yaml"
    scenario.write_text(scenario.read_text().replace("EF692795", "00000000"))
    with pytest.raises(BadInput, match=r"llm_callbacks\.jsonl:\d+: data\.request_metadata\.essay_[ab]_id: .*EF692795"):
        read_trace(folder)
