"""This module reads secrets from files: `NAME_FILE` names the file that holds what `NAME` would.

Containers and systemd hand over secrets as files, since `docker inspect` and `systemctl show` print an environment.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput

SUFFIX = "_FILE"

_PROVIDERS = ("OPENAI", "ANTHROPIC", "GOOGLE", "OPENROUTER")
_KEYS = tuple(f"{provider}_API_KEY" for provider in _PROVIDERS)

SECRETS = frozenset(
    {
        "CJ_PIPELINE_POSTGRES_URL",
        "CJ_PIPELINE_CELERY_URL",
        "CJ_PIPELINE_STACK_DATABASE_URL",
        "CJ_PIPELINE_ALERT_WEBHOOK",
        "CJ_PIPELINE_ALERT_SLACK_WEBHOOK",
        "CJ_PIPELINE_ALERT_SMTP_PASSWORD",
        "KAFKA_SASL_PASSWORD",
        "KAFKA_SSL_KEY_PASSWORD",
        "KAFKA_EXTRA",
        "LLM_PROVIDER_SERVICE_REDIS_URL",
        "LLM_PROVIDER_SERVICE_ADMIN_API_KEY",
        *_KEYS,
        *(f"LLM_PROVIDER_SERVICE_{key}" for key in _KEYS),
        *(f"LLM_PROVIDER_SERVICE_{provider}_EXTRA_HEADERS" for provider in _PROVIDERS),
        *(f"LLM_PROVIDER_SERVICE_{provider}_EXTRA_QUERY" for provider in _PROVIDERS),
        "CJ_ASSESSMENT_SERVICE_DATABASE_URL",
        "CJ_ASSESSMENT_SERVICE_JWT_SECRET_KEY",
        "CJ_ASSESSMENT_SERVICE_INTERNAL_API_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }
)
"""Variables that may be given as a file."""


def read_secret_files(environment: MutableMapping[str, str]) -> None:
    """Set each secret whose `_FILE` names a file, and take the `_FILE` away, so that a child process reads none again.

    Raises BadInput when both are set, or the file cannot be read or is empty. No message quotes a content.
    """
    for name, path in secret_files(environment).items():
        variable = name + SUFFIX
        if environment.get(name):
            raise BadInput(f"is set, and so is {name}.", path="environment", field=variable, remedy="Unset one.")
        environment[name] = _content(variable, Path(path))
        del environment[variable]


def secret_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the file of each secret that is given as one; an empty variable, as compose exports it, names none."""
    return {name: path for name in sorted(SECRETS) if (path := environment.get(name + SUFFIX, "").strip())}


def _content(variable: str, path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError(errno.EINVAL, "it is no regular file")
        found = path.read_text(encoding="utf-8").strip()
        if "\0" in found:  # which no variable can hold
            raise OSError(errno.EINVAL, "it holds a NUL")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no UTF-8 text"
        raise BadInput(
            f"'{path}' cannot be read: {reason}.",
            path="environment",
            field=variable,
            remedy="Name a file that this user may read.",
        ) from None
    if not found:
        raise BadInput(f"'{path}' is empty.", path="environment", field=variable, remedy="Write the secret into it.")
    return found
