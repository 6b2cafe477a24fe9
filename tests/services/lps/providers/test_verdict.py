"""What is read of an answer, and what is not: the winner is all that is needed, and it must be one."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import EXPLANATIONS, Reason
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.apis.verdict import BadReply, parse_verdict, parse_verdict_text, parse_verdicts
from cj_pipeline.services.lps.providers.replies import objects
from cj_pipeline.services.lps.providers.replies.chat import read_chat_completion
from cj_pipeline.services.lps.providers.replies.objects import decoded
from cj_pipeline.services.lps.providers.replies.words import winner_of
from tests.services.lps.providers.fake_api import VERDICT
from tests.services.lps.providers.stand import REAL, stand

FOR_A = (
    *("Essay A", "essay a", "ESSAY A", "A", "a", "option a", "First", "left", " Essay A ", "A.", "essay_a", "Essay-A"),
    *("**Essay A**", '"A"', "(a)", "Essay: A", "winner: A", "The winner is Essay A", "the first essay", "Text A"),
    *("Essay A is better", "Essay A is better than Essay B.", "A wins", "Essay A is the stronger one", "Uppsats A"),
    *("Essay A is slightly better, because Essay B has no end.", "the better essay is Essay A", "first one"),
)
FOR_B = (
    *("Essay B", "essay b", "ESSAY B", "B", "b", "Option B", "second", "right", "Essay B\n", "`B`", "[B]", "answer b"),
    *("Essay B is clearly better than the other essay", "Winner: Essay B!", "the second", "B is the winner"),
)
NOBODY: tuple[tuple[Any, Reason], ...] = (
    *(("Essay C", Reason.NO_WINNER), ("", Reason.NO_WINNER), ("1", Reason.NO_WINNER), (None, Reason.NO_WINNER)),
    *((1, Reason.NO_WINNER), (True, Reason.NO_WINNER), (["A"], Reason.NO_WINNER), ("yes", Reason.NO_WINNER)),
    *(("not A", Reason.NO_WINNER), ("Essay A is worse", Reason.NO_WINNER), ("Essay A is not better", Reason.NO_WINNER)),
    *(("better than A", Reason.NO_WINNER), ("a well-written essay", Reason.NO_WINNER)),
    *(("tie", Reason.TIE), ("It is a tie.", Reason.TIE), ("Neither", Reason.TIE), ("EQUAL", Reason.TIE)),
    *(("A or B", Reason.BOTH_NAMED), ("Essay A and Essay B", Reason.BOTH_NAMED), ("both", Reason.BOTH_NAMED)),
    *(("A/B", Reason.BOTH_NAMED), ("Essay A is better than Essay A or B", Reason.BOTH_NAMED)),
    *(("Essay B, not Essay A", Reason.BOTH_NAMED), ("first, then second", Reason.BOTH_NAMED)),
)


@pytest.mark.parametrize("word", FOR_A)
def test_words_for_essay_a(word: str) -> None:
    assert parse_verdict(VERDICT | {"winner": word}).winner is Winner.A


@pytest.mark.parametrize("word", FOR_B)
def test_words_for_essay_b(word: str) -> None:
    assert parse_verdict(VERDICT | {"winner": word}).winner is Winner.B


@pytest.mark.parametrize(("word", "reason"), NOBODY)
def test_any_other_winner_is_an_error_and_never_essay_a(word: Any, reason: Reason) -> None:
    with pytest.raises(BadReply, match="neither Essay A nor Essay B") as caught:
        parse_verdict(VERDICT | {"winner": word})
    assert (caught.value.code, caught.value.reason) == (ErrorCode.INVALID_RESPONSE, reason)
    assert caught.value.details == {"field": "winner"}


@given(st.text(alphabet=st.sampled_from("abAB cdnotieseay.,:_*'\"-/\n"), max_size=30) | st.text())
def test_a_text_that_names_no_essay_or_both_is_no_winner(text: str) -> None:
    words = "".join(letter.lower() if letter.isalnum() else " " for letter in text.replace("_", " ")).split()
    first = bool({"a", "first", "left"} & set(words))
    second = bool({"b", "second", "right"} & set(words))
    if first == second and "than" not in words and "because" not in words:
        assert winner_of(text) not in tuple(Winner)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Essay A since it is worse; Essay B is better", Reason.BOTH_NAMED),
        ("Essay B because Essay A wins on nothing but length, and Essay A is stronger", Reason.BOTH_NAMED),
        ("Essay A because it argues better than Essay B", Winner.A),
        ("Essay B since Essay B is better", Winner.B),
    ],
)
def test_a_reason_that_praises_the_other_essay_contradicts_the_winner(text: str, read: Winner | Reason) -> None:
    assert winner_of(text) is read


PLAIN = json.dumps(VERDICT)
# An answer's text -> what was forgiven. All name Essay B with confidence 4.
READ: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    f"\n {PLAIN} \n": (),
    f"```json\n{PLAIN}\n```": ("code_fence",),
    f"```\n{PLAIN}\n```": ("code_fence",),
    f"~~~\n{PLAIN}\n~~~": ("text_around",),
    f"Sure! Here you go:\n\n```Json\n{PLAIN}\n```\nI hope this helps {{smile}}.": ("code_fence", "text_around"),
    f"My verdict {{as asked}}: {PLAIN}": ("text_around",),
    f'<think>A? {{"winner": "Essay A"}} No.</think>{PLAIN}': ("thinking",),
    f"so essay A {{'winner': 'Essay A'}} hm\n</think>\n\n{PLAIN}": ("thinking",),
    f"[THINK]first B, then A[/THINK]{PLAIN}": ("thinking",),
    f"<Thinking>one</Thinking><thinking>two</thinking>\n{PLAIN}": ("thinking",),
    json.dumps([VERDICT]): ("nested",),
    json.dumps({"comparison": VERDICT}): ("nested",),
    json.dumps({"output": {"verdict": VERDICT}}): ("nested",),
    json.dumps({"verdicts": [VERDICT]}): ("nested",),
    json.dumps({"winner": "Essay B", "confidence": 4, "analysis": {"essay_a": "weak"}, "justification": "x"}): (),
    json.dumps(PLAIN): ("as_text",),
    '{"Winner": "Essay B", "Reason": "x", "Confidence_Level": 4}': ("key_spelling",),
    '{"better_essay": "B", "why": "x", "certainty": 4}': ("key_spelling", "winner_spelling"),
    '{"winner": "Essay B", "decision": "Clear argument wins.", "reason": "x", "confidence": 4}': ("key_spelling",),
    '{"winner": "Essay B", "justification": "x", "confidence": 4,}': ("trailing_comma",),
    "{\u201cwinner\u201d: \u201cEssay B\u201d, \u201cjustification\u201d: \u201cx\u201d, \u201cconfidence\u201d: 4}": (
        "quotes",
    ),
    "\ufeff" + PLAIN: (),
    '{"winner": "Essay\u00a0B\u200b", "justification": "x", "confidence": 4}': ("winner_spelling",),
    '{"winner": "EssayB", "justification": "x", "confidence": 4}': ("winner_spelling",),
    '{"winner": "Essay B", "justification": "one\ntwo\tthree", "confidence": 4}': ("control_characters",),
    '{"winner": "Essay B", "winner": "Essay B", "justification": "x", "confidence": 4}': ("repeated",),
    f"{PLAIN}\n{PLAIN}": ("repeated",),
    '{"winner": "Essay B", "justification": "x", "confidence": " 4.0 "}': ("confidence_as_text",),
    '{"winner": "Essay B", "justification": 7, "confidence": 4}': ("justification_missing",),
    '{"winner": "Essay B", "confidence": 4}': ("justification_missing",),
    '{"winner": "Essay B", "justification": "\\ud83d half", "confidence": 4}': ("justification_mended",),
    '{"winner": "Essay B", "justification": "nul \\u0000", "confidence": 4}': ("justification_mended",),
    '{"type": "object", "properties": {"winner": {"enum": ["Essay A", "Essay B"]}}}\n' + PLAIN: (),
}


@pytest.mark.parametrize("text", READ)
def test_a_verdict_is_found_and_what_was_forgiven_is_told(text: str) -> None:
    verdict = parse_verdict_text(text)
    assert (verdict.winner, verdict.confidence) == (Winner.B, 4.0)
    assert verdict.forgiven == READ[text]
    verdict.justification.encode()


# An answer's text -> why it is no verdict.
NONE: dict[str, Reason] = {
    "": Reason.EMPTY_ANSWER,
    " \n\t": Reason.EMPTY_ANSWER,
    "Essay A is better.": Reason.UNREADABLE,
    "{": Reason.UNREADABLE,
    '{"winner": "Essay A", "justif': Reason.UNREADABLE,
    "[" * 100_000: Reason.UNREADABLE,
    '<think>Essay A, I would say {"winner": "Essay A"}': Reason.UNREADABLE,
    "I'm sorry, but I cannot judge pupils' work.": Reason.REFUSED,
    "As an AI, I do not rank people.": Reason.REFUSED,
    "I won\u2019t compare these.": Reason.REFUSED,
    "[]": Reason.NO_OBJECT,
    "3": Reason.NO_OBJECT,
    "null": Reason.NO_OBJECT,
    '"Essay A"': Reason.NO_OBJECT,
    "{}": Reason.NO_WINNER,
    '{"confidence": 4, "justification": "x"}': Reason.NO_WINNER,
    '{"winner": {"name": "Essay A"}}': Reason.NO_WINNER,
    '{"winner": "tie"}': Reason.TIE,
    '{"winner": "Essay A or Essay B"}': Reason.BOTH_NAMED,
    '{"winner": "Essay A", "winner": "Essay B"}': Reason.CONTRADICTION,
    '{"winner": "Essay A", "Winner": "Essay B"}': Reason.CONTRADICTION,
    '{"winner": "Essay A", "preference": "B"}': Reason.CONTRADICTION,
    '{"winner": "Essay A", "final": {"winner": "Essay B"}}': Reason.CONTRADICTION,
    '{"winner": "Essay A"} no, wait: {"winner": "Essay B"}': Reason.CONTRADICTION,
    '{"winner": "tie"} if I must: {"winner": "Essay B"}': Reason.CONTRADICTION,
    '[{"winner": "Essay A"}, {"winner": "Essay B"}]': Reason.CONTRADICTION,
    '{"a": {"b": {"c": {"winner": "Essay A"}}}}': Reason.NO_WINNER,
    '{"a": [{"b": {"winner": "Essay A"}}]}': Reason.NO_WINNER,
    # What is cut off may go on otherwise.
    '{"draft": {"winner": "Essay A"}, "final": {"winner": "Ess': Reason.UNREADABLE,
    '{"draft": {"winner": "Essay A"}, "final": nul': Reason.UNREADABLE,
    '{"a": {"b": {"c": {"winner": "Essay A"}': Reason.UNREADABLE,
}


@pytest.mark.parametrize("text", NONE)
def test_what_names_no_winner_or_two_is_no_verdict_and_says_why(text: str) -> None:
    with pytest.raises(BadReply) as caught:
        parse_verdict_text(text)
    assert caught.value.reason is NONE[text]
    assert caught.value.code is EXPLANATIONS[NONE[text]].codes[0]
    assert "pupils" not in str(caught.value)


@pytest.mark.parametrize(
    ("told", "confidence", "mark"),
    [
        *((1, 1.0, None), (1.0, 1.0, None), (3, 3.0, None), (4.5, 4.5, None), (5, 5.0, None)),
        # Production read 1 as a share of one, which made its least sure verdicts its surest.
        *((value, None, "confidence_outside") for value in (0, 0.9, -2, 5.01, 9, 85, 1e15, 10**400, float("inf"))),
        *((value, None, "confidence_unreadable") for value in ("high", "4/5", "80 %", True, [4], {}, float("nan"))),
        *(("4", 4.0, "confidence_as_text"), ("4.5", 4.5, "confidence_as_text"), ("85", None, "confidence_outside")),
        *((None, None, "confidence_missing"), ("nan", None, "confidence_unreadable")),
    ],
)
def test_a_confidence_is_from_1_to_5_or_not_known_and_never_moved(told: Any, confidence: Any, mark: str | None) -> None:
    verdict = parse_verdict(VERDICT | {"confidence": told})
    assert (verdict.winner, verdict.confidence) == (Winner.B, confidence)
    assert verdict.forgiven == (() if mark is None else (mark,))


def test_two_confidences_that_differ_are_none() -> None:
    verdict = parse_verdict_text('{"winner": "A", "confidence": 2, "justification": "x", "confidence": 5}')
    assert verdict.confidence is None
    assert "confidence_twice" in verdict.forgiven


def test_a_missing_confidence_and_justification_cost_nothing_but_themselves() -> None:
    verdict = parse_verdict({"winner": "Essay A"})
    assert (verdict.winner, verdict.justification, verdict.confidence) == (Winner.A, "", None)


def test_a_justification_is_cut_at_what_a_callback_carries() -> None:
    assert parse_verdict(VERDICT | {"justification": "x" * 5000}).justification == "x" * 500


def test_several_inputs_of_a_tool_are_one_verdict_if_they_agree() -> None:
    assert parse_verdicts([VERDICT, PLAIN]).forgiven == ("as_text", "repeated")
    with pytest.raises(BadReply) as caught:
        parse_verdicts([VERDICT, VERDICT | {"winner": "Essay A"}])
    assert caught.value.reason is Reason.CONTRADICTION


def test_keys_that_an_object_has_twice_are_seen_also_where_the_whole_body_was_read_at_once() -> None:
    body = decoded(b'{"input": {"winner": "Essay A", "winner": "Essay B"}}')
    with pytest.raises(BadReply) as caught:
        parse_verdict(body["input"])
    assert caught.value.reason is Reason.CONTRADICTION


@pytest.mark.parametrize(
    "text",
    [
        "{" * 300_000,
        '{"a":' * 100_000,
        "<think>" * 100_000,
        '{"winner": "' * 50_000,
        ("{}" + ",") * 100_000,
        '{"winner": ' + "9" * 100_000 + "}",
    ],
)
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    with pytest.raises(BadReply):
        parse_verdict_text(text)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "text",
    [
        "{" * 2**20,
        '{"a":[1,],' * 100_000,
        "{\u201ca\u201d:" * 150_000,
        '{"a":' * 200 + "[" + "1," * 400_000 + "x!",
        '{"a":1,' * 150_000,
    ],
    ids=["braces", "commas", "quotes", "deep", "objects"],
)
def test_a_brace_that_opens_nothing_does_not_cost_the_rest_of_the_text_again(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The characters that were looked at, however the text is made, are a few times its length."""
    looked_at = []
    object_at = objects._object_at

    def noted(text: str, start: int) -> objects._Read:
        read = object_at(text, start)
        looked_at.append(read.work)
        return read

    monkeypatch.setattr(objects, "_object_at", noted)
    objects.objects_in(text)
    work, length = sum(looked_at), len(text)
    assert work < 5 * length


