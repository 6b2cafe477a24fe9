"""A source becomes a trace that can be replayed, or nothing at all."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.engine_settings import MetadataHint, Pairing
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.compare import validate_tolerances
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay, run_live
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.importing.artefact import eng5_artefact
from cj_pipeline.traces.importing.cj_database import cj_database
from cj_pipeline.traces.importing.json_folder import json_folder
from cj_pipeline.traces.importing.source import ReadSource, Source
from cj_pipeline.traces.importing.stored_scores import score_agreement
from cj_pipeline.traces.importing.trace import ImportRequest, ImportResult, import_trace
from cj_pipeline.traces.provenance import TraceOrigin, read_provenance
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import RedactionPolicy
from cj_pipeline.traces.scenario import SCENARIO_FILE, Profile
from cj_pipeline.traces.store import Trace, read_trace
from tests.servers import needs
from tests.traces.folders import LOWER5, TRACES, one_event
from tests.traces.importing.artefacts import artefact_of, write_artefact
from tests.traces.importing.batches import Kept, kept_batch


def redaction() -> Redaction:
    return Redaction(RedactionPolicy(), Pseudonyms(b"k" * 32))


def imported(source: Source, into: Path, **request: Any) -> ImportResult:
    return import_trace(ImportRequest("imported", into / "traces", request.pop("redaction", None), **request), source)


def replayed(trace: Trace) -> RunRecord:
    events = [recorded.event for recorded in trace.callbacks.events]
    return replay(trace.scenario, events, side=Side.RECORDED, judge=JudgeIdentity("trace", trace.sha256))


def write_events(folder: Path, *events: dict[str, Any] | str, name: str = "kept.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder


def lines_of(scenario_id: str = LOWER5) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (TRACES / scenario_id / "llm_callbacks.jsonl").read_bytes().splitlines()]


@pytest.fixture(scope="module", params=["sqlite", needs("postgresql")])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Six essays and eight anchors, judged by a mode that has an opinion."""
    if request.param == "sqlite":
        return kept_batch(f"sqlite:///{tmp_path_factory.mktemp('cj')}/cj.db", graded=True, mode="eng5_anchor_ladder")
    url = request.getfixturevalue("postgres_url")
    return kept_batch(url, graded=True, mode="eng5_anchor_ladder", lps={"mock_latency_ms": 1})


@pytest.mark.parametrize("redact", [None, redaction()], ids=["as it is", "redacted"])
def test_a_batch_out_of_a_database_replays_to_the_winners_and_scores_that_the_service_stored(
    kept: Kept, redact: Redaction | None, tmp_path: Path
) -> None:
    result = imported(cj_database(kept.url, "bos-1"), tmp_path, redaction=redact)
    trace = read_trace(result.folder)
    name: Callable[[str], str] = str if redact is None else redact.essay
    asked = [event.data for event in kept.callbacks]
    assert [recorded.event.data.winner for recorded in trace.callbacks.events] == [data.winner for data in asked]
    assert [recorded.event.data.winning_essay() for recorded in trace.callbacks.events] == [
        name(str(data.winning_essay())) for data in asked
    ]
    record = replayed(trace)
    assert record.document.completed == len(asked) == 120
    theta = {row.essay_id: row.theta for row in record.document.fit.essays}
    assert theta == pytest.approx({name(essay): score for essay, score in kept.scores.items()}, abs=1e-9)
    agreement = score_agreement(result.bt_scores, theta)
    assert agreement is not None
    assert agreement.essays == 14
    assert agreement.correlation == pytest.approx(1.0)
    assert agreement.largest_difference < 1e-9
    # The anchors of the Swedish scale, whose ids are still recognised as anchors'.
    grades = {item.grade for item in trace.scenario.net.items if "ANCHOR_" in item.id}
    assert grades == {"F", "E", "D", "D+", "C", "C+", "B", "A"}
    validate_tolerances(trace.scenario, trace.folder)


