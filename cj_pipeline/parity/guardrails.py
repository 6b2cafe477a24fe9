"""This module checks /metrics: did the service really do what the callbacks suggest?

Production's seven guardrails for serial bundles, and their variant for jobs of batch_api. Bucket bounds are read as
floats: clients print `le="1.0"`, and a rule that wants an integer there never checks anything. The rules on bundles
apply in serial_bundle mode, those on jobs in batch_api mode, all others in every mode.
"""

from __future__ import annotations

from math import ceil, inf, isfinite

from cj_pipeline.contracts.comparison import MAX_BUNDLE
from cj_pipeline.contracts.enums import BatchJobStatus, Provider, QueueProcessingMode
from cj_pipeline.parity.check import Case, Limits, Outcome, check, everywhere, needs_metrics
from cj_pipeline.runs.record import Sample
from cj_pipeline.traces.scenario import Profile

GROUP = "service"
PREFIX = "llm_provider_"
RESULTS = {"success", "failure", "expired"}


def needs_bundles(case: Case) -> str | None:
    """For the rules on bundles."""
    return _needs_mode(case, QueueProcessingMode.SERIAL_BUNDLE)


def needs_jobs(case: Case) -> str | None:
    """For the rules on jobs of batch_api."""
    return _needs_mode(case, QueueProcessingMode.BATCH_API)


@check("guardrail_bundle_calls", group=GROUP, floors=everywhere(at_least_calls=1), not_applicable=needs_bundles)
def bundle_calls(case: Case, limits: Limits) -> Outcome:
    """Did the service make bundled calls, and, where requests say how many belong together, few of them?"""
    model, calls = _busiest_model(case, "serial_bundle_calls_total")
    most = _most_calls(case)
    return Outcome(
        passed=limits["at_least_calls"] <= calls <= most,
        live=calls,
        value=calls,
        floor=limits["at_least_calls"],
        ceiling=most if isfinite(most) else None,
        unit="calls",
        tolerance=f"at least {limits['at_least_calls']:g}{f' and at most {most:g}' if isfinite(most) else ''}",
        sentence=f"{calls:g} calls for model '{model}'" if model is not None else "no bundled call is counted",
    )


@check("guardrail_bundle_items", group=GROUP, floors=everywhere(at_least_calls=1), not_applicable=needs_bundles)
def bundle_items(case: Case, limits: Limits) -> Outcome:
    """Is the size of every bundle on record, and within the cap?"""
    model, calls = _busiest_model(case, "serial_bundle_calls_total")
    cap = case.scenario.service.serial_bundle_max_requests_per_call
    observed = _total(case, "serial_bundle_items_per_call_count", provider=_asked(case), model=model or "")
    largest = _largest(case, "serial_bundle_items_per_call", model or "", observed)
    return Outcome(
        passed=observed >= limits["at_least_calls"] and observed == calls and 1 <= largest <= cap,
        live=largest,
        value=largest,
        floor=1,
        ceiling=cap,
        unit="items",
        tolerance=f"one size per call, the largest between 1 and {cap}",
        sentence=f"{observed:g} bundles on record for {calls:g} calls, the largest of at most {largest:g} items",
    )


@check("guardrail_batch_jobs", group=GROUP, floors=everywhere(at_least_jobs=1), not_applicable=needs_jobs)
def batch_jobs(case: Case, limits: Limits) -> Outcome:
    """Were jobs scheduled, and did all of them come to a good end?"""
    model, scheduled = _busiest_model(case, "batch_api_jobs_total", status=BatchJobStatus.SCHEDULED)
    completed = _jobs(case, model, BatchJobStatus.COMPLETED)
    return Outcome(
        passed=scheduled >= limits["at_least_jobs"] and completed == scheduled,
        live=completed,
        value=completed,
        floor=max(scheduled, limits["at_least_jobs"]),
        ceiling=scheduled,
        unit="jobs",
        tolerance=f"at least {limits['at_least_jobs']:g} scheduled, all completed",
        sentence=f"{scheduled:g} jobs scheduled for model '{model}', {completed:g} completed"
        if model is not None
        else "no job is counted",
    )


