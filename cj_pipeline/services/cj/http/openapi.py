"""This module makes the OpenAPI document that `GET /openapi.json` serves, and lists the operations that it describes.

It describes the instance that serves it: without the admin's endpoints where they are off, with a token where one is
wanted.
"""

from __future__ import annotations

import re
from importlib.metadata import version

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from cj_pipeline.contracts.els_request import Name
from cj_pipeline.engine.grades.scales import SCALES
from cj_pipeline.services.cj.http import answers, bodies
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.shared.openapi import (
    VERSION,
    Json,
    Operation,
    Reply,
    in_path,
    models_of,
    ref,
    request_body,
    response,
    schemas_of,
)

INSTRUCTIONS = "/admin/v1/assessment-instructions"
PROMPTS = "/admin/v1/student-prompts"
RUBRICS = "/admin/v1/judge-rubrics"
ANCHORS = "/admin/v1/anchors/assignment/{assignment_id:path}"
REGISTER = "/api/v1/anchors/register"

_ABOUT = """Takes requests for assessment from a topic and publishes what comes of them; over HTTP it tells how it is,
and admins keep what assignments are judged by. An unknown path is answered with 404, a method that a path does not
have with 405 and `Allow`, both with `error`."""


def _refused(description: str) -> Reply:
    return Reply(description, (answers.Refusal,))


_BROKEN = Reply("The service broke.", {"type": "string"}, media_type="text/plain")
_UNAUTHORIZED = Reply("A bearer token is missing or not good.", (answers.Refusal,), "WWW-Authenticate")
_FORBIDDEN = _refused("The token is good and has not the role `admin`.")
_KEYS_AWAY = _refused("The keys that tokens are checked by cannot be got.")
_BAD = _refused("The request is not well formed, or cannot be meant; `error` names the fields.")
_TOO_LARGE = _refused("The body is longer than 1 MiB.")
_NOTHING = _refused("Nothing of this kind is registered there.")
_NO_TEXT = _refused("The content service does not keep or give the text.")
_KEPT = Reply("What is kept now.", (answers.InstructionsAnswer,))
_FOUND = Reply("What is kept.", (answers.InstructionsAnswer,))
_GONE = Reply("They are taken away.", None)

_PAGE: tuple[Json, ...] = tuple(
    {
        "name": name,
        "in": "query",
        "description": f"From 1 to {most:,}; beyond, the nearest. What is no number counts as left out.",
        "schema": {"type": "string", "default": default},
    }
    for name, most, default in (("page", 10**6, "1"), ("page_size", 200, "50"))
)

HEALTH = (
    Operation(
        "healthz",
        "GET",
        "/healthz",
        "Whether the service does its work",
        {200: Reply("It does.", (answers.Health,)), 503: Reply("It does not.", (answers.Health,))},
    ),
    Operation(
        "live", "GET", "/healthz/live", "Whether the process answers", {200: Reply("It does.", (answers.Liveness,))}
    ),
    Operation(
        "ready",
        "GET",
        "/healthz/ready",
        "The same as /healthz, for a probe",
        {200: Reply("It does.", (answers.Health,)), 503: Reply("It does not.", (answers.Health,))},
    ),
    Operation(
        "database",
        "GET",
        "/healthz/database",
        "Whether the database answers",
        {200: Reply("It does.", (answers.DatabaseHealth,)), 503: Reply("It does not.", (answers.DatabaseHealth,))},
    ),
    Operation(
        "database_summary",
        "GET",
        "/healthz/database/summary",
        "How many batches there are, by state",
        {200: Reply("All.", (answers.DatabaseSummary,)), 503: Reply("It does not answer.", (answers.DatabaseAway,))},
    ),
    Operation(
        "metrics",
        "GET",
        "/metrics",
        "Counters, for Prometheus",
        {200: Reply("Text format 0.0.4.", {"type": "string"}, media_type="text/plain")},
    ),
    Operation("openapi", "GET", "/openapi.json", "This document", {200: Reply("It.", {"type": "object"})}),
)


def _scoped(name: str, method: str, path: str, summary: str, reply: Reply) -> Operation:
    replies = {204 if reply is _GONE else 200: reply, 400: _BAD, 404: _NOTHING}
    return Operation(name, method, path, summary, replies, guarded=True)


def _stored(kind: str, path: str, body: type[BaseModel], answer: type[BaseModel], what: str) -> tuple[Operation, ...]:
    put = {200: Reply("What is kept now.", (answer,)), 400: _BAD, 404: _NOTHING, 413: _TOO_LARGE, 502: _NO_TEXT}
    got = {200: Reply("What is kept.", (answer,)), 400: _BAD, 404: _NOTHING, 502: _NO_TEXT}
    return (
        Operation(f"post_{kind}", "POST", path, f"Store {what}", put, guarded=True, body=body),
        Operation(
            f"get_{kind}", "GET", path + "/assignment/{assignment_id:path}", f"Give back {what}", got, guarded=True
        ),
    )


