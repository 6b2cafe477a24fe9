"""This module is `cj-pipeline record`: a real judge, asked through the embedded LPS, becomes a trace of one's own."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.deployment import deployment_of
from cj_pipeline.cli.finite import FiniteRange
from cj_pipeline.cli.output import json_option, print_json, say, say_wrapped
from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.cli.trace_results import output_folder, redaction_of, redaction_options
from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.names import SCENARIO, require_name
from cj_pipeline.runs.recording.prompts import DEFAULT_PROMPT, prompt_names
from cj_pipeline.traces.scenario import Profile

if TYPE_CHECKING:
    from cj_pipeline.runs.recording.books import JudgeBehindLps
    from cj_pipeline.runs.recording.estimate import Estimate
    from cj_pipeline.runs.recording.options import RecordingOptions
    from cj_pipeline.runs.recording.request import RecordingRequest
    from cj_pipeline.traces.provenance import Provenance


@click.command("record")
@click.argument("scenario_id")
@click.option(
    "--essays", type=click.Path(path_type=Path), help="Folder of essays, a file each: .txt, .md, .docx, .pdf."
)
@click.option("--grades", type=click.Path(path_type=Path), help="Table of known grades: essay_id, grade[, label].")
@click.option("--model", help="Whom to ask, as the provider calls it.")
@click.option("--base-url", help="An OpenAI-compatible server, or a provider's other address.")
@click.option("--provider", type=click.Choice([one.value for one in Provider if one is not Provider.MOCK]),
              help="Whose API it is.  [default: by the model; openai with --base-url]")  # fmt: skip
@click.option("--local", is_flag=True, help="Ask the small model that `make record` installs, on this machine.")
@click.option("--lps", "lps_url", metavar="URL", help="Ask through a deployed LPS, which has the keys.")
@click.option("--kafka", metavar="HOST:PORT,...", help="Where that LPS publishes its callbacks.")
@click.option("--bus", "bus_folder", type=click.Path(file_okay=False, path_type=Path),
              help="Folder in which it does, where there is no Kafka.")  # fmt: skip
@click.option("--cj", "cj_url", metavar="URL", help="Ask through a deployed CJ service; it chooses pairs and prompt.")
@click.option("--content", "content_url", metavar="URL", help="Where that service fetches texts.")
@click.option("--prompt", default=DEFAULT_PROMPT, show_default=True,
              help=f"Prompt variant: {', '.join(prompt_names())}, or a file NAME.vN.yaml.")  # fmt: skip
@click.option("--temperature", type=FiniteRange(0.0, 2.0), help="[default: as the LPS is set, 0.7]")
@click.option("--max-tokens", type=click.IntRange(min=1), help="An answer may have.  [default: as the LPS is set]")
@click.option("--effort", type=click.Choice([one.value for one in ReasoningEffort]), help="Of models that reason.")
@click.option("--verbosity", type=click.Choice([one.value for one in OutputVerbosity]), help="Of models that take it.")
@click.option("--comparisons", type=click.IntRange(min=1),
              help="In each run, chosen by the engine.  [default: every pair once]")  # fmt: skip
@click.option("--both-orders", is_flag=True, help="Every pair once more, the other essay first.")
@click.option("--runs", type=int, default=2, show_default=True,
              help="How often the same is asked; more than there are adds the others.")  # fmt: skip
@click.option("--more", type=click.IntRange(1, 1_000_000), metavar="N",
              help="Add N comparisons of the same judge to a recording: those asked least often.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Of pairs and sides.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=1, show_default=True, help="Asked at the same time.")
@click.option("--budget-usd", type=FiniteRange(min=0.0), help="Spend no more, for all runs together.")
@click.option("--price-per-million", type=(float, float), metavar="IN OUT", default=None,
              help="US dollars for a million tokens, where the manifest has no price.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be asked, its price and time, and stop.")
@click.option("--yes", is_flag=True, help="Do not ask before money is spent.")
@click.option("--restart", is_flag=True, help="Forget an unfinished recording of this name, and what it paid for.")
@click.option("--profile", type=click.Choice([one.value for one in Profile]), default=Profile.JUDGE.value,
              show_default=True, help="Whose margins apply.")  # fmt: skip
@click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False),
              help="Folder that the trace is made in.  [default: CJ_PIPELINE_TRACES_DIR, or traces]")  # fmt: skip
@redaction_options
@json_option
def record_command(
    scenario_id: str,
    essays: Path | None,
    grades: Path | None,
    model: str | None,
    base_url: str | None,
    provider: str | None,
    local: bool,
    lps_url: str | None,
    kafka: str | None,
    bus_folder: Path | None,
    cj_url: str | None,
    content_url: str | None,
    prompt: str,
    temperature: float | None,
    max_tokens: int | None,
    effort: str | None,
    verbosity: str | None,
    comparisons: int | None,
    both_orders: bool,
    runs: int,
    more: int | None,
    seed: int,
    concurrency: int,
    budget_usd: float | None,
    price_per_million: tuple[float, float] | None,
    dry_run: bool,
    yes: bool,
    restart: bool,
    profile: str,
    output_dir: Path | None,
    no_redact: bool,
    justifications: str,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Record what a real judge says of your essays, as the new trace SCENARIO_ID.

    Every pair is asked once in each of two runs, through the LPS in this process: half of the time an essay is shown
    first. Price and time are shown before anything is asked. Ctrl-C keeps what was answered; the same command goes
    on, and asks nothing twice but what was in flight. At the end it says what the judge is like. More is in
    docs/record.md.

    \b
    cj-pipeline record autumn --essays essays/ --grades grades.csv --model qwen2.5:7b --base-url http://localhost:11434/v1
    cj-pipeline record autumn --essays essays/ --model claude-sonnet-4-5-20250929 --budget-usd 2
    cj-pipeline record first_try --local
    cj-pipeline record autumn --essays essays/ --more 40

    Exits with 0 when the recording is complete, 3 when it was stopped or the money is spent, 2 when something cannot
    be used.
    """
    from cj_pipeline.cli.record_result import recording_document, show_plan, show_recording
    from cj_pipeline.runs.recording.books import require_key
    from cj_pipeline.runs.recording.continuing import left_of, wanted
    from cj_pipeline.runs.recording.draft import forget
    from cj_pipeline.runs.recording.estimate import TYPICAL_SECONDS, estimated
    from cj_pipeline.runs.recording.options import RecordingOptions, prepared
    from cj_pipeline.traces.provenance import read_provenance

    target = _target(scenario_id, output_dir, more)
    if restart and not dry_run:
        forget(target)
    if cj_url is None and content_url is not None:
        raise click.UsageError("--content goes with --cj.")
    recorded = read_provenance(target) if more is not None else None
    with ExitStack() as stack:
        options = RecordingOptions(
            scenario_id=target.name,
            essays=essays or Path(),
            model=model or "",
            grades=grades,
            base_url=base_url,
            provider=None if provider is None else Provider(provider),
            prompt=prompt,
            temperature=temperature,
            max_tokens=max_tokens,
            effort=None if effort is None else ReasoningEffort(effort),
            verbosity=None if verbosity is None else OutputVerbosity(verbosity),
            comparisons=comparisons,
            both_orders=both_orders,
            runs=runs,
            seed=seed,
            concurrency=concurrency,
            budget_usd=budget_usd,
            price_per_million=price_per_million,
            profile=Profile(profile),
            deployment=None if cj_url is not None else deployment_of(lps_url, kafka, bus_folder),
        )
        if recorded is not None:
            options, local = _as_recorded(options, recorded, target, local)
            no_redact = no_redact or recorded.redaction is None
            if recorded.redaction is not None and "justifications" not in _given():
                justifications = recorded.redaction.policy.justifications.value
        if options.deployment is not None and (local or base_url is not None):
            raise click.UsageError("A deployed LPS knows where it asks; leave --local and --base-url out.")
        seconds = TYPICAL_SECONDS
        if local:
            options, seconds = _local(stack, options, essays, dry_run)
        elif essays is None or not options.model:
            missing = [name for name, given in (("--essays", essays), ("--model", model)) if not given]
            raise click.UsageError(
                f"Give {' and '.join(missing)}, or --local."
                if recorded is None
                else "Give --essays, the folder of the texts that were judged, and --base-url for a server of your own."
            )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cj-pipeline-record-")))
        redaction = redaction_of(no_redact, justifications, key_file, (options.model,))
        if cj_url is not None:
            # Here and not above: the client of Kafka is for those who use it.
            from cj_pipeline.cli.record_batches import record_through_cj, services_of

            services = services_of(cj_url, content_url, lps_url, kafka, _given())
            record_through_cj(options, target.parent, redaction, services, dry_run=dry_run, yes=yes, as_json=as_json)
            return
        request, judge = prepared(options, target.parent, redaction, folder)
        notes = []
        while (asked := wanted(request, more)) is not None:
            estimate = estimated(asked, judge, seconds)
            show_plan(asked, estimate, err=as_json)
            if dry_run:
                _warn_of_a_missing_key(judge)
                return
            require_key(judge)
            _require_consent(judge, asked, estimate, yes)
            notes += _recorded(asked, judge)
            if more is not None:
                break
            request = left_of(request, asked)
        if dry_run:
            say(f"{target} is recorded already.")
            return
    if as_json:
        print_json(recording_document(target) | {"warnings": notes})
    else:
        show_recording(target)
        for note in notes:
            say_wrapped(note)


