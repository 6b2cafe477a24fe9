"""This module defines `cj-pipeline health`: whether the parts of a deployment are ready, for probes and for people."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import json_option, print_json, print_table, say_wrapped
from cj_pipeline.cli.stack import ports_of, ports_option
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from cj_pipeline.local.probes import Health

_PART_VARIABLE = "CJ_PIPELINE_PART"

# Not imported from local/probes.py: `--help` would pay for an HTTP client.
_PARTS = ("lps", "cj", "webserver", "code-server", "daemon")

_PAUSE_S = 1.0


@click.command()
@click.argument("part", required=False, envvar=_PART_VARIABLE, type=click.Choice(_PARTS))
@click.option("--at", "address", metavar="HOST:PORT", help="Where the part is [this machine, at its usual port].")
@ports_option
@click.option("--live", is_flag=True, help="Ask only whether the process answers, not whether it can do its work.")
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), default=0.0, help="Ask again for so many seconds.")
@click.option(
    "--within",
    "within_s",
    type=click.FloatRange(min=1),
    default=180.0,
    show_default=True,
    help="How old the daemon's latest sign of life may be, in seconds; it gives one every 30.",
)
@json_option
def health(
    part: str | None,
    address: str | None,
    ports: tuple[str, ...],
    live: bool,
    wait_s: float,
    within_s: float,
    as_json: bool,
) -> None:
    """Say whether PART is ready for work; without PART, whether all five are. Exits with 1 when one is not.

    PART may be given as CJ_PIPELINE_PART. --port is that of `stack`: dagster is the webserver; kafka and content are
    not asked. The daemon is asked through the storage of the instance in DAGSTER_HOME.

    \b
    cj-pipeline health --port dagster=3001
    """
    if address is not None and part in (None, "daemon"):
        raise click.UsageError("--at goes with a part that has a port.")
    named = {"webserver" if name == "dagster" else name: f"127.0.0.1:{port}" for name, port in ports_of(ports).items()}
    deadline = time.monotonic() + wait_s
    while True:
        found = [_asked(name, address or named.get(name), live, within_s) for name in ((part,) if part else _PARTS)]
        good = all(one.good for one in found)
        if good or time.monotonic() + _PAUSE_S > deadline:
            break
        time.sleep(_PAUSE_S)
    _show(found, live, as_json)
    sys.exit(exit_codes.PASSED if good else exit_codes.CHECK_FAILED)


def _asked(part: str, address: str | None, live: bool, within_s: float) -> Health:
    from cj_pipeline.local.probes import DAEMON, DAEMON_LIMIT_S, DEFAULT_ADDRESSES, LIMIT_S, Health, probe, within

    if part != DAEMON:
        where = address or DEFAULT_ADDRESSES[part]
        return within(part, LIMIT_S, f"What listens at {where}", lambda: probe(part, where, live=live))
    try:
        from cj_pipeline.instance import daemon_problem
    except ModuleNotFoundError as error:
        raise CjPipelineError(f"{error}. The daemon needs Dagster: install cj-pipeline[dagster].") from None

    def look() -> Health:
        problem = daemon_problem(within_s, errors_too=not live)
        return Health(DAEMON, not problem, problem or "All its loops gave a sign of life.")

    return within(DAEMON, DAEMON_LIMIT_S, "Its storage", look)


def _show(found: list[Health], live: bool, as_json: bool) -> None:
    yes, no = ("alive", "not alive") if live else ("ready", "not ready")
    if as_json:
        print_json([{"part": one.part, "state": yes if one.good else no, "detail": one.detail} for one in found])
    elif len(found) == 1:
        say_wrapped(f"{found[0].part}: {yes if found[0].good else no}. {found[0].detail}")
    else:
        rows = [(one.part, yes if one.good else no, one.detail) for one in found]
        print_table("cj-pipeline health", ("part", "state", "detail"), rows)
