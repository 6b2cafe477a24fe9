"""This module tests `cj-pipeline eng5`: the runner's flags and exit codes, its reports, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cj_pipeline.cli.eng5_options import JUDGES, MODES, SCALES
from cj_pipeline.eng5.inputs import ENG5_SCALES
from cj_pipeline.eng5.options import JudgeKind, RunnerMode
from tests.cli.terminal import Terminal
from tests.eng5.nets import small_net
from tests.runs.recording.local_server import serving
from tests.sides import ANCHORS, LADDER, LOWER5

FLAGS = {
    *("--mode", "--assignment-id", "--course-id", "--expected-grade-scale", "--batch-id", "--user-id", "--org-id"),
    *("--course-code", "--language", "--no-kafka", "--verbose", "--output-dir", "--kafka-bootstrap"),
    *("--kafka-client-id", "--cj-service-url", "--content-service-url", "--force-reupload", "--llm-provider"),
    *("--llm-model", "--llm-temperature", "--llm-max-tokens", "--cj-system-prompt", "--no-cj-system-prompt"),
    *("--max-comparisons", "--await-completion", "--completion-timeout", "--auto-extract-eng5-db"),
    *("--llm-batching-mode", "--anchor-align-provider", "--anchor-align-model", "--anchor-align-reasoning-effort"),
    *("--anchor-align-output-verbosity", "--system-prompt", "--rubric"),
}


@pytest.fixture(autouse=True)
def _no_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)


def test_every_flag_of_the_reference_is_there_under_its_name(cj_pipeline: Terminal) -> None:
    shown = cj_pipeline("eng5", "--help").out
    assert {flag for flag in FLAGS if flag not in shown} == set()


def test_words_that_the_terminal_knows_are_those_of_the_runner() -> None:
    assert (tuple(RunnerMode), tuple(JudgeKind), ENG5_SCALES) == (MODES, JUDGES, SCALES)


def test_a_mode_is_a_command_or_an_option(cj_pipeline: Terminal, tmp_path: Path) -> None:
    common = ("--net", small_net(tmp_path / "net"), "--output-dir", tmp_path, "--json")
    by_option = cj_pipeline("eng5", "--mode", "dry-run", *common)
    by_command = cj_pipeline("eng5", "dry-run", *common)
    assert (by_option.code, by_command.code) == (0, 0)
    assert by_option.document["mode"] == by_command.document["mode"] == "dry-run"
    assert cj_pipeline("eng5", *common).document["mode"] == "plan"
    stray = cj_pipeline("eng5", "--seed", "1", "plan")
    assert (stray.code, "--seed goes behind 'plan'" in stray.err) == (2, True)


def test_a_model_of_ones_own_is_asked_at_its_address(cj_pipeline: Terminal, tmp_path: Path) -> None:
    common = ("--net", small_net(tmp_path / "net"), "--output-dir", tmp_path / "out", "--judge", "provider")
    with serving() as server:
        own = ("--base-url", server.url, "--budget-usd", "1", "--json")
        done = cj_pipeline("eng5", "anchor-align-test", *common, *own, "--llm-model", "qwen2.5:7b")
        assert (done.code, len(server.prompts)) == (0, 6), done.err
        tried = cj_pipeline("eng5", "experiment", *common, *own, "--model", "qwen2.5:7b,llama3:8b")
        assert (tried.code, len(server.prompts)) == (0, 18), tried.err
    artefact = json.loads((tmp_path / "out" / "assessment_run.anchor-align-test.json").read_bytes())
    named, overrides = artefact["metadata"]["judge"], artefact["metadata"]["llm_config_overrides"]
    assert (named["provider"], named["model"]) == ("openai", "qwen2.5:7b")
    assert overrides == {"provider_override": "openai", "model_override": "qwen2.5:7b"}
    elsewhere = cj_pipeline("eng5", "plan", "--llm-model", "qwen2.5:7b")
    assert (elsewhere.code, "is not a model of anthropic" in elsewhere.err) == (2, True)


def test_a_test_of_anchors_writes_reports_and_an_artefact_that_verifies(cj_pipeline: Terminal, tmp_path: Path) -> None:
    done = cj_pipeline(
        "eng5", "anchor-align-test", "--net", small_net(tmp_path / "net"), "--output-dir", tmp_path, "--json"
    )
    assert done.code == 0
    assert done.document["comparisons"] == 6
    names = [Path(path).name for path in done.document["reports"]]
    assert all(name.startswith("anchor_align_") for name in names)
    assert {Path(name).suffix for name in names} == {".md", ".html", ".png"}
    verified = cj_pipeline("eng5", "verify", done.document["artefact"])
    assert (verified.code, "agrees" in verified.out) == (0, True)
    document = json.loads(Path(done.document["artefact"]).read_text())
    document["metadata"]["batch_id"] = "another"
    Path(done.document["artefact"]).write_text(json.dumps(document))
    changed = cj_pipeline("eng5", "verify", done.document["artefact"])
    assert (changed.code, "was changed after it was written" in changed.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("execute", "--max-comparisons", "1"), 2, "max_comparisons: 1 is fewer than two"),
        (("plan", "--llm-model", "gpt-9", "--llm-provider", "OpenAI"), 2, "is not a model of openai"),
        (("plan", "--anchor-align-model", "x"), 2, "--anchor-align-model goes with the tests of anchors"),
        (("execute", "--judge", "provider"), 2, "costs money: give --budget-usd"),
        (("execute", "--budget-usd", "1"), 2, "go with --judge provider"),
        (("boundary-test", "--pair", "a"), 2, "NAME:NAME"),
        (("boundary-test", "--pair", "vt_000_A:vt_009_A"), 2, "'vt_009_A' is no anchor"),
        (("boundary-test", "--kafka-bootstrap", "nowhere:1"), 2, "chooses its own pairs"),
        (("execute", "--no-kafka", "--kafka-bootstrap", "nowhere:1"), 2, "leave --no-kafka and --judge out"),
        (("anchor-align-test", "--rubric", "nowhere.txt"), 2, "nowhere.txt: rubric: no such file"),
        (("plan", "--net", "nowhere"), 2, "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(
    cj_pipeline: Terminal, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    net = () if "--net" in arguments else ("--net", small_net(tmp_path / "net"))
    answer = cj_pipeline("eng5", *arguments, *net, "--output-dir", tmp_path / "out")
    assert (answer.code, words in answer.err) == (code, True), answer.err


def test_a_preflight_says_of_each_part_what_is_wrong(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ("eng5", "preflight", "--output-dir", tmp_path / "out", "--json")
    net = small_net(tmp_path / "net")
    good = cj_pipeline(*common, "--net", net)
    assert (good.code, [one["part"] for one in good.document]) == (0, ["inputs", "output folder", "judge"])
    (net / "students" / "pupil_0.txt").write_text("")
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    bad = cj_pipeline(*common, "--net", net, "--judge", "provider")
    problems = {one["part"]: one["problem"] for one in bad.document}
    assert bad.code == 1
    assert "pupil_0.txt: holds no text" in problems["inputs"]
    assert problems["output folder"] is None
    assert "ANTHROPIC_API_KEY: no key is set" in problems["judge"]


def test_a_folder_without_a_net_is_one_sentence_and_exit_code_2(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for mode in MODES:
        answer = cj_pipeline("eng5", mode, "--net", tmp_path / "empty", "--output-dir", tmp_path / "out")
        assert (answer.code, "holds neither anchors/ nor students/" in answer.err) == (2, True), answer.err


def test_too_few_essays_exit_with_1_in_every_mode(cj_pipeline: Terminal, tmp_path: Path) -> None:
    net = small_net(tmp_path / "net", anchors=0)
    for mode in MODES:
        answer = cj_pipeline("eng5", mode, "--net", net, "--output-dir", tmp_path / "out")
        assert (answer.code, "no anchors" in answer.err) == (1, True)


def test_a_time_out_exits_with_0_and_says_that_data_are_partial(cj_pipeline: Terminal, tmp_path: Path) -> None:
    net = small_net(tmp_path / "net")
    answer = cj_pipeline("eng5", "execute", "--net", net, "--output-dir", tmp_path, "--completion-timeout", "4")
    assert answer.code == 0
    assert "partial data, because the time was over" in answer.err + answer.out


def test_a_hint_for_batches_warns(cj_pipeline: Terminal, tmp_path: Path) -> None:
    arguments = ("--net", small_net(tmp_path / "net"), "--output-dir", tmp_path, "--llm-batching-mode", "serial_bundle")
    answer = cj_pipeline("eng5", "execute", *arguments, "--max-comparisons", "4", "--json")
    assert answer.code == 0
    assert "Ask the people who run the services" in answer.err
    document = json.loads(Path(answer.document["artefact"]).read_text())
    assert document["metadata"]["llm_batching_mode_hint"] == "serial_bundle"
    counts = {"serial_bundle": 4}
    said = {"hint": "serial_bundle", "hints_carried": counts, "worked_off": counts}
    assert document["metadata"]["batching"] == said
    assert answer.document["batching"] == {**said, "problem": None}
    assert answer.document["overrides"]["max_comparisons"] == 4


@pytest.mark.parametrize("mode", MODES)
def test_every_summary_says_how_comparisons_were_batched_and_what_was_overridden(
    cj_pipeline: Terminal, tmp_path: Path, mode: str
) -> None:
    judge = ("--llm-provider", "openai", "--llm-model", "gpt-5.1")
    common = ("--net", small_net(tmp_path / "net"), "--output-dir", tmp_path, "--llm-batching-mode", "per_request")
    shown = cj_pipeline("eng5", mode, *common, *judge)
    worked = "nobody was asked" if mode in ("plan", "dry-run") else "worked off as per_request ("
    assert "Batching: asked for per_request; " in shown.out
    assert worked in shown.out
    assert "Overrides: provider openai, model gpt-5.1." in shown.out


def test_a_mock_s_dollars_are_not_spent_and_said_to_be_so(cj_pipeline: Terminal, tmp_path: Path) -> None:
    common = ("--net", small_net(tmp_path / "net"), "--output-dir", tmp_path, "--max-comparisons", "4")
    shown = cj_pipeline("eng5", "execute", *common)
    assert "No money was spent: a mock answered." in shown.out
    assert "USD, not spent" in shown.out
    assert cj_pipeline("eng5", "execute", *common, "--json").document["mocked"] is True
    assert cj_pipeline("eng5", "plan", *common, "--json").document["mocked"] is None


def test_a_report_of_a_trace_shows_both_sides(cj_pipeline: Terminal, tmp_path: Path) -> None:
    answer = cj_pipeline("eng5", "report", LOWER5, "--live", "--output-dir", tmp_path, "--json")
    assert answer.code == 1  # the last of a ladder wins nothing
    assert [(side["name"], side["tau_a"]) for side in answer.document["sides"]] == [("recorded", 1.0), ("live", 1.0)]
    (full,) = tmp_path.glob(f"anchor_align_full_{LOWER5}_*.md")
    assert "Every comparison, live" in full.read_text()
    (page,) = tmp_path.glob(f"anchor_align_{LOWER5}_*.html")
    assert "data:image/png;base64," in page.read_text()


def test_two_runs_of_different_kinds_stand_beside_each_other(cj_pipeline: Terminal, tmp_path: Path) -> None:
    answer = cj_pipeline("eng5", "report", LADDER, ANCHORS, "--output-dir", tmp_path, "--json")
    assert [side["name"] for side in answer.document["sides"]] == [LADDER, ANCHORS]
    assert [len(side["inversions"]) for side in answer.document["sides"]] == [0, 3]


def test_a_report_of_an_artefact_is_that_of_its_run(cj_pipeline: Terminal, tmp_path: Path) -> None:
    done = cj_pipeline(
        "eng5", "anchor-align-test", "--net", small_net(tmp_path / "net"), "--output-dir", tmp_path, "--json"
    )
    again = cj_pipeline("eng5", "report", done.document["artefact"], "--output-dir", tmp_path / "again", "--json")
    (side,) = again.document["sides"]
    assert (side["judged"], len(side["anchors"])) == (6, 4)
    (first,) = [Path(path) for path in done.document["reports"] if "full" in path and path.endswith(".md")]
    (then,) = [Path(path) for path in again.document["files"] if "full" in path and path.endswith(".md")]
    best = [next(line for line in path.read_text().split("\n") if line.startswith("| 1 |")) for path in (first, then)]
    assert best[0] == best[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "one of the three"),
        (("a", "--cj-batch-id", "1"), "one of the three"),
        (("--cj-batch-id", "1"), "no CJ database is named"),
        (("a", "b", "c"), "two runs at most"),
        (("nowhere.json",), "nowhere.json: no such file"),
    ],
)
def test_a_report_of_nothing_is_refused(
    cj_pipeline: Terminal, tmp_path: Path, arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CJ_ASSESSMENT_SERVICE_DATABASE_URL", raising=False)
    answer = cj_pipeline("eng5", "report", *arguments, "--output-dir", tmp_path)
    assert (answer.code, words in answer.err) == (2, True), answer.err


def test_verify_auth_shows_whose_token_it_is(cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    import jwt

    key = "k" * 32
    for name in ("HULEEDU_SERVICE_ACCOUNT_TOKEN", "HULEEDU_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HULEEDU_ADMIN_TOKEN", jwt.encode({"sub": "runner", "roles": ["admin"], "exp": 1}, key, "HS256"))
    shown = cj_pipeline("eng5", "verify-auth", "--json")
    assert (shown.code, shown.document["subject"], shown.document["expired"]) == (1, "runner", True)
    monkeypatch.setenv("HULEEDU_ADMIN_TOKEN", "no token")
    assert cj_pipeline("eng5", "verify-auth").code == 2
    monkeypatch.delenv("HULEEDU_ADMIN_TOKEN")
    monkeypatch.setenv("ENVIRONMENT", "production")
    refused = cj_pipeline("eng5", "verify-auth")
    assert (refused.code, "no token is made for a desk" in refused.err) == (2, True)
