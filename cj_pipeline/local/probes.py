"""This module asks the parts of a deployment whether they live, and whether they are ready for work.

A part lives as long as its process answers. It is ready when it can do what it is for: what it depends on is there too.
The daemon has no port; what asks it is in cj_pipeline/instance.py, beside the rest that knows Dagster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any

import httpx

from cj_pipeline.foundation.errors import CjPipelineError, shortened

LPS, CJ, WEBSERVER, CODE_SERVER, DAEMON = "lps", "cj", "webserver", "code-server", "daemon"

DEFAULT_ADDRESSES: Mapping[str, str] = {
    LPS: "127.0.0.1:8080",
    CJ: "127.0.0.1:9090",
    WEBSERVER: "127.0.0.1:3000",
    CODE_SERVER: "127.0.0.1:4000",
}
"""HOST:PORT of the parts that have one."""

PARTS = (*DEFAULT_ADDRESSES, DAEMON)

# Half of what compose gives a whole probe, whose program has to start as well.
TIMEOUT_S = 10.0

LIMIT_S, DAEMON_LIMIT_S = 15.0, 40.0
"""For all that one part is asked. A storage that is being started again is waited for."""


@dataclass(frozen=True, slots=True)
class Health:
    """What came of asking one part. good: it is ready, or it lives, whichever was asked; detail: a sentence."""

    part: str
    good: bool
    detail: str


def probe(part: str, address: str, *, live: bool = False) -> Health:
    """Ask a part at HOST:PORT. live: whether it lives, else whether it is ready.

    Raises CjPipelineError where the code server is asked and Dagster is not installed.
    """
    try:
        good, detail = _PROBES[part](address, live)
    except CjPipelineError:
        raise
    except Exception as error:  # whatever a stranger answers there
        good, detail = False, f"What listens at {address} cannot be understood: {type(error).__name__}."
    return Health(part, good, detail)


def within(part: str, limit_s: float, who: str, ask: Callable[[], Health]) -> Health:
    """Ask in a thread of its own, and say that a part is not well when no answer has come in time. who: answers.

    A server that sends a byte a second, and a database that accepts and never answers, keep every other limit.
    """
    answer: Future[Health] = Future()

    def fulfil() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # raised again where it is waited for
            answer.set_exception(error)

    Thread(target=fulfil, daemon=True, name=f"probe-{part}").start()
    try:
        return answer.result(limit_s)
    except TimeoutError:
        if answer.done():  # its own
            raise
        return Health(part, False, f"{who} has not answered within {limit_s:g} s.")


def _service(path: str, live_path: str) -> Callable[[str, bool], tuple[bool, str]]:
    """Return the probe of one of our services, which says in its own words what it lacks."""

    def ask(address: str, live: bool) -> tuple[bool, str]:
        try:
            answer = httpx.get(f"http://{address}{live_path if live else path}", timeout=TIMEOUT_S, trust_env=False)
            told = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return False, _no_answer(address, error)
        except ValueError:
            return False, f"What listens at {address} is no service of ours."
        said = str(told.get("message", told.get("status", ""))) if isinstance(told, dict) else ""
        return live or answer.status_code == httpx.codes.OK, shortened(said, 200) or f"HTTP {answer.status_code}"

    return ask


# The instance's storage, and the code: a webserver without either shows pages, and can do nothing.
_QUESTION = """{
  runsOrError(limit: 1) { __typename ... on PythonError { message } }
  workspaceOrError {
    __typename
    ... on PythonError { message }
    ... on Workspace {
      locationEntries { name loadStatus locationOrLoadError { __typename ... on PythonError { message } } }
    }
  }
}"""


def _webserver(address: str, live: bool) -> tuple[bool, str]:
    try:
        if live:
            answer = httpx.get(f"http://{address}/server_info", timeout=TIMEOUT_S, trust_env=False)
            return answer.status_code == httpx.codes.OK, f"HTTP {answer.status_code}"
        answer = httpx.post(f"http://{address}/graphql", json={"query": _QUESTION}, timeout=TIMEOUT_S, trust_env=False)
        told = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return False, _no_answer(address, error)
    except ValueError:
        return False, f"What listens at {address} is no Dagster webserver."
    data = told.get("data") if isinstance(told, dict) else None
    if not data:
        return False, f"The webserver cannot answer: {_first_error(told)}"
    try:
        return _workspace(data)
    except (KeyError, TypeError, AttributeError):
        return False, f"What listens at {address} is no Dagster webserver."


def _workspace(data: Mapping[str, Any]) -> tuple[bool, str]:
    runs, workspace = data["runsOrError"], data["workspaceOrError"]
    if runs["__typename"] != "Runs":
        return False, f"The storage cannot be read: {_first_line(runs.get('message'))}"
    if workspace["__typename"] != "Workspace":
        return False, f"The workspace cannot be loaded: {_first_line(workspace.get('message'))}"
    entries = workspace["locationEntries"]
    for entry in entries:
        loaded = entry["locationOrLoadError"] or {"__typename": entry["loadStatus"]}
        if loaded["__typename"] != "RepositoryLocation":
            why = _first_line(loaded.get("message")) or str(loaded["__typename"])
            return False, f"The code location {entry['name']} is not loaded: {why}"
    if not entries:
        return False, "The workspace names no code location."
    return True, "The storage answers, and the code is loaded."


def _code_server(address: str, live: bool) -> tuple[bool, str]:
    """Dagster's code server says that it serves once it has imported the code, so that both questions are one."""
    try:
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc
    except ModuleNotFoundError as error:
        raise CjPipelineError(f"{error}. A code server needs Dagster: install cj-pipeline[dagster].") from None
    question = health_pb2.HealthCheckRequest(service="DagsterApi")
    # A proxy of the environment is not asked for what is on this machine.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(question, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return False, f"The code server at {address} does not answer: {error.code().name}."
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        return False, f"The code server at {address} does not serve."
    return True, "The code is imported."


def _no_answer(address: str, error: httpx.HTTPError | httpx.InvalidURL) -> str:
    return f"Nothing answers at {address}: {shortened(str(error) or type(error).__name__)}."


def _first_error(told: Any) -> str:
    errors = told.get("errors") if isinstance(told, dict) else None
    return _first_line(errors[0].get("message")) if errors else "no data"


def _first_line(message: object) -> str:
    lines = str(message or "").strip().splitlines()
    return shortened(lines[0], 200) if lines else ""


_PROBES: Mapping[str, Callable[[str, bool], tuple[bool, str]]] = {
    LPS: _service("/healthz", "/healthz"),
    CJ: _service("/healthz/ready", "/healthz/live"),
    WEBSERVER: _webserver,
    CODE_SERVER: _code_server,
}
