"""Checks on latency: not slower, not faster, the same tail, the same shape.

Production checks one direction only, so a mock that answers in 0 ms passes. Every limit here has two ends. The lower
end of mean and p95 gives way by 5 ms, below which a millisecond count says nothing about a service.
"""

from __future__ import annotations

from scipy.stats import wasserstein_distance

from cj_pipeline.foundation.numbers import percentile
from cj_pipeline.parity.check import Case, Limits, Outcome, check, everywhere
from cj_pipeline.parity.evidence import Evidence, difference_of_means
from cj_pipeline.parity.samples import FloatArray, latencies_ms, mean, within

GROUP = "latency"


@check("latency_mean", group=GROUP, floors=everywhere(above_ms=100, at_least_share=0.5, slack_ms=5))
def latency_mean(case: Case, limits: Limits) -> Outcome:
    """Does the judge take equally long on average?"""
    recorded, live = latencies_ms(case.recorded.callbacks), latencies_ms(case.live.pooled_callbacks)
    low = limits["at_least_share"] * mean(recorded) - limits["slack_ms"] - mean(recorded)
    evidence = difference_of_means(recorded, live, (low, limits["above_ms"]))
    return _two_ended(mean(recorded), mean(live), limits, "mean", evidence)


@check("latency_p95", group=GROUP, floors=everywhere(above_ms=200, at_least_share=0.5, slack_ms=5))
def latency_p95(case: Case, limits: Limits) -> Outcome:
    """Are the slow answers equally slow?"""
    recorded, live = latencies_ms(case.recorded.callbacks), latencies_ms(case.live.pooled_callbacks)
    return _two_ended(percentile(recorded.tolist(), 95), percentile(live.tolist(), 95), limits, "p95", None)


@check("latency_p99", group=GROUP, floors=everywhere(share=0.25, slack_ms=5))
def latency_p99(case: Case, limits: Limits) -> Outcome:
    """Is the tail equally long?"""
    recorded, live = (
        percentile(latencies_ms(callbacks).tolist(), 99)
        for callbacks in (case.recorded.callbacks, case.live.pooled_callbacks)
    )
    reach = max(limits["share"] * recorded, limits["slack_ms"])
    return Outcome(
        passed=within(live - recorded, reach),
        recorded=recorded,
        live=live,
        value=live - recorded,
        unit="ms",
        tolerance=f"+-{limits['share']:.0%} (+-{reach:.0f} ms)",
        sentence=f"p99 recorded {recorded:.0f} ms, live {live:.0f} ms",
    )


@check("latency_shape", group=GROUP, floors=everywhere(share=0.15))
def latency_shape(case: Case, limits: Limits) -> Outcome:
    """Are latencies distributed alike?"""
    recorded, live = latencies_ms(case.recorded.callbacks), latencies_ms(case.live.pooled_callbacks)
    distance = wasserstein_share(recorded, live)
    return Outcome(
        passed=distance <= limits["share"],
        value=distance,
        unit="of the recorded mean",
        tolerance=f"at most {limits['share']:g}",
        sentence=f"the two distributions are {distance * mean(recorded):.0f} ms apart on average (Wasserstein)",
    )


CHECKS = (latency_mean, latency_p95, latency_p99, latency_shape)


def wasserstein_share(recorded_ms: FloatArray, live_ms: FloatArray) -> float:
    """Distance between two latency samples, as a share of the recorded mean.

    recorded_ms, live_ms: 1-d, milliseconds, at least one value each. First Wasserstein distance over mean(recorded_ms);
    0 for two samples of zeros, inf where only the recorded one is all zeros.
    """
    distance = float(wasserstein_distance(recorded_ms, live_ms))
    scale = mean(recorded_ms)
    if scale > 0:
        return distance / scale
    return 0.0 if distance == 0 else float("inf")


def _two_ended(recorded: float, live: float, limits: Limits, name: str, evidence: Evidence | None) -> Outcome:
    low = limits["at_least_share"] * recorded - limits["slack_ms"]
    high = recorded + limits["above_ms"]
    return Outcome(
        passed=low <= live <= high,
        recorded=recorded,
        live=live,
        value=live - recorded,
        unit="ms",
        tolerance=f"between {max(low, 0.0):.0f} and {high:.0f} ms",
        sentence=f"{name} recorded {recorded:.0f} ms, live {live:.0f} ms",
        evidence=evidence,
    )
