"""This module defines `cj-pipeline eng5 register-anchors` and `verify-auth`: what the runner does as an admin."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from cj_pipeline.cli.eng5_options import SCALES
from cj_pipeline.cli.output import json_option, print_json, print_table, say
from cj_pipeline.foundation import exit_codes

FAILED = 1
"""The reference's exit code for an anchor that was not registered."""


@click.command("register-anchors")
@click.argument("assignment", type=click.UUID)
@click.option("--cj-service-url", envvar="CJ_SERVICE_URL", default="http://localhost:9095", show_default=True,
              help="[CJ_SERVICE_URL]")  # fmt: skip
@click.option("--anchor-dir", type=click.Path(path_type=Path, file_okay=False),
              help="Files of anchors, whose names end in their grades.  [default: those of this project]")  # fmt: skip
@click.option("--expected-grade-scale", type=click.Choice(SCALES), help="Stop where the assignment has another one.")
@json_option
def register_anchors(
    assignment: object, cj_service_url: str, anchor_dir: Path | None, expected_grade_scale: str | None, as_json: bool
) -> None:
    """Register graded anchors for ASSIGNMENT with a CJ service.

    An anchor that is there under the same name is replaced. Exits with 0 when all are registered, 1 when one is not.
    """
    from cj_pipeline.eng5.anchors import register
    from cj_pipeline.eng5.inputs import SHIPPED_NET
    from cj_pipeline.services.cj.admin_client import CjAdmin, token_of_environment

    admin = CjAdmin(cj_service_url, token_of_environment())
    found = register(admin, str(assignment), anchor_dir or SHIPPED_NET / "anchors", expected_grade_scale)
    if as_json:
        print_json([{"anchor": one.name, "grade": one.grade, "problem": one.problem} for one in found])
    else:
        rows = [(one.name, one.grade or "unknown", one.problem or "registered") for one in found]
        print_table(f"Anchors of {assignment}", ("anchor", "grade", ""), rows)
    sys.exit(FAILED if any(one.problem for one in found) else exit_codes.PASSED)


@click.command("verify-auth")
@json_option
def verify_auth(as_json: bool) -> None:
    """Show whose token the runner would use, and until when; where there is none, say why.

    Exits with 0 for a token that is still good (or none is wanted, on this machine), 1 for an expired one, 2 without.
    """
    from cj_pipeline.foundation.clock import utc_now
    from cj_pipeline.foundation.environment import is_development
    from cj_pipeline.services.cj.admin_client import TOKEN_VARIABLES, NoToken, claims_of, token_of_environment
    from cj_pipeline.services.cj.environment import settings_from_environment

    token = token_of_environment()
    if token is None:
        environment = settings_from_environment(database_url="sqlite://").environment
        if not is_development(environment):
            names = " or ".join(TOKEN_VARIABLES)
            raise NoToken(f"ENVIRONMENT is '{environment}', where no token is made for a desk: set {names}.")
        say("No token is set, and a CJ service without keys on this machine wants none.")
        return
    claims = claims_of(token)
    expires = claims.get("exp")
    until = datetime.fromtimestamp(expires, UTC) if isinstance(expires, int | float) else None
    expired = until is not None and until <= utc_now()
    shown = {
        "subject": claims.get("sub"),
        "roles": claims.get("roles"),
        "issuer": claims.get("iss"),
        "audience": claims.get("aud"),
        "expires": None if until is None else until.isoformat(),
        "expired": expired,
    }
    if as_json:
        print_json(shown)
    else:
        for name, value in shown.items():
            say(f"{name}: {value}")
    sys.exit(exit_codes.CHECK_FAILED if expired else exit_codes.PASSED)
