"""This module runs docs/runbook.md: every command against a graded batch, every query, every failure of its table."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.diagnostics import PRODUCTION_THRESHOLDS, flags_are_vacuous
from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.contracts.cj_events import CJ_SOURCE_SERVICE
from cj_pipeline.contracts.els_request import AssessmentRequestEvent
from cj_pipeline.eng5 import deployed_run
from cj_pipeline.eng5.deployed_run import DeployedServices
from cj_pipeline.services.cj import environment as cj_environment
from cj_pipeline.services.cj.admin_client import CjAdmin
from cj_pipeline.services.lps import settings as lps_settings
from cj_pipeline.services.lps import variables as lps_variables
from cj_pipeline.services.shared.json_logs import log_as_json
from tests.cli import runbook
from tests.cli.terminal import Answer, Terminal
from tests.eng5.nets import small_net
from tests.eng5.test_deployed import ANCHOR, ASSIGNMENT, INSTRUCTIONS, AnsweringBus, Messages, callback, end, failed
from tests.eng5.test_deployed import some as some_answers
from tests.traces.importing.batches import Kept, kept_batch

KEY = "k" * 32


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, list[dict[str, Any]]]:
    """A graded batch in a CJ database, and what the service logged of it."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = [*root.handlers], root.level
    log_as_json("INFO", stream, CJ_SOURCE_SERVICE)
    try:
        batch = kept_batch(f"sqlite:///{tmp_path_factory.mktemp('cj')}/cj.db", graded=True)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return batch, [json.loads(line) for line in stream.getvalue().splitlines()]


class Deployed:
    """Deployed services, which a database, a bus in a folder and two transports stand in for."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder, self.database = folder, database
        self.answers: Callable[[AssessmentRequestEvent], Messages] = self.whole
        self.bus: Callable[[], FolderBus] = lambda: AnsweringBus(folder / "bus", self.answers)
        self.status = 200
        self.instructions: dict[str, Any] = {**INSTRUCTIONS}
        self.anchors: list[dict[str, Any]] = [{}]
        self.content_is_there = True
        self.queue_mode = "serial_bundle"

    def services(self) -> DeployedServices:
        return DeployedServices(
            open_bus=lambda: self.bus(),
            content_url="http://content/v1/content",
            admin=self.admin("http://cj", os.environ.get("HULEEDU_ADMIN_TOKEN")),
            database_url=f"sqlite:///{self.database}",
            content_transport=httpx.MockTransport(self._content),
        )

    def admin(self, url: str, token: str | None) -> CjAdmin:
        return CjAdmin(url, token, transport=httpx.MockTransport(self._admin))

    def whole(self, request: AssessmentRequestEvent) -> Messages:
        """The batch as the service works it off, under the id that its sender gave it."""
        first, second = sorted(one.essay_id for one in request.data.essays_for_cj)[:2]
        self.names(request.data.entity_id)
        stated = {"queue_processing_mode": self.queue_mode}
        return [callback(request, first, second, **stated), callback(request, second, ANCHOR, **stated), *end(request)]

    def names(self, batch: str) -> None:
        with sqlite3.connect(self.database) as connection:
            connection.execute("update cj_batch_uploads set bos_batch_id = ?", (batch,))

    def _content(self, _: httpx.Request) -> httpx.Response:
        if not self.content_is_there:
            raise httpx.ConnectError("nobody listens")
        return httpx.Response(201, json={"storage_id": "s1"})

    def _admin(self, request: httpx.Request) -> httpx.Response:
        if self.status != 200:
            return httpx.Response(self.status, json={"error": "The token is over."})
        if request.method == "POST":
            return httpx.Response(201, json={"anchor_id": 1})
        document = {"anchors": self.anchors} if "/anchors/" in request.url.path else self.instructions
        return httpx.Response(200, json=document)


@pytest.fixture
def stack(kept: tuple[Kept, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """Services that the runner finds behind the addresses of the page; the working folder is the runner's own."""
    database = tmp_path / "cj.db"
    shutil.copyfile(kept[0].url.removeprefix("sqlite:///"), database)
    with sqlite3.connect(database) as connection:
        for table in ("assessment_instructions", "anchor_essay_references", "cj_batch_uploads"):
            connection.execute(f"update {table} set assignment_id = ?", (str(ASSIGNMENT),))  # noqa: S608
    small_net(tmp_path / "autumn")
    monkeypatch.chdir(tmp_path)
    found = Deployed(tmp_path, database)
    monkeypatch.setattr("cj_pipeline.cli.eng5_run.deployed_services", lambda _: found.services())
    monkeypatch.setattr("cj_pipeline.services.cj.admin_client.CjAdmin", found.admin)
    return found


def own(stack: Deployed) -> dict[str, str]:
    """The variables that name a deployment."""
    return {
        "CJ_ASSESSMENT_SERVICE_DATABASE_URL": f"sqlite:///{stack.database}",
        "HULEEDU_ADMIN_TOKEN": jwt.encode({"sub": "runner", "roles": ["admin"], "exp": 4_000_000_000}, KEY, "HS256"),
    }


