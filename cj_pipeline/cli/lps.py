"""This module defines `cj-pipeline lps`: the service, its mock's modes, and the models of real providers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from cj_pipeline.cli.bus_options import bus_of_a_service, kafka_option
from cj_pipeline.cli.lps_models import jobs, models, payload
from cj_pipeline.cli.on_demand import CommandsOnDemand
from cj_pipeline.cli.output import csv_option, json_option, print_csv, print_json, print_table, say, say_listening
from cj_pipeline.contracts.enums import QueueBackend


@click.group(
    cls=CommandsOnDemand,
    places={
        "suite": ("cj_pipeline.cli.suites:lps_suite", "Hold a running LPS against production's suite of a profile.")
    },
)
def lps() -> None:
    """The LLM Provider Service, the modes of its mock, and the models of real providers."""


lps.add_command(models)
lps.add_command(payload)
lps.add_command(jobs)


@lps.command()
@click.option("--host", help="Interface to listen on [LLM_PROVIDER_SERVICE_HOST, 0.0.0.0].")
@click.option("--port", type=click.IntRange(0, 65_535), help="0: any free one [LLM_PROVIDER_SERVICE_PORT, 8080].")
@click.option(
    "--mode",
    "mode_expression",
    help="Let the mock answer for every provider, in this mode [LLM_PROVIDER_SERVICE_MOCK_MODE, default].",
)
@click.option(
    "--queue",
    "queue_backend",
    type=click.Choice([backend.value for backend in QueueBackend]),
    help="Where accepted requests wait [LLM_PROVIDER_SERVICE_QUEUE_BACKEND, memory].",
)
@click.option(
    "--callbacks",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for callbacks, a file per topic [callbacks/ below CJ_PIPELINE_DATA_DIR, where there is no Kafka].",
)
@kafka_option
def serve(
    host: str | None,
    port: int | None,
    mode_expression: str | None,
    queue_backend: str | None,
    callbacks: Path | None,
    kafka: str | None,
) -> None:
    """Serve comparisons until SIGTERM or Ctrl-C, then finish what was accepted.

    Callbacks go to the folder that --callbacks names, or else to Kafka where --kafka or KAFKA_BOOTSTRAP_SERVERS (with
    the prefix or without) names a cluster, or else to a folder; in production a folder is refused.
    Everything is set by the variables LLM_PROVIDER_SERVICE_*; an option counts instead of its variable. Logs are JSON
    on standard error; one line on standard output says where the service listens.
    """
    from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
    from cj_pipeline.mock.mode.files import load_mode

    # Here and not above: the server takes 0.15 s to import, which every other command would pay for.
    from cj_pipeline.services.lps.serve import serve as serve_until_stopped
    from cj_pipeline.services.lps.settings import settings_from_environment
    from cj_pipeline.services.lps.variables import KAFKA_SERVERS, refuse_what_is_not_done, warn_of_what_is_not_read
    from cj_pipeline.services.shared.json_logs import log_as_json

    given = {"host": host, "port": port, "mock_mode": mode_expression, "queue_backend": queue_backend}
    if mode_expression is not None:  # who names a mode of the mock wants the mock, whichever provider is asked for
        given["use_mock_llm"] = True
    settings = settings_from_environment(**{name: value for name, value in given.items() if value is not None})
    mode = load_mode(settings.mock_mode)
    log_as_json(settings.log_level, sys.stderr, LPS_SOURCE_SERVICE)
    refuse_what_is_not_done(settings, os.environ)
    warn_of_what_is_not_read(os.environ)
    cluster = kafka or (settings.kafka_bootstrap_servers if callbacks is None else None) or None
    needed = KAFKA_SERVERS if settings.in_production else ""
    bus = bus_of_a_service(callbacks, cluster, "--callbacks", production_needs=needed)
    serve_until_stopped(settings, mode, bus, ready=lambda url: say_listening(url, settings.host))


@lps.command()
@json_option
@csv_option
def modes(as_json: bool, as_csv: bool) -> None:
    """List the modes, and the overlays that make a wrong mock of one."""
    from cj_pipeline.mock.mode.files import load_mode, mode_names, overlay_description, overlay_names

    described = {name: load_mode(name).description for name in mode_names()}
    overlays = {name: overlay_description(name) for name in overlay_names()}
    if as_json:
        print_json({"modes": described, "overlays": overlays})
        return
    if as_csv:
        rows = [("mode", *row) for row in described.items()] + [("overlay", *row) for row in overlays.items()]
        print_csv(("kind", "name", "description"), rows)
        return
    print_table("Modes", ("mode", "what it does"), list(described.items()))
    print_table("Overlays (MODE+OVERLAY)", ("overlay", "what is wrong about it"), list(overlays.items()))


@lps.command()
@click.argument("expression")
@json_option
def mode(expression: str, as_json: bool) -> None:
    """Show the mode that an EXPRESSION names, overlays applied."""
    import yaml

    from cj_pipeline.mock.mode.files import load_mode

    loaded = load_mode(expression)
    document = {**loaded.model_dump(mode="json"), "sha256": loaded.sha256()}
    if as_json:
        print_json(document)
    else:
        say(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip("\n"))
