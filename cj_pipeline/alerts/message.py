"""This module says in words what a night came to: one message, or none where there is nothing to say."""

from __future__ import annotations

from datetime import date
from hashlib import sha256
from urllib.parse import quote

from cj_pipeline.alerts.night import Night, Outcome
from cj_pipeline.contracts.model import FileModel

MOST_SENTENCES = 8
"""Of one scenario: a wrong mock fails thirty gates, and one reads the first ones."""


GONE = "gone"
"""State of a scenario that was red and is no longer there. It is told once: the night after has no word of it."""


class ScenarioNote(FileModel):
    """What the message says about one scenario.

    state: of its outcome, or GONE; since: a date, or empty; urls: empty where the UI has no address.
    """

    scenario: str
    state: str
    words: str
    sentences: tuple[str, ...]
    since: str
    recovered: bool
    run_id: str
    run_url: str
    report_url: str


class Alert(FileModel):
    """One message. id: the same for the same news, so that a receiver can drop one that comes twice."""

    id: str
    night: date
    subject: str
    scenarios: tuple[ScenarioNote, ...]
    changes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The message, line by line, without its subject."""
        return (*(line for one in self.scenarios for line in _lines(one)), *self.changes, f"Message {self.id}.")

    @property
    def text(self) -> str:
        """The message as one text, with its subject first."""
        return "\n".join((self.subject, "", *self.lines))


def alert_of(night: Night, before: Night | None, ui_url: str = "", *, earlier: Night | None = None) -> Alert | None:
    """Return the message about a night; None when all is as expected and was before.

    before: the night that was concluded before it; earlier: what this one was concluded as before, where it is
    concluded again. ui_url: base of the Dagster UI, for links.
    """
    red = [one for one in night.outcomes if not one.good]
    known = [one for other in (before, earlier) if other for one in other.outcomes]
    was_red = {one.scenario_id for one in known if not one.good}
    recovered = [one for one in night.outcomes if one.good and one.scenario_id in was_red]
    last = earlier or before
    gone = [one for one in last.outcomes if not one.good and night.of(one.scenario_id) is None] if last else []
    if not red and not recovered and not gone and not night.changes:
        return None
    notes = [
        *(_note(one, ui_url, recovered=False) for one in red),
        *(_note(one, ui_url, recovered=True) for one in recovered),
        *(_gone(one, night.night) for one in gone),
    ]
    # Without the ids of runs, and what follows from them: the same night run again is the same news.
    facts = [(note.scenario, note.state, note.sentences, note.recovered) for note in notes]
    # What was told otherwise meanwhile is news again, although the same was told before that.
    told = [] if earlier is None else [(one.scenario_id, one.good) for one in earlier.outcomes]
    otherwise = told if told != [(one.scenario_id, one.good) for one in night.outcomes] else []
    news = repr((night.night, facts, night.changes, *([otherwise] if otherwise else [])))
    return Alert(
        id=f"night-{night.night}-{sha256(news.encode()).hexdigest()[:8]}",
        night=night.night,
        subject=_subject(night, red, recovered, gone),
        scenarios=tuple(notes),
        changes=night.changes,
    )


def _subject(night: Night, red: list[Outcome], recovered: list[Outcome], gone: list[Outcome]) -> str:
    total = len(night.outcomes)
    if red:
        words = f"{len(red)} of {total} scenarios not as expected: {_named(red)}"
    elif recovered:
        words = f"{len(recovered)} of {total} scenarios as expected again, and so all are"
    elif gone:
        words = f"{total} scenarios as expected; no longer there: {_named(gone)}"
    else:
        words = f"{total} scenarios as expected, and something changed without a name"
    return f"CJ Pipeline, night of {night.night}: {words}"


def _named(some: list[Outcome]) -> str:
    more = f" and {len(some) - 3} more" if len(some) > 3 else ""
    return ", ".join(one.scenario_id for one in some[:3]) + more


def _note(one: Outcome, ui_url: str, *, recovered: bool) -> ScenarioNote:
    base = ui_url.rstrip("/")
    return ScenarioNote(
        scenario=one.scenario_id,
        state=one.state.value,
        words=one.words,
        sentences=one.sentences,
        since="" if one.since is None else one.since.isoformat(),
        recovered=recovered,
        run_id=one.run_id,
        run_url=f"{base}/runs/{one.run_id}" if base and one.run_id else "",
        report_url=f"{base}/assets/parity/report?view=partitions&partition={quote(one.scenario_id)}" if base else "",
    )


def _gone(one: Outcome, night: date) -> ScenarioNote:
    """Return the note about a scenario that was red and has been removed; it has no run, and no report any more."""
    words = f"It was red since {one.since or 'the night before'}: {one.state.value}"
    gone = Outcome(scenario_id=one.scenario_id, state=one.state, words=words, since=night)
    return _note(gone, "", recovered=False).model_copy(update={"state": GONE})


def _lines(note: ScenarioNote) -> list[str]:
    if note.recovered:
        first = f"{note.scenario}: as expected again. {note.words}"
    else:
        words = f". {note.words}" if note.words else ""
        first = f"{note.scenario}: {note.state} since {note.since or 'this night'}{words}"
    more = len(note.sentences) - MOST_SENTENCES
    return [
        first,
        *(f"    {sentence}" for sentence in note.sentences[:MOST_SENTENCES]),
        *([f"    and {more} more"] if more > 0 else []),
        *([f"    report: {note.report_url}"] if note.report_url else []),
        *([f"    run: {note.run_url}"] if note.run_url else [f"    run: {note.run_id}"] if note.run_id else []),
    ]
