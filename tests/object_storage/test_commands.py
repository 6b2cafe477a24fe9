"""The commands with their data on object storage: what docs/object-storage.md types, two runs at once, and trouble."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from cj_pipeline.warehouse.data_root import data_root
from cj_pipeline.warehouse.store import Warehouse
from tests.cli.terminal import Terminal, terminal_of
from tests.house import REPOSITORY
from tests.object_storage.server import ObjectServer

pytestmark = pytest.mark.servers("s3")

LOWER5 = "eng5_lower5_gpt51_low_20251202"
ANCHORS = "eng5_anchor_align_gpt51_low_20251201"
PAGE = (REPOSITORY / "docs" / "object-storage.md").read_text(encoding="utf-8")

CLI = [sys.executable, "-m", "cj_pipeline"]


@pytest.fixture
def folder(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose one scenario is LOWER5, with its data on object storage."""
    shutil.copytree(REPOSITORY / "traces" / LOWER5, tmp_path / "traces" / LOWER5)
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CJ_PIPELINE_") and name != "CJ_PIPELINE_CACHE_DIR"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", address)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path


@pytest.fixture
def cj_pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return terminal_of(monkeypatch, capsys)


@pytest.mark.usefixtures("s3")
def test_every_command_of_the_page_works(folder: Path, cj_pipeline: Terminal) -> None:
    typed = re.findall(r"^    (cj-pipeline .+)$", PAGE, re.MULTILINE)
    answers = {line.split()[1]: cj_pipeline(*shlex.split(line)[1:]) for line in typed}
    codes = {name: answer.code for name, answer in answers.items() if name != "doctor"}
    assert codes == dict.fromkeys(("materialize", "sql", "history", "nightly", "warehouse"), 0)
    assert "nothing materialised yet below 's3://lake/" in answers["doctor"].out
    assert re.search(rf"{LOWER5} +PARITY +\d+", answers["sql"].out)
    assert (folder / "pages" / "scenarios" / f"{LOWER5}.html").is_file()
    assert cj_pipeline("history", LOWER5, "--json").document["runs"] == 2
    # What stays on the machine, and nothing of what does not.
    assert {path.name for path in folder.iterdir()} == {"traces", "dagster.yaml", "home", "data", "pages"}
    assert not {"runs", "published", "history", "warehouse.duckdb"} & {
        path.name for path in (folder / "data").iterdir()
    }


def test_a_run_that_dagster_s_own_command_starts_is_published(folder: Path, address: str) -> None:
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "cj_pipeline.definitions"]
    done = subprocess.run(
        [*command, "--select", "*", "--partition", LOWER5],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (pointer,) = Warehouse(data_root(address)).published([LOWER5])
    assert pointer.verdict == "PARITY"


def test_two_runs_at_once_judge_their_own_answers_and_the_trial_is_not_published(folder: Path, address: str) -> None:
    shutil.copytree(REPOSITORY / "traces" / ANCHORS, folder / "traces" / ANCHORS)
    started = [
        subprocess.Popen(
            [*CLI, "materialize", ANCHORS, "--json", *mode],
            cwd=folder, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, text=True,
        )
        for mode in ((), ("--mode", "+inverted"))
    ]  # fmt: skip
    (faithful,), (inverted,) = (json.loads(process.communicate()[0]) for process in started)
    assert [process.returncode for process in started] == [0, 1]
    assert (faithful["verdict"], inverted["verdict"]) == ("PARITY", "NO PARITY")
    warehouse = Warehouse(data_root(address))
    assert warehouse.published_run(ANCHORS).run_id == faithful["run"] != inverted["run"]
    assert warehouse.query("select distinct run_verdict as v from parity_checks").to_pylist() == [{"v": "PARITY"}]
    trial = warehouse.run(inverted["run"], ANCHORS)
    assert {row["run_verdict"] for row in trial.read("parity_checks", "parity")} == {"NO PARITY"}
    assert trial.stamp("parity_checks", "parity").origin.trial


Trouble = Callable[[ObjectServer, pytest.MonkeyPatch], AbstractContextManager[None]]


def away(_: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    return nullcontext()


def no_bucket(_: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", "s3://nowhere/night")
    return nullcontext()


def no_keys(_: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CJ_PIPELINE_STORAGE_TIMEOUT_S", "61")  # else the connections of other tests are used
    return nullcontext()


def fault(kind: str) -> Trouble:
    return lambda server, _: server.fault(kind)


TROUBLES: dict[str, tuple[Trouble, str]] = {
    "away": (away, "Could not connect to the endpoint URL"),
    "no_bucket": (no_bucket, "there is no such bucket. Make it, or name another."),
    "no_keys": (no_keys, "no keys. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."),
    "error": (fault("error"), "failed: "),
    "forbidden": (fault("forbidden"), "is forbidden (as told). Look at the keys (AWS_ACCESS_KEY_ID)"),
    "silent": (fault("silent"), "within 2 s. Look at AWS_ENDPOINT_URL_S3, and whether the server runs."),
    "drip": (fault("drip"), "within 2 s. Look at AWS_ENDPOINT_URL_S3, and whether the server runs."),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_is_named_and_ends_with_exit_code_2(
    name: str, s3: ObjectServer, folder: Path, cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    del folder
    if name in ("silent", "drip"):
        monkeypatch.setenv("CJ_PIPELINE_STORAGE_TIMEOUT_S", "2")
    trouble, sentence = TROUBLES[name]
    with trouble(s3, monkeypatch):
        answers = {command: cj_pipeline(*command.split()) for command in ("sql", "history", "warehouse prune")}
    for command, answer in answers.items():
        assert (command, answer.code) == (command, 2)
        assert sentence in answer.err
        assert answer.err.startswith("error: s3://")


@pytest.mark.parametrize("url", ["lake:9000", "http://", "http://:9000", "http://[::1", "https://u:secret@lake:9x"])
def test_an_endpoint_that_is_no_url_is_named_and_not_quoted(
    url: str, folder: Path, cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    del folder
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    answer = cj_pipeline("sql", "select 1")
    assert answer.code == 2
    assert "environment: AWS_ENDPOINT_URL_S3: is no URL. Write https://HOST[:PORT]." in answer.err
    assert "secret" not in answer.err


def test_a_run_that_storage_refuses_breaks_off_and_names_it(
    s3: ObjectServer, folder: Path, address: str, cj_pipeline: Terminal
) -> None:
    del folder
    with s3.fault("forbidden"):
        answer = cj_pipeline("materialize", LOWER5)
    assert answer.code == 2
    assert f"{LOWER5} broke off: " in answer.err
    assert "is forbidden (as told). Look at the keys" in answer.err
    assert Warehouse(data_root(address)).published([LOWER5]) == ()
