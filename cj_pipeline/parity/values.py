"""This module compares values that chance does not touch: who judged, ids, times, cost, texts, labels.

A check fails where a value cannot be right on its own side, or must be equal on both and is not. What may differ
between two honest recordings (batch ids, prompts, queue modes) is a note of the report instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import numpy as np

from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1
from cj_pipeline.contracts.reasons import ANSWER_MARKS, is_measured
from cj_pipeline.mock.model.answers import FloatArray
from cj_pipeline.parity.check import Case, Limits, Outcome, check, exact
from cj_pipeline.traces.redaction_policy import REDACTED

GROUP = "values"

Events = Sequence[CallbackEvent]

_SIDES = ("recorded", "live")

# Recorded answers from which the price of prompt and completion tokens can be told.
_PRICED = 10
# A clock may be read a little before or after the call that it times.
_CLOCK = timedelta(milliseconds=2)
# The clocks of two processes differ by more.
_CLOCKS = timedelta(seconds=1)

# Years in which an LLM can have been asked; 1970 is what a lost time becomes.
_FIRST_YEAR, _LAST_YEAR = 2015, 2100
# No model is asked for so long. The clock of this machine is left out: a verdict follows from what was compared.
_APART = timedelta(days=20 * 365)
# A broker that is down holds an answer back for hours, not for longer.
_SENT_WITHIN = timedelta(days=7)

# The clock of the provider's side may be set otherwise, not to another day.
_FAILED_WITHIN = timedelta(days=1)

# One or two answers have no variety to compare.
_FEW_TEXTS = 3


def _metadata(name: str) -> Callable[[CallbackEvent], object]:
    return lambda event: event.data.request_metadata.get(name)


# Where each field of a callback is compared: the name of a check, or why nobody compares it. A test walks the contract.
COMPARED: dict[str, str] = {
    "event_id": "ids",
    "event_type": "the reader takes no other type",
    "event_timestamp": "times",
    "source_service": "identity",
    "schema_version": "identity",
    "correlation_id": "ids",
    "data_schema_uri": "schema",
    "metadata": "schema",
    "data.request_id": "ids",
    "data.correlation_id": "ids",
    "data.winner": "answer_agreement",
    "data.justification": "justification",
    "data.confidence": "confidence",
    # Its message, stack trace and other details are not compared: texts differ by provider and by time.
    "data.error_detail": "error_mix, error_values, ids, times",
    "data.provider": "identity",
    "data.model": "identity",
    "data.response_time_ms": "latency_mean",
    "data.token_usage": "tokens_prompt, cost, error_values",
    "data.cost_estimate": "cost",
    "data.requested_at": "times",
    "data.completed_at": "times",
    "data.trace_id": "a trace of the run that asked",
    "data.request_metadata": "ids, labels, identity, schema",
}

IDENTITY: dict[str, Callable[[CallbackEvent], object]] = {
    "provider": lambda event: event.data.provider.value,
    "model": lambda event: event.data.model,
    "resolved_provider": _metadata("resolved_provider"),
    "resolved_model": _metadata("resolved_model"),
    "reasoning_effort": _metadata("reasoning_effort"),
    "output_verbosity": _metadata("output_verbosity"),
    "source_service": lambda event: event.source_service,
    "schema_version": lambda event: event.schema_version,
}
_OF_ENVELOPE = {"source_service", "schema_version"}

_BATCH_IDS = ("bos_batch_id", "cj_batch_id")
_WAVES = ("comparison_iteration", "retry_iteration")
LABELS = ("queue_processing_mode", "cj_llm_batching_mode", "preferred_bundle_size", "cj_source", "cj_request_type")


@check("identity", group=GROUP)
def identity(case: Case, limits: Limits) -> Outcome:
    """Did the same judge answer, asked in the same way?"""
    sides = [_answers(events) for events in case.events]
    bare = any(is_bare(event) for side in sides for event in side)
    differences = []
    for name, read in IDENTITY.items():
        if name in _OF_ENVELOPE and bare:
            continue
        recorded, live = (_named({read(event) for event in side}) for side in sides)
        if recorded != live:
            differences.append(f"{name}: recorded {recorded}, live {live}")
    if case.scenario.provider.model is not None:
        stated = {case.scenario.provider.model}
        differences += [
            f"model: scenario.yaml says {_named(stated)}, the {side} side {_named(found)}"
            for side, events in zip(_SIDES, sides, strict=True)
            if (found := {event.data.model for event in events}) and found != stated
        ]
    compared = f"{len(IDENTITY) - (len(_OF_ENVELOPE) if bare else 0)} fields of {len(sides[0])} and {len(sides[1])}"
    return exact(differences, f"{compared} answers are equal: {_named({e.data.model for e in sides[0]})}")


@check("ids", group=GROUP)
def ids(case: Case, limits: Limits) -> Outcome:
    """Does every callback belong to its request, its batch and its prompt?"""
    known = {item.id for item in case.scenario.net.items}
    problems = []
    for side, events in zip(_SIDES, case.events, strict=True):
        problems += [f"{side}: {problem}" for problem in _id_problems(events, known)]
    if not case.asked_by_us:  # else `counts` knows how many there should be
        problems += _copied(case.events)
    # Where the recording does the same, it is a custom of whoever asked.
    recorded, live = map(_shared_correlations, case.events)
    if live and not recorded:
        problems.append(f"live: {live} comparisons have the correlation id of another")
    recorded_apart, live_apart = map(_errors_of_others, case.events)
    if any(live_apart) and recorded_apart and not any(recorded_apart):
        problems.append(f"live: {sum(live_apart)} errors have another correlation id than their callback")
    problems += _shared_hashes([event for events in case.events for event in events])
    for side, run in case.runs:
        for batch in (run.events, *run.repeats):
            for key in _BATCH_IDS:
                named = {str(event.data.request_metadata.get(key)) for event in batch}
                if len(named) > 1 and not case.several_batches(side):
                    problems.append(f"{side}: one batch came back under {len(named)} values of {key}")
    for number, batch in enumerate((case.live.events, *case.live.repeats)):
        expected = case.live_batch_ids[number] if number < len(case.live_batch_ids) else None
        found = {str(event.data.request_metadata.get("bos_batch_id")) for event in batch}
        if expected is not None and found and found != {expected}:
            problems.append(f"live: batch id {_named(found)}, asked under {expected}")
    return exact(problems, "every id is there once and belongs to its pair; each prompt hash names one pair and side")


@check("times", group=GROUP)
def times(case: Case, limits: Limits) -> Outcome:
    """Can the times be true: asked, answered, then sent, and as long apart as the answer took?"""
    problems = []
    failed: dict[str, list[str]] = {side: [] for side in _SIDES}
    compared = 0
    asked = min((event.data.requested_at for event in case.recorded.events), default=None)
    for side, events in zip(_SIDES, case.events, strict=True):
        for event in events:
            compared += 1
            data = event.data
            took = data.completed_at - data.requested_at
            if took < timedelta(0):
                problems.append(f"{side}: {data.request_id} is completed before it is requested")
            elif took + _CLOCK < timedelta(milliseconds=data.response_time_ms):
                problems.append(f"{side}: {data.request_id} took longer than the time between request and completion")
            if not _FIRST_YEAR <= data.requested_at.year <= data.completed_at.year <= _LAST_YEAR:
                problems.append(f"{side}: {data.request_id} is of the year {data.requested_at.year}")
            elif asked is not None and abs(data.completed_at - asked) > _APART:
                year = data.completed_at.year
                problems.append(f"{side}: {data.request_id} is of {year}, the recording began in {asked.year}")
            error = data.error_detail
            if error is not None:
                outside = max(error.timestamp - data.completed_at, data.requested_at - error.timestamp)
                if outside > _FAILED_WITHIN:
                    failed[side].append(f"{side}: the error of {data.request_id} is of {error.timestamp:%Y-%m-%d}")
            sent_after = event.event_timestamp - data.completed_at
            if not is_bare(event) and sent_after < -_CLOCKS:
                problems.append(f"{side}: {data.request_id} is sent before it is completed")
            elif not is_bare(event) and sent_after > _SENT_WITHIN:
                problems.append(f"{side}: {data.request_id} is sent {sent_after.days:,} days after it is completed")
    recorded, live = failed.values()
    problems += () if recorded else live  # else the clock of whoever reports errors is set so
    return exact(problems, f"{compared} callbacks have times that can be true")


@check("cost", group=GROUP)
def cost(case: Case, limits: Limits) -> Outcome:
    """Does a token cost the same on both sides, and are tokens added up rightly?"""
    recorded, live = (_measured(_answers(events)) for events in case.events)
    problems = []
    wrong_sums = [_wrong_sums(side) for side in (recorded, live)]
    if wrong_sums[1] > wrong_sums[0]:
        problems.append(f"{wrong_sums[1]} of {len(live)} live totals are not prompt plus completion tokens")
    errors = [_measured(event for event in events if not event.data.succeeded) for events in case.events]
    of_errors = [_wrong_sums(side) for side in errors]
    if of_errors[1] and errors[0] and not of_errors[0]:
        problems.append(f"{of_errors[1]} totals of {len(errors[1])} live errors are not prompt plus completion tokens")
    known = [
        {event.data.request_metadata.get("cost_known", True) is not False for event in s} for s in (recorded, live)
    ]
    if recorded and live and known[0] != known[1]:
        problems.append(f"cost known: recorded {_yes(known[0])}, live {_yes(known[1])}")
    prices = [_price(side) for side in (recorded, live)]
    if recorded and live and not np.isclose(prices[0], prices[1], rtol=0.01, atol=1e-12):
        problems.append(f"a million tokens cost {prices[0] * 1e6:.4g} dollars recorded, {prices[1] * 1e6:.4g} live")
    if mispriced := _mispriced(recorded, live):
        problems.append(f"{mispriced} of {len(live)} live answers do not cost what their tokens cost in the recording")
    return exact(problems, f"a million tokens cost {prices[0] * 1e6:.4g} dollars on both sides")


def _texts_dropped(case: Case) -> str | None:
    """Redaction puts one word in the place of each text."""
    for side, events in zip(_SIDES, case.events, strict=True):
        texts = {event.data.justification for event in _answers(events)}
        if texts == {REDACTED}:
            return f"redaction has dropped the {side} texts"
    return None


@check("justification", group=GROUP, not_applicable=_texts_dropped)
def justification(case: Case, limits: Limits) -> Outcome:
    """Does the judge give reasons of the same kind: there, of like length, of like variety?"""
    sides = [[event.data.justification or "" for event in _answers(events)] for events in case.events]
    if not all(sides):
        return exact([], "a side has no answer")
    problems = []
    empty = [sum(not text.strip() for text in side) / len(side) for side in sides]
    if abs(empty[1] - empty[0]) > 0.1:
        problems.append(f"empty: {empty[0]:.0%} recorded, {empty[1]:.0%} live")
    length = [float(np.mean([len(text) for text in side])) for side in sides]
    if max(length) > 3 * max(min(length), 5.0):
        problems.append(f"mean length: {length[0]:.0f} characters recorded, {length[1]:.0f} live")
    different = [len(set(side)) for side in sides]
    if min(len(side) for side in sides) >= _FEW_TEXTS and (different[0] > 1) != (different[1] > 1):
        problems.append(f"different texts: {different[0]} recorded, {different[1]} live")
    return exact(
        problems, f"{length[0]:.0f} and {length[1]:.0f} characters on average, {different[0]} and {different[1]} texts"
    )


@check("labels", group=GROUP)
def labels(case: Case, limits: Limits) -> Outcome:
    """Are queue mode and bundle size what that side asked for?"""
    problems = []
    wanted = case.live_labels
    for event in case.live.pooled_events:
        for name, values in wanted.items():
            found = event.data.request_metadata.get(name)
            if found not in values:
                problems.append(f"live: {name} is {found!r}, asked for {_named(values)}")
    for side, events in zip(_SIDES, case.events, strict=True):
        for event in events:
            size = event.data.request_metadata.get("preferred_bundle_size")
            if size is not None and not (isinstance(size, int) and 1 <= size <= 64):
                problems.append(f"{side}: preferred_bundle_size is {size!r}, which is not 1 to 64")
            problems += [
                f"{side}: {name} is {wave}, which is less than 0"
                for name in _WAVES
                if isinstance(wave := event.data.request_metadata.get(name), int) and wave < 0
            ]
    return exact(sorted(set(problems)), "every label is one that was asked for")


CHECKS = (identity, ids, times, cost, justification, labels)


def notes(case: Case) -> tuple[str, ...]:
    """Return what differs between the two sides and is no fault: batches, prompts, labels."""
    sides = case.events
    if not all(sides):
        return ()
    found = []
    digests = [{str(event.data.request_metadata.get("prompt_sha256") or "") for event in side} - {""} for side in sides]
    if all(digests) and digests[0].isdisjoint(digests[1]):
        found.append("no prompt is the same on both sides (by its hash); pairs and sides are compared instead")
    if not case.live_batch_ids:
        for name in (*_BATCH_IDS, *LABELS):
            values = [{event.data.request_metadata.get(name) for event in side} for side in sides]
            if values[0] != values[1]:
                found.append(f"{name}: recorded {_named(values[0])}, live {_named(values[1])}")
        # A side may have lost waves, or asked more at once.
        waves = [_waves(side) for side in sides]
        if all(waves) and waves[0] != waves[1]:
            found.append(f"waves: recorded {waves[0]}, live {waves[1]}")
    # Of other keys only that they differ: nobody knows what is in them.
    others = [name for name in _other_keys(sides) if _texts(sides[0], name) != _texts(sides[1], name)]
    if others:
        found.append(f"other values in request_metadata: {', '.join(others)}")
    return tuple(found)


# Keys of `request_metadata` that a check looks at, or that belong to one comparison.
_KNOWN_KEYS = {
    *IDENTITY, *LABELS, *_BATCH_IDS, "essay_a_id", "essay_b_id", "prompt_sha256", "cost_known",
    *_WAVES, *ANSWER_MARKS,
}  # fmt: skip


def _waves(side: Events) -> str:
    """Return the numbers of the waves of a side as a range; empty where no callback has one."""
    metadata = [event.data.request_metadata for event in side]
    found = [wave for keys in metadata for name in _WAVES if isinstance(wave := keys.get(name), int)]
    return f"{min(found)} to {max(found)}" if found else ""


def _other_keys(sides: Iterable[Events]) -> list[str]:
    return sorted({key for side in sides for event in side for key in event.data.request_metadata} - _KNOWN_KEYS)


def _texts(side: Events, key: str) -> set[str]:
    return {str(event.data.request_metadata.get(key)) for event in side}


def is_bare(event: CallbackEvent) -> bool:
    """Whether the event came without an envelope, so that its envelope says nothing."""
    return bool(getattr(event, "bare", False))


def _answers(events: Iterable[CallbackEvent]) -> list[CallbackEvent]:
    """A failed call may not know its model; only answers say who judged."""
    return [event for event in events if event.data.succeeded]


def _measured(events: Iterable[CallbackEvent]) -> list[CallbackEvent]:
    """An answer whose tokens are not known has no price to compare."""
    return [event for event in events if is_measured(event.data.request_metadata)]


def _errors_of_others(events: Events) -> list[bool]:
    """Return of each error whether its correlation id is not that of its callback."""
    found = ((event.data.error_detail, event.data.correlation_id) for event in events)
    return [error.correlation_id != its_own for error, its_own in found if error is not None]


def _shared_correlations(events: Events) -> int:
    """Count the pairs that have the correlation id of another; one that is asked again may keep its own."""
    asked = {(event.data.correlation_id, frozenset(event.data.essay_ids())) for event in events}
    return len(asked) - len({correlation_id for correlation_id, _ in asked})


def _id_problems(events: Events, known: set[str]) -> list[str]:
    problems = []
    requests: defaultdict[str, int] = defaultdict(int)
    for event in events:
        data = event.data
        requests[data.request_id] += 1
        if event.correlation_id != data.correlation_id:
            problems.append(f"{data.request_id}: envelope and data have different correlation ids")
        problems += [f"{data.request_id}: essay '{e}' is not in the net" for e in data.essay_ids() if e not in known]
        digest = data.request_metadata.get("prompt_sha256")
        if isinstance(digest, str) and (len(digest) != 64 or set(digest) - set("0123456789abcdef")):
            problems.append(f"{data.request_id}: prompt_sha256 is not 64 hex digits")
    repeated = sum(count > 1 for count in requests.values())
    if repeated:
        problems.append(f"{repeated} request ids came back more than once")
    of_event = defaultdict(set)
    for event in events:
        if not is_bare(event):  # one that is delivered twice keeps its id and its request
            of_event[event.event_id].add(event.data.request_id)
    if shared := sum(len(answered) > 1 for answered in of_event.values()):
        problems.append(f"{shared} event ids name more than one request")
    return problems


def _copied(sides: Sequence[Events]) -> list[str]:
    """Return what is wrong where answers of one side alone are there twice under two ids: same pair, times and tokens.

    Answers that took no time are left out: invented times are equal without being copies.
    """
    copies = []
    for side in sides:
        timed = [event.data for event in side if event.data.response_time_ms > 0]
        copies.append(len(timed) - len({_answer_but_ids(data) for data in timed}))
    return [
        f"{side}: {count} of {len(events)} callbacks are copies of others under new ids"
        for side, events, count, other in zip(_SIDES, sides, copies, reversed(copies), strict=True)
        if count and not other
    ]


def _answer_but_ids(data: LLMComparisonResultV1) -> tuple[object, ...]:
    usage, batch = data.token_usage, data.request_metadata.get("bos_batch_id")
    times = data.requested_at, data.completed_at, data.response_time_ms
    return data.essay_ids(), str(batch), times, usage.total_tokens, data.winner


def _shared_hashes(events: Events) -> list[str]:
    """Return what is wrong where one prompt hash is there for two pairs or two orders, on one side or on both."""
    pairs: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for event in events:
        digest = event.data.request_metadata.get("prompt_sha256")
        if isinstance(digest, str):
            pairs[digest].add(event.data.essay_ids())
    shared = [found for found in pairs.values() if len(found) > 1]
    unordered = {frozenset(pair) for found in shared[:1] for pair in found}
    what = "both orders of a pair" if len(unordered) == 1 else f"{len(unordered)} different pairs"
    return [f"{len(shared)} prompt hashes are there more than once; the first for {what}"] if shared else []


def _wrong_sums(events: Events) -> int:
    return sum(
        usage.prompt_tokens + usage.completion_tokens != usage.total_tokens
        for usage in (event.data.token_usage for event in events)
    )


def _mispriced(recorded: Events, live: Events) -> int:
    """Return how many live answers cost something else than the recorded price of their tokens; few are none.

    0 where recorded costs do not follow from prompt and completion tokens (a cache has prices of its own).
    """
    if len(recorded) < _PRICED or not live:
        return 0
    tokens, costs = zip(*(_tokens_and_costs(side) for side in (recorded, live)), strict=True)
    price = np.linalg.lstsq(tokens[0], costs[0], rcond=None)[0]
    foretold = [side @ price for side in tokens]
    largest = float(costs[0].max())
    if largest <= 0.0 or np.abs(foretold[0] - costs[0]).max() > 0.02 * largest:
        return 0
    off = int((np.abs(foretold[1] - costs[1]) > 0.1 * np.maximum(foretold[1], 1e-12)).sum())
    return off if off > 0.05 * len(live) else 0


def _tokens_and_costs(events: Events) -> tuple[FloatArray, FloatArray]:
    usages = [event.data.token_usage for event in events]
    tokens = np.array([(usage.prompt_tokens, usage.completion_tokens) for usage in usages], dtype=np.float64)
    return tokens, np.array([event.data.cost_estimate for event in events], dtype=np.float64)


def _price(events: Events) -> float:
    """Return dollars a token, all answers together."""
    tokens = sum(event.data.token_usage.total_tokens for event in events)
    return sum(event.data.cost_estimate for event in events) / tokens if tokens else 0.0


def _named(values: Iterable[object]) -> str:
    texts = sorted({"absent" if value is None else str(value) for value in values})
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "") if texts else "nothing"


def _yes(values: set[bool]) -> str:
    return "/".join("yes" if value else "no" for value in sorted(values))