def _warn_of_a_missing_key(judge: JudgeBehindLps) -> None:
    from cj_pipeline.runs.recording.books import require_key

    try:
        require_key(judge)
    except BadInput as error:
        say(f"warning: {error}", err=True)


def _target(scenario_id: str, output_dir: Path | None, more: int | None) -> Path:
    """Return the folder of the trace; of one that is there, its path is a name as well."""
    if output_dir is None and (more is not None or "/" in scenario_id):
        return scenario_folder(scenario_id)
    require_name(scenario_id, SCENARIO, path="record", field="scenario_id")
    return output_folder(output_dir) / scenario_id


def _given() -> frozenset[str]:
    """Return the names of the options that were given."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    return frozenset(name for name in context.params if context.get_parameter_source(name) is not default)


def _as_recorded(
    options: RecordingOptions, provenance: Provenance, target: Path, local: bool
) -> tuple[RecordingOptions, bool]:
    """Return the options that ask as it was asked, and whether that is the model that `make record` installs."""
    from cj_pipeline.runs.recording.options import as_recorded
    from cj_pipeline.runs.recording.request import not_recorded

    recorded, given = provenance.recorded, _given()
    if given & {"runs", "comparisons", "both_orders", "grades", "profile"}:
        raise click.UsageError("--more adds to a recording; leave --runs, --comparisons, --grades and the like out.")
    if recorded is None:
        raise not_recorded(target)
    options = as_recorded(options, recorded, given)
    local = local or (recorded.judge.model_file is not None and options.base_url is None)
    return (replace(options, model="", provider=None) if local else options), local


def _recorded(request: RecordingRequest, judge: JudgeBehindLps) -> list[str]:
    """Record, and return what somebody should know of it."""
    from cj_pipeline.cli.record_progress import shown_progress, stop_signals
    from cj_pipeline.runs.recording.continuing import record_or_add
    from cj_pipeline.runs.recording.record import RecordingStopped

    with stop_signals() as stop, shown_progress(request.judge.model) as on_progress:
        try:
            return record_or_add(request, judge, on_progress=on_progress, stop=stop)
        except RecordingStopped as stopped:
            say(str(stopped), err=True)
            sys.exit(exit_codes.CANNOT_TELL)


def _local(
    stack: ExitStack, options: RecordingOptions, essays: Path | None, dry_run: bool
) -> tuple[RecordingOptions, float]:
    """Start the small judge and return the options that ask it, and the seconds that an answer takes about."""
    if options.base_url is not None or options.provider is not None or options.model:
        raise click.UsageError("--local brings its own model; leave --model, --base-url and --provider out.")
    from cj_pipeline.local import small_judge as local

    chosen = local.local_options(options, own_essays=essays is None)
    base_url = "http://127.0.0.1/v1" if dry_run else stack.enter_context(local.small_judge())
    return replace(chosen, base_url=base_url), local.TYPICAL_SECONDS


def _require_consent(judge: JudgeBehindLps, request: RecordingRequest, estimate: Estimate, yes: bool) -> None:
    """Ask before money is spent without a limit. Raises click.UsageError where nobody can be asked, click.Abort."""
    free = judge.price is not None and estimate.most_usd == 0.0
    if free or yes or request.budget_usd is not None or request.on_this_machine or not estimate.comparisons:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("This costs money: give --budget-usd, or --yes to spend without a limit.")
    click.confirm("Ask without a limit?", abort=True, err=True)
