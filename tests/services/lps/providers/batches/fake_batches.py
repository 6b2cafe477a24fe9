"""The batch endpoints of OpenAI and Anthropic, as strict as their documents: what those refuse, these refuse.

Here: the servers, as apps that keep time by a clock. Not here: assertions, faults of the network (faults.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cj_pipeline.contracts.enums import Provider
from tests.services.lps.providers.fake_api import Fake, Refused, known_keys, require
from tests.services.lps.providers.fakes import FakeAnthropic, FakeOpenAi

# What becomes of a request: by its custom id and how often it was submitted before. A number is the status of an error.
Fate = str | int
Judge = Callable[[str, int], Fate]


def answered(_: str, __: int) -> Fate:
    return "answered"


@dataclass
class FakeJob:
    """One job at a provider. fates: of its requests, by custom id, drawn when it was submitted."""

    remote_id: str
    created: datetime
    bodies: dict[str, dict[str, Any]]
    fates: dict[str, Fate]
    note: dict[str, str] = field(default_factory=dict)
    input_file: str = ""
    cancelled: bool = False


@dataclass
class FakeBatches:
    """One provider's endpoint. takes: how long a job takes; refused: the code with which every job fails."""

    now: Callable[[], datetime]
    judge: Judge = answered
    takes: timedelta = timedelta(minutes=30)
    refused: str | None = None
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    submitted: list[str] = field(default_factory=list)
    """Custom ids, in the order and as often as they were submitted."""
    calls: list[str] = field(default_factory=list)

    api: Fake = field(default_factory=FakeOpenAi)

    def add(self, remote_id: str, bodies: dict[str, dict[str, Any]], **more: Any) -> FakeJob:
        fates = {custom_id: self.judge(custom_id, self.submitted.count(custom_id)) for custom_id in bodies}
        self.submitted += bodies
        self.jobs[remote_id] = FakeJob(remote_id, self.now(), bodies, fates, **more)
        return self.jobs[remote_id]

    def over(self, job: FakeJob) -> bool:
        return job.cancelled or self.now() >= job.created + self.takes

    def authenticated(self, request: Request) -> None:
        self.calls.append(f"{request.method} {request.url.path}")
        self.api.authenticate(request)

    def app(self) -> Starlette:
        async def serve(request: Request) -> Response:
            try:
                self.authenticated(request)
                return await self.serve(request)
            except Refused as refused:
                return JSONResponse(self.api.error_body(refused), refused.status)

        methods = ["GET", "POST", "DELETE"]
        return Starlette(routes=[Route("/v1/{path:path}", serve, methods=methods)])

    async def serve(self, request: Request) -> Response:
        raise NotImplementedError

    def reply(self, body: dict[str, Any], fate: Fate) -> tuple[int, dict[str, Any]]:
        """(status, body) of one request's answer."""
        try:
            self.api.check(None, body)  # type: ignore[arg-type]  # the path is not looked at
            if isinstance(fate, int):
                raise Refused(fate, "no")
        except Refused as refused:
            return refused.status, self.api.error_body(refused)
        return 200, self.api.success(body)


@dataclass
class FakeOpenAiBatches(FakeBatches):
    """Files and batches."""

    files: dict[str, bytes] = field(default_factory=dict)
    window: timedelta = timedelta(hours=24)

    async def serve(self, request: Request) -> Response:
        match [request.method, *request.path_params["path"].split("/")]:
            case ["POST", "files"]:
                return JSONResponse({"id": self._upload(request, await request.body()), "object": "file"})
            case ["GET", "files", file_id, "content"] if file_id in self.files:
                return Response(self.files[file_id], media_type="application/jsonl")
            case ["DELETE", "files", file_id] if file_id in self.files:
                del self.files[file_id]
                return JSONResponse({"id": file_id, "deleted": True})
            case ["POST", "batches"]:
                return JSONResponse(self._shown(self._create(json.loads(await request.body()))))
            case ["GET", "batches"]:
                return JSONResponse(self._page(dict(request.query_params)))
            case ["GET", "batches", remote_id] if remote_id in self.jobs:
                return JSONResponse(self._shown(self.jobs[remote_id]))
            case ["POST", "batches", remote_id, "cancel"] if remote_id in self.jobs:
                self.jobs[remote_id].cancelled = True
                return JSONResponse(self._shown(self.jobs[remote_id]))
        raise Refused(404, "No such thing", code="not_found")

    def _upload(self, request: Request, body: bytes) -> str:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parts = {
            str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
            for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()  # type: ignore[attr-defined]
        }
        require(parts.get("purpose") == b"batch", "purpose")
        file_id = f"file-{len(self.files)}-{len(self.calls)}"
        self.files[file_id] = parts["file"]
        return file_id

    def _create(self, body: dict[str, Any]) -> FakeJob:
        known_keys("body", body, "input_file_id endpoint completion_window metadata")
        require(body["completion_window"] == "24h", "completion_window")
        require(body["endpoint"] == "/v1/chat/completions", "endpoint")
        require(body["input_file_id"] in self.files, "input_file_id")
        require(all(len(value) <= 512 for value in body["metadata"].values()), "metadata")
        bodies: dict[str, dict[str, Any]] = {}
        for line in self.files[body["input_file_id"]].splitlines():
            item = json.loads(line)
            known_keys("line", item, "custom_id method url body")
            require((item["method"], item["url"]) == ("POST", body["endpoint"]), "url")
            require(item["custom_id"] not in bodies, "duplicate custom_id")
            bodies[item["custom_id"]] = item["body"]
        require(len({item["model"] for item in bodies.values()}) == 1, "mismatched_model")
        remote_id = f"batch_{len(self.jobs)}"
        return self.add(remote_id, bodies, note=body["metadata"], input_file=body["input_file_id"])

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        newest_first = [self._shown(job) for job in reversed(self.jobs.values())]
        names = [job["id"] for job in newest_first]
        start = names.index(query["after"]) + 1 if "after" in query else 0
        limit = int(query.get("limit", 20))
        return {"data": newest_first[start : start + limit], "has_more": len(names) > start + limit}

    def _shown(self, job: FakeJob) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": job.remote_id,
            "object": "batch",
            "status": "in_progress",
            "created_at": int(job.created.timestamp()),
            "metadata": job.note,
            "input_file_id": job.input_file,
            "output_file_id": None,
            "error_file_id": None,
        }
        if self.refused is not None:
            return shown | {"status": "failed", "errors": {"data": [{"code": self.refused, "message": "no"}]}}
        if not self.over(job):
            return shown
        expired = "expired" in job.fates.values()
        status = "cancelled" if job.cancelled else "expired" if expired else "completed"
        lines: dict[str, list[bytes]] = {"output": [], "error": []}
        for custom_id, fate in reversed(job.fates.items()):  # in no promised order
            line: dict[str, Any] = {"id": "batch_req_1", "custom_id": custom_id, "response": None, "error": None}
            if fate == "missing":
                continue
            if fate in ("expired", "cancelled"):
                line["error"] = {"code": f"batch_{fate}", "message": "Not executed."}
            else:
                code, body = self.reply(job.bodies[custom_id], fate)
                line["response"] = {"status_code": code, "request_id": "r", "body": body}
            ok = line["response"] is not None and line["response"]["status_code"] == 200
            lines["output" if ok else "error"].append(json.dumps(line).encode())
        for kind, found in lines.items():
            if found:
                self.files[f"file-{job.remote_id}-{kind}"] = b"\n".join(found) + b"\n"
                shown[f"{kind}_file_id"] = f"file-{job.remote_id}-{kind}"
        return shown | {"status": status}