def test_every_command_of_the_page_runs(cj_pipeline: Terminal, stack: Deployed) -> None:
    # A mock in a generic mode has no reason to order the anchors as their grades do.
    shown = runbook.play(cj_pipeline, own(stack), ("cj-pipeline eng5 report",))
    assert len(shown) == len(re.findall(r"^ {4,}(?:nohup )?cj-pipeline ", runbook.PAGE, re.MULTILINE))
    said = "\n".join(answer.out for answer in shown)
    assert "No money was spent: a mock answered." in said
    assert "worked off as serial_bundle (2)." in said
    assert "warning: serial_bundle was asked for" not in said
    assert "CJ BATCH 1: " in Path(f"runs/autumn/{os.environ['BATCH']}.txt").read_text()
    artefact = json.loads(Path("runs/autumn/assessment_run.execute.json").read_text())
    assert artefact["metadata"]["batch_id"] == "autumn-a"
    assert artefact["validation"]["post_run"]["eng5_db_extract"]["status"] == "succeeded"


def test_every_variable_of_the_page_is_one_that_the_services_read(stack: Deployed) -> None:
    given: set[str] = set()
    for one in runbook.typed():
        if one.exports:
            runbook.export(one, own(stack))
            given |= {word.partition("=")[0] for word in one.words[1:]}
            cj = cj_environment.settings_from_environment()
            lps = lps_settings.settings_from_environment()
            assert cj_environment.not_read(os.environ) == {}
            assert lps_variables.not_read(os.environ) == {}
            for name, value in (("CJ_ASSESSMENT_SERVICE_LLM_BATCHING_MODE", cj.llm_batching_mode),
                                ("LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_MODE", lps.queue_processing_mode),
                                ("LLM_PROVIDER_SERVICE_BATCH_API_MODE", lps.batch_api_mode)):  # fmt: skip
                assert os.environ.get(name, value.value) == value.value
    assert sum(name.startswith(("CJ_ASS", "LLM_PRO")) for name in given) >= 6


def test_every_query_for_loki_finds_the_lines_of_a_batch(
    cj_pipeline: Terminal, kept: tuple[Kept, list[dict[str, Any]]], tmp_path: Path
) -> None:
    net = small_net(tmp_path / "net")
    assert cj_pipeline("eng5", "execute", "--net", net, "--output-dir", tmp_path, "--batch-id", "autumn-a").code == 0
    runner = [json.loads(line) for line in (tmp_path / "logs" / "execute.jsonl").read_text().splitlines()]
    queries = runbook.loki()
    assert len(queries) == 2
    for service, field, value in queries:
        wanted = value.replace("$BATCH", "bos-1")
        found = [line for line in (*kept[1], *runner) if line.get("service") == service and line.get(field) == wanted]
        assert len(found) > 3, (service, field, wanted)


def test_the_thresholds_of_the_flags_are_those_of_the_code() -> None:
    flags = PRODUCTION_THRESHOLDS
    assert f"mean above {flags.mean_se} or largest above {flags.max_se} logits" in runbook.PAGE
    assert f"fewer than {flags.mean_comparisons_per_item:g} comparison an essay" in runbook.PAGE


def test_the_errors_that_no_judge_could_make_smaller_are_those_of_the_page() -> None:
    pairs = list(combinations(range(12), 2))
    for times, words in (
        (1, "one comparison a pair have a mean of {:.2f} at least"),
        (2, "two comparisons a pair {:.2f}"),
    ):
        asked = pairs * times
        best = flags_are_vacuous(Comparisons([one for one, _ in asked], [other for _, other in asked], 12)).best_case
        assert words.format(best.mean_se) in " ".join(runbook.PAGE.split())


@pytest.mark.parametrize("words", runbook.mentioned(), ids=" ".join)
def test_every_command_that_is_only_mentioned_is_there(cj_pipeline: Terminal, words: tuple[str, ...]) -> None:
    assert cj_pipeline(*words, "--help").code == 0


# What goes wrong, by what is said of it.


def executed(terminal: Terminal, *more: str) -> Answer:
    return terminal(
        "eng5", "execute", "--net", "autumn", "--output-dir", "out", "--kafka-bootstrap", "kafka:1", "--assignment-id",
        str(ASSIGNMENT), "--course-id", str(ASSIGNMENT), "--await-completion", *more,
    )  # fmt: skip


def embedded(terminal: Terminal, *more: str) -> Answer:
    return terminal("eng5", "execute", "--no-kafka", "--net", "autumn", "--output-dir", "out", *more)


def state(terminal: Terminal, stack: Deployed, batch: str = "1") -> Answer:
    return terminal("eng5", "batch-state", batch, "--database", f"sqlite:///{stack.database}")


def without_anchors(terminal: Terminal, stack: Deployed) -> Answer:
    shutil.rmtree("autumn/anchors")
    Path("autumn/anchors").mkdir()
    return embedded(terminal)


