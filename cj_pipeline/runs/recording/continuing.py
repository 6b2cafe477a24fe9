"""This module finds what of a request is still to be asked: all of it, a further run, or more comparisons."""

from __future__ import annotations

from dataclasses import replace
from threading import Event as Flag

from cj_pipeline.runs.recording.adding import full_runs, refit, was_added, with_further_run, with_more
from cj_pipeline.runs.recording.asking import PATIENCE_S
from cj_pipeline.runs.recording.books import JudgeBehindLps
from cj_pipeline.runs.recording.draft import forget
from cj_pipeline.runs.recording.record import OnProgress, record
from cj_pipeline.runs.recording.request import RecordingRequest, require_same
from cj_pipeline.traces.store import trace_recordings


def wanted(request: RecordingRequest, more: int | None = None) -> RecordingRequest | None:
    """Return what is to be asked next; None where everything is there. Removes what a finished recording left behind.

    more: so many comparisons beside the recording that is there. Raises BadInput where the folder is another
    recording's, or none at all.
    """
    if more is None and not request.target.exists():
        return request
    require_same(request, whole_design=more is None)
    if was_added(request):
        return None if more is not None else wanted(request)
    if more is not None:
        return with_more(request, more)
    if request.runs > full_runs(request.target):
        return with_further_run(request)
    forget(request.target)
    return None


def left_of(request: RecordingRequest, asked: RecordingRequest) -> RecordingRequest:
    """Return a request after a part of it was recorded: what may be spent is less by what that part cost."""
    name = "main" if asked.addition is None else asked.addition.name
    _, recordings = trace_recordings(request.target)
    spent = sum(
        one.provenance.recorded.spent_usd or 0.0
        for one in recordings
        if one.provenance.recorded is not None and (asked.addition is None or one.name == name)
    )
    return request if request.budget_usd is None else replace(request, budget_usd=max(0.0, request.budget_usd - spent))


def record_or_add(
    request: RecordingRequest,
    judge: JudgeBehindLps,
    *,
    on_progress: OnProgress = lambda _: None,
    stop: Flag | None = None,
    patience_s: float = PATIENCE_S,
) -> list[str]:
    """Record what `wanted` says, and fit the mode to all that is there then. Raises as `record` does.

    Returns what somebody should know of the mode.
    """
    if request.addition is None:
        record(request, judge, on_progress=on_progress, stop=stop, patience_s=patience_s)
        return []
    _, before = trace_recordings(request.target)
    record(request, judge, on_progress=on_progress, stop=stop, patience_s=patience_s)
    note = refit(request.target, before)
    return [] if note is None else [note]
