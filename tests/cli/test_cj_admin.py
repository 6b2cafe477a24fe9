"""`cj-pipeline cj admin` in front of a served CJ service, as an admin uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from cj_pipeline.local.ports import free_port, listens
from tests.cli.terminal import Terminal, terminal_of

SECRET = "a secret of more than thirty-two bytes"
CLI = Path(sys.executable).with_name("cj-pipeline")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a CJ service that wants tokens, with a content service beside it."""
    folder = tmp_path_factory.mktemp("cj")
    port = free_port()
    content = [sys.executable, "-m", "cj_pipeline.local.content", str(port), str(folder / "texts")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "CJ_ASS"))}
    environment |= {
        "CJ_ASSESSMENT_SERVICE_JWT_SECRET_KEY": SECRET,
        "CJ_ASSESSMENT_SERVICE_CONTENT_SERVICE_URL": f"http://127.0.0.1:{port}/v1/content",
        "CJ_ASSESSMENT_SERVICE_DATABASE_URL": f"sqlite:///{folder}/cj.db",
    }
    serve = [CLI, "cj", "serve", "--host", "127.0.0.1", "--port", "0", "--bus", str(folder / "bus")]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(content, stderr=subprocess.DEVNULL) as texts,
        subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as served,
    ):
        try:
            assert served.stdout is not None
            line = served.stdout.readline()
            assert line.startswith("listening on "), (folder / "log").read_text()
            yield line.removeprefix("listening on ").strip()
        finally:
            served.terminate()
            texts.terminate()
    assert not listens(port)


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    for name in ("HULEEDU_SERVICE_ACCOUNT_TOKEN", "HULEEDU_ADMIN_TOKEN", "ENVIRONMENT", "ENV_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CJ_ASSESSMENT_SERVICE_JWT_SECRET_KEY", SECRET)
    terminal = terminal_of(monkeypatch, capsys)
    return lambda *words, **given: terminal("cj", "admin", *words, **given)


def test_an_assignment_is_set_up_from_nothing(service: str, admin: Terminal, tmp_path: Path) -> None:
    at = ("--cj", service)
    (tmp_path / "text.txt").write_text("Räkna med idéer. " * 10, encoding="utf-8")
    file = tmp_path / "text.txt"
    scale = ("--scale", "eng5_np_legacy_9_step")
    assert admin("instructions", "set", file, "--assignment", "a/1", *scale, *at).code == 0
    for kind in ("prompts", "rubrics"):
        assert admin(kind, "set", "a/1", file, *at).code == 0
        assert "Räkna med idéer." in admin(kind, "show", "a/1", *at).out
    for grade in ("A", "F+"):
        assert admin("anchors", "register", "a/1", grade, file, *at).document["status"] == "registered"
    assert [row["grade"] for row in admin("anchors", "list", "a/1", "--json", *at).document["anchors"]] == ["A", "F+"]
    shown = admin("instructions", "show", "a/1", *at).document
    assert (shown["grade_scale"], bool(shown["student_prompt_storage_id"])) == ("eng5_np_legacy_9_step", True)
    assert "a/1" in admin("instructions", "list", *at).out
    assert admin("instructions", "delete", "--assignment", "a/1", *at).code == 0
    gone = admin("instructions", "show", "a/1", *at)
    assert (gone.code, "404" in gone.err) == (2, True)


def test_a_refusal_is_a_sentence_of_the_service(
    service: str, admin: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "short.txt").write_text("Short.")
    refused = admin("anchors", "register", "nothing", "A", tmp_path / "short.txt", "--cj", service)
    assert (refused.code, "essay_text" in refused.err) == (2, True)
    monkeypatch.setenv("HULEEDU_ADMIN_TOKEN", jwt.encode({"roles": ["teacher"], "exp": 2**33}, SECRET, "HS256"))
    forbidden = admin("instructions", "list", "--cj", service)
    assert (forbidden.code, "does not have the role 'admin'" in forbidden.err) == (2, True)
    nobody = admin("instructions", "list", "--cj", "http://127.0.0.1:9")
    assert (nobody.code, "no CJ service answers there (ConnectError)" in nobody.err) == (2, True)


def test_a_token_is_made_for_a_desk_only_and_shown_without_itself(
    admin: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = admin("token", "--make").out.strip()
    assert jwt.decode(made, SECRET, ["HS256"])["roles"] == ["admin"]
    monkeypatch.setenv("HULEEDU_ADMIN_TOKEN", made)
    shown = admin("token", "--json")
    assert (shown.document["subject"], shown.document["roles"]) == ("cj-pipeline", ["admin"])
    assert made not in admin("token").out
    monkeypatch.setenv("ENVIRONMENT", "staging")
    refused = admin("token", "--make")
    assert (refused.code, "the identity service" in refused.err) == (2, True)


def test_the_scales_are_listed(admin: Terminal) -> None:
    assert json.loads(admin("scales", "--json").out)[0]["scale"] == "swedish_8_anchor"
