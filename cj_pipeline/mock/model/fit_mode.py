"""This module fits a mode to recordings: the judge model's numbers as a file that the mock can run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import cg

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import UNKNOWN_CONFIDENCE, is_measured
from cj_pipeline.mock.mode.errors import Bursts, Errors, MixedError
from cj_pipeline.mock.mode.latency import SampledLatency
from cj_pipeline.mock.mode.mode import (
    Cache,
    Cost,
    FittedFrom,
    Justification,
    Metadata,
    Mode,
    PerItemTokens,
    Sample,
    SampledConfidence,
    SampledTokens,
    Tokens,
)
from cj_pipeline.mock.mode.winner import AbilityWinner, Spread
from cj_pipeline.mock.model.answers import Answers, FloatArray, answers_of
from cj_pipeline.mock.model.columns import chosen, joined
from cj_pipeline.mock.model.course import fit_drift
from cj_pipeline.mock.model.errors import LEAST_ERRORS, ErrorFit, fit_errors
from cj_pipeline.mock.model.failed_calls import FailedCall, Kind, failed_calls, with_failed_calls
from cj_pipeline.mock.model.origins import origins_of
from cj_pipeline.mock.model.repeated_errors import fit_repeated_errors
from cj_pipeline.mock.model.unknown import filled
from cj_pipeline.mock.model.winner import WinnerFit, fit_winner

# Enough for a 99 % quantile that lies within 5 %, few enough to be read.
MOST_SAMPLES = 2_000

# How many times likelier the answers must be with a scale than without one; 20 is called strong. Recordings of judges
# that go by position have 2 to 18, those of judges that read have 160 and more.
LEAST_EVIDENCE = 20.0
LEAST_POSITION = 1.0  # logits

# Essays up to which prompt tokens are solved for at once.
MOST_DENSE = 200

_CODES = frozenset(ErrorCode)

Callbacks: TypeAlias = Sequence[LLMComparisonResultV1]
Recordings: TypeAlias = Sequence[Callbacks]


@dataclass(frozen=True, slots=True)
class Constants:
    """What is the same in every answer of a judge. model: that answers name; own: whether no request named it.

    judges: that model, or every judge with its answers where there are several. failed: what each kind of failure took.
    """

    model: str
    judges: str
    own: bool
    cost: Cost
    metadata: Metadata
    justification: Justification
    cache: Cache
    failed: Mapping[Kind, FailedCall] = field(default_factory=dict)


def mode_of(
    recordings: Recordings,
    items: Iterable[str],
    *,
    name: str,
    fitted_from: FittedFrom,
    repeatability: float | None = None,
) -> Mode | None:
    """Fit a mode to recordings of one judge; None where they hold no answer.

    items: ids of the net, judged or not. repeatability: what is known of it from elsewhere; None estimates it. Where
    the judge goes by position, the description says so.
    """
    constants = constants_of(recordings)
    if constants is None:
        return None
    parts = tuple(answers_of([recording]) for recording in recordings)
    return fitted_mode(
        parts, constants, items, name=name, fitted_from=fitted_from, repeatability=repeatability, known={}
    )


def constants_of(recordings: Recordings) -> Constants | None:
    """Return what is the same in every answer; None where there is no answer."""
    answered = [callback for recording in recordings for callback in recording if callback.winner is not None]
    if not answered:
        return None
    first = answered[0]
    # What is not known of an answer says nothing of the judge's price and usage; of a judge that never tells, all do.
    measured = [callback for callback in answered if is_measured(callback.request_metadata)] or answered
    return Constants(
        model=first.model,
        judges=_judges(answered),
        own=not first.request_metadata.get("resolved_model"),
        cost=_cost(measured),
        metadata=Metadata(usage=all("usage" in callback.request_metadata for callback in measured)),
        justification=_justification(answered),
        cache=_cache(measured),
        failed=failed_calls(callback for recording in recordings for callback in recording),
    )


def _judges(answered: Sequence[LLMComparisonResultV1]) -> str:
    """Return the model that answered; of several judges each, by the number of its answers."""
    found = Counter((callback.provider.value, callback.model) for callback in answered)
    if len(found) == 1:
        return answered[0].model
    return " and ".join(f"{provider} {model} ({count})" for (provider, model), count in found.most_common())


def fitted_mode(
    parts: Sequence[Answers],
    constants: Constants,
    items: Iterable[str],
    *,
    name: str,
    fitted_from: FittedFrom,
    repeatability: float | None,
    known: Mapping[str, str],
) -> Mode | None:
    """Fit a mode to the answers of some recordings. See `mode_of`.

    known: what else is to be said about the origin of a section, by section.
    """
    # By pair and side: the mock never sees the prompts of a recording, since no recording holds their texts.
    winner = fit_winner(parts, sorted(items), by_hash=False, repeatability=repeatability)
    if winner is None:
        return None
    everything = joined(parts)
    answers = chosen(everything, everything.answered)
    errors = fit_errors(tuple(parts))
    mode = Mode(
        schema_version=1,
        name=name,
        description=" ".join([f"Fitted to {len(answers)} answers of {constants.judges}.", *_remarks(winner, answers)]),
        fitted_from=fitted_from,
        model=constants.model if constants.own else None,
        winner=_winner(winner),
        latency=SampledLatency(model="sampled", drift=fit_drift(parts)),
        tokens=Tokens(prompt=_prompt_tokens(answers, winner.items), completion=SampledTokens(model="sampled")),
        confidence=SampledConfidence(model="sampled"),
        samples=_samples(answers, winner),
        cost=constants.cost,
        metadata=constants.metadata.model_copy(
            update={
                "confidence_unknown": round(1 - float(answers.rated.mean()), 4),
                "tokens_unknown": round(1 - float(answers.billed.mean()), 4),
            }
        ),
        justification=constants.justification,
        cache=constants.cache,
        errors=_with_repeats(with_failed_calls(_errors(errors, len(everything)), constants.failed), parts),
    )
    return mode.model_copy(update={"origins": origins_of(mode, winner, answers, errors, len(everything), known)})


def _winner(winner: WinnerFit) -> AbilityWinner:
    fit = winner.fit
    letters: dict[str, dict[str, str]] = {}
    for (_, first, second), asked, wins in zip(
        winner.prompts, fit.judgements.asked, fit.judgements.first_wins, strict=True
    ):
        letters.setdefault(first, {})[second] = "A" * int(wins) + "B" * int(asked - wins)
    theta = dict(zip(winner.items, _rounded(fit.mean[:-1], 4), strict=True))
    return AbilityWinner(
        model="ability",
        abilities=theta,
        unknown_spread=Spread(mean=0.0, sd=round(fit.spread, 4)),
        position_effect=round(float(fit.mean[-1]), 4),
        repeatability=round(fit.mean_repeatability, 4),
        answers=letters,
    )


def _samples(answers: Answers, winner: WinnerFit) -> tuple[Sample, ...]:
    """Return the answers by latency; of many, every n-th, which keeps their quantiles."""
    theta = dict(zip(winner.items, winner.fit.mean.tolist(), strict=False))
    gap = [abs(theta[a] - theta[b]) for a, b in zip(answers.essay_a, answers.essay_b, strict=True)]
    tokens = filled(answers.completion_tokens, answers.latency_ms, otherwise=0.0)
    confidence = filled(answers.confidence, np.array(gap), otherwise=UNKNOWN_CONFIDENCE)
    columns = answers.latency_ms, tokens, confidence, np.array(gap)
    order = np.lexsort((tokens, answers.latency_ms))
    if len(order) > MOST_SAMPLES:
        order = order[((np.arange(MOST_SAMPLES) + 0.5) / MOST_SAMPLES * len(order)).astype(np.intp)]
    latency, tokens, confidence, gaps = (column[order] for column in columns)
    return tuple(
        zip(_rounded(latency, 0), _rounded(tokens, 0), _rounded(confidence, 3), _rounded(gaps, 2), strict=True)
    )


def _prompt_tokens(answers: Answers, items: Sequence[str]) -> PerItemTokens:
    """Return a base and a part per essay, by least squares; equal prompts of equal length cost the same."""
    if not answers.billed.any():
        return PerItemTokens(model="per_item", base=0.0, items=dict.fromkeys(items, 0.0), unknown=0.0)
    answers = chosen(answers, answers.billed)
    place = {item: index for index, item in enumerate(items)}
    first = np.array([place[essay] for essay in answers.essay_a])
    second = np.array([place[essay] for essay in answers.essay_b])
    base, n = float(answers.prompt_tokens.mean()), len(items)
    excess = answers.prompt_tokens - base
    right_side = np.bincount(first, excess, n) + np.bincount(second, excess, n)
    ones, row, column = (
        np.ones(4 * len(first)),
        np.r_[first, second, first, second],
        np.r_[first, second, second, first],
    )
    matrix = csr_array((ones, (row, column)), shape=(n, n))
    if n <= MOST_DENSE:
        parts = np.linalg.lstsq(matrix.toarray(), right_side, rcond=1e-10)[0]
    else:  # the same solution of least size: 2,000 essays take .1 s instead of 13 s
        parts = cg(matrix, right_side, rtol=1e-12, maxiter=10_000)[0]
    by_item = dict(zip(items, _rounded(parts, 3), strict=True))
    return PerItemTokens(model="per_item", base=round(base, 3), items=by_item, unknown=0.0)


def _cost(answered: Callbacks) -> Cost:
    """Return dollars a token. Prompt and completion cost the same where the recording cannot tell them apart."""
    if any(callback.request_metadata.get("cost_known") is False for callback in answered):
        return Cost(known=False)
    price = np.array([callback.cost_estimate for callback in answered])
    usage = [callback.token_usage for callback in answered]
    tokens = np.array([(used.prompt_tokens, used.completion_tokens) for used in usage], dtype=float)
    if not price.any():
        return Cost()
    solved, _, rank, _ = np.linalg.lstsq(tokens, price, rcond=1e-6)
    if rank < 2 or (solved < 0).any():
        solved = np.full(2, price.sum() / tokens.sum())
    # To four digits: prices are round numbers, costs were rounded.
    prompt, completion = (float(f"{value:.4g}") for value in solved)
    return Cost(per_prompt_token=prompt, per_completion_token=completion)


def _justification(answered: Callbacks) -> Justification:
    """Return how long the sentences are and whether they differ; never a recorded one, which may quote an essay."""
    texts = [callback.justification or "" for callback in answered]
    characters = round(sum(len(text) for text in texts) / len(texts))
    if len(texts) > 1 and len(set(texts)) == 1 and characters:
        return Justification(texts=("The winning essay is the better one.",), characters=characters)
    return Justification(characters=characters)


def _cache(answered: Callbacks) -> Cache:
    reads = [callback.request_metadata.get("cache_read_input_tokens") for callback in answered]
    known = [read for read in reads if isinstance(read, int)]
    if len(known) < len(reads):
        return Cache()
    return Cache(enabled=True, hit_rate=round(sum(read > 0 for read in known) / len(known), 4))


def _errors(fit: ErrorFit, calls: int) -> Errors:
    if not fit.errors:
        return Errors()
    mix = []
    for named, count in zip(fit.codes, fit.code_counts.tolist(), strict=True):
        code, _, reason = named.partition("/")
        known = ErrorCode(code) if code in _CODES else ErrorCode.EXTERNAL_SERVICE_ERROR
        mix.append(MixedError(code=known, reason=reason[:100] or None, share=float(count)))
    share = fit.errors / calls
    after_error = fit.stays[0] / max(fit.stays[1], 1)
    # Errors of which the odds after an error are twice the usual come in bursts; one pair of neighbours may be chance.
    if fit.errors >= LEAST_ERRORS and fit.stays[0] > 1 and after_error * (1 - share) > 2 * share * (1 - after_error):
        length = round(1 / (1 - min(after_error, 0.999)), 4)
        return Errors(
            codes_mix=tuple(mix), bursts=Bursts(length=length, rate=min(round(share, 4), length / (length + 1)))
        )
    return Errors(codes_mix=tuple(mix), rate=round(share, 4))


def _with_repeats(errors: Errors, parts: Sequence[Answers]) -> Errors:
    """Return the errors with what comes back at the same prompts, where they do not come in bursts."""
    if errors.bursts.rate > 0.0:
        return errors
    share, failed = fit_repeated_errors(parts)
    return errors.model_copy(update={"repeatability": share, "failed": failed})


def _remarks(winner: WinnerFit, answers: Answers) -> tuple[str, ...]:
    """Say where the recording tells nothing about the essays: without a scale its answers are as likely."""
    fit = winner.fit
    log_evidence = float(fit.log_evidence.max() - fit.log_evidence[0])
    asked, first = len(answers), int((answers.winner == 1).sum())
    if len(winner.prompts) < 2:
        return ()
    count, shown = (first, "first") if 2 * first >= asked else (asked - first, "second")
    if count == asked:
        return (f"All {asked} answers prefer the essay shown {shown}: the recording says nothing about the essays.",)
    if log_evidence >= np.log(LEAST_EVIDENCE):
        return ()
    if abs(float(fit.mean[-1])) >= LEAST_POSITION:
        return (
            f"{count} of {asked} answers prefer the essay shown {shown}: the judge goes by position, and the recording "
            "says next to nothing about the essays.",
        )
    return ("The answers are like those of a coin: the recording says next to nothing about the essays.",)


def _rounded(values: FloatArray, digits: int) -> list[float]:
    # + 0.0: no file should say -0.0.
    return [round(value, digits) + 0.0 for value in values.tolist()]
