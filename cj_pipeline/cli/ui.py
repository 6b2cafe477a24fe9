"""This module defines `cj-pipeline ui`: Dagster's webserver and daemon on this machine, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import click

DEFAULT_PORT = 3000

# What a run that is being stopped may take; then the processes are killed, and the next start finds the run dead.
_STOP_S = 20.0

# Half a dozen processes that import Dagster: seven seconds, and minutes on a machine that is busy with something else.
_START_S = 600.0


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=DEFAULT_PORT, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="The UI has no log-in: others reach all of it.")
@click.option("--read-only", is_flag=True, help="Only look: nothing can be launched or changed, and no daemon runs.")
def ui(port: int, host: str, read_only: bool) -> None:
    """Run Dagster's UI and daemon on this machine, until Ctrl-C or a SIGTERM.

    Needs dagster.yaml and workspace.yaml in this folder. Runs and events are below DAGSTER_HOME [.dagster here].
    """
    from cj_pipeline.foundation.errors import BadInput
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.local.ports import is_free
    from cj_pipeline.local.programs import CannotStart
    from cj_pipeline.local.server import Server, ServerSpec, http_answers, wait_for_an_end

    here, settings = Path.cwd(), PipelineSettings()
    for name in ("dagster.yaml", "workspace.yaml"):
        if not (here / name).is_file():
            raise BadInput("is not here.", path=here / name, remedy="Run this from the project's folder.")
    if not is_free(port):
        raise CannotStart(
            f"Port {port} is in use. Stop what listens there, or give another: --port, make ui PORT=3001."
        )
    home = Path(os.environ.get("DAGSTER_HOME") or ".dagster").absolute()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists() or home == here / ".dagster":
        shutil.copyfile(here / "dagster.yaml", home / "dagster.yaml")
    url = f"http://{host}:{port}"
    log = home / ("viewer.log" if read_only else "ui.log")
    server = Server(
        ServerSpec(
            name="dagster",
            address=url,
            log=log,
            command=lambda: [*_program(read_only), "-h", host, "-p", str(port), "-w", str(here / "workspace.yaml")],
            answers=lambda: http_answers(port, f"http://127.0.0.1:{port}/server_info"),
            environment={
                **os.environ,
                "DAGSTER_HOME": str(home),
                # Absolute, since Dagster runs in its home: beside another dagster.yaml it would warn of that one.
                "CJ_PIPELINE_DATA_DIR": settings.data_address,
                "CJ_PIPELINE_LOCAL_DIR": str(settings.local_dir.absolute()),
                "CJ_PIPELINE_TRACES_DIR": str(settings.traces_dir.absolute()),
                # Of this version's own commands, which name a successor (docs/commands.md).
                "PYTHONWARNINGS": "ignore",
            },
            folder=home,
            start_timeout_s=_START_S,
            # `dagster dev` goes on after a SIGTERM.
            stop_signal=signal.SIGINT,
            stop_timeout_s=_STOP_S,
        )
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell lets what it starts in the background ignore Ctrl-C, and Dagster would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with server:
            click.echo(f"Dagster is on {url}; Ctrl-C stops it, log {server.log}")
            wait_for_an_end([server])
    except KeyboardInterrupt:
        click.echo("stopped")


def _program(read_only: bool) -> list[str]:
    """Return the command in front of its options: the webserver alone, or with the daemon."""
    folder = Path(sys.executable).parent
    return [str(folder / "dagster-webserver"), "--read-only"] if read_only else [str(folder / "dagster"), "dev"]
