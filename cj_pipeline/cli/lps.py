"""`cj-pipeline lps`: the mock's modes."""

from __future__ import annotations

import click
import yaml

from cj_pipeline.cli.output import json_option, print_json, print_table
from cj_pipeline.lps.mode_files import load_mode, mode_names, overlay_description, overlay_names


@click.group()
def lps() -> None:
    """The LLM Provider Service: the modes of its mock."""


@lps.command()
@json_option
def modes(as_json: bool) -> None:
    """List the modes, and the overlays that make a wrong mock of one."""
    described = {name: load_mode(name).description for name in mode_names()}
    overlays = {name: overlay_description(name) for name in overlay_names()}
    if as_json:
        print_json({"modes": described, "overlays": overlays})
        return
    print_table("Modes", ("mode", "what it does"), list(described.items()))
    print_table("Overlays (MODE+OVERLAY)", ("overlay", "what is wrong about it"), list(overlays.items()))


@lps.command()
@click.argument("expression")
@json_option
def mode(expression: str, as_json: bool) -> None:
    """Show what a mode EXPRESSION comes down to, overlays applied."""
    loaded = load_mode(expression)
    document = {**loaded.model_dump(mode="json"), "sha256": loaded.sha256()}
    if as_json:
        print_json(document)
    else:
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