@check("guardrail_batch_items", group=GROUP, floors=everywhere(at_least_jobs=1), not_applicable=needs_jobs)
def batch_items(case: Case, limits: Limits) -> Outcome:
    """Is the size of every job on record, and within the cap?"""
    model, scheduled = _busiest_model(case, "batch_api_jobs_total", status=BatchJobStatus.SCHEDULED)
    cap = case.scenario.service.serial_bundle_max_requests_per_call
    observed = _total(case, "batch_api_items_per_job_count", provider=_asked(case), model=model or "")
    largest = _largest(case, "batch_api_items_per_job", model or "", observed)
    return Outcome(
        passed=observed >= limits["at_least_jobs"] and observed == scheduled and 1 <= largest <= cap,
        live=largest,
        value=largest,
        floor=1,
        ceiling=cap,
        unit="items",
        tolerance=f"one size per job, the largest between 1 and {cap}",
        sentence=f"{observed:g} sizes on record for {scheduled:g} jobs, the largest of at most {largest:g} items",
    )


@check("guardrail_batch_duration", group=GROUP, floors=everywhere(at_least_jobs=1), not_applicable=needs_jobs)
def batch_duration(case: Case, limits: Limits) -> Outcome:
    """Is it on record how long every job took?"""
    model, _ = _busiest_model(case, "batch_api_jobs_total", status=BatchJobStatus.SCHEDULED)
    ended = sum(_jobs(case, model, status) for status in _ENDS)
    observed = _total(case, "batch_api_job_duration_seconds_count", provider=_asked(case), model=model or "")
    took = _total(case, "batch_api_job_duration_seconds_sum", provider=_asked(case), model=model or "")
    average = took / observed if observed else 0.0
    return Outcome(
        passed=observed >= limits["at_least_jobs"] and observed == ended and average >= 0,
        live=observed,
        value=observed,
        floor=max(ended, limits["at_least_jobs"]),
        ceiling=ended,
        unit="jobs",
        tolerance=f"at least {limits['at_least_jobs']:g}, one duration for each job that ended",
        sentence=f"{observed:g} durations on record for {ended:g} jobs, {average:.2f} s on average",
    )


# Not of profile `judge`: behind a judge that takes 15 s, 66 requests wait 385 s on average, and should.
_QUEUE_WAIT: dict[Profile, Limits] = {
    profile: {"seconds": 120.0} for profile in Profile if profile is not Profile.JUDGE
}


@check("guardrail_queue_wait", group=GROUP, floors=_QUEUE_WAIT, not_applicable=needs_metrics)
def queue_wait(case: Case, limits: Limits) -> Outcome:
    """Do requests wait no longer than they may?"""
    mode = case.scenario.service.queue_processing_mode.value
    count = _total(case, "queue_wait_time_seconds_count", queue_processing_mode=mode)
    average = _total(case, "queue_wait_time_seconds_sum", queue_processing_mode=mode) / count if count else 0.0
    return Outcome(
        passed=count > 0 and 0 <= average <= limits["seconds"],
        live=average,
        value=average,
        floor=0,
        ceiling=limits["seconds"],
        unit="s",
        tolerance=f"some wait on record, mean between 0 and {limits['seconds']:g} s",
        sentence=f"{average:.2f} s on average over {count:g} requests" if count else "no wait is on record",
    )


@check("guardrail_results", group=GROUP, not_applicable=needs_metrics)
def results(case: Case, limits: Limits) -> Outcome:
    """Does every request end in one of the known ways?"""
    mode = case.scenario.service.queue_processing_mode.value
    found = {
        sample.labels.get("result", "")
        for sample in _samples(case, "queue_wait_time_seconds_count", queue_processing_mode=mode)
        if sample.value > 0
    }
    strangers = sorted(found - RESULTS)
    return Outcome(
        passed=bool(found) and not strangers,
        value=len(strangers),
        ceiling=0,
        unit="labels",
        tolerance=f"some, all among {', '.join(sorted(RESULTS))}",
        sentence=f"results on record: {', '.join(sorted(found)) or 'none'}",
    )


