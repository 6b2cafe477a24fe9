"""The HTML page of a comparison says the verdict first, is one small file, and shows names as data."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from cj_pipeline.contracts.callback import ErrorDetail
from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.parity.verdict import Doubt, Reason
from cj_pipeline.reports.headline import FITTED_TO_ITSELF
from cj_pipeline.reports.page.answers import LONGEST_HEADLINE, RECONSTRUCTION, answers, short_headline
from cj_pipeline.reports.page.page import Compared, _number, parity_page
from cj_pipeline.traces.provenance import read_provenance
from tests.reports.test_headline import PARTIAL, POWER, cannot_tell, inverted, second_run, with_scenario
from tests.sides import LOWER5, TRACES, live, report

HOSTILE = "<script>alert(1)</script> $\\frac{1}{0}$ {{ 7 * 7 }} \u202eabc"


class Reader(HTMLParser):
    """Collects tags, attributes and the texts outside the style sheet."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text, self.style = "", ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.style += data
            self._inside = ""
        else:
            self.text += data


def page_of(*reports) -> str:
    return parity_page([Compared(one) for one in reports])


@pytest.mark.parametrize("doubt", Doubt)
def test_every_headline_has_at_most_sixty_characters(doubt: Doubt) -> None:
    found = [inverted(), second_run(), cannot_tell(Reason(doubt, "some reason"))]
    assert all(len(short_headline(one)) <= LONGEST_HEADLINE for one in found)


def test_the_verdict_and_three_questions_come_before_everything_else() -> None:
    text = Reader(page_of(inverted())).text
    places = [text.index(words) for words in ("NO PARITY", "Is my mock still good?", "No.", "What changed?")]
    assert places == sorted(places)
    assert text.index("May I trust this?") < text.index("What it would have found") < text.index("What differs")


def test_a_failed_gate_stands_above_those_that_pass() -> None:
    text = Reader(page_of(inverted())).text
    table = text[text.index("What differs") : text.index("Both sides in pictures")]
    assert table.index("answer_agreement") < table.index("latency_link") < table.index("identity")


def test_what_is_missing_is_said_where_trust_is_asked_for() -> None:
    good, _, trust = answers(cannot_tell(PARTIAL, POWER))
    assert good.words == "This comparison cannot tell."
    assert POWER.sentence.rstrip(".")[1:] in trust.sentences[1]


def test_what_limits_a_verdict_is_not_folded() -> None:
    made_up = read_provenance(TRACES / LOWER5)
    trust = answers(report(LOWER5, live(LOWER5)), [made_up])[2]
    assert trust.sentences[0] == RECONSTRUCTION
    assert RECONSTRUCTION not in answers(inverted())[2].sentences
    assert trust.sentences.index(FITTED_TO_ITSELF) < 3


@pytest.mark.parametrize(("found", "after"), [(inverted, "Where this comes from"), (second_run, "What changed?")])
def test_what_is_no_fault_is_said_of_recordings_first_and_of_a_mock_last(
    found: Callable[[], ParityReport], after: str
) -> None:
    text = Reader(page_of(replace(found(), notes=("no prompt is the same on both sides",)))).text
    sections = ("What changed?", "May I trust this?", "Where this comes from")
    place = text.index("No prompt is the same on both sides.")
    assert max((text.index(one), one) for one in sections if text.index(one) < place)[1] == after


def test_no_number_is_longer_than_what_it_says() -> None:
    assert _number(37_337_849.0) == _number(math.inf) == "any"
    assert (_number(-3_600_000.0), _number(1e-9)) == ("-3600000", "0")
    assert "±" in " ".join(answers(inverted())[2].sentences)


def test_names_are_data_and_the_page_fetches_and_runs_nothing() -> None:
    found = inverted()
    items = tuple(item.model_copy(update={"label": f"{HOSTILE}{n}"}) for n, item in enumerate(found.scenario.net.items))
    net = found.scenario.net.model_copy(update={"items": items})
    read = Reader(page_of(with_scenario(found, title=HOSTILE, net=net)))
    assert not {"script", "iframe", "img", "link", "object", "base"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name.startswith("on") or name in ("style", "src")]
    assert all(value.startswith("#") for name, value in read.attributes if name == "href")
    assert r"<script>alert(1)</script> $\frac{1}{0}$ {{ 7 * 7 }} \u202eabc" in read.text
    assert "\u202e" not in read.text


def test_the_policy_allows_this_style_sheet_alone() -> None:
    read = Reader(page_of(second_run()))
    digest = base64.b64encode(sha256(read.style.encode()).digest()).decode()
    policy = next(value for name, value in read.attributes if name == "content" and value.startswith("default-src"))
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "unsafe" not in policy


def test_a_page_is_small_and_the_same_each_time() -> None:
    page = page_of(inverted())
    assert len(page.encode()) < 300_000
    assert page == page_of(inverted())


def test_two_comparisons_on_a_page_share_no_id() -> None:
    read = Reader(page_of(inverted(), second_run()))
    ids = Counter(value for name, value in read.attributes if name == "id")
    assert ids
    assert max(ids.values()) == 1
    assert {value[1:] for name, value in read.attributes if name == "href"} <= set(ids)


def test_recorded_and_live_differ_in_more_than_colour() -> None:
    page = page_of(inverted())
    assert "stroke-dasharray" in page
    assert "● recorded" in page
    assert "◆ live" in page
    assert "#0072b2" not in page.lower()  # colours are variables, so that dark pages have their own


def test_decisions_and_the_first_different_answer_are_on_the_page() -> None:
    text = Reader(page_of(inverted())).text
    assert "First different answer: wave " in text
    assert "The engine decided alike on both sides" in text


def test_errors_have_their_codes_and_a_curve() -> None:
    quiet = report(LOWER5, live(LOWER5))
    assert "No call failed on either side." in Reader(page_of(quiet)).text
    events = quiet.live.events
    failing = replace(
        quiet, live=quiet.live.model_copy(update={"events": (*events[:2], _failed(events[2]), *events[3:])})
    )
    text = Reader(page_of(failing)).text
    assert "EXTERNAL_SERVICE_ERROR" in text
    assert "errors so far, % of calls" in text


def _failed(event):
    detail = ErrorDetail(
        error_code="EXTERNAL_SERVICE_ERROR",
        message="no answer",
        correlation_id=event.data.correlation_id,
        timestamp=event.data.completed_at,
        service="llm_provider_service",
        operation="generate_comparison",
    )
    changes = {"winner": None, "justification": None, "confidence": None, "error_detail": detail}
    return event.model_copy(update={"data": event.data.model_copy(update=changes)})
