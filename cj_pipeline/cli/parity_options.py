"""This module holds the options that say how a comparison is judged, for every command that compares."""

from __future__ import annotations

import click

strict_option = click.option(
    "--strict", is_flag=True, help="CANNOT TELL also where gates pass on inconclusive evidence."
)
accept_option = click.option(
    "--accept-unproven",
    is_flag=True,
    help="Exit with 0 where the comparison is too weak to tell; not for partial input, the same file, or no gate.",
)
