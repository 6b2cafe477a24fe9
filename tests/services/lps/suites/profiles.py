"""The profile suites: a scenario's comparisons, put to a service under its mode and held against the recording.

Here: asking over HTTP and waiting for callbacks, what every callback must be, the limits, the guardrails on /metrics.
Not here: what each suite asks (its own module), where the service runs (targets.py).

The limits are production's. Where a rule of production's could not fail or asked for the wrong thing, the right one
stands here and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.enums import QueueProcessingMode, Winner
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.parity import guardrails
from cj_pipeline.parity.check import Case, Outcome
from cj_pipeline.parity.compare import BY_NAME
from cj_pipeline.runs.service_metrics import parse_metrics
from cj_pipeline.traces.scenario import Service
from cj_pipeline.traces.summary import Summary, summarise
from tests.services.lps.suites.targets import Endpoint, Target
from tests.sides import TRACES, recorded, scenario, trace

Events = tuple[CallbackEvent, ...]

# Two floats apart by what a share of ten comparisons cannot be: 4/10 - 2/10 is more than .2 as floats.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Asked:
    """One comparison, in the orientation in which it is shown."""

    essay_a: str
    essay_b: str


@dataclass(frozen=True)
class Suite:
    """What one profile's suites share. budget_s: on the loop's clock, from the first POST to the last callback."""

    scenario_id: str
    mode: str
    topic: str
    budget_s: float
    hint: str | None = "per_request"
    model: str | None = None

    @property
    def recorded(self) -> Summary:
        """The committed baseline."""
        text = (TRACES / self.scenario_id / "summary.json").read_text(encoding="utf-8")
        return Summary.model_validate_json(text)

    def recorded_events(self) -> Events:
        return tuple(line.event for line in trace(self.scenario_id).callbacks.events)

    def recorded_comparisons(self) -> list[Asked]:
        """As they were asked: who wins as `Essay A` says nothing about a pair that is shown the other way round."""
        return [Asked(*event.data.essay_ids()) for event in self.recorded_events()]


@dataclass(frozen=True)
class Played:
    """What came of a suite's batches: callbacks in the order of asking, and what the service then said on /metrics."""

    suite: Suite
    batches: tuple[Events, ...]
    metrics: str

    @property
    def events(self) -> Events:
        """Of all batches."""
        return sum(self.batches, ())


def play(
    target: Target,
    suite: Suite,
    batches: Mapping[str, Sequence[Asked]],
    *,
    mode: str | None = None,
    **settings: Any,
) -> Played:
    """Put batches, by their bos_batch_id, to a fresh service. mode: the suite's own unless given."""

    async def work() -> Played:
        expression = mode or suite.mode
        async with target.service(expression, **settings) as endpoint:
            await require_mode(endpoint, expression)
            answered = [await ask(endpoint, suite, asked, batch_id) for batch_id, asked in batches.items()]
            metrics = await endpoint.client.get("/metrics")
            assert metrics.status_code == 200
        return Played(suite, tuple(answered), metrics.text)

    return target.run(work())


async def require_mode(endpoint: Endpoint, mode: str) -> None:
    """The service says itself that it is a mock under this mode; against another one a suite would prove nothing."""
    answer = await endpoint.client.get("/admin/mock-mode", timeout=5.0)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["use_mock_llm"] is True
    assert told["mock_mode"] == mode
    assert told["default_provider"] == "openai"  # of the settings; a suite asks for the mock by name


async def ask(endpoint: Endpoint, suite: Suite, asked: Sequence[Asked], bos_batch_id: str) -> Events:
    """Post comparisons and wait for their callbacks; in the order in which they were asked.

    Raises TimeoutError when they are not all there in time.
    """
    callbacks = endpoint.subscribe(suite.topic)
    async with asyncio.timeout(suite.budget_s):
        queue_ids = [
            await _post(endpoint, suite, comparison, bos_batch_id, number) for number, comparison in enumerate(asked)
        ]
        assert len(set(queue_ids)) == len(asked)
        arrived: dict[str, CallbackEvent] = {}
        while len(arrived) < len(asked):
            event = parse_callback((await callbacks.next()).value)
            assert not isinstance(event, Rejection), event
            if event.data.request_metadata.get("bos_batch_id") != bos_batch_id:
                continue  # of an earlier batch on the same topic
            assert event.data.request_id not in arrived, "a callback came twice"
            arrived[event.data.request_id] = event
    assert arrived.keys() == set(queue_ids)
    events = tuple(arrived[queue_id] for queue_id in queue_ids)
    for comparison, event in zip(asked, events, strict=True):
        require_echo(event, comparison, bos_batch_id)
    return events


