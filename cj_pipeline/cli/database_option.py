"""This module declares how commands name the CJ database that they read."""

from __future__ import annotations

import os

import click

VARIABLE = "CJ_ASSESSMENT_SERVICE_DATABASE_URL"

database_option = click.option(
    "--database", metavar="URL", help=f"postgresql://USER@HOST/DATABASE or sqlite:///FILE.  [{VARIABLE}, HULEEDU_DB_*]"
)


def database_of(given: str | None) -> str:
    """Return the URL of the database that is meant. Raises BadInput where nobody names one."""
    from cj_pipeline.eng5.diagnostics.database import diagnosed_database

    return diagnosed_database(given, os.environ)
