"""Groups of commands that are imported when they are called.

Here: the group. Not here: which commands there are (main.py, traces.py). Together all commands take 2 s to import,
which a service that is being restarted would spend on plots and parity checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class CommandsOnDemand(click.Group):
    """A group that knows where commands are: `@click.group(cls=CommandsOnDemand, places=...)`.

    places: by name, `module:attribute`; beside the commands that are added in the usual way.
    """

    def __init__(self, *arguments: Any, places: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted({*self.commands, *self._places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, imported now; None when there is none of that name."""
        if cmd_name not in self._places:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._places[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command
