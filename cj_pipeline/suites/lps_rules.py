"""This module holds what must come of a test of the LPS: production's rules, with the limits of parity's profiles.

The figures are compared with those of the recording. The guardrails on /metrics are parity's own checks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.enums import Provider, QueueProcessingMode, Winner
from cj_pipeline.parity import guardrails
from cj_pipeline.parity.check import Case
from cj_pipeline.parity.compare import BY_NAME
from cj_pipeline.runs.record import RunRecord, Sample, Side, unreplayed_record
from cj_pipeline.suites.asking import Batch, Played
from cj_pipeline.suites.profiles import ProfileTest, SuiteProfile
from cj_pipeline.suites.result import Rule, held
from cj_pipeline.traces.scenario import Profile, Scenario, Service
from cj_pipeline.traces.summary import Summary, summarise

# Two floats apart by what a share of ten comparisons cannot be: 4/10 - 2/10 is more than .2 as floats.
_ROUNDING = 1e-9

_TOKENS = {
    "tokens_prompt": "prompt_tokens",
    "tokens_completion": "completion_tokens",
    "tokens_total": "total_tokens",
}
_LATENCIES = {"latency_mean": "mean_ms", "latency_p95": "p95_ms"}


def rules_of(profile: SuiteProfile, test: ProfileTest, played: Played, recorded: Summary) -> Iterator[Rule]:
    """Yield the rules of a test. recorded: the figures of the profile's recording."""
    yield held(
        "arrivals",
        not played.problem,
        played.problem or f"{sum(map(len, played.batches))} callbacks came",
        f"all within {test.budget_s:g} s",
    )
    if played.problem:
        return
    yield _answers(test, played.batches)
    summaries = [_summary(batch) for batch in played.batches]
    whole = _summary(sum(played.batches, ()))
    yield from _winners(profile.profile, test, [*summaries, whole], recorded)
    for name in _TOKENS:
        yield _tokens(name, profile.profile, whole, recorded)
    for name in _LATENCIES:
        yield _latency(name, profile.profile, whole, recorded)
    if test.steady:
        yield _same_winners(played.batches)
    if test.all_a:
        yield _same_tokens(summaries)


def guardrail_rules(
    scenario: Scenario,
    events: Sequence[CallbackEvent],
    metrics: tuple[Sample, ...],
    strategy: QueueProcessingMode,
    provider: Provider,
) -> Iterator[Rule]:
    """Yield parity's guardrails over what the service counted for these callbacks. provider: whom requests named."""
    asked = scenario.provider.model_copy(update={"name": provider})
    in_mode = scenario.model_copy(update={"service": Service(queue_processing_mode=strategy), "provider": asked})
    live = _record(in_mode, tuple(events), metrics)
    case = Case(scenario=in_mode, recorded=live, live=live)
    for check in guardrails.CHECKS:
        if check.not_applicable(case) is None:
            assert check.function is not None  # noqa: S101 - a guardrail is no statistical gate
            outcome = check.function(case, check.limits(in_mode.profile, {}))
            yield held(check.name, outcome.passed, outcome.sentence, outcome.tolerance)


def _record(scenario: Scenario, events: Batch, metrics: tuple[Sample, ...]) -> RunRecord:
    record = unreplayed_record(
        events,
        scenario_id=scenario.scenario_id,
        essays=len({essay for event in events for essay in event.data.essay_ids()}),
        side=Side.LIVE,
        judge=scenario.mode,
        judge_sha256="0" * 64,
        seed=scenario.live.seed,
        quarantined_lines=0,
    )
    return record.model_copy(update={"document": record.document.model_copy(update={"service_metrics": metrics})})


def _summary(batch: Batch) -> Summary:
    return summarise([event.data for event in batch], "live")


