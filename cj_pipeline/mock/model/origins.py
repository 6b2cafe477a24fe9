"""This module says in words where each number of a fitted mode comes from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cj_pipeline.mock.mode.latency import SampledLatency
from cj_pipeline.mock.mode.mode import Mode, PerItemTokens
from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.mock.model.errors import ErrorFit
from cj_pipeline.mock.model.winner import WinnerFit


def origins_of(
    mode: Mode, winner: WinnerFit, answers: Answers, errors: ErrorFit, calls: int, known: Mapping[str, str]
) -> dict[str, str]:
    """Return a sentence for each section of a mode, or for a key of it.

    answers: those with a winner, of so many calls. known: what else is to be said of a section, after its sentence.
    """
    n = len(answers)
    told = {
        "winner.abilities": f"Posterior means of a Bradley-Terry fit with position to {n} answers to "
        f"{len(winner.prompts)} prompts; the prior is normal, its spread fitted as well.",
        "winner.unknown_spread": "Posterior mean of that spread.",
        "winner.position_effect": "Posterior mean of the same fit; the prior is normal, of 1 logit.",
        "winner.repeatability": _repeatability(winner),
        "winner.answers": "As recorded.",
        "samples": f"{len(mode.samples)} of {n} recorded answers, spread evenly over their latencies."
        if len(mode.samples) < n
        else f"All {n} recorded answers.",
        "tokens.prompt": _prompt_tokens(mode, answers),
        "cost": _cost(mode),
        "justification": "As long as the recorded ones on average; no recorded sentence is kept.",
        "errors": _errors(errors, calls),
    }
    if mode.errors.repeatability:
        told["errors.repeatability"] = "How much more often two calls of one prompt fail together than any two calls."
    if isinstance(mode.latency, SampledLatency) and mode.latency.drift.share:
        told["latency.drift"] = "Correlation of the latencies of neighbouring calls, near and far."
    for key, what in (("confidence_unknown", "a confidence"), ("tokens_unknown", "known tokens")):
        if getattr(mode.metadata, key):
            told[f"metadata.{key}"] = f"Share of the recorded answers without {what}."
    for name, sentence in known.items():
        told[name] = f"{told[name]} {sentence}" if name in told else sentence
    return told


def _repeatability(winner: WinnerFit) -> str:
    again = int((winner.judgements.asked > 1).sum())
    if winner.fit.known_repeatability is not None:
        return "Stated in the scenario, not fitted."
    if again == 0:
        return "Not measured, since no prompt was asked twice: the mean over judges in general."
    return f"Posterior mean from {again} prompts that were asked more than once."


def _prompt_tokens(mode: Mode, answers: Answers) -> str:
    prompt = mode.tokens.prompt
    if not isinstance(prompt, PerItemTokens):
        return "As the mode says."
    if not answers.billed.any():
        return "Not known."
    told = np.array(
        [prompt.base + prompt.items[a] + prompt.items[b] for a, b in zip(answers.essay_a, answers.essay_b, strict=True)]
    )
    farthest = float(np.abs(told - answers.prompt_tokens)[answers.billed].max())
    return (
        f"Least squares: a base and a part for each essay; the farthest of {len(told)} prompts is {farthest:.1f} off."
    )


def _cost(mode: Mode) -> str:
    if not mode.cost.known:
        return "The recording says that the price is not known."
    if not mode.cost.per_prompt_token and not mode.cost.per_completion_token:
        return "The recording has no price."
    return "Least squares over the recorded prices, to four digits."


def _errors(errors: ErrorFit, calls: int) -> str:
    if not errors.errors:
        return f"None in {calls} calls; that does not prove that there are none."
    return f"{errors.errors} errors in {calls} calls."
