"""This module defines `cj-pipeline cj admin`: what an assignment is judged by, kept by a running CJ service."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.output import csv_option, json_option, print_csv, print_json, print_table, say
from cj_pipeline.engine.grades.scales import SCALES

if TYPE_CHECKING:
    from cj_pipeline.services.cj.admin_client import CjAdmin

cj_option = click.option(
    "--cj", "url", envvar="CJ_SERVICE_URL", default="http://127.0.0.1:9090", show_default=True, help="[CJ_SERVICE_URL]"
)
text_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
assignment = click.argument("assignment_id")

_ROOT = "/admin/v1/assessment-instructions"
_PROMPTS = ("/admin/v1/student-prompts", "prompt_text")
_RUBRICS = ("/admin/v1/judge-rubrics", "rubric_text")


@click.group()
def admin() -> None:
    """Instructions, prompts, rubrics and anchors of assignments, and the token that changes them.

    The token is HULEEDU_SERVICE_ACCOUNT_TOKEN or HULEEDU_ADMIN_TOKEN. In development one is made with
    CJ_ASSESSMENT_SERVICE_JWT_SECRET_KEY where neither is set; a service without a key on this machine wants none.
    """


@admin.command()
@click.option("--make", is_flag=True, help="Print a token for a desk, good for an hour, instead.")
@json_option
def token(make: bool, as_json: bool) -> None:
    """Show whose token is used, and until when."""
    from cj_pipeline.services.cj.admin_client import NoToken, claims_of, desk_token, token_of_environment
    from cj_pipeline.services.cj.environment import settings_from_environment

    if make:
        say(desk_token(settings_from_environment(database_url="sqlite://")))
        return
    found = token_of_environment()
    if found is None:
        raise NoToken("There is no token: neither HULEEDU_SERVICE_ACCOUNT_TOKEN nor HULEEDU_ADMIN_TOKEN is set.")
    claims = claims_of(found)
    expires = claims.get("exp")
    shown = {
        "subject": claims.get("sub"),
        "roles": claims.get("roles"),
        "issuer": claims.get("iss"),
        "audience": claims.get("aud"),
        "expires": _instant(expires),
    }
    if as_json:
        print_json(shown)
    else:
        print_table("Token", ("claim", "value"), [(name, _shown(value)) for name, value in shown.items()])


def _instant(seconds: object) -> str | None:
    if not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"no time ({seconds})"


@admin.group()
def instructions() -> None:
    """What the judge of an assignment or a course reads, and its grade scale."""


@instructions.command("list")
@cj_option
@json_option
@csv_option
def list_instructions(url: str, as_json: bool, as_csv: bool) -> None:
    """List them, the newest first."""
    document = _admin(url).call("GET", f"{_ROOT}?page_size=200")
    columns = ("assignment_id", "course_id", "grade_scale", "context_origin", "student_prompt_storage_id")
    _show_rows("Instructions", columns, document, document["items"], as_json, as_csv)


@instructions.command("show")
@assignment
@cj_option
def show_instructions(assignment_id: str, url: str) -> None:
    """Show those of an assignment, as JSON."""
    print_json(_admin(url).instructions(assignment_id))


@instructions.command("set")
@text_file
@click.option("--assignment", "assignment_id", help="Of this assignment; or --course.")
@click.option("--course", "course_id", help="Of this course.")
@click.option("--scale", type=click.Choice(sorted(SCALES)), default="swedish_8_anchor", show_default=True)
@click.option("--origin", default="research_experiment", show_default=True, help="canonical_national keeps its rubric.")
@cj_option
def set_instructions(
    file: Path, assignment_id: str | None, course_id: str | None, scale: str, origin: str, url: str
) -> None:
    """Make or replace them by the text of a FILE."""
    if (assignment_id is None) is (course_id is None):
        raise click.UsageError("Give --assignment or --course, one of the two.")
    scope = {"assignment_id": assignment_id} if course_id is None else {"course_id": course_id}
    text = {"instructions_text": _text(file), "grade_scale": scale, "context_origin": origin}
    print_json(_admin(url).call("POST", _ROOT, {**scope, **text}))


@instructions.command("delete")
@click.option("--assignment", "assignment_id")
@click.option("--course", "course_id")
@cj_option
def delete_instructions(assignment_id: str | None, course_id: str | None, url: str) -> None:
    """Take them away."""
    from cj_pipeline.services.cj.admin_client import segment

    if (assignment_id is None) is (course_id is None):
        raise click.UsageError("Give --assignment or --course, one of the two.")
    scope = (
        f"assignment/{segment(assignment_id)}" if assignment_id is not None else f"course/{segment(course_id or '')}"
    )
    _admin(url).call("DELETE", f"{_ROOT}/{scope}")
    say("deleted")


@admin.group()
def prompts() -> None:
    """What students were asked."""


@admin.group()
def rubrics() -> None:
    """What the judge goes by."""


def _add_stored_text(group: click.Group, path: str, key: str) -> None:
    @group.command("set")
    @assignment
    @text_file
    @cj_option
    def set_text(assignment_id: str, file: Path, url: str) -> None:
        """Store the text of a FILE for an assignment that has instructions."""
        print_json(_admin(url).call("POST", path, {"assignment_id": assignment_id, key: _text(file)}))

    @group.command("show")
    @assignment
    @cj_option
    def show_text(assignment_id: str, url: str) -> None:
        """Show the text of an assignment."""
        from cj_pipeline.services.cj.admin_client import segment

        say(_admin(url).call("GET", f"{path}/assignment/{segment(assignment_id)}")[key])


_add_stored_text(prompts, *_PROMPTS)
_add_stored_text(rubrics, *_RUBRICS)


@admin.group()
def anchors() -> None:
    """Essays of known grade, which the others are graded by."""


@anchors.command("list")
@assignment
@cj_option
@json_option
@csv_option
def list_anchors(assignment_id: str, url: str, as_json: bool, as_csv: bool) -> None:
    """List those of an assignment, on its own scale."""
    document = _admin(url).anchors(assignment_id)
    columns = ("anchor_id", "anchor_label", "grade", "grade_scale", "text_storage_id")
    _show_rows(f"Anchors of {assignment_id}", columns, document, document["anchors"], as_json, as_csv)


@anchors.command("register")
@assignment
@click.argument("grade")
@text_file
@click.option("--label", help="Tells anchors of one grade apart; the grade by default.")
@cj_option
def register_anchor(assignment_id: str, grade: str, file: Path, label: str | None, url: str) -> None:
    """Make or replace the anchor of a GRADE by the text of a FILE, of 100 characters at least."""
    print_json(_admin(url).register_anchor(assignment_id, grade, _text(file), label))


@admin.command()
@json_option
@csv_option
def scales(as_json: bool, as_csv: bool) -> None:
    """List the grade scales, each from its lowest grade."""
    rows = [{"scale": name, "grades": ", ".join(scale.grades)} for name, scale in SCALES.items()]
    _show_rows("Grade scales", ("scale", "grades"), rows, rows, as_json, as_csv)


def _admin(url: str) -> CjAdmin:
    # Here and not above: tokens and HTTP take 0.2 s to import.
    from cj_pipeline.services.cj.admin_client import CjAdmin, token_of_environment

    return CjAdmin(url, token_of_environment())


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig")


def _show_rows(
    title: str, columns: tuple[str, ...], document: Any, rows: list[dict[str, Any]], as_json: bool, as_csv: bool
) -> None:
    cells = [[_shown(row.get(column)) for column in columns] for row in rows]
    if as_json:
        print_json(document)
    elif as_csv:
        print_csv(columns, cells)
    else:
        print_table(title, columns, cells)


def _shown(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else value
