"""This module says for every check what a red one means and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cj_pipeline.parity.compare import ALL_CHECKS
from cj_pipeline.reports.plain_questions import QUESTIONS

Advice = tuple[str, str]
"""What red means; what to do."""

_OTHER_JUDGE = (
    "Calibrate the mode again, on a new recording. If it is right, ask what changed at the judge: model, prompt."
)
_CAPTURE = "Look at how the file was captured; import it again with `--expected-count`."
_SERVICE = "Look at the service's log and metrics of that run."

ADVICE: Mapping[str, Advice] = {
    "answer_agreement": (
        "The live side answers the same prompts otherwise, more often than the judge itself would.",
        _OTHER_JUDGE,
    ),
    "agreement_drift": (
        "The live side keeps to the recorded answers in one half of the batch, and less in the other.",
        "Look at what changed on the way: another model behind the same name, a fallback, a full context.",
    ),
    "winner_share": (
        "The essay shown first wins more or less often than in the recording.",
        "Compare `position_effect`; look for swapped sides.",
    ),
    "rank_agreement": (
        "The two scales put the essays in another order.",
        "Look at `answer_agreement` and `essay_shift` first: they say where.",
    ),
    "anchor_tau": (
        "The live order agrees less with the known grades.",
        "Look at `inversions`; check the grades in `scenario.yaml`.",
    ),
    "inversions": (
        "More (or fewer) answers prefer the essay of the lower grade.",
        "Look for an inverted or a too perfect mock.",
    ),
    "zero_win": ("More (or fewer) essays never win.", "Look at `essay_shift`: one essay may be misnamed."),
    "position_effect": (
        "The live side favours a position more or less than the judge.",
        "Compare the prompts: another template moves it by 1 to 3 logits.",
    ),
    "sharpness": (
        "The live side is surer, or less sure, of the same order.",
        "Calibrate again. Noise in the answers makes it low, a mock without chance makes it high.",
    ),
    "essay_shift": (
        "One essay does much better or worse than it did.",
        "The details name it: look for exchanged texts or ids.",
    ),
    "repeatability": (
        "Asked again, the live side gives the same answer more or less often than the judge.",
        "Record the judge a second time and calibrate to both recordings.",
    ),
    "confidence": ("The live side is more or less confident on average.", "Check the scale, 1 to 5; calibrate again."),
    "confidence_spread": (
        "Confidences vary more or less than the judge's.",
        "A constant confidence is a mock's default: set the mode's `confidence`.",
    ),
    "confidence_link": (
        "Confidence has lost its link to how far apart the essays are.",
        "Use `confidence: {model: sampled}`, as calibrated modes do.",
    ),
    "latency_mean": (
        "Answers take longer or less long on average.",
        "Is it the judge or the host? For a host, `latency: host`; else calibrate again.",
    ),
    "latency_p95": ("Slow answers are slower, or there are none.", "Look at `latency_shape`; calibrate again."),
    "latency_p99": (
        "The slowest answers are slower, or there are none.",
        "Look for a time-out that cuts them off, or one hanging call.",
    ),
    "latency_shape": (
        "Latencies have another distribution, even where the mean is right.",
        "Use `latency: {model: sampled}`, as calibrated modes do.",
    ),
    "latency_drift": (
        "The batch slows down, or speeds up, while the recording does not.",
        "Look for a queue or a limit that fills up; see `latency.drift` of the mode.",
    ),
    "latency_link": ("Longer answers no longer take longer.", "Draw latency and tokens together: `sampled` for both."),
    "tokens_prompt": (
        "Prompts are longer or shorter.",
        "Another template, or other essays: compare the prompt versions.",
    ),
    "tokens_per_essay": (
        "The tokens of one essay are wrong, though the mean may be right.",
        "Look for exchanged essay ids.",
    ),
    "tokens_completion": (
        "Answers are longer or shorter.",
        "Compare the instructions on justifications; calibrate again.",
    ),
    "tokens_total": ("The bill is another.", "Look at the other checks on tokens: one of them says why."),
    "tokens_spread": ("Answers vary less or more in length.", "Use `tokens.completion: {model: sampled}`."),
    "bt_se": (
        "The engine is surer, or less sure, of its scores than it was.",
        "Look at `coverage` and at the checks on judgements.",
    ),
    "error_rate": (
        "More or fewer calls fail.",
        "Look at the codes in the report; set `errors.rate` or mend the service.",
    ),
    "error_mix": ("Calls fail for other reasons.", "Compare the codes in the report; set `errors.codes_mix`."),
    "error_bursts": (
        "Errors come together, or no longer do.",
        "Set `errors.bursts`; look for a breaker or a rate limit.",
    ),
    "retry_success": (
        "Asking again helps more or less than it did.",
        "Set `errors.retry_success`; see which codes are retried.",
    ),
    "counts": (
        "Answers are missing, or there are too many.",
        "Look for time-outs and duplicates; raise `live.callback_budget_s` if the batch was cut off.",
    ),
    "recorded_lines": ("The recording has lines that are no callbacks.", _CAPTURE),
    "live_lines": ("The live file has lines that are no callbacks.", _CAPTURE),
    "schema": (
        "A key is there on one side only, or has another type.",
        "The report names it. A newer service? Record again. A lost key? Mend the mock.",
    ),
    "identity": (
        "Another model, provider, effort or service answered.",
        "Ask the same judge, or make a scenario of its own for the new one.",
    ),
    "ids": (
        "A callback belongs to another batch or prompt, or an id came twice.",
        "Look for a consumer that mixes batches, or a replayed topic.",
    ),
    "times": ("Times contradict each other.", "Look for clocks that differ, or for invented times."),
    "cost": ("A token has another price, or tokens do not add up.", "Compare the price lists; set the mode's `cost`."),
    "error_values": (
        "Errors come from another judge, take another time, or are billed otherwise.",
        "The report names the kind of error. Calibrate again, or set `errors.codes_mix` of the mode.",
    ),
    "justification": (
        "Reasons are missing, all alike, or of another length.",
        "Set the mode's `justification`; check that the judge is asked for reasons.",
    ),
    "labels": ("Queue mode or bundle size are not those that were asked for.", _SERVICE),
    "coverage": (
        "Other pairs were asked than in the recording.",
        "Use `engine.pairing: recorded`, or expect it of a planned net.",
    ),
    "decisions": (
        "The engine decided otherwise at some point.",
        "`--first-divergence` shows the first answer that made the difference.",
    ),
    "bt_flags": ("The scores raise other warnings.", "Look at the checks on judgements: they come first."),
    "small_net": ("A small net was asked again more or less often.", "Compare the engine's settings of both sides."),
    "repeat_counts": ("A repeated batch lost answers.", _SERVICE),
    "repeat_share": (
        "The share of A does not hold in every batch.",
        "Look at `position_effect`; production's suite demands it.",
    ),
    "repeat_pairs": ("A batch left a pair out, or asked one twice.", "Compare the engine's settings with the suite's."),
    "repeat_winners": (
        "A pair changed its winner between batches.",
        "Set `winner.repeatability: 1`, as production's suite demands.",
    ),
    "repeat_tokens": (
        "Mean tokens differ between batches.",
        "Use constant or counted tokens, as production's mock does.",
    ),
    "guardrail_bundle_calls": ("The service bundled nothing.", _SERVICE),
    "guardrail_bundle_items": ("A bundle has no size on record, or is above the cap.", _SERVICE),
    "guardrail_batch_jobs": ("No job was scheduled, or one did not end well.", _SERVICE),
    "guardrail_batch_items": ("A job has no size on record, or is above the cap.", _SERVICE),
    "guardrail_batch_duration": ("A job's duration is not on record.", _SERVICE),
    "guardrail_queue_wait": (
        "Requests wait too long.",
        "Give the service more workers, or the batch fewer requests at once.",
    ),
    "guardrail_results": ("A request ended in a way that nobody knows.", _SERVICE),
    "guardrail_callbacks": (
        "The service counts other callbacks than arrived.",
        "Look for a consumer that lost some, or a second one.",
    ),
    "guardrail_queue_depth": (
        "The queue is longer than it may be.",
        "Send fewer requests at once, or raise the queue's size.",
    ),
}


def advice_rows() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield name, question, measure, what red means and what to do, of every check in the order of reports.

    The measure of an exact check is empty: it looks at every value.
    """
    for check in ALL_CHECKS:
        red, remedy = ADVICE[check.name]
        if (question := QUESTIONS.get(check.name)) is not None:
            yield check.name, question, check.question, red, remedy
        else:
            yield check.name, check.question, "", red, remedy