def test_failures_and_their_retries_replay_to_the_same_counts_and_scores(tmp_path: Path) -> None:
    # 6 of 48 comparisons fail in all four attempts of the LPS, and are asked again.
    kept = kept_batch(f"sqlite:///{tmp_path}/cj.db", 7, mode="default", lps={"mock_error_rate": 0.55})
    source = cj_database(kept.url, "bos-1")
    trace = read_trace(imported(source, tmp_path).folder)
    failed = sum(not event.data.succeeded for event in kept.callbacks)
    types = Counter(recorded.event.data.request_metadata["cj_request_type"] for recorded in trace.callbacks.events)
    assert types == Counter(event.data.request_metadata["cj_request_type"] for event in kept.callbacks)
    assert types == {"cj_comparison": 42, "cj_retry": 6}
    document = replayed(trace).document
    assert (document.completed, document.failed) == (len(kept.callbacks) - failed, failed)
    assert failed == 6
    assert document.iterations == len({pair["iteration"] for pair in kept.pairs})
    assert {row.essay_id: row.theta for row in document.fit.essays} == pytest.approx(kept.scores, abs=1e-9)


@pytest.mark.parametrize("bare", [False, True], ids=["events", "bare results"])
def test_the_callbacks_of_a_batch_kept_as_files_replay_to_the_same(kept: Kept, bare: bool, tmp_path: Path) -> None:
    for event in kept.callbacks:
        document = event.data if bare else event
        write_events(tmp_path / "kept", document.model_dump_json(indent=2), name=f"{event.event_id}.json")
    trace = read_trace(imported(json_folder(tmp_path / "kept"), tmp_path).folder)
    assert [recorded.event.data for recorded in trace.callbacks.events] == [event.data for event in kept.callbacks]
    theta = {row.essay_id: row.theta for row in replayed(trace).document.fit.essays}
    assert theta == pytest.approx(kept.scores, abs=1e-9)


def test_its_provenance_says_what_it_is_and_what_became_of_everything(tmp_path: Path) -> None:
    result = imported(
        eng5_artefact(write_artefact(tmp_path / "a.json", artefact_of())), tmp_path, redaction=redaction()
    )
    trace = read_trace(result.folder)
    told = trace.provenance
    assert told.origin is TraceOrigin.IMPORTED
    assert told.imported is not None
    assert told.imported.source == "ENG5 artefact"
    assert told.imported.counts == result.counts
    assert sum(result.counts.values()) == result.read == 10
    assert (told.imported.partial, told.imported.missing) == (False, ())
    assert told.redaction is not None
    assert told.redaction.key_id == redaction().pseudonyms.key_id
    assert told.fields["data.response_time_ms"].origin == "absent"
    assert trace.sha256 == result.sha256
    assert trace.scenario.checks_off.keys() >= {"latency_mean", "schema"}
    assert trace.scenario.engine.pairing is Pairing.RECORDED
    assert trace.scenario.profile is Profile.JUDGE
    assert (trace.scenario.provider.model, trace.scenario.provider.reasoning_effort) == ("gpt-5.1", "low")


def test_the_same_source_gives_the_same_callbacks_whatever_its_files_are_called(tmp_path: Path) -> None:
    events = lines_of()
    one = write_events(tmp_path / "one", *events)
    other = tmp_path / "other"
    for number, event in enumerate(events):
        write_events(other, event, name=f"{9 - number}.json")
    first = imported(json_folder(one), tmp_path / "x", redaction=redaction())
    second = imported(json_folder(other), tmp_path / "y", redaction=redaction())
    assert first.sha256 == second.sha256
    assert imported(json_folder(one), tmp_path / "z").sha256 != first.sha256