# One path of two shapes is asked in this order.
ADMIN = (
    Operation(
        "list_instructions",
        "GET",
        INSTRUCTIONS,
        "List instructions",
        {200: Reply("A page of them.", (answers.InstructionsList,))},
        query=_PAGE,
        guarded=True,
    ),
    Operation(
        "post_instructions",
        "POST",
        INSTRUCTIONS,
        "Make or replace the instructions of an assignment or a course",
        {200: _KEPT, 400: _BAD, 413: _TOO_LARGE},
        guarded=True,
        body=bodies.ScopedInstructionsBody,
    ),
    *(
        _scoped(f"{method.lower()}_of_{scope}", method, f"{INSTRUCTIONS}/{scope}/{{{scope}_id:path}}", summary, reply)
        for scope in ("assignment", "course")
        for method, summary, reply in (
            ("GET", f"The instructions of an {scope}".replace("an c", "a c"), _FOUND),
            ("DELETE", f"Take the instructions of an {scope} away".replace("an c", "a c"), _GONE),
        )
    ),
    # Ours, from before.
    Operation(
        "put_instructions",
        "PUT",
        INSTRUCTIONS + "/{assignment_id}",
        "Make or replace the instructions of an assignment",
        {200: _KEPT, 400: _BAD, 413: _TOO_LARGE},
        guarded=True,
        body=bodies.InstructionsBody,
    ),
    _scoped("get_instructions", "GET", INSTRUCTIONS + "/{assignment_id}", "Those of an assignment", _FOUND),
    _scoped("delete_instructions", "DELETE", INSTRUCTIONS + "/{assignment_id}", "Take those away", _GONE),
    *_stored(
        "student_prompt", PROMPTS, bodies.StudentPromptBody, answers.StudentPromptAnswer, "what students were asked"
    ),
    *_stored("judge_rubric", RUBRICS, bodies.JudgeRubricBody, answers.JudgeRubricAnswer, "what the judge goes by"),
    Operation(
        "list_anchors",
        "GET",
        ANCHORS,
        "The anchors of an assignment, on its own scale",
        {200: Reply("All.", (answers.AnchorList,)), 400: _BAD, 404: _NOTHING},
        guarded=True,
    ),
    Operation(
        "register_anchor",
        "POST",
        REGISTER,
        "Make or replace an anchor of an assignment",
        {201: Reply("It is registered.", (answers.RegisteredAnchor,)), 400: _BAD, 413: _TOO_LARGE, 502: _NO_TEXT},
        guarded=True,
        body=bodies.AnchorBody,
    ),
)


def openapi_document(settings: CjSettings) -> Json:
    """Return the document (OpenAPI 3.1) of a service with these settings."""
    operations = (*HEALTH, *ADMIN) if settings.admin_endpoints else HEALTH
    paths: Json = {}
    for operation in operations:
        path = operation.path.replace(":path}", "}")
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, keyed=settings.wants_a_token)
    components: Json = {"schemas": _schemas(operations)}
    if settings.admin_endpoints:
        components["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}
    if settings.admin_endpoints and settings.wants_a_token:
        components["securitySchemes"] = {"adminBearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    info = {"title": "CJ Assessment Service", "version": version("cj-pipeline"), "description": _ABOUT}
    return {"openapi": VERSION, "info": info, "paths": paths, "components": components}


def _described(operation: Operation, *, keyed: bool) -> Json:
    replies = {**operation.replies, 500: _BROKEN}
    if operation.guarded:
        replies |= {401: _UNAUTHORIZED, **({403: _FORBIDDEN, 503: _KEYS_AWAY} if keyed else {})}
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*operation.query, *_in_path(operation.path)],
        "responses": {str(status): response(replies[status]) for status in sorted(replies)},
    }
    if operation.body is not None:
        described["requestBody"] = request_body(operation.body)
    if operation.guarded and keyed:
        described["security"] = [{"adminBearer": []}]
    return described


def _in_path(path: str) -> list[Json]:
    """Return the parameters of a path. A slash ends one that is not the rest of it."""
    return [
        in_path(name, ref("PathName") if rest else {"allOf": [ref("PathName"), {"pattern": "^[^/]*$"}]})
        for name, rest in re.findall(r"{(\w+)(:path)?}", path)
    ]


def _schemas(operations: tuple[Operation, ...]) -> Json:
    models = models_of(reply for one in operations for reply in one.replies.values()) | {answers.Refusal}
    taken = {one.body for one in operations if one.body is not None}
    shown: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation") for model in sorted(models | taken, key=lambda model: model.__name__)
    ]
    schemas = schemas_of(shown)
    # What models cannot say: one scope of the two, and the scales that there are.
    scoped = schemas.get(bodies.ScopedInstructionsBody.__name__)
    if scoped is not None:
        ids = ("assignment_id", "course_id")
        scoped["oneOf"] = [
            {"required": [one], "properties": {one: {"type": "string"}, other: {"type": "null"}}}
            for one, other in (ids, ids[::-1])
        ]
    for body in (bodies.ScopedInstructionsBody, bodies.InstructionsBody):
        if body.__name__ in schemas:
            schemas[body.__name__]["properties"]["grade_scale"] |= {"enum": sorted(SCALES)}
    schemas["PathName"] = _name_schema()
    return schemas


def _name_schema() -> Json:
    class Named(BaseModel):
        name: Name

    schema: Json = Named.model_json_schema()["properties"]["name"]
    return {**schema, "title": "PathName"}
