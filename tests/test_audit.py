"""The audit fails on a finding, and says so where it could not take place."""

from __future__ import annotations

import importlib.util
import io
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"
LOCK = "h11==0.16.0 \\\n    --hash=sha256:00\nuvicorn[standard]==0.40.0 ; sys_platform != 'win32' \\\n# x==1\n"


@pytest.fixture
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lock(tmp_path: Path) -> str:
    path = tmp_path / "runtime.txt"
    path.write_text(LOCK)
    return str(path)


def answering(monkeypatch: pytest.MonkeyPatch, document: Any) -> list[Any]:
    requests: list[Any] = []

    def urlopen(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        requests.append(json.loads(request.data or b""))  # type: ignore[arg-type]
        if isinstance(document, Exception):
            raise document
        return io.BytesIO(json.dumps(document).encode())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return requests


def test_a_finding_fails(audit: Any, lock: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    requests = answering(monkeypatch, {"results": [{"vulns": [{"id": "PYSEC-1"}]}, {}]})
    assert audit.main([lock]) == 1
    asked = [(query["package"]["name"], query["version"]) for query in requests[0]["queries"]]
    assert asked == [("h11", "0.16.0"), ("uvicorn", "0.40.0")]
    assert "h11 0.16.0: PYSEC-1" in capsys.readouterr().out


def test_nothing_found_passes(audit: Any, lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {"results": [{}, {}]})
    assert audit.main([lock]) == 0


@pytest.mark.parametrize(
    "answer", [urllib.error.URLError("no route"), TimeoutError(), {"results": [{}]}, {"message": "x"}, []]
)
def test_no_answer_is_said_and_does_not_fail(
    audit: Any, lock: str, answer: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    answering(monkeypatch, answer)
    assert audit.main([lock]) == 0
    assert "NOT AUDITED" in capsys.readouterr().err


def test_every_lock_is_read(audit: Any) -> None:
    for path in (SCRIPT.parents[1] / "requirements").glob("*.txt"):
        assert audit.pinned(path.read_text())