@dataclass
class FakeAnthropicBatches(FakeBatches):
    """Message batches."""

    api: Fake = field(default_factory=FakeAnthropic)

    async def serve(self, request: Request) -> Response:
        path = request.path_params["path"].removeprefix("messages/")
        match [request.method, *path.split("/")]:
            case ["POST", "batches"]:
                return JSONResponse(self._shown(self._create(json.loads(await request.body()))))
            case ["GET", "batches"]:
                return JSONResponse(self._page(dict(request.query_params)))
            case ["GET", "batches", remote_id] if remote_id in self.jobs:
                return JSONResponse(self._shown(self.jobs[remote_id]))
            case ["GET", "batches", remote_id, "results"] if remote_id in self.jobs:
                return Response(self._lines(self.jobs[remote_id]), media_type="application/x-jsonl")
            case ["POST", "batches", remote_id, "cancel"] if remote_id in self.jobs:
                self.jobs[remote_id].cancelled = True
                return JSONResponse(self._shown(self.jobs[remote_id]))
            case ["DELETE", "batches", remote_id] if remote_id in self.jobs and self.over(self.jobs[remote_id]):
                del self.jobs[remote_id]
                return JSONResponse({"id": remote_id, "type": "message_batch_deleted"})
        raise Refused(404, "No such thing")

    def _create(self, body: dict[str, Any]) -> FakeJob:
        known_keys("body", body, "requests")
        bodies: dict[str, dict[str, Any]] = {}
        for item in body["requests"]:
            known_keys("requests", item, "custom_id params")
            require(0 < len(item["custom_id"]) <= 64, "custom_id")
            require(item["custom_id"] not in bodies, "duplicate custom_id")
            bodies[item["custom_id"]] = item["params"]
        return self.add(f"msgbatch_{len(self.submitted)}_{len(self.calls)}", bodies)

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        newest_first = [self._shown(job) for job in reversed(self.jobs.values())]
        names = [job["id"] for job in newest_first]
        start = names.index(query["after_id"]) + 1 if "after_id" in query else 0
        limit = int(query.get("limit", 20))
        return {"data": newest_first[start : start + limit], "has_more": len(names) > start + limit}

    def _shown(self, job: FakeJob) -> dict[str, Any]:
        over = self.over(job)
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["succeeded" if over else "processing"] = len(job.bodies)
        return {
            "id": job.remote_id,
            "type": "message_batch",
            "processing_status": "ended" if over else "in_progress",
            "request_counts": counts,
            "created_at": job.created.isoformat(),
            # A link to somewhere else: a key must not follow it.
            "results_url": "https://elsewhere.example.org/results",
        }

    def _lines(self, job: FakeJob) -> bytes:
        require(self.over(job), "not ended")
        lines = []
        for custom_id, fate in reversed(job.fates.items()):
            if fate == "missing":
                continue
            if fate in ("expired", "cancelled"):
                result: dict[str, Any] = {"type": "canceled" if fate == "cancelled" else fate}
            else:
                code, body = self.reply(job.bodies[custom_id], fate)
                result = {"type": "succeeded", "message": body} if code == 200 else {"type": "errored", "error": body}
            lines.append(json.dumps({"custom_id": custom_id, "result": result}))
        return "\n".join(lines).encode()


FAKES: dict[Provider, type[FakeBatches]] = {
    Provider.OPENAI: FakeOpenAiBatches,
    Provider.ANTHROPIC: FakeAnthropicBatches,
}
