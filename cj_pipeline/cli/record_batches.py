"""This module is the part of `cj-pipeline record` that asks through a deployed CJ service."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from cj_pipeline.bus.kafka.settings import kafka_settings_from_environment
from cj_pipeline.cli.output import print_json, say_wrapped
from cj_pipeline.cli.record_progress import shown_progress
from cj_pipeline.cli.record_result import recording_document, show_plan, show_recording
from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.local.recorded_batch import CjDeployment, record_batches
from cj_pipeline.runs.recording.books import JudgeBehindLps, require_price
from cj_pipeline.runs.recording.deployed import cost_of, deployed_judge
from cj_pipeline.runs.recording.estimate import estimated
from cj_pipeline.runs.recording.options import RecordingOptions, price_of_million, request_of, wanted_judge
from cj_pipeline.runs.recording.record import RecordingProgress
from cj_pipeline.runs.recording.request import RecordingRequest, require_usable
from cj_pipeline.runs.remote import Deployment
from cj_pipeline.traces.redactor import Redactor

# The service decides these, or has no such choice.
_NOT_WITH_CJ = ("base_url", "local", "bus_folder", "prompt", "both_orders", "seed", "concurrency", "more")


def services_of(
    cj_url: str, content_url: str | None, lps_url: str | None, kafka: str | None, given: frozenset[str]
) -> CjDeployment:
    """Return where the services are. given: names of the options that a person gave. Raises click.UsageError."""
    if wrong := [name for name in _NOT_WITH_CJ if name in given]:
        option = {"bus_folder": "bus"}.get(wrong[0], wrong[0].replace("_", "-"))
        raise click.UsageError(f"A CJ service has its own ways; leave --{option} out.")
    if content_url is None:
        raise click.UsageError("--cj needs --content, the URL at which that service fetches texts.")
    for name, url in (("cj", cj_url), ("content", content_url), ("lps", lps_url)):
        if url is not None and not url.startswith(("http://", "https://")):
            raise click.UsageError(f"--{name}: '{url}' is no URL; it begins with http:// or https://.")
    settings = kafka_settings_from_environment(**({} if kafka is None else {"bootstrap_servers": kafka}))
    return CjDeployment(
        cj_url.rstrip("/"),
        content_url.rstrip("/"),
        lps_url,
        settings,
        notice=lambda sentence: say_wrapped(sentence, err=True),
    )


def record_through_cj(
    options: RecordingOptions,
    traces_dir: Path,
    redaction: Redactor | None,
    services: CjDeployment,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what will be asked, ask it, and show what the judge is like. Raises as `record_batches` does."""
    request, judge = _prepared(options, traces_dir, redaction, services)
    left = estimated(request, judge)
    show_plan(request, left, err=as_json, by_cj_service=True)
    if dry_run:
        return
    if request.budget_usd is None and not yes and left.most_usd != 0.0:
        raise click.UsageError("This may cost money: give --budget-usd, or --yes to spend without a limit.")
    answered, spent = 0, 0.0
    wanted = request.comparisons_a_run * request.runs
    with shown_progress(request.judge.model) as on_progress:

        def on_callback(run: int, event: CallbackEvent) -> None:
            nonlocal answered, spent
            answered += 1
            spent += cost_of(event.data) or 0.0
            on_progress(RecordingProgress(run, answered, max(answered, wanted), event, spent))

        record_batches(request, services, on_callback=on_callback)
    if as_json:
        print_json(recording_document(request.target))
    else:
        show_recording(request.target)


def _prepared(
    options: RecordingOptions, traces_dir: Path, redaction: Redactor | None, services: CjDeployment
) -> tuple[RecordingRequest, JudgeBehindLps]:
    price = None if options.price_per_million is None else price_of_million(*options.price_per_million)
    wanted = wanted_judge(options)
    # What the service leaves open is its LPS's own; no price is known but the manifest's.
    judge = deployed_judge(wanted, Deployment(services.cj_url, _no_bus), price)
    request = request_of(options, traces_dir, redaction, judge)
    require_usable(request)
    require_price(request, judge)
    most = estimated(request, judge).most_usd
    if request.budget_usd is not None and most is not None and most > request.budget_usd:
        raise BadInput(
            f"a batch that a CJ service runs cannot be stopped at a limit, and its longest answers cost "
            f"{most:.4g} USD.",
            path="record",
            field="budget_usd",
            remedy="Give as much, or fewer --comparisons or --runs.",
        )
    return request, judge


def _no_bus() -> NoReturn:
    raise AssertionError("nobody listens here")
