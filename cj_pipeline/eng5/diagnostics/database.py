"""This module finds the CJ database that diagnostics read, in the environment of the service or of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.cj.environment import DATABASE_URL, database_url

NAME_VARIABLE = "CJ_ASSESSMENT_SERVICE_DB_NAME"
USER_VARIABLE, PASSWORD_VARIABLE, HOST_VARIABLE = "HULEEDU_DB_USER", "HULEEDU_DB_PASSWORD", "HULEEDU_DB_HOST"
PORT_VARIABLES = ("HULEEDU_CJ_DB_PORT", "HULEEDU_DB_PORT")
DEFAULT_PORT = "5434"
"""Of the CJ database as the reference's scripts expect it."""


def diagnosed_database(given: str | None, environment: Mapping[str, str]) -> str:
    """Return the URL of the database: the one given, else the one that the environment names.

    Raises BadInput where neither names one, or only a half.
    """
    if given:
        return given
    named = any(environment.get(name) for name in (DATABASE_URL, "SERVICE_DATABASE_URL"))
    if not named and (environment.get(USER_VARIABLE) or environment.get(HOST_VARIABLE)):
        return _of_the_reference(environment)
    if url := database_url(environment):
        return url
    raise BadInput(
        "no CJ database is named.",
        path="environment",
        field=DATABASE_URL,
        remedy="Set it, or give --database: postgresql://USER@HOST/DATABASE or sqlite:///FILE.",
    )


def _of_the_reference(environment: Mapping[str, str]) -> str:
    """Return the URL of the variables that the reference's scripts read; they do not say which database it is."""
    for name in (USER_VARIABLE, NAME_VARIABLE):
        if not environment.get(name):
            raise BadInput(
                "is not set, and HULEEDU_DB_* alone name no database.",
                path="environment",
                field=name,
                remedy="Set it, or give --database postgresql://USER@HOST/DATABASE.",
            )
    user, password = quote(environment[USER_VARIABLE], safe=""), environment.get(PASSWORD_VARIABLE, "")
    secret = f":{quote(password, safe='')}" if password else ""
    port = next((environment[name] for name in PORT_VARIABLES if environment.get(name)), DEFAULT_PORT)
    host = environment.get(HOST_VARIABLE) or "localhost"
    return f"postgresql://{user}{secret}@{host}:{port}/{quote(environment[NAME_VARIABLE], safe='')}"
