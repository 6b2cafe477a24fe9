"""This module defines `cj-pipeline eng5 prompts`: the numbered system prompts and rubrics."""

from __future__ import annotations

import click

from cj_pipeline.cli.output import json_option, print_json, print_table, say


@click.command("prompts")
@click.argument("number", required=False)
@json_option
def prompts(number: str | None, as_json: bool) -> None:
    """List the numbered prompts, or show the texts of NUMBER.

    \b
    cj-pipeline eng5 prompts 007
    cj-pipeline eng5 anchor-align-test --system-prompt 007 --rubric 006
    """
    from cj_pipeline.eng5.prompts import ABOUT, NumberedPrompt, PromptKind, numbered_prompts, prompt_path
    from cj_pipeline.foundation.errors import BadInput

    every = [one for kind in PromptKind for one in numbered_prompts(kind)]
    if number is not None:
        wanted = prompt_path(number, PromptKind.SYSTEM)
        every = [one for one in every if wanted is not None and one.number == wanted.stem[:3]]
        if not every:
            raise BadInput(f"'{number}' is no number.", path="eng5", field="prompts",
                           remedy="`cj-pipeline eng5 prompts` lists them.")  # fmt: skip
    if as_json:
        print_json(
            [{"kind": one.kind.value, "number": one.number, "name": one.name, "about": ABOUT[one.number],
              "sha256": one.sha256, "text": one.text} for one in every]
        )  # fmt: skip
    elif number is None:

        def row(one: NumberedPrompt) -> tuple[object, ...]:
            return one.kind.value, one.name, len(one.text.split()), one.sha256[:8], ABOUT[one.number]

        print_table("Prompts", ("kind", "name", "words", "sha256", "idea"), [row(one) for one in every])
        say("Use one by its number: --system-prompt 007 --rubric 006")
    else:
        for one in every:
            say(f"{one.kind.value} {one.name} (sha256 {one.sha256}):\n\n{one.text}\n")
