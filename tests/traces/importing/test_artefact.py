"""An ENG5 artefact as callbacks: what it holds is taken over, what it does not hold is never compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.compare import BY_NAME
from cj_pipeline.traces.essay_key import anchor_keys, essay_key
from cj_pipeline.traces.importing.artefact import eng5_artefact
from cj_pipeline.traces.provenance import FieldOrigin
from cj_pipeline.traces.store import read_trace
from tests.traces.folders import LADDER, LOWER5, TRACES
from tests.traces.importing.artefacts import artefact_of, write_artefact


def imported(path: Path) -> list[CallbackEvent]:
    read = [parse_callback(found.raw) for found in eng5_artefact(path).found]
    assert all(isinstance(callback, CallbackEvent) for callback in read)
    return [callback for callback in read if isinstance(callback, CallbackEvent)]


def without(artefact: dict[str, Any], *names: str) -> dict[str, Any]:
    """The records as the schema alone demands them."""
    for comparison in artefact["llm_comparisons"]:
        for name in names:
            del comparison[name]
    return artefact


def test_the_callbacks_are_those_of_the_run(tmp_path: Path) -> None:
    callbacks = imported(write_artefact(tmp_path / "a.json", artefact_of()))
    originals = [recorded.event.data for recorded in read_trace(TRACES / LOWER5).callbacks.events]
    assert len(callbacks) == 10
    for callback, original in zip(callbacks, originals, strict=True):
        data = callback.data
        assert data.request_id == original.request_id
        assert data.correlation_id == original.correlation_id
        assert data.winner == original.winner
        assert (data.confidence, data.justification) == (original.confidence, original.justification)
        assert data.essay_ids() == original.essay_ids()
        assert data.token_usage.total_tokens == original.token_usage.total_tokens
        assert data.cost_estimate == original.cost_estimate
        assert data.provider == "openai"
        assert data.request_metadata["prompt_sha256"] == original.request_metadata["prompt_sha256"]


def test_what_it_knows_of_the_scenario(tmp_path: Path) -> None:
    known = eng5_artefact(write_artefact(tmp_path / "a.json", artefact_of())).known
    original = read_trace(TRACES / LOWER5).scenario
    assert {item.id: item.grade for item in known.items} == {item.id: item.grade for item in original.net.items}
    assert {item.id: item.label for item in known.items} == {item.id: item.label for item in original.net.items}
    assert known.grade_scale == original.net.grade_scale
    assert (known.temperature, known.reasoning_effort, known.output_verbosity) == (0.1, "low", "low")
    assert known.missing == ()
    assert known.remarks == ()
    assert set(known.bt_scores) == {item.id for item in original.net.items}
    assert known.sources[0].endswith("its own checksum agrees")


def test_response_times_are_absent_and_every_check_on_them_is_off(tmp_path: Path) -> None:
    source = eng5_artefact(write_artefact(tmp_path / "a.json", artefact_of()))
    assert source.known.fields["data.response_time_ms"].origin is FieldOrigin.ABSENT
    assert {name for name in BY_NAME if name.startswith("latency")} <= source.known.checks_off.keys()
    assert source.known.checks_off.keys() == {
        "latency_mean",
        "latency_p95",
        "latency_p99",
        "latency_shape",
        "latency_drift",
        "latency_link",
        "schema",
    }
    assert all(len(reason) >= 10 for reason in source.known.checks_off.values())


def test_an_artefact_of_the_bare_schema_keeps_its_winners_and_nothing_is_compared_that_it_lacks(tmp_path: Path) -> None:
    full = imported(write_artefact(tmp_path / "full.json", artefact_of()))
    bare = without(
        artefact_of(), "request_id", "essay_a_id", "essay_b_id", "confidence", "justification", "error_code", "status"
    )
    path = write_artefact(tmp_path / "bare.json", bare)
    callbacks = imported(path)

    def winners(callbacks: list[CallbackEvent]) -> list[str]:
        found = []
        for callback in callbacks:
            told = callback.data.request_metadata
            found.append(told["essay_a_id"] if callback.data.winner == "Essay A" else told["essay_b_id"])
        return found

    assert winners(callbacks) == winners(full)
    known = eng5_artefact(path).known
    assert {"winner_share", "repeat_share", "confidence"} <= known.checks_off.keys() <= BY_NAME.keys()
    for field in ("request_metadata.essay_a_id", "confidence", "justification", "response_time_ms"):
        assert known.fields[f"data.{field}"].origin is FieldOrigin.ABSENT
    assert len({callback.data.request_id for callback in callbacks}) == 10
    assert [one.data.request_id for one in imported(path)] == [callback.data.request_id for callback in callbacks]


def test_tokens_that_are_not_there_switch_the_token_checks_off(tmp_path: Path) -> None:
    path = write_artefact(tmp_path / "a.json", without(artefact_of(), "tokens_prompt"))
    off = eng5_artefact(path).known.checks_off
    assert {"tokens_prompt", "tokens_completion", "tokens_total", "repeat_tokens"} <= off.keys()


def test_a_correlation_id_that_all_comparisons_share_is_the_batch_s_and_not_theirs(tmp_path: Path) -> None:
    artefact = artefact_of()
    for comparison in artefact["llm_comparisons"]:
        comparison["correlation_id"] = "11111111-2222-4333-8444-555555555555"
    callbacks = imported(write_artefact(tmp_path / "a.json", artefact))
    assert len({callback.data.correlation_id for callback in callbacks}) == 10


def test_failures_come_along_and_what_has_no_outcome_is_missing(tmp_path: Path) -> None:
    artefact = artefact_of()
    artefact["llm_comparisons"][0] |= {"status": "failed", "winner_id": None, "loser_id": None, "error_code": "TIMEOUT"}
    artefact["llm_comparisons"][1] |= {"status": "failed", "failure_reason": "too slow"}
    artefact["llm_comparisons"][2] |= {"status": "submitted", "winner_id": None, "loser_id": None}
    artefact["validation"]["runner_status"] = {"partial_data": True, "observed_events": {"llm_comparisons": 12}}
    source = eng5_artefact(write_artefact(tmp_path / "a.json", artefact))
    failed = [one for found in source.found if (one := json.loads(found.raw)["data"])["winner"] is None]
    assert [one["error_detail"]["error_code"] for one in failed] == ["TIMEOUT", "NOT_RECORDED"]
    assert source.known.unanswered == 1
    assert source.known.missing == (
        "1 comparisons were submitted and have no outcome in the artefact.",
        "The artefact says that its data are partial: its runner timed out while collecting.",
        "The runner saw 12 comparisons; the artefact has 10.",
    )
    assert "error_mix" in source.known.checks_off


def test_a_record_that_contradicts_itself_is_refused_alone(tmp_path: Path) -> None:
    artefact = artefact_of()
    artefact["llm_comparisons"][4]["winner_id"] = "somebody-else"
    refused = [one for one in eng5_artefact(write_artefact(tmp_path / "a.json", artefact)).found if one.refused]
    assert [(one.numbered, one.refused.field) for one in refused if one.refused] == [
        ("llm_comparisons[4]", "winner_id")
    ]


def test_a_changed_artefact_is_imported_and_the_change_is_said(tmp_path: Path) -> None:
    path = write_artefact(tmp_path / "a.json", artefact_of())
    path.write_text(path.read_text().replace('"total_usd": 0.1', '"total_usd": 0.2'))
    assert eng5_artefact(path).known.remarks == ("The artefact's own checksum does not agree.",)


def test_the_score_table_s_grade_counts_before_the_input_list_s(tmp_path: Path) -> None:
    artefact = artefact_of(LADDER)
    essay = artefact["bt_summary"][0]["essay_id"]
    artefact["bt_summary"][0] |= {"is_anchor": True, "anchor_grade": "B"}
    known = eng5_artefact(write_artefact(tmp_path / "a.json", artefact)).known
    assert {item.grade for item in known.items if item.id == essay} == {"B"}


def test_a_long_name_is_shortened_as_production_shortens_it() -> None:
    key = essay_key("anchor essay (eng 5), written by somebody with a long name.docx")
    assert len(key) == 36
    assert key.startswith("ANCHOR_ESSAY__ENG_5___WRITT_")
    assert essay_key("anchor_essay-eng 5") == "ANCHOR_ESSAY_ENG_5"


def test_an_anchor_of_a_long_name_has_its_listed_grade_under_the_id_it_was_compared_under(tmp_path: Path) -> None:
    name = "Anchor essay of the autumn of 2016, number 12"
    artefact = artefact_of(LADDER)
    artefact["inputs"]["anchors"] = [{"anchor_id": name, "file_name": f"{name}.docx", "grade": "B"}]
    old = artefact["llm_comparisons"][0]["winner_id"]
    for shown in (f"student::{essay_key(name, 27)}", *anchor_keys(name)):
        for record in artefact["llm_comparisons"]:
            for field in ("winner_id", "loser_id", "essay_a_id", "essay_b_id"):
                record[field] = shown if record.get(field) == old else record.get(field)
        old = shown
        known = eng5_artefact(write_artefact(tmp_path / "long.json", artefact)).known
        assert {item.grade for item in known.items if item.id == shown} == {"B"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda a: a["metadata"].update(runner_mode="dry-run") or a.update(llm_comparisons=[]),
            "llm_comparisons: holds",
        ),
        (lambda a: a.update(schema_version="2.0.0"), "schema_version: String should match pattern"),
        (lambda a: a["llm_comparisons"][3].pop("provider"), "llm_comparisons.3.provider: Field required."),
        (lambda a: a["llm_comparisons"][3].update(cost_usd=-1), "llm_comparisons.3.cost_usd: Input should be greater"),
        (lambda a: a.pop("metadata"), "metadata: Field required."),
        (lambda a: a["metadata"].update(grade_scale="nonsense"), "metadata.grade_scale: its grade_scale is not known"),
        (lambda a: a["inputs"]["anchors"][0].update(grade="Q"), "metadata.grade_scale: the known grades are not those"),
    ],
)
def test_what_is_no_usable_artefact_says_where(change: Any, told: str, tmp_path: Path) -> None:
    artefact = artefact_of()
    change(artefact)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(artefact))
    with pytest.raises(BadInput) as refused:
        eng5_artefact(path)
    assert str(refused.value).startswith(f"{path}: {told}")


@pytest.mark.parametrize(
    ("content", "told"), [("{\n\n nonsense", "3: not JSON"), ("[]", "(top level): Input should be")]
)
def test_what_is_no_artefact_at_all_is_said(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(BadInput) as refused:
        eng5_artefact(tmp_path / "a.json")
    assert told in str(refused.value)


def test_a_file_that_is_not_there_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        eng5_artefact(tmp_path / "a.json")
    with pytest.raises(BadInput, match="Is a directory"):
        eng5_artefact(tmp_path)
