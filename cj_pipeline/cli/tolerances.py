"""This module defines `cj-pipeline tolerances propose`: the margins that a recording supports, as YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import yaml

from cj_pipeline.cli.output import json_option, print_json, say
from cj_pipeline.cli.parity_options import profile_option

if TYPE_CHECKING:
    from cj_pipeline.parity.margins import Proposal
    from cj_pipeline.traces.scenario import Profile


@click.group()
def tolerances() -> None:
    """Margins of a scenario."""


@tolerances.command()
@click.argument("source")
@profile_option
@json_option
def propose(source: str, profile: Profile | None, as_json: bool) -> None:
    """Print `tolerances:` for SOURCE, a gate a line: the profile's margin, or the noise of the recording if larger.

    SOURCE: a scenario id, a trace folder, or a JSONL file of callbacks. Copy into scenario.yaml what you agree with.

    \b
    cj-pipeline tolerances propose eng5_lower5_gpt51_low_20251202
    """
    from cj_pipeline.cli.sources import find_source
    from cj_pipeline.parity.margins import proposed
    from cj_pipeline.runs.record import Side
    from cj_pipeline.traces.scenario import REASON

    found = find_source(source, profile)
    proposals = proposed(found.scenario, found.replayed(Side.RECORDED), found.further_runs())
    if as_json:
        print_json({one.gate.name: {**one.limits, REASON: one.reason} for one in proposals})
        return
    say("tolerances:")
    for one in proposals:
        say(_entry(one))


def _entry(proposal: Proposal) -> str:
    """Return one line of YAML; a comment where no margin covers the noise."""
    from cj_pipeline.traces.scenario import REASON

    name = proposal.gate.name
    if not proposal.limits:
        return f"  # {name}: {proposal.reason}"
    document = {name: {**proposal.limits, REASON: proposal.reason}}
    text: str = yaml.safe_dump(document, default_flow_style=None, sort_keys=False, allow_unicode=True, width=10_000)
    return "  " + text.rstrip("\n")
