"""Every query of docs/observability.md returns what the page says, of services that were driven into trouble."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.reports.observability.files import alert_rules
from cj_pipeline.reports.observability.panels import ROWS
from tests.house import REPOSITORY
from tests.reports.observability.driven import (
    BATCHES,
    BY_HAND,
    COMPARISONS,
    ESSAYS,
    EXPIRED,
    LATE,
    MALFORMED,
    MODE,
    ORPHANS,
    REFUSED,
    REPEATED,
    UPSTREAM,
    Driven,
)
from tests.services.cj.test_served import CLI
from tests.sides import LOWER5, TRACES

PAGE = (REPOSITORY / "docs" / "observability.md").read_text(encoding="utf-8")
# What stands on a line of its own before the first of the blocks that answer it.
BLOCKS = re.findall(r"^(\S[^\n]*)\n\n((?:```\w+\n(?:[^`]*?)```\n\n?)+)", PAGE, re.MULTILINE)
RECIPES: dict[str, tuple[str, str]] = {
    question.split("?")[0] + " +" * number: (kind, text)
    for question, answers in BLOCKS
    for number, (kind, text) in enumerate(re.findall(r"```(\w+)\n(.*?)```", answers, re.DOTALL))
}
PROMQL = {question: text for question, (kind, text) in RECIPES.items() if kind == "promql"}
SHELL = {question: text for question, (kind, text) in RECIPES.items() if kind == "sh"}

Values = Mapping[tuple[str, ...], float]

# Of each query: does it return what was driven? By the values of its labels, in the order of their names.
HOLDS: Mapping[str, Callable[[Values], bool]] = {
    "How did comparisons end in the last hour": lambda found: (
        found[("success",)] == BATCHES * COMPARISONS + UPSTREAM + LATE - EXPIRED
        and found[("expired",)] == EXPIRED
        and found[("failure",)] > 0
    ),
    "Which share of all comparisons since the start has no winner": lambda found: 0 < found[()] < 0.5,
    "How often did a provider limit us (429)": lambda found: found[("mock",)] > 1 and found[("openai",)] == 1,
    "How often was a provider overloaded (529, and what others send for it)": lambda found: (
        found[("mock",)] > 1 and found[("openai",)] == 1
    ),
    "How many answers were cut off at the limit of tokens": lambda found: (
        found[("mock",)] >= 1 and found[("openai",)] == 1
    ),
    "Which HTTP statuses do failed calls have": lambda found: (
        found[("429", "openai")] == 1 and found[("503", "openai")] >= 3 and found[("none", "openai")] >= 2
    ),
    "Which share of a provider's attempts fails": lambda found: (
        0.1 < found[("mock",)] < 0.5 and 0 < found[("openai",)] < 1
    ),
    "How often was a provider left alone because it failed repeatedly": lambda found: found[("llm_openai",)] >= 1,
    "How long does a request wait for its turn, on average": lambda found: (
        0.5 < found[("per_request",)] < 60 and 0 < found[("serial_bundle",)] < 60
    ),
    "How long do 95 % wait at most, in the last hour": lambda found: 1 < found[("per_request",)] < 60,
    "How many requests expired, and why": lambda found: found == {("ttl", "mock"): EXPIRED},
    "What did the door answer to comparisons": lambda found: found[("400",)] == REFUSED and found[("202",)] >= UPSTREAM,
    "How many requests are in a bundle, on average, and in the largest one": lambda found: 1 < found[()] < 64,
    "How many requests are in a bundle, on average, and in the largest one +": lambda found: 2 <= found[()] <= 64,
    "Were bundles sent to another judge than expected, here `mock`": lambda found: (
        set(found) == {("gpt-4.1-mini-2025-04-14", "openai")}
    ),
    "What do a thousand answers cost, in US dollars": lambda found: (
        found[("mock",)] == 0 and 0.01 < found[("openai",)] < 1
    ),
    "How many tokens does an answer have": lambda found: (
        found[("openai", "prompt")] >= 100
        and 10 <= found[("openai", "completion")] <= 20
        and found[("mock", "prompt")] > 10
    ),
    "How many comparisons of the CJ service are under way": lambda found: found == {(): 0},
    "How many callbacks are between the LPS and the CJ service": lambda found: found == {(): -BY_HAND},
    "Whose callbacks belong to no comparison": lambda found: (
        found == {("another_lps",): ORPHANS, ("llm_provider_service",): UPSTREAM + LATE}
    ),
    "Which messages are in quarantine": lambda found: (
        found
        == {
            ("orphan", COMPARISON_RESULT_TOPIC): ORPHANS + UPSTREAM + LATE,
            ("late", COMPARISON_RESULT_TOPIC): REPEATED,
            ("malformed", COMPARISON_RESULT_TOPIC): MALFORMED,
        }
    ),
    "Which share of callbacks was older than ten seconds when it was taken in": lambda found: 0 <= found[()] < 1,
    "Why do prompts and texts lack": lambda found: sum(found.values()) == 2 and ("missing_entry",) in found,
    "How many waves does a batch have, on average, and what does the engine decide": lambda found: found[()] > 3,
    "How many waves does a batch have, on average, and what does the engine decide +": lambda found: (
        found[("RESAMPLE",)] >= BATCHES and found[("REQUEST_MORE_COMPARISONS",)] >= BATCHES
    ),
    "How many comparisons failed, and were made good by a retry": lambda found: found[()] == 1,
    "Which share of the scored batches has uncertain scores": lambda found: 0 <= found[()] <= 1,
}


BATCH = "bos-1"
Rows = list[list[str]]


def callbacks(folder: Path) -> list[dict[str, Any]]:
    """The callbacks on the topic, without the message that is none."""
    lines = (folder / "callbacks.jsonl").read_text().splitlines()
    return [event["data"] for event in map(json.loads, lines) if "data" in event]


def bos_batch(answer: dict[str, Any]) -> Any:
    return answer["request_metadata"].get("bos_batch_id")


def counted(rows: Rows) -> dict[str, int]:
    """What `uniq -c` counted."""
    words = [row[0].split(maxsplit=1) + row[1:] for row in rows]
    return {"\t".join(rest): int(count) for count, *rest in words}


def objects(rows: Rows) -> list[dict[str, Any]]:
    return [json.loads("\t".join(row)) for row in rows]


def is_the_story_of_the_batch(rows: Rows, folder: Path) -> bool:
    services = {row[1] for row in rows}
    times = [row[0] for row in rows]
    return (
        times == sorted(times)
        and services == {"llm_provider_service", "cj_assessment_service"}
        and f"taken in, {ESSAYS} essays" in rows[0][2]
        and "over, COMPLETE" in rows[-1][2]
        and not any("bos-2" in row[2] for row in rows)
    )


def is_the_story_of_a_failed_comparison(rows: Rows, folder: Path) -> bool:
    levels, events = [row[1] for row in rows], [row[2] for row in rows]
    return levels[-1] == "WARNING" and ": The mock provider failed" in events[-1] and set(levels[:-1]) <= {"INFO"}


def are_the_failed_attempts(rows: Rows, folder: Path) -> bool:
    by_reason = counted(rows)
    failed = [answer for answer in callbacks(folder) if answer["error_detail"]]
    expired = sum(count for row, count in by_reason.items() if row.endswith("TIMEOUT\texpired"))
    return (
        expired == EXPIRED == sum(answer["error_detail"]["error_code"] == "TIMEOUT" for answer in failed)
        and by_reason["posted-by-hand\topenai\tRATE_LIMIT\trate_limited"] == 1
        and any(row.startswith(f"{BATCH}\tmock\tRATE_LIMIT") for row in by_reason)
        and sum(by_reason.values()) > len(failed)
    )


def are_the_means(rows: Rows, folder: Path) -> bool:
    answered = [answer for answer in callbacks(folder) if answer["winner"]]
    for found in objects(rows):
        took = sorted(answer["response_time_ms"] for answer in answered if answer["model"] == found["model"])
        mean = sum(took) / len(took)
        if (found["answers"], found["mean"]) != (len(took), pytest.approx(mean)) or found["p95"] not in took:
            return False
    return sum(found["answers"] for found in objects(rows)) == len(answered)


def are_the_costs(rows: Rows, folder: Path) -> bool:
    found = {each["batch"]: each for each in objects(rows)}
    asked = [answer for answer in callbacks(folder) if bos_batch(answer) == BATCH]
    return (
        found[BATCH]["comparisons"] == len(asked)
        and found[BATCH]["tokens"] == sum(answer["token_usage"]["total_tokens"] for answer in asked)
        and found[BATCH]["usd"] == 0 < found["posted-by-hand"]["usd"]
    )


def are_the_sides(rows: Rows, folder: Path) -> bool:
    asked = [answer["request_metadata"] for answer in callbacks(folder) if bos_batch(answer) == BATCH]
    return len(rows) == ESSAYS and all(
        found["a"] == sum(each["essay_a_id"] == found["id"] for each in asked)
        and found["b"] == sum(each["essay_b_id"] == found["id"] for each in asked)
        and found["skew"] == pytest.approx(abs(found["a"] - found["b"]) / (found["a"] + found["b"]))
        for found in objects(rows)
    )


def is_the_ranking(rows: Rows, folder: Path) -> bool:
    summary = json.loads((folder / "assessment_run.execute.json").read_text())["bt_summary"]
    return [row[1] for row in rows] == [
        row["essay_id"] for row in sorted(summary, key=lambda row: row["rank"])
    ] and all(row[4] != "-" for row in rows if row[1].startswith("ANCHOR"))


# Of each command: does it say what was driven? By the rows that it prints, and the folder of what it read.
SAYS: Mapping[str, Callable[[Rows, Path], bool]] = {
    "What went wrong, most frequent first": lambda rows, _: (
        counted(rows)[
            "cj_assessment_service\tcallback of 'llm_provider_service' at offset N belongs to no comparison: "
            "correlation id ID"
        ]
        == UPSTREAM + LATE
        and list(counted(rows).values()) == sorted(counted(rows).values(), reverse=True)
    ),
    "What happened to a batch, in both services": is_the_story_of_the_batch,
    "What did the engine decide, and why": lambda rows, _: (
        [row[1] for row in rows][-1].startswith("FINALIZE")
        and [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)
        and len(rows) > 3
    ),
    "What happened to one comparison": is_the_story_of_a_failed_comparison,
    "Which attempts failed, by batch and reason": are_the_failed_attempts,
    "Which HTTP statuses did providers answer with, where there was no verdict": lambda rows, _: (
        counted(rows)["429"] == 1 and counted(rows)["503"] >= 3 and counted(rows)["no reply"] >= 2
    ),
    "Which requests expired": lambda rows, _: (
        len(rows) == EXPIRED and all(row[2].startswith("expired (ttl) at the age of") for row in rows)
    ),
    "When was a provider left alone, and when did it come back": lambda rows, _: (
        "llm_openai is open" in rows[0][1] and "llm_openai is closed" in rows[-1][1]
    ),
    "Whose callbacks are orphans": lambda rows, _: (
        counted(rows) == {"another_lps": ORPHANS, "llm_provider_service": UPSTREAM + LATE}
    ),
    "How long did each batch take, from being taken in to its end, in seconds": lambda rows, _: (
        [row[0] for row in rows] == ["bos-1", "bos-2"] and all(0 < float(row[1]) < 90 for row in rows)
    ),
    "How were comparisons answered, and why were they not": lambda rows, folder: (
        counted(rows)["TIMEOUT expired"] == EXPIRED
        and counted(rows)["Essay A"] == sum(answer["winner"] == "Essay A" for answer in callbacks(folder))
        and counted(rows)["EXTERNAL_SERVICE_ERROR truncated"] > 0
    ),
    "How fast were the answers, in milliseconds, by model": are_the_means,
    "What did each batch cost, and how many tokens did it take": are_the_costs,
    "Which callbacks came more than once": lambda rows, folder: (
        # The orphans are copies too, with another correlation id.
        [row[0] for row in rows] == [next(a for a in callbacks(folder) if bos_batch(a) == BATCH)["request_id"]]
    ),
    "Is each essay shown as A as often as B": are_the_sides,
    "Is the artefact whole": lambda rows, _: (
        objects(rows) == [{"partial_data": False, "partial_because": None, "wanted_comparisons": 30, "came": 30}]
    ),
    "Which comparisons failed, and why": lambda rows, _: (
        sum(len(each["sequence"]) for each in objects(rows)) == sum(each["failed"] for each in objects(rows)) > 0
    ),
    "What did it cost, by judge": lambda rows, _: sum(int(row[2]) for row in rows) == 30,
    "How are essays ranked, with their standard errors and grades": is_the_ranking,
    "What did the run do, event by event": lambda rows, _: (
        (rows[0][2], rows[-1][2]) == ("runner_invocation", "runner_execution_complete")
        and [row[0] for row in rows] == sorted(row[0] for row in rows)
    ),
    "Which checks of a comparison fail, and what do they say": lambda rows, folder: (
        [row[0] for row in rows]
        == [
            check["check"]
            for check in json.loads((folder / "parity.json").read_text())["checks"]
            if check["verdict"] == "fail"
        ]
        != []
    ),
}


def test_every_query_is_tried_and_those_that_are_not_say_so() -> None:
    assert HOLDS.keys() == PROMQL.keys()
    assert SAYS.keys() == SHELL.keys()
    untested = {question for question, (kind, _) in RECIPES.items() if kind not in {"promql", "sh"}}
    (words,) = {question.rstrip(" +") for question in untested}
    assert words.startswith("The same in Loki")
    assert words.endswith("they are untested.")
    assert len(RECIPES) == PAGE.count("\n```") / 2


def test_what_the_first_table_sends_people_to_exists() -> None:
    table = PAGE.partition("## Where to begin")[2].partition("\n## ")[0].partition("|---|")[2]
    alerts = {rule["alert"] for rule in yaml.safe_load(alert_rules())["groups"][0]["rules"] if "alert" in rule}
    named = re.findall(r"`(\w+)`", table)
    assert named
    assert set(named) - alerts == set()
    panels = {panel.title for row in ROWS for panel in row.panels}
    quoted = re.findall(r'"([^"]+)"', table)
    assert quoted
    known = (*panels, *RECIPES)
    assert [words for words in quoted if not any(name.startswith(words) for name in known)] == []


@pytest.mark.servers("prometheus")
@pytest.mark.parametrize("question", PROMQL)
def test_the_promql_returns_what_was_driven(stack: Driven, question: str) -> None:
    samples = stack.prometheus.query(PROMQL[question])
    found = {
        tuple(value for name, value in sorted(sample["metric"].items()) if name != "__name__"): float(
            sample["value"][1]
        )
        for sample in samples
    }
    assert HOLDS[question](found), found


@pytest.fixture(scope="session")
def workplace(stack: Driven, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the page names. Each log ends with a line that is no JSON."""
    folder = tmp_path_factory.mktemp("workplace")
    logs = {"lps": ("lps/lps.log", "late/lps.log"), "cj": ("cj.log",)}
    for name, parts in logs.items():
        text = "".join((stack.folder / part).read_text() for part in parts)
        (folder / f"{name}.log").write_text(text + "Traceback (most recent call last):\n")
    shutil.copyfile(stack.folder / "bus" / f"{COMPARISON_RESULT_TOPIC}.jsonl", folder / "callbacks.jsonl")
    # The ids of such a run are new each time, and with them what the mock draws: half of all attempts fail for good.
    (folder / "mode.yaml").write_text(MODE.replace("rate: 0.25", "rate: 0.6").replace("share: 2}", "share: 40}"))
    run = ("eng5", "execute", "--no-kafka", "--max-comparisons", "30", "--mock-mode", folder / "mode.yaml")
    data = {"CJ_PIPELINE_DATA_DIR": str(folder / "data")}
    called(folder, 0, [str(CLI), *map(str, run), "--output-dir", str(folder)], **data)
    wrong = called(folder, 1, [str(CLI), "parity", LOWER5, "--mode", "+inverted", "--json"], **data)
    (folder / "parity.json").write_text(wrong)
    return folder


def called(folder: Path, code: int, command: list[str], **environment: str) -> str:
    """What a command prints that ends with this exit code."""
    traces = {"CJ_PIPELINE_TRACES_DIR": str(TRACES)}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | traces | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.servers("prometheus", "jq")
@pytest.mark.parametrize("question", SHELL)
def test_the_command_says_what_was_driven(workplace: Path, question: str) -> None:
    one = next(answer for answer in callbacks(workplace) if answer["error_detail"] and bos_batch(answer) == BATCH)
    ids = {"BATCH": BATCH, "ID": one["correlation_id"]}
    said = called(workplace, 0, ["bash", "-euo", "pipefail", "-c", SHELL[question]], **ids)
    rows = [line.split("\t") for line in said.splitlines()]
    assert SAYS[question](rows, workplace), said
