"""This module finds the essays that a mode names, and writes the same mode under other names for them."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.mock.mode.mode import AbilityWinner, Mode, PerItemTokens

# Digests that name other files, and sentences that a person may have written.
_LEFT_OUT = {"overlays", "fitted_from", "version", "origins", "held_out"}


class CannotRename(CjPipelineError):
    """A mode that names essays in a place that no mode file can hold."""


def essays_named(mode: Mode) -> frozenset[str]:
    """Ids of the essays that a mode treats each in its own way; empty for a mode that looks at no essay."""
    named: set[str] = set()
    if isinstance(mode.winner, AbilityWinner):
        named |= mode.winner.abilities.keys() | mode.winner.answers.keys()
        named |= {essay for others in mode.winner.answers.values() for essay in others}
    named |= mode.errors.failed.keys()
    named |= {essay for others in mode.errors.failed.values() for essay in others}
    if isinstance(mode.tokens.prompt, PerItemTokens):
        named |= mode.tokens.prompt.items.keys()
    if mode.recording is not None:
        named |= {essay for answer in mode.recording.answers for essay in (answer.essay_a, answer.essay_b)}
    return frozenset(named)


def renamed_mode(mode: Mode, name: str, rename: Callable[[str], str], rename_model: Callable[[str], str] = str) -> str:
    """The text of a mode file that answers as the mode does, to essays under other names.

    name: the new mode's. Overlays are laid in. What the mode was fitted from and measured on is left out, with the
    sentences that its answers quote, and its description is replaced. Raises CannotRename for a mode that replays a
    recording: its essays are in the recording.
    """
    if mode.recording is not None:
        raise CannotRename(
            f"mode '{mode.name}' replays a recording, which names essays as they were. Choose another mode (--mode), "
            "and let it replay the new trace afterwards."
        )
    content = mode.model_dump(mode="json", exclude_none=True, exclude=_LEFT_OUT)
    content |= {"name": name, "description": "A mode under the names of a redacted trace."}
    if isinstance(mode.winner, AbilityWinner):
        content["winner"]["abilities"] = {rename(essay): theta for essay, theta in mode.winner.abilities.items()}
        content["winner"]["answers"] = {
            rename(first): {rename(second): letters for second, letters in others.items()}
            for first, others in mode.winner.answers.items()
        }
    content["errors"]["failed"] = {
        rename(first): {rename(second): calls for second, calls in others.items()}
        for first, others in mode.errors.failed.items()
    }
    content["justification"]["texts"] = []
    if mode.model is not None:
        content["model"] = rename_model(mode.model)
    prompt = mode.tokens.prompt
    if isinstance(prompt, PerItemTokens):
        content["tokens"]["prompt"]["items"] = {rename(essay): tokens for essay, tokens in prompt.items.items()}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
