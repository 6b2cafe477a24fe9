"""This module turns what a person chooses, at the terminal or in Dagster, into a request and a judge to put it to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.new_trace_mode import fitted_mode_text
from cj_pipeline.runs.recording.books import JudgeBehindLps, require_price
from cj_pipeline.runs.recording.deployed import deployed_judge
from cj_pipeline.runs.recording.embedded import embedded_judge, provider_of
from cj_pipeline.runs.recording.essays import read_essays
from cj_pipeline.runs.recording.prompts import DEFAULT_PROMPT, PromptVariant, load_prompt
from cj_pipeline.runs.recording.request import RecordingRequest, require_usable
from cj_pipeline.runs.recording.spending import Price
from cj_pipeline.runs.remote import Deployment
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.grade_file import read_grade_file
from cj_pipeline.traces.recording_provenance import RecordedJudge, RecordingProvenance
from cj_pipeline.traces.redactor import Redactor
from cj_pipeline.traces.scenario import Profile

MILLION = 1_000_000.0


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What a person chooses. price_per_million: US dollars for a million tokens, in and out; None for the manifest's.

    deployment: of an LPS that asks instead of the one in this process. model_file, model_file_sha256: of a model that
    is served out of a file.
    """

    scenario_id: str
    essays: Path
    model: str
    grades: Path | None = None
    base_url: str | None = None
    provider: Provider | None = None
    prompt: str | PromptVariant = DEFAULT_PROMPT
    temperature: float | None = None
    max_tokens: int | None = None
    effort: ReasoningEffort | None = None
    verbosity: OutputVerbosity | None = None
    comparisons: int | None = None
    both_orders: bool = False
    runs: int = 2
    seed: int = 1
    concurrency: int = 1
    budget_usd: float | None = None
    price_per_million: tuple[float, float] | None = None
    profile: Profile | None = None
    deployment: Deployment | None = None
    model_file: str | None = None
    model_file_sha256: str | None = None


def as_recorded(options: RecordingOptions, recorded: RecordingProvenance, given: frozenset[str]) -> RecordingOptions:
    """Return options that ask as a recording was asked, but for those that were given.

    given: their names. The essays and the address are never part of a recording.
    """
    judge, prompt = recorded.judge, recorded.prompt
    there: dict[str, object] = {
        "model": judge.model,
        "provider": judge.provider,
        "temperature": judge.temperature,
        "max_tokens": judge.max_tokens,
        "effort": judge.reasoning_effort,
        "verbosity": judge.output_verbosity,
        "seed": recorded.design.seed,
        "prompt": prompt.name
        if prompt.texts is None
        else PromptVariant(schema_version=1, name=prompt.name, **prompt.texts.model_dump()),
    }
    return replace(options, **{name: value for name, value in there.items() if name not in given})  # type: ignore[arg-type]


def prepared(
    options: RecordingOptions, traces_dir: Path, redaction: Redactor | None, folder: Path
) -> tuple[RecordingRequest, JudgeBehindLps]:
    """Return the request and the judge. folder: gets a manifest for a model that none describes; kept while it is used.

    Raises BadInput naming the option or the file that cannot be used.
    """
    if options.base_url is not None and not options.base_url.startswith(("http://", "https://")):
        problem = f"'{options.base_url}' is no URL."
        raise BadInput(problem, path="record", field="base_url", remedy="It begins with http:// or https://.")
    price = None if options.price_per_million is None else price_of_million(*options.price_per_million)
    wanted = wanted_judge(options)
    judge: JudgeBehindLps
    if options.deployment is not None:
        judge = deployed_judge(wanted, options.deployment, price)
    else:
        judge = embedded_judge(
            wanted, base_url=options.base_url, price=price, concurrency=options.concurrency, folder=folder
        )
    request = request_of(options, traces_dir, redaction, judge)
    require_usable(request)
    require_price(request, judge)
    return request, judge


def wanted_judge(options: RecordingOptions) -> RecordedJudge:
    """Return who is to be asked. Raises BadInput where the model does not tell whose it is."""
    return RecordedJudge(
        provider=options.provider or provider_of(options.model, options.base_url),
        model=options.model,
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        reasoning_effort=options.effort,
        output_verbosity=options.verbosity,
        model_file=options.model_file,
        model_file_sha256=options.model_file_sha256,
    )


def request_of(
    options: RecordingOptions, traces_dir: Path, redaction: Redactor | None, judge: JudgeBehindLps
) -> RecordingRequest:
    """Return the request, with essays, grades and prompt read. Raises BadInput naming what cannot be used."""
    essays = read_essays(options.essays)
    strangers = () if options.grades is None else _graded_strangers(options.grades, frozenset(essays.texts))
    return RecordingRequest(
        scenario_id=options.scenario_id,
        traces_dir=traces_dir,
        essays=essays,
        judge=judge.judge,
        prompt=load_prompt(options.prompt) if isinstance(options.prompt, str) else options.prompt,
        redaction=redaction,
        graded_strangers=strangers,
        choices=ScenarioChoices(grades_file=options.grades, profile=options.profile, fit_mode=fitted_mode_text),
        comparisons=options.comparisons,
        both_orders=options.both_orders,
        runs=options.runs,
        seed=options.seed,
        concurrency=options.concurrency,
        on_this_machine=judge.on_this_machine,
        budget_usd=options.budget_usd,
    )


def price_of_million(into: float, out: float) -> Price:
    """Return the price of tokens by what a million of them cost, in US dollars. Raises BadInput."""
    if not (0 <= into <= MILLION and 0 <= out <= MILLION):
        raise BadInput(
            "is not two prices, of 0 to a million dollars.",
            path="record",
            field="price_per_million",
            remedy="For example: 3 15.",
        )
    return Price(into / MILLION, out / MILLION)


def _graded_strangers(grades: Path, essays: frozenset[str]) -> tuple[str, ...]:
    """Return what a table grades and the folder lacks, sorted.

    Raises BadInput where it grades none of the essays: then it is another one's, or names them otherwise.
    """
    graded = read_grade_file(grades).keys()
    if not essays & graded:
        example = min(essays)
        raise BadInput(
            "grades none of the essays.", path=grades, field="essay_id", remedy=f"Name them by their files: {example}."
        )
    return tuple(sorted(graded - essays))
