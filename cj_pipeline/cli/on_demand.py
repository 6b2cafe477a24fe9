"""This module defines a group of commands that are imported when they are called.

Together all commands take 2 s to import, which `--help` and a service that is being restarted would have to wait for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class CommandsOnDemand(click.Group):
    """A group that knows where its commands are: `@click.group(cls=CommandsOnDemand, places=...)`.

    places: by name, `module:attribute` and the line that the group's help shows, which needs no import; beside the
    commands that are added in the usual way.
    """

    def __init__(self, *arguments: Any, places: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted({*self.commands, *self._places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command, imported now; None when there is none of that name."""
        if cmd_name not in self._places:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._places[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without importing them."""
        lines = {name: command.get_short_help_str() for name, command in self.commands.items()}
        lines |= {name: line for name, (_, line) in self._places.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(lines.items()))