def test_everything_that_is_found_ends_in_exactly_one_count(tmp_path: Path) -> None:
    events = lines_of()
    contradicting = json.loads(json.dumps(events[0]))
    contradicting["data"]["winner"] = "Essay A"
    malformed = json.loads(json.dumps(events[1]))
    malformed["data"]["request_id"], malformed["data"]["confidence"] = "new", 7
    folder = write_events(
        tmp_path / "kept",
        *events,
        events[3],
        contradicting,
        malformed,
        "nonsense",
        {**events[0], "event_type": "Other"},
    )
    result = imported(json_folder(folder), tmp_path)
    assert result.counts == {
        "taken": 10, "duplicate": 1, "contradiction": 1, "other_batch": 0, "foreign": 1, "malformed": 2,
    }  # fmt: skip
    assert result.read == 15
    assert result.missing == ("2 of what was found are no usable callbacks; quarantine.jsonl says why.",)
    entries = [json.loads(line) for line in (result.folder / "quarantine.jsonl").read_text().splitlines()]
    assert Counter(entry.get("place") for entry in entries) == {
        "kept.jsonl:13": 1, "kept.jsonl:14": 1, "kept.jsonl:15": 1, None: 1,
    }  # fmt: skip
    assert result.quarantined[2].startswith("kept.jsonl:15: event_type: another event type")
    assert len(read_trace(result.folder).callbacks.events) == 10


def test_of_several_batches_one_is_chosen(tmp_path: Path) -> None:
    events = lines_of()
    for event in events[:4]:
        event["data"]["request_metadata"]["bos_batch_id"] = "a pupil's batch"
    folder = write_events(tmp_path / "kept", *events)
    with pytest.raises(BadInput, match="the source holds callbacks of 2 batches") as refused:
        imported(json_folder(folder), tmp_path)
    assert "pupil" not in str(refused.value)
    assert "50f4509e-2e8c-4c62-a19d-93cf0739eefd" in str(refused.value)
    assert list((tmp_path / "traces").iterdir()) == []
    result = imported(json_folder(folder), tmp_path, bos_batch_id="a pupil's batch")
    assert (result.counts["taken"], result.counts["other_batch"], result.missing) == (4, 6, ())


def test_a_scenario_may_be_taken_over_and_its_grades_with_it(tmp_path: Path) -> None:
    folder = write_events(tmp_path / "kept", *lines_of())
    secret = redaction()
    choices = ScenarioChoices(like=TRACES / LOWER5)
    trace = read_trace(imported(json_folder(folder), tmp_path, redaction=secret, choices=choices).folder)
    original = read_trace(TRACES / LOWER5).scenario
    assert {item.id: item.grade for item in trace.scenario.net.items} == {
        secret.essay(item.id): item.grade for item in original.net.items
    }
    assert trace.scenario.engine == original.engine
    assert trace.scenario.tolerances == original.tolerances
    assert (trace.scenario.mode, trace.scenario.profile) == (original.mode, original.profile)


def test_a_grade_file_counts_before_the_source(tmp_path: Path) -> None:
    source = eng5_artefact(write_artefact(tmp_path / "a.json", artefact_of()))
    essay = source.known.items[0].id
    (tmp_path / "grades.csv").write_text(f"essay_id,grade\n{essay},A-\n")
    trace = read_trace(imported(source, tmp_path, choices=ScenarioChoices(grades_file=tmp_path / "grades.csv")).folder)
    assert {item.id: item.grade for item in trace.scenario.net.items}[essay] == "A-"
    assert trace.scenario.net.grade_scale == ("A", "A-", "B", "C+", "C-", "D+", "D-", "E+", "E-", "F+")


def test_national_grades_are_numbers_and_stay_so(tmp_path: Path) -> None:
    artefact = artefact_of()
    artefact["metadata"]["grade_scale"] = "eng5_np_national_9_step"
    for anchor, grade in zip(artefact["inputs"]["anchors"], "97531", strict=True):
        anchor["grade"] = grade
    trace = read_trace(imported(eng5_artefact(write_artefact(tmp_path / "a.json", artefact)), tmp_path).folder)
    assert trace.scenario.net.grade_scale == ("9", "8", "7", "6", "5", "4", "3", "2", "1")