@check("guardrail_callbacks", group=GROUP, not_applicable=needs_metrics)
def callbacks(case: Case, limits: Limits) -> Outcome:
    """Does the service count as many callbacks as arrived?"""
    mode = case.scenario.service.queue_processing_mode.value
    counted = _total(case, "comparison_callbacks_total", queue_processing_mode=mode)
    arrived = len(case.live.pooled_callbacks)
    return Outcome(
        passed=counted == arrived and counted >= 1,
        recorded=None,
        live=counted,
        value=counted - arrived,
        floor=0,
        ceiling=0,
        unit="callbacks",
        tolerance="equal, and at least 1",
        sentence=f"{counted:g} counted by the service, {arrived} arrived",
    )


@check("guardrail_queue_depth", group=GROUP, floors=everywhere(items=1000), not_applicable=needs_metrics)
def queue_depth(case: Case, limits: Limits) -> Outcome:
    """Does the queue stay within its size?"""
    depths = [sample.value for sample in _samples(case, "queue_depth", queue_type="total")]
    deepest = max(depths, default=0.0)
    return Outcome(
        passed=bool(depths) and 0 <= deepest <= limits["items"],
        live=deepest,
        value=deepest,
        floor=0,
        ceiling=limits["items"],
        unit="requests",
        tolerance=f"on record, at most {limits['items']:g}",
        sentence=f"{deepest:g} requests in the queue at the end" if depths else "no depth is on record",
    )


CHECKS = (
    *(bundle_calls, bundle_items),
    *(batch_jobs, batch_items, batch_duration),
    *(queue_wait, results, callbacks, queue_depth),
)

_ENDS = (BatchJobStatus.COMPLETED, BatchJobStatus.FAILED, BatchJobStatus.CANCELLED)


def _needs_mode(case: Case, mode: QueueProcessingMode) -> str | None:
    runs_in = case.scenario.service.queue_processing_mode
    return needs_metrics(case) if runs_in is mode else f"the service runs in {runs_in} mode"


def _samples(case: Case, name: str, **labels: str) -> list[Sample]:
    """Samples of one series with these labels; a sample that lacks a label is taken, as older services have fewer."""
    return [
        sample
        for sample in case.live.document.service_metrics
        if sample.name == PREFIX + name and all(sample.labels.get(key, value) == value for key, value in labels.items())
    ]


def _total(case: Case, name: str, **labels: str) -> float:
    return sum(sample.value for sample in _samples(case, name, **labels))


def _asked(case: Case) -> Provider:
    """Whom the requests named: so the service labels what it counts, also where the mock stands in."""
    return next((data.provider for data in case.live.pooled_callbacks), case.scenario.provider.name)


def _most_calls(case: Case) -> float:
    """Half as many again as the hints ask for, and one for each retry; inf where a request has no hint."""
    cap = case.scenario.service.serial_bundle_max_requests_per_call
    found = [data.request_metadata.get("preferred_bundle_size") for data in case.live.pooled_callbacks]
    hints = [hint for hint in found if isinstance(hint, int) and hint >= 1]
    if len(hints) < len(found):
        return inf
    # A hint is the size of its wave, and a wave that is larger than any hint may leave one request over.
    asked_for = sum(ceil(hint / cap) / hint * (2 if hint == MAX_BUNDLE else 1) for hint in hints)
    return 1.5 * asked_for + 1 + _total(case, "queue_retries_total")


def _jobs(case: Case, model: str | None, status: BatchJobStatus) -> float:
    return _total(case, "batch_api_jobs_total", provider=_asked(case), model=model or "", status=status)


def _busiest_model(case: Case, name: str, **labels: str) -> tuple[str | None, float]:
    """The model for which a counter is highest (the profile's), and its value; (None, 0) when none is counted."""
    samples = _samples(case, name, provider=_asked(case), **labels)
    if not samples:
        return None, 0.0
    busiest = max(samples, key=lambda sample: (sample.value, sample.labels.get("model", "")))
    return busiest.labels.get("model"), busiest.value


def _largest(case: Case, name: str, model: str, calls: float) -> float:
    """Upper bound of the largest bundle or job: the smallest finite bucket that holds all; inf when none does."""
    buckets = _samples(case, f"{name}_bucket", provider=_asked(case), model=model)
    holding = [float(sample.labels["le"]) for sample in buckets if sample.value >= calls > 0]
    return min((bound for bound in holding if isfinite(bound)), default=float("inf"))