def no_net(terminal: Terminal, stack: Deployed) -> Answer:
    Path("empty").mkdir()
    return embedded(terminal, "--net", "empty")


def no_assignment(terminal: Terminal, stack: Deployed) -> Answer:
    return terminal("eng5", "execute", "--net", "autumn", "--kafka-bootstrap", "kafka:1")


def no_prompt(terminal: Terminal, stack: Deployed) -> Answer:
    stack.instructions["student_prompt_storage_id"] = None
    return executed(terminal)


def bad_token(terminal: Terminal, stack: Deployed) -> Answer:
    stack.status = 401
    return executed(terminal)


def no_limit(terminal: Terminal, stack: Deployed) -> Answer:
    return embedded(terminal, "--judge", "provider")


def no_key(terminal: Terminal, stack: Deployed) -> Answer:
    os.environ.pop("ANTHROPIC_API_KEY", None)
    return embedded(terminal, "--judge", "provider", "--budget-usd", "1")


def no_number(terminal: Terminal, stack: Deployed) -> Answer:
    return embedded(terminal, "--system-prompt", "099")


def silent_bus(terminal: Terminal, stack: Deployed) -> Answer:
    class Silent(FolderBus):
        async def prepare(self, topics: Any) -> None:
            await asyncio.Event().wait()

    stack.bus = lambda: Silent(stack.folder / "bus")
    return executed(terminal)


def no_content(terminal: Terminal, stack: Deployed) -> Answer:
    stack.content_is_there = False
    return terminal("doctor", "--eng5", "--net", "autumn", "--kafka-bootstrap", "kafka:1", "--assignment-id",
                    ASSIGNMENT, "--course-id", ASSIGNMENT)  # fmt: skip


def timed_out(terminal: Terminal, stack: Deployed) -> Answer:
    return embedded(terminal, "--completion-timeout", "4")


def failed_batch(terminal: Terminal, stack: Deployed) -> Answer:
    stack.answers = failed
    return executed(terminal)


def no_completion(terminal: Terminal, stack: Deployed) -> Answer:
    stack.answers = some_answers
    return executed(terminal, "--completion-timeout", "0.5", "--auto-extract-eng5-db")


def other_options(terminal: Terminal, stack: Deployed) -> Answer:
    timed_out(terminal, stack)
    return embedded(terminal, "--max-comparisons", "20")


def other_queue(terminal: Terminal, stack: Deployed) -> Answer:
    stack.queue_mode = "per_request"
    return executed(terminal, "--llm-batching-mode", "serial_bundle")


def waiting(terminal: Terminal, stack: Deployed) -> Answer:
    with sqlite3.connect(stack.database) as connection:
        connection.execute("update cj_comparison_pairs set winner = null where id > 100")
        connection.execute("update cj_batch_uploads set status = 'PERFORMING_COMPARISONS'")
    return state(terminal, stack)


def no_batch(terminal: Terminal, stack: Deployed) -> Answer:
    return state(terminal, stack, "nowhere")


def changed_artefact(terminal: Terminal, stack: Deployed) -> Answer:
    assert embedded(terminal, "--max-comparisons", "4").code == 0
    artefact = Path("out/assessment_run.execute.json")
    artefact.write_text(artefact.read_text().replace("eng5-np-local-batch", "another"))
    return terminal("eng5", "verify", artefact)


def uneven(terminal: Terminal, stack: Deployed) -> Answer:
    return terminal("eng5", "positions", "--cj-batch-id", "1", "--database", f"sqlite:///{stack.database}",
                    "--max-skew", "0.1")  # fmt: skip


FAILURES: dict[str, Callable[[Terminal, Deployed], Answer]] = {
    "no anchors, so nothing can be graded": without_anchors,
    "holds neither anchors/ nor students/": no_net,
    "assignment_id: is missing": no_assignment,
    "has no student prompt": no_prompt,
    ": 401:": bad_token,
    "costs money: give --budget-usd": no_limit,
    "no key is set": no_key,
    "there is no system prompt": no_number,
    "does not answer within": silent_bus,
    "no content service answers": no_content,
    "partial data, because the time was over": timed_out,
    "the CJ service failed the batch": failed_batch,
    "there is nothing to extract": no_completion,
    "is not what the unfinished run was begun with": other_options,
    "callbacks were worked off otherwise": other_queue,
    "wait for an answer": waiting,
    "no such batch": no_batch,
    "DOES NOT AGREE": changed_artefact,
    "was shown more unevenly than": uneven,
}


def test_the_table_of_failures_has_those_that_are_tried_here() -> None:
    assert runbook.failures().keys() == FAILURES.keys()


@pytest.mark.parametrize("words", FAILURES)
def test_what_fails_is_said_in_the_words_of_the_table_with_its_exit_code(
    cj_pipeline: Terminal, stack: Deployed, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setattr(deployed_run, "REACH_S", 0.3)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    answer = FAILURES[words](cj_pipeline, stack)
    said = " ".join(f"{answer.err} {answer.out}".split())
    assert words in said, said[-1500:]
    assert answer.code == runbook.failures()[words], said[-500:]