def _answers(test: ProfileTest, batches: Sequence[Batch]) -> Rule:
    """Every callback is a verdict with its reasons, and about what was asked."""
    wrong = []
    for bos_batch_id, batch in zip(test.batches, batches, strict=True):
        for pair, event in zip(test.pairs, batch, strict=True):
            data = event.data
            if not data.succeeded or not data.justification or not 1.0 <= (data.confidence or 0.0) <= 5.0:
                code = "no verdict" if data.error_detail is None else data.error_detail.error_code
                wrong.append(f"{data.request_id}: {code}")
            elif data.essay_ids() != pair or data.request_metadata.get("bos_batch_id") != bos_batch_id:
                wrong.append(f"{data.request_id}: not about what was asked")
    asked = len(test.pairs) * len(batches)
    sentence = f"{asked - len(wrong)} of {asked} are verdicts about what was asked"
    return held("answers", not wrong, "; ".join([sentence, *wrong[:3]]), "all, with justification and confidence")


def _share(summary: Summary, winner: Winner) -> float:
    return summary.winner_counts.get(winner.value, 0) / max(1, summary.success_count)


def _winners(profile: Profile, test: ProfileTest, batches: Sequence[Summary], recorded: Summary) -> Iterator[Rule]:
    """The share of each label in each batch, and in all of them together."""
    limits = BY_NAME["winner_share"].limits(profile, {})
    shares = [_share(summary, Winner.A) for summary in batches]
    told = f"A wins {', '.join(f'{share:.2f}' for share in shares)}; recorded {_share(recorded, Winner.A):.2f}"
    if "at_least_a" in limits or test.all_a:
        least = 1.0 if test.all_a else limits["at_least_a"]
        yield held("winners", min(shares) >= least - _ROUNDING, told, f"A in at least {least:g}")
        return
    drift = limits["difference"] if test.winner_drift is None else test.winner_drift
    apart = max(abs(share - _share(recorded, Winner.A)) for share in shares)
    yield held("winners", apart <= drift + _ROUNDING, told, f"within {drift:g} of the recorded share")
    if test.b_wins:
        yield held("b_wins", max(shares) <= 0.5 + _ROUNDING, told, "B at least as often as A")


def _tokens(name: str, profile: Profile, live: Summary, recorded: Summary) -> Rule:
    limits = BY_NAME[name].limits(profile, {})
    was, now = (getattr(summary.token_usage, _TOKENS[name]).mean for summary in (recorded, live))
    reach = max(limits["slack"], limits["share"] * was)
    return held(name, abs(now - was) <= reach, f"mean {now:.1f}, recorded {was:.1f}", f"within {reach:.1f}")


def _latency(name: str, profile: Profile, live: Summary, recorded: Summary) -> Rule:
    """Production's upper end, and a lower one: a mock that answers in no time is none."""
    limits = BY_NAME[name].limits(profile, {})
    was, now = (float(getattr(summary.response_time_ms, _LATENCIES[name])) for summary in (recorded, live))
    least, most = limits["at_least_share"] * was - limits["slack_ms"], was + limits["above_ms"]
    return held(
        name, least <= now <= most, f"{now:.0f} ms, recorded {was:.0f} ms", f"{max(0.0, least):.0f} to {most:.0f} ms"
    )


def _same_winners(batches: Sequence[Batch]) -> Rule:
    """Each pair has one winner over all batches."""
    winners: defaultdict[frozenset[str], set[str | None]] = defaultdict(set)
    for batch in batches:
        for event in batch:
            winners[frozenset(event.data.essay_ids())].add(event.data.winning_essay())
    flips = sum(len(won) > 1 for won in winners.values())
    return held("same_winners", not flips, f"{flips} of {len(winners)} pairs change their winner", "none")


def _same_tokens(summaries: Sequence[Summary]) -> Rule:
    means = {tuple(getattr(one.token_usage, kind).mean for kind in _TOKENS.values()) for one in summaries}
    return held("same_tokens", len(means) == 1, f"{len(means)} different means in {len(summaries)} batches", "one")
