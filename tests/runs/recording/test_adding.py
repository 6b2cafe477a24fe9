"""This module tests what is recorded beside a recording that is there: further runs, and more comparisons."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.recording.adding import full_runs, with_further_run, with_more
from cj_pipeline.runs.recording.continuing import record_or_add, wanted
from cj_pipeline.runs.recording.draft import RecordingDraft, draft_folder
from cj_pipeline.runs.recording.record import RecordingStopped
from cj_pipeline.runs.recording.request import RecordingRequest
from cj_pipeline.traces.provenance import verify_checksums
from cj_pipeline.traces.reader import read_callbacks
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import RedactionPolicy
from cj_pipeline.traces.store import trace_recordings
from tests.runs.recording.fake_judge import FakeJudge, request_of

PAIRS = 10  # of five essays


def asked_in(request: RecordingRequest) -> list[list[tuple[str, str]]]:
    """The orders of essays that each recording was asked."""
    _, recordings = trace_recordings(request.target)
    return [[line.event.data.essay_ids() for line in read_callbacks(one.path).events] for one in recordings]


def redaction() -> Redaction:
    return Redaction(RedactionPolicy(), Pseudonyms(bytes(32)), frozenset({"tiny"}))


@pytest.mark.parametrize("redacted", [False, True])
def test_a_further_run_asks_what_the_first_was_asked(tmp_path: Path, redacted: bool) -> None:
    judge = FakeJudge()
    request = request_of(tmp_path, redaction=redaction() if redacted else None)
    record_or_add(request, judge.behind_lps(tmp_path))
    more_runs = replace(request, runs=3, redaction=redaction() if redacted else None)
    asked = wanted(more_runs)
    assert asked is not None
    assert record_or_add(asked, judge.behind_lps(tmp_path)) == []
    first, second, third = asked_in(request)
    assert sorted(first) == sorted(second) == sorted(third)
    assert set(judge.asked.values()) == {3}
    _, recordings = trace_recordings(request.target)
    designs = [one.provenance.recorded.design for one in recordings if one.provenance.recorded]
    assert [(one.name, design.run) for one, design in zip(recordings, designs, strict=True)] == [
        ("main", 1),
        ("run_2", 2),
        ("run_3", 3),
    ]
    assert wanted(more_runs) is None
    verify_checksums(request.target)


def test_more_comparisons_of_one_run_are_the_same_again_and_later_the_other_orders(tmp_path: Path) -> None:
    judge = FakeJudge()
    request = request_of(tmp_path, runs=1)
    record_or_add(request, judge.behind_lps(tmp_path))
    for comparisons in (6, 10, 4):
        asked = wanted(request, comparisons)
        assert asked is not None
        record_or_add(asked, judge.behind_lps(tmp_path))
    first, again, other, rest = asked_in(request)
    assert set(again) < set(first)
    assert {(b, a) for a, b in other} == set(first)
    assert not set(rest) & set(again)
    assert max(Counter(essay for pair in other for essay in pair).values()) == 4
    assert full_runs(request.target) == 1


def test_a_mode_is_fitted_to_all_recordings_unless_somebody_edited_it(tmp_path: Path) -> None:
    judge = FakeJudge()
    request = request_of(tmp_path)
    record_or_add(request, judge.behind_lps(tmp_path))
    path = request.target / "mode.yaml"
    assert record_or_add(with_more(request, 5), judge.behind_lps(tmp_path)) == []
    fitted = load_mode(str(path))
    assert fitted.fitted_from is not None
    assert len(fitted.fitted_from.further_sha256) == 2
    path.write_text(
        path.read_text().replace("median_ms", "median_ms").replace("repeatability: ", "repeatability: 0.5 # ")
    )
    edited = path.read_text()
    (note,) = record_or_add(with_more(request, 5), judge.behind_lps(tmp_path))
    assert "was left as it is: cj-pipeline calibrate" in note
    assert path.read_text() == edited


def test_an_addition_that_was_stopped_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    judge, stop = FakeJudge(), threading.Event()
    request = request_of(tmp_path, runs=1)
    record_or_add(request, judge.behind_lps(tmp_path))
    with pytest.raises(RecordingStopped, match="of 10 comparisons"):
        record_or_add(
            with_further_run(request), judge.behind_lps(tmp_path), on_progress=lambda _: stop.set(), stop=stop
        )
    with pytest.raises(BadInput, match="addition"):
        record_or_add(with_more(request, 5), judge.behind_lps(tmp_path))
    record_or_add(with_further_run(request), judge.behind_lps(tmp_path))
    assert set(judge.asked.values()) == {2}
    assert not draft_folder(request.target).exists()


class Killed(BaseException):
    """What ends a process in the middle; nothing catches it."""


def test_a_process_that_dies_after_adding_and_before_tidying_up_has_added_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = FakeJudge()
    request = request_of(tmp_path, runs=1)
    record_or_add(request, judge.behind_lps(tmp_path))

    def dies(draft: RecordingDraft) -> None:
        draft.close()
        raise Killed

    monkeypatch.setattr(RecordingDraft, "discard", dies)
    with pytest.raises(Killed):
        record_or_add(with_more(request, 4), judge.behind_lps(tmp_path))
    monkeypatch.undo()
    assert draft_folder(request.target).exists()
    assert wanted(request, 4) is None
    assert not draft_folder(request.target).exists()
    assert [len(one) for one in asked_in(request)] == [PAIRS, 4]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("temperature", "another temperature: 0.0 and not 1.0"),
        ("model", "another model: tiny and not other"),
        ("prompt", "another prompt: plain.v1"),
        ("texts", "another set of texts"),
        ("key", "another redaction key: none and not"),
    ],
)
def test_another_judge_prompt_or_text_is_refused(tmp_path: Path, change: str, sentence: str) -> None:
    request = request_of(tmp_path, runs=1)
    record_or_add(request, FakeJudge().behind_lps(tmp_path))
    other = {
        "temperature": lambda: replace(request, judge=request.judge.model_copy(update={"temperature": 1.0})),
        "model": lambda: replace(request, judge=request.judge.model_copy(update={"model": "other"})),
        "prompt": lambda: replace(request, prompt=request.prompt.model_copy(update={"question": "Which?"})),
        "texts": lambda: replace(request, essays=replace(request.essays, texts={**request.essays.texts, "e1": "x"})),
        "key": lambda: replace(request, redaction=redaction()),
    }[change]()
    for more in (None, 5):
        with pytest.raises(BadInput, match=sentence):
            wanted(replace(other, runs=2), more)