def test_an_interrupted_import_leaves_nothing_behind(tmp_path: Path) -> None:
    whole = json_folder(write_events(tmp_path / "kept", *lines_of()))

    def interrupted() -> Iterator[Any]:
        yield next(iter(whole.found))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(ReadSource(whole.kind, interrupted(), whole.known), tmp_path)
    assert list((tmp_path / "traces").iterdir()) == []


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (["nonsense"], "none of 1 things found is a usable callback. The first: kept.jsonl:1: "),
        ([{**one_event(), "event_type": "Other"}], "none of 1 things found is a usable callback."),
    ],
)
def test_a_source_without_a_usable_callback_is_refused(events: list[Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        imported(json_folder(write_events(tmp_path / "kept", *events)), tmp_path)
    assert told in str(refused.value)
    assert list((tmp_path / "traces").iterdir()) == []


def test_a_folder_is_as_far_as_was_seen_unless_its_count_is_known(tmp_path: Path) -> None:
    folder = write_events(tmp_path / "kept", *lines_of())
    seen = imported(json_folder(folder), tmp_path / "seen")
    assert (seen.missing, seen.held_against) == ((), None)
    whole = imported(json_folder(folder), tmp_path / "whole", expected_count=10)
    assert (whole.missing, whole.held_against) == ((), "the expected count")
    partial = imported(json_folder(folder), tmp_path / "partial", expected_count=66)
    assert partial.missing == ("66 callbacks were expected and 10 were found.",)


def test_a_source_that_says_when_its_batch_was_over_makes_a_whole_trace(tmp_path: Path) -> None:
    kept = kept_batch(f"sqlite:///{tmp_path}/cj.db")
    artefact = artefact_of()
    run = write_artefact(tmp_path / "run.json", artefact)
    del artefact["validation"]["runner_status"]
    uncounted = write_artefact(tmp_path / "uncounted.json", artefact)
    end = "the end of the batch that its source names"
    for number, (source, expected) in enumerate(
        ((cj_database(kept.url, "bos-1"), end), (eng5_artefact(run), end), (eng5_artefact(uncounted), None))
    ):
        assert imported(source, tmp_path / str(number)).held_against == expected


@pytest.mark.parametrize(
    "left_out",
    [
        ("preferred_bundle_size",),
        ("cj_llm_batching_mode", "preferred_bundle_size", "comparison_iteration"),
        ("comparison_iteration",),
        ("cj_batch_id", "cj_source", "cj_request_type"),
        ("reasoning_effort", "output_verbosity"),
    ],
)
def test_the_live_side_sends_the_hints_that_callbacks_carry_and_no_others(
    left_out: tuple[str, ...], tmp_path: Path
) -> None:
    events = lines_of()
    for event in events:
        for key in left_out:
            event["data"]["request_metadata"].pop(key, None)
    trace = read_trace(imported(json_folder(write_events(tmp_path / "kept", *events)), tmp_path).folder)
    recorded = [line.event for line in trace.callbacks.events]
    mode = scenario_mode(trace.scenario, scenario_file=trace.folder / SCENARIO_FILE)
    live = run_live(trace.scenario, recorded, mode)
    sent = {key for event in live.events for key in event.data.request_metadata}
    carried = {key for event in recorded for key in event.data.request_metadata}
    assert sent & set(HINT_KEYS) == carried & set(HINT_KEYS)


HINT_KEYS = (*MetadataHint, "retry_iteration", "reasoning_effort", "output_verbosity")


def test_a_trace_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    folder = write_events(tmp_path / "kept", *lines_of())
    first = imported(json_folder(folder), tmp_path)
    write_events(folder, *lines_of()[:5])
    with pytest.raises(BadInput, match="is there already"):
        imported(json_folder(folder), tmp_path)
    assert read_trace(first.folder).sha256 == first.sha256


@pytest.mark.parametrize("name", ["Über", "../x", "", "a b", "A"])
def test_a_name_that_is_no_scenario_s_is_refused_before_anything_is_read(name: str, tmp_path: Path) -> None:
    source = json_folder(write_events(tmp_path / "kept", *lines_of()))
    with pytest.raises(BadInput, match="is not a scenario's name"):
        import_trace(ImportRequest(name, tmp_path / "traces", None), source)
    assert not (tmp_path / "traces").exists()


def test_what_the_wire_allows_beyond_the_usual_is_kept_as_it_came(tmp_path: Path) -> None:
    event = one_event()
    event["new_field"] = {"x": [1, 2]}
    event["data"]["request_metadata"]["their_own"] = "kept"
    (line,) = read_trace(
        imported(json_folder(write_events(tmp_path / "kept", event)), tmp_path).folder
    ).callbacks.events
    assert json.loads(line.raw) == event
    assert isinstance(line.event, CallbackEvent)


def leaves(document: dict[str, Any], above: str = "") -> set[str]:
    """Dotted keys of everything that is no object."""
    found: set[str] = set()
    for key, value in document.items():
        found |= leaves(value, f"{above}{key}.") if isinstance(value, dict) and value else {f"{above}{key}"}
    return found


@pytest.mark.parametrize("kind", ["artefact", "database"])
def test_provenance_says_of_every_field_where_it_comes_from(kind: str, tmp_path: Path) -> None:
    if kind == "artefact":
        artefact = artefact_of()
        artefact["llm_comparisons"][3] |= {"status": "failed", "error_code": "TIMEOUT"}
        source = eng5_artefact(write_artefact(tmp_path / "a.json", artefact))
    else:
        batch = kept_batch(f"sqlite:///{tmp_path}/cj.db", 5, enable_llm_batching_metadata_hints=True)
        source = cj_database(batch.url, "1")
    said = source.known.fields
    for found in source.found:
        for leaf in leaves(json.loads(found.raw)):
            parts = leaf.split(".")
            assert any(".".join(parts[:length]) in said for length in range(1, len(parts) + 1)), leaf


def test_what_the_source_knows_to_be_missing_makes_the_trace_partial(tmp_path: Path) -> None:
    artefact = artefact_of()
    artefact["llm_comparisons"][0] |= {"status": "submitted", "winner_id": None, "loser_id": None}
    result = imported(eng5_artefact(write_artefact(tmp_path / "run.json", artefact)), tmp_path)
    told = read_provenance(result.folder).imported
    assert told is not None
    assert (told.partial, told.missing) == (True, result.missing)
    assert result.missing == ("1 comparisons were submitted and have no outcome in the artefact.",)


def test_one_comparison_that_the_runner_saw_and_the_artefact_lacks_is_missing(tmp_path: Path) -> None:
    artefact = artefact_of()
    artefact["validation"]["runner_status"]["observed_events"]["llm_comparisons"] = 11
    known = eng5_artefact(write_artefact(tmp_path / "run.json", artefact)).known
    assert known.missing == ("The runner saw 11 comparisons; the artefact has 10.",)


def test_the_engine_s_settings_are_those_that_the_database_stores(tmp_path: Path) -> None:
    url = kept_batch(f"sqlite:///{tmp_path}/cj.db").url
    engine = read_trace(imported(cj_database(url, "bos-1"), tmp_path).folder).scenario.engine
    assert engine == cj_database(url, "bos-1").known.engine


def test_an_imported_batch_began_when_its_row_says_and_not_with_its_first_request(tmp_path: Path) -> None:
    url = kept_batch(f"sqlite:///{tmp_path}/cj.db").url
    with closing(sqlite3.connect(tmp_path / "cj.db")) as database:
        database.execute("UPDATE cj_batch_uploads SET created_at = '2025-11-30 07:00:00.000000'")
        database.commit()
    scenario = read_trace(imported(cj_database(url, "bos-1"), tmp_path).folder).scenario
    assert scenario.batch.started_at.isoformat() == "2025-11-30T07:00:00+00:00"
