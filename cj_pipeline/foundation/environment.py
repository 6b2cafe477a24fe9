"""This module reads a service's settings from the environment, and defines the kinds of setting that services share.

Which settings there are is in the settings.py of each service.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, NoDecode

from cj_pipeline.foundation.errors import BadInput, did_you_mean

_log = logging.getLogger(__name__)

Settings = TypeVar("Settings", bound=BaseSettings)
Values = TypeVar("Values")

_NOTHING: Mapping[str, str] = {}

DEVELOPMENT = frozenset({"development", "dev", "local", "test", "testing"})
# Neither somebody's own desk nor what others rely on.
_BETWEEN = frozenset({"staging", "ci"})
_PRODUCTION = frozenset({"production", "prod"})


def is_development(environment: str) -> bool:
    """Return whether a word for where a service runs says that it is somebody's own."""
    return environment.strip().lower() in DEVELOPMENT


def counts_as_production(environment: str) -> bool:
    """Return whether others rely on a service that runs there. A word that nobody knows, such as `live`, counts."""
    return environment.strip().lower() not in DEVELOPMENT | _BETWEEN


def environment_name(variables: Mapping[str, str], prefix: str) -> str:
    """Return where a service runs: production when any of its variables says so, else the first that says anything.

    An empty variable, as compose exports one that is not set, says nothing. prefix: of the service's own variables.
    """
    said = [variables.get(name, "") for name in ("ENVIRONMENT", f"{prefix}ENVIRONMENT", "ENV_TYPE")]
    said = [word.strip() for word in said if word.strip()]
    production = [word for word in said if word.lower() in _PRODUCTION]
    return next(iter(production or said), "development")


def read_environment(model: type[Settings], **given: object) -> Settings:
    """Read the process environment once; what is given counts instead. Raises BadInput naming the variable."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadInput(
            f"{first['msg'].removeprefix('Value error, ')}.",
            path="environment",
            field=model.model_config["env_prefix"] + ".".join(str(part) for part in first["loc"]).upper(),
            remedy="Change or unset the variable.",
        ) from None


def unread_variables(
    model: type[BaseSettings], environment: Mapping[str, str], explained: Mapping[str, str] = _NOTHING
) -> dict[str, str]:
    """Return the variables that have a model's prefix and set nothing, each with a hint; empty for none.

    explained: what is known of such a name, without its prefix; for any other the hint is the nearest name.
    A setting that does nothing in silence is worse than one that is refused.
    """
    prefix = model.model_config["env_prefix"]
    known = {prefix + name.upper() for name in model.model_fields}
    found = {}
    for name in sorted(environment):
        if name.upper().startswith(prefix) and name.upper() not in known:
            near = next(iter(get_close_matches(name.upper(), known, n=1)), None)
            guess = "" if near is None else f"did you mean {near}?"
            found[name] = explained.get(name.upper().removeprefix(prefix), guess)
    return found


def warn_of_unread(
    model: type[BaseSettings], environment: Mapping[str, str], explained: Mapping[str, str] = _NOTHING
) -> None:
    """Log one warning that names every variable with a model's prefix that nothing reads."""
    unread = unread_variables(model, environment, explained)
    if unread:
        named = ", ".join(f"{name} ({hint})" if hint else name for name, hint in unread.items())
        _log.warning("%d variables are set and not read: %s", len(unread), named)


def _known_level(level: str) -> str:
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        raise ValueError(f"'{level}' is not a level of logs. {did_you_mean(level.upper(), levels)}".rstrip("."))
    return level.upper()


def listed(values: object) -> object:
    """Split what a variable gives: a JSON list, or values with commas between them. Raises ValueError."""
    if not isinstance(values, str):
        return values
    if values.lstrip().startswith("["):
        try:
            return json.loads(values)
        except ValueError:
            raise ValueError("not a JSON list; values with commas between them will do") from None
    return [value.strip() for value in values.split(",")] if values.strip() else []


LogLevel = Annotated[str, AfterValidator(_known_level)]
"""A name of the logging module's, in either case."""

# NoDecode: parsed as JSON by force, the documented `429,503` kept production's LPS from starting.
Listed = Annotated[Values, NoDecode, BeforeValidator(listed)]
"""A tuple, which a variable gives as a JSON list or as values with commas between them."""