async def _post(endpoint: Endpoint, suite: Suite, asked: Asked, bos_batch_id: str, number: int) -> str:
    metadata: dict[str, Any] = {
        "essay_a_id": asked.essay_a,
        "essay_b_id": asked.essay_b,
        "bos_batch_id": bos_batch_id,
    }
    if suite.hint is not None:
        metadata["cj_llm_batching_mode"] = suite.hint
    overrides: dict[str, Any] = {"provider_override": "mock"}
    if suite.model is not None:
        overrides["model_override"] = suite.model
    body = {
        # By the pair and not by the batch: a mock that goes by the prompt must be constant over batches.
        "user_prompt": f"Compare {keyed_uuid('essay', asked.essay_a)} with {keyed_uuid('essay', asked.essay_b)}.",
        "callback_topic": suite.topic,
        "correlation_id": str(keyed_uuid("suite", bos_batch_id, number)),
        "metadata": metadata,
        "llm_config_overrides": overrides,
    }
    answer = await endpoint.client.post("/api/v1/comparison", json=body, timeout=15.0)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["queue_id"])


def require_echo(event: CallbackEvent, asked: Asked, bos_batch_id: str) -> None:
    """A verdict with its reasons, about what was asked."""
    data = event.data
    assert data.succeeded, data.error_detail
    assert data.winner in (Winner.A, Winner.B)
    assert data.justification
    assert data.confidence is not None
    assert 1.0 <= data.confidence <= 5.0
    assert data.essay_ids() == (asked.essay_a, asked.essay_b)
    assert data.request_metadata["bos_batch_id"] == bos_batch_id
    assert event.correlation_id == data.correlation_id


def summary_of(events: Sequence[CallbackEvent]) -> Summary:
    return summarise([event.data for event in events], "live")


def share(summary: Summary, winner: Winner) -> float:
    """Of successes."""
    return summary.winner_counts.get(winner.value, 0) / summary.success_count


def require_counts(live: Summary, total: int) -> None:
    assert (live.total_events, live.success_count, live.error_count) == (total, total, 0)
    assert live.error_code_counts == {}


def require_shares(live: Summary, recorded: Summary, within: float) -> None:
    for winner in Winner:
        apart = abs(share(live, winner) - share(recorded, winner))
        assert apart <= within + ROUNDING, f"share of {winner.value}: {apart:.2f} from the recorded one"


def require_tokens(live: Summary, suite: Suite) -> None:
    """Means within production's bands around the recorded ones, or within the scenario's own where it has tighter ones.

    Production's: 50 % or 5 tokens, whichever is more; for completions of the anchors 100 % or 10 tokens.
    """
    of = scenario(suite.scenario_id)
    for check, kind in TOKENS.items():
        limits = BY_NAME[check].limits(of.profile, of.tolerances.get(check, {}))
        was, now = getattr(suite.recorded.token_usage, kind).mean, getattr(live.token_usage, kind).mean
        assert abs(now - was) <= max(limits["slack"], limits["share"] * was), f"{kind}: {now:g}, recorded {was:g}"


def require_latency(live: Summary, recorded: Summary) -> None:
    """Production's upper ends, and lower ones too.

    Production asks that mean and p95 be at least 0, which a mock that answers in no time fulfils; half of the recorded
    value is asked here, less 5 ms for recordings of a few milliseconds.
    """
    was, now = recorded.response_time_ms, live.response_time_ms
    assert 0.5 * was.mean_ms - 5.0 <= now.mean_ms <= was.mean_ms + 100.0, f"mean {now.mean_ms:g} ms"
    assert 0.5 * was.p95_ms - 5.0 <= now.p95_ms <= was.p95_ms + 200.0, f"p95 {now.p95_ms:g} ms"


TOKENS = {
    "tokens_prompt": "prompt_tokens",
    "tokens_completion": "completion_tokens",
    "tokens_total": "total_tokens",
}

BUNDLES = ("guardrail_bundle_calls", "guardrail_bundle_items")
JOBS = ("guardrail_batch_jobs", "guardrail_batch_items", "guardrail_batch_duration")
ALWAYS = ("guardrail_queue_wait", "guardrail_results", "guardrail_callbacks", "guardrail_queue_depth")


def guardrail_outcomes(played: Played, mode: QueueProcessingMode) -> dict[str, Outcome]:
    """Parity's own guardrails over what this service counted for these batches."""
    suite, side = played.suite, recorded(played.suite.scenario_id)
    document = side.document.model_copy(update={"service_metrics": parse_metrics(played.metrics)})
    live = side.model_copy(update={"document": document, "events": played.batches[0], "repeats": played.batches[1:]})
    in_mode = scenario(suite.scenario_id).model_copy(update={"service": Service(queue_processing_mode=mode)})
    case = Case(scenario=in_mode, recorded=side, live=live)
    return {
        rule.name: rule.function(case, rule.limits(in_mode.profile, {}))
        for rule in guardrails.CHECKS
        if rule.not_applicable(case) is None
    }


def require_guardrails(played: Played, mode: QueueProcessingMode = QueueProcessingMode.SERIAL_BUNDLE) -> None:
    """Production's seven rules for bundles, or those for jobs of batch_api."""
    outcomes = guardrail_outcomes(played, mode)
    assert set(outcomes) == {*(BUNDLES if mode is QueueProcessingMode.SERIAL_BUNDLE else JOBS), *ALWAYS}
    for name, outcome in outcomes.items():
        assert outcome.passed, f"{name}: {outcome.sentence} ({outcome.tolerance})"
