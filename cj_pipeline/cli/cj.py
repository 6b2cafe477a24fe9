"""This module defines `cj-pipeline cj`: the CJ assessment service."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from cj_pipeline.cli.bus_options import bus_of_a_service, kafka_option
from cj_pipeline.cli.on_demand import CommandsOnDemand
from cj_pipeline.cli.output import say_listening


@click.group(
    cls=CommandsOnDemand,
    places={
        "admin": ("cj_pipeline.cli.cj_admin:admin", "Instructions, prompts, rubrics and anchors of assignments."),
        "suite": ("cj_pipeline.cli.suites:cj_suite", "Hold a running CJ service against a suite of production's."),
    },
)
def cj() -> None:
    """The CJ assessment service."""


@cj.command()
@click.option("--host", help="Interface to listen on [CJ_ASSESSMENT_SERVICE_HOST, 0.0.0.0].")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Of /healthz and /metrics; 0: any free one [CJ_ASSESSMENT_SERVICE_HTTP_PORT, 9090].",
)
@click.option("--database", help="sqlite:///FILE or postgresql://... [CJ_ASSESSMENT_SERVICE_DATABASE_URL].")
@click.option("--lps", "lps_url", help="Base URL of the LPS's API [CJ_ASSESSMENT_SERVICE_LLM_PROVIDER_SERVICE_URL].")
@click.option(
    "--bus",
    "bus_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the topics, a file each [callbacks/ below CJ_PIPELINE_DATA_DIR, where there is no Kafka].",
)
@kafka_option
def serve(
    host: str | None,
    port: int | None,
    database: str | None,
    lps_url: str | None,
    bus_folder: Path | None,
    kafka: str | None,
) -> None:
    """Assess the batches that are requested on the bus, until SIGTERM or Ctrl-C.

    The bus is the folder that --bus names, or else Kafka where --kafka or KAFKA_BOOTSTRAP_SERVERS names a cluster, or
    else the folder that `lps serve` writes to. Requests come on huleedu.els.cj_assessment.requested.v1; in a folder
    that is a file of this name with .jsonl behind it, and so are the results. Everything is set by the variables
    CJ_ASSESSMENT_SERVICE_*; an option counts instead of its variable.
    """
    from cj_pipeline.contracts.cj_events import CJ_SOURCE_SERVICE
    from cj_pipeline.services.cj.environment import (
        KAFKA_SERVERS,
        require_deployed,
        settings_from_environment,
        warn_of_what_is_not_read,
    )

    # Here and not above: server and database take 0.4 s to import, which every other command would pay for.
    from cj_pipeline.services.cj.http.serve import serve as serve_until_stopped
    from cj_pipeline.services.shared.json_logs import log_as_json

    given = {"host": host, "http_port": port, "database_url": database, "llm_provider_service_url": lps_url}
    settings = settings_from_environment(**{name: value for name, value in given.items() if value is not None})
    log_as_json(settings.log_level, sys.stderr, CJ_SOURCE_SERVICE)
    warn_of_what_is_not_read(os.environ)
    require_deployed(settings)
    names = {"group_id": settings.consumer_group_id_cj, "client_id": settings.producer_client_id_cj}
    cluster = kafka or (settings.kafka_bootstrap_servers if bus_folder is None else None)
    bus = bus_of_a_service(
        bus_folder,
        cluster,
        "--bus",
        production_needs=KAFKA_SERVERS if settings.in_production else "",
        **{name: value for name, value in names.items() if value is not None},
    )
    serve_until_stopped(settings, bus, ready=lambda url: say_listening(url, settings.host))
