"""Checks on tokens: what a judge reads and writes is what it costs.

The floors are production's bands, half the recorded mean and more; they let a mock through that bills 40 % too much.
Where a scenario knows its tokens well it tightens `share`.
"""

from __future__ import annotations

from cj_pipeline.parity.check import Case, Check, Limits, Outcome, check
from cj_pipeline.parity.evidence import difference_of_means
from cj_pipeline.parity.samples import mean, tokens, within
from cj_pipeline.traces.scenario import Profile

GROUP = "tokens"

HALF = {"share": 0.5, "slack": 5.0}
WHOLE = {"share": 1.0, "slack": 10.0}


def _token_check(name: str, kind: str, anchor_floor: Limits) -> Check:
    floors = {Profile.GENERIC: HALF, Profile.ENG5_ANCHOR: anchor_floor, Profile.ENG5_LOWER5: HALF}

    def compare_means(case: Case, limits: Limits) -> Outcome:
        recorded, live = tokens(case.recorded.callbacks, kind), tokens(case.live.pooled_callbacks, kind)

        reach = max(limits["share"] * mean(recorded), limits["slack"])
        return Outcome(
            passed=within(mean(live) - mean(recorded), reach),
            recorded=mean(recorded),
            live=mean(live),
            value=mean(live) - mean(recorded),
            unit="tokens",
            tolerance=f"+-{reach:.4g} (the larger of {limits['share']:.0%} and {limits['slack']:g})",
            sentence=f"mean recorded {mean(recorded):.1f}, live {mean(live):.1f}",
            evidence=difference_of_means(recorded, live, (-reach, reach)),
        )

    compare_means.__doc__ = f"Does a comparison use equally many {kind.replace('_', ' ')}?"
    return check(name, group=GROUP, floors=floors)(compare_means)


CHECKS = (
    _token_check("tokens_prompt", "prompt_tokens", HALF),
    _token_check("tokens_completion", "completion_tokens", WHOLE),
    _token_check("tokens_total", "total_tokens", HALF),
)