@given(st.text(max_size=200), st.text(max_size=200))
def test_whatever_stands_around_it_a_verdict_is_read_or_refused(before: str, after: str) -> None:
    try:
        found = parse_verdict_text(before + PLAIN + after).winner
    except BadReply as bad:
        found = None
        reason = bad.reason
    assert found in tuple(Winner) if found is not None else reason in EXPLANATIONS


@pytest.mark.parametrize("provider", REAL)
def test_an_unknown_winner_in_a_reply_is_a_failure_that_is_not_retried(provider: Provider) -> None:
    at = stand(provider)
    at.fake.verdict = VERDICT | {"winner": "Essay C"}
    failure = run_virtual(at.fails())
    assert failure.code is ErrorCode.INVALID_RESPONSE
    assert not failure.worth_retrying
    assert failure.details["error_type"] == "invalid_response"
    assert failure.details["reason"] == "no_winner"
    assert failure.details["provider"] == provider.value


@pytest.mark.parametrize("provider", REAL)
@pytest.mark.parametrize("text", [text for text in READ if "winner" in text])
def test_every_provider_reads_the_same(provider: Provider, text: str) -> None:
    at = stand(provider)
    at.fake.verdict = text
    answer = run_virtual(at.ask())
    assert (answer.winner, answer.confidence) == (Winner.B, 4.0)
    assert answer.metadata.get("forgiven", []) == list(READ[text])


@pytest.mark.parametrize("beside", ["tool", "choice"])
def test_a_decoded_verdict_and_a_second_one_beside_it_must_agree(beside: str) -> None:
    def reply(second: str) -> bytes:
        told = json.dumps({"winner": second, "justification": "So.", "confidence": 3})
        message: dict[str, Any] = {"content": {"winner": "Essay A", "justification": "So.", "confidence": 3}}
        choices: list[dict[str, Any]] = [{"message": message, "finish_reason": "stop"}]
        if beside == "tool":
            message["tool_calls"] = [{"function": {"arguments": told}}]
        else:
            choices.append({"message": {"content": told}, "finish_reason": "stop"})
        return json.dumps({"choices": choices}).encode()

    assert read_chat_completion(reply("Essay A")).verdict.winner is Winner.A
    with pytest.raises(BadReply):
        read_chat_completion(reply("Essay B"))
