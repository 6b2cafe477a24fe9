"""This module holds the options that every command which compares has: how it is judged, and from which seed."""

from __future__ import annotations

import click

from cj_pipeline.traces.scenario import Profile

# What is stored as a number of 64 bits.
SEED = click.IntRange(-(2**63), 2**63 - 1)

profile_option = click.option(
    "--profile",
    type=click.Choice([profile.value for profile in Profile]),
    callback=lambda _context, _parameter, value: None if value is None else Profile(value),
    help=f"Whose margins are meant, for a file without a scenario.  [default: {Profile.JUDGE}]",
)
strict_option = click.option(
    "--strict", is_flag=True, help="CANNOT TELL also where gates pass on inconclusive evidence."
)
accept_option = click.option(
    "--accept-unproven",
    is_flag=True,
    help="Exit with 0 where the comparison is too weak to tell; not for partial input, the same file, or no gate.",
)
