"""This module reads the settings to try on a recording, such as `budget=40,80`, and combines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from pydantic import ValidationError

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.foundation.errors import CjPipelineError, did_you_mean

ALIASES: Mapping[str, str] = {
    "budget": "max_pairwise_comparisons",
    "floor": "min_comparisons_for_stability_check",
    "stability": "score_stability_threshold",
    "strategy": "pairing",
    "success": "min_success_rate_threshold",
    "small_net": "min_resampling_net_size",
    "small_passes": "max_resampling_passes_for_small_net",
    "passes": "max_resampling_passes_for_regular_batch",
    "retries": "max_retry_attempts",
    "batching": "llm_batching_mode",
    "alpha": "bt_alpha",
}
"""Short names of settings; every setting also goes by its own name."""

# A run of twelve essays takes about 10 ms, so 200 combinations of 20 seeds are under a minute.
MOST_VARIANTS = 200


class UnusableGrid(CjPipelineError):
    """A `--what-if` that names no setting, gives a value it cannot have, or makes too many combinations."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One combination: the settings of a run, and what of them was asked for.

    changes: (full name of the setting, value) in the order in which they were given; none for the recording's own.
    """

    settings: EngineSettings
    changes: tuple[tuple[str, str], ...] = ()


def variants_of(assignments: Sequence[str], base: EngineSettings) -> tuple[Variant, ...]:
    """Return every combination of the values given, each NAME=VALUE[,VALUE...]; the last name varies fastest.

    base: what holds for every setting that is not named. Values of a list are joined by +, as in
    llm_batch_api_allowed_providers=openai+anthropic. Raises UnusableGrid naming the setting.
    """
    axes: dict[str, list[str]] = {}
    for assignment in assignments:
        name, values = _axis(assignment)
        if name in axes:
            raise UnusableGrid(f"--what-if {name}: given twice. Put all its values behind one '=': {name}=1,2.")
        for value in values:
            _settings(base, ((name, value),))
        axes[name] = values
    count = prod(len(values) for values in axes.values())
    if count > MOST_VARIANTS:
        sizes = " x ".join(f"{len(values)} of {name}" for name, values in axes.items())
        raise UnusableGrid(f"--what-if: {sizes} are {count} combinations; at most {MOST_VARIANTS} are run at once.")
    combinations = [tuple(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return tuple(Variant(_settings(base, changes), changes) for changes in combinations)


def _axis(assignment: str) -> tuple[str, list[str]]:
    """Return the setting by its own name, and its values as written."""
    name, equals, text = assignment.partition("=")
    name = name.strip()
    if not equals:
        raise UnusableGrid(f"--what-if '{assignment}': no '='. Write NAME=VALUE[,VALUE...], as in budget=40,80,120.")
    full = ALIASES.get(name, name)
    if full not in EngineSettings.model_fields:
        known = (*ALIASES, *EngineSettings.model_fields)
        raise UnusableGrid(f"--what-if {name}: not a setting of the engine. {did_you_mean(name, known)}")
    values = [value.strip() for value in text.split(",")]
    twice = next((value for place, value in enumerate(values) if value in values[:place]), None)
    if twice is not None:
        raise UnusableGrid(f"--what-if {name}: '{twice}' is given twice.")
    return full, values


def _settings(base: EngineSettings, changes: Sequence[tuple[str, str]]) -> EngineSettings:
    fields: dict[str, object] = base.model_dump()
    for name, value in changes:
        fields[name] = value.split("+") if isinstance(fields[name], tuple) else value
    try:
        return EngineSettings.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        written = dict(changes)
        named = [name for name in map(str, first["loc"][:1]) if name in written] or list(written)
        said = ", ".join(f"'{written[name]}'" for name in named)
        raise UnusableGrid(f"--what-if {', '.join(named)}: {said}: {first['msg']}.") from None
