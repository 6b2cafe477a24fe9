"""This module plays an OpenAI-compatible server: it counts what it is asked, and answers by the essays' lengths."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.runs.new_trace_mode import fitted_mode_text
from cj_pipeline.runs.recording.embedded import EmbeddedJudge, embedded_judge
from cj_pipeline.runs.recording.essays import Essays
from cj_pipeline.runs.recording.prompts import load_prompt
from cj_pipeline.runs.recording.request import RecordingRequest
from cj_pipeline.runs.recording.spending import Price
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.recording_provenance import RecordedJudge

MODEL = "tiny"
TEXTS = {f"e{number}": "word " * (10 + 7 * number) for number in range(1, 6)}


def reply(body: dict[str, Any], *, finish_reason: str = "stop") -> dict[str, Any]:
    """The longer essay wins."""
    prompt = body["messages"][-1]["content"]
    first, second = prompt.split("Essay A:\n")[1].split("\n\n")[0], prompt.split("Essay B:\n")[1].split("\n\n")[0]
    verdict = {
        "winner": "Essay A" if len(first) > len(second) else "Essay B",
        "justification": "Longer.",
        "confidence": 3,
    }
    usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": 20, "total_tokens": len(prompt) // 4 + 20}
    choice = {"message": {"content": json.dumps(verdict)}, "finish_reason": finish_reason}
    return {"choices": [choice], "usage": usage}


@dataclass
class FakeJudge:
    """One server. answer: how it answers instead, by the number of the call from 1; None for as usual."""

    answer: Callable[[int], Response | None] = lambda _: None
    bodies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def asked(self) -> Counter[str]:
        """How often each prompt came."""
        return Counter(body["messages"][-1]["content"] for body in self.bodies)

    async def _serve(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        return self.answer(len(self.bodies)) or JSONResponse(reply(body))

    def client(self) -> httpx.AsyncClient:
        app = Starlette(routes=[Route("/v1/chat/completions", self._serve, methods=["POST"])])
        return httpx.AsyncClient(transport=httpx.ASGITransport(app))

    def behind_lps(self, folder: Path, *, price: Price | None = None, **settings: object) -> EmbeddedJudge:
        """The judge behind an embedded LPS whose retries wait for nothing."""
        made = embedded_judge(
            _JUDGE, base_url="http://127.0.0.1:9/v1", price=price, concurrency=1, folder=folder / "manifest"
        )
        quick = {"queue_retry_backoff_seconds": 0.0, **settings}
        return replace(made, settings=made.settings.model_copy(update=quick), open_client=self.client)


_JUDGE = RecordedJudge(provider=Provider.OPENAI, model=MODEL, temperature=0.0, max_tokens=100)


def request_of(folder: Path, **changes: Any) -> RecordingRequest:
    """Five essays, every pair once, two runs."""
    request = RecordingRequest(
        scenario_id="tried",
        traces_dir=folder,
        essays=Essays(TEXTS),
        judge=_JUDGE,
        prompt=load_prompt("plain.v1"),
        redaction=None,
        choices=ScenarioChoices(fit_mode=fitted_mode_text),
        on_this_machine=True,
    )
    return replace(request, **changes)
