"""The files that `stack observe` writes: what Grafana and Prometheus want of them, and alerts that fire and do not."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from cj_pipeline.contracts.reasons import EXPLANATIONS
from cj_pipeline.reports.observability.dashboard import COLUMNS, NONE, SCHEMA_VERSION, dashboard
from cj_pipeline.reports.observability.files import alert_rules
from cj_pipeline.reports.service_reference import cj_metrics, lps_metrics
from tests.cli.terminal import Terminal
from tests.servers import needs

# Not the names of recorded rules, which have a colon.
SERIES = re.compile(r"(?<![:\w])(?:llm_provider|cj|huleedu_cj)_\w+(?!:)\b")

HERE = Path(__file__).parent
PROMTOOL = pytest.mark.parametrize("promtool", [needs("prometheus", "promtool")])


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(alert_rules())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def squares(panel: dict[str, Any]) -> set[tuple[int, int]]:
    place = panel["gridPos"]
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }  # fmt: skip


def test_the_dashboard_has_what_grafana_reads() -> None:
    board = json.loads(json.dumps(dashboard()))
    assert board["schemaVersion"] == SCHEMA_VERSION
    assert {"uid", "title", "time", "templating", "panels"} <= board.keys()
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    window = variables["window"]
    assert [option["value"] for option in window["options"] if option["selected"]] == [window["current"]["value"]]
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert all(target["range"] != target["instant"] for target in panel["targets"])


def test_panels_have_ids_and_titles_of_their_own_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert [kind for kind, often in Counter(panel["id"] for panel in panels).items() if often > 1] == []
    assert [title for title, often in Counter(panel["title"] for panel in panels).items() if often > 1] == []
    covered = Counter(square for panel in panels for square in squares(panel))
    assert [square for square, often in covered.items() if often > 1] == []
    assert all(0 <= x < COLUMNS for x, _ in covered)


def test_queries_and_rules_ask_for_series_and_labels_that_the_services_have() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w) \| ([^|]*) \|", lps_metrics() + "\n" + cj_metrics(), re.MULTILINE)
    labels = {name: {*filter(None, words.strip().split(", ")), "le", "job", "instance"} for name, _, words in rows}
    labels |= {
        f"{name}{end}": labels[name] for name, kind, _ in rows if kind == "H" for end in ("_bucket", "_sum", "_count")
    }
    expressions = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    expressions += [rule["expr"] for rule in rules()]
    asked = {name for expr in expressions for name in SERIES.findall(expr)}
    assert asked - labels.keys() == set()
    for expr in expressions:
        series = set(SERIES.findall(expr)) & labels.keys()
        grouped = {word for words in re.findall(r"\bby \(([^)]*)\)", expr) for word in words.split(", ")}
        if series:
            assert grouped <= set().union(*(labels[name] for name in series)), expr


def test_what_the_rules_count_is_counted_in_one_way() -> None:
    # alerts_test.yml tries that way on orphans: the first event, a later one, one after a restart, and none.
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    for name, expr in recorded.items():
        counter = expr.removeprefix("(").partition(" ")[0]
        assert expr == f"({counter} unless {counter} offset 10m) or increase({counter}[10m])", name
    used = {name for rule in ALERTS.values() for name in re.findall(r"cj_pipeline:\w+:new10m", rule["expr"])}
    assert used == recorded.keys()


def test_each_alert_says_how_bad_it_is_what_is_wrong_and_what_to_do() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert rule["annotations"].keys() == {"summary", "action"}, name
        assert rule["annotations"]["summary"].endswith("."), name


def test_each_reason_that_nothing_but_a_person_ends_has_an_alert() -> None:
    named = {
        word
        for name in ("LpsKeyRefused", "LpsRequestsCannotSucceed", "LpsDefect")
        for word in re.findall(r'reason=~"([^"]+)"', ALERTS[name]["expr"])[0].split("|")
    }
    assert named <= {reason.value for reason in EXPLANATIONS}
    final = {reason.value for reason, explained in EXPLANATIONS.items() if explained.what_next == "final"}
    # Two have the alert on expiry, two are somebody's wish, and a filter takes single prompts.
    assert final - named == {"expired", "given_up", "shut_down", "cancelled", "filtered"}


def test_each_alert_is_tried_when_it_fires_and_when_it_does_not() -> None:
    fires, quiet = set(), set()
    for test in yaml.safe_load((HERE / "alerts_test.yml").read_text())["tests"]:
        asked = [(re.escape(case["alertname"]), case["exp_alerts"]) for case in test.get("alert_rule_test", ())]
        for case in test.get("promql_expr_test", ()):
            (pattern,) = re.findall(r'alertname=~?"([^"]+)"', case["expr"])
            asked.append((pattern, case["exp_samples"]))
        for pattern, expected in asked:
            (fires if expected else quiet).update(name for name in ALERTS if re.fullmatch(pattern, name))
    assert fires == quiet == ALERTS.keys()


@PROMTOOL
def test_the_alerts_fire_when_they_should_and_only_then(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"], cwd=HERE, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@PROMTOOL
def test_prometheus_takes_the_files_that_the_command_writes(
    promtool: str, cj_pipeline: Terminal, tmp_path: Path
) -> None:
    folder = tmp_path / "with a blank"
    answer = cj_pipeline(
        "stack", "observe", str(folder), "--lps", "lps-0:8080", "--lps", "[::1]:8080", "--port", "cj=19090"
    )
    assert answer.code == 0, answer.err
    assert f"--config.file={folder}/prometheus.yml" in answer.out
    done = subprocess.run(
        [promtool, "check", "config", "prometheus.yml"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    assert {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs} == {
        "lps": ["lps-0:8080", "[::1]:8080"],
        "cj": ["127.0.0.1:19090"],
    }
    assert json.loads((folder / "dashboard.json").read_text()) == dashboard()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lps", "http://lps:8080"], "--lps: 'http://lps:8080' is not HOST:PORT"),
        (["--cj", "cj"], "--cj: 'cj' is not HOST:PORT"),
        (["--cj", "cj:65536"], "--cj: 'cj:65536' is not HOST:PORT"),
        (["--port", "lps=x"], "--port: 'lps=x' is not PART=PORT"),
    ],
)
def test_a_place_that_is_none_is_refused(
    cj_pipeline: Terminal, tmp_path: Path, arguments: list[str], words: str
) -> None:
    answer = cj_pipeline("stack", "observe", str(tmp_path / "new"), *arguments)
    assert answer.code == 2
    assert words in answer.err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_to_is_named(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = cj_pipeline("stack", "observe", str(tmp_path / "file" / "below"))
    assert answer.code == 2
    assert "below: cannot be written to" in answer.err


def test_panels_that_are_empty_while_all_is_well_say_so() -> None:
    # Those whose every query asks for labels that a clean batch does not give; test_panels.py shows them in trouble.
    empty = {panel["title"]: panel for panel in dashboard()["panels"] if panel.get("description", "").endswith(NONE)}
    assert {"Expired", "Failed attempts by reason", "Callbacks that count for nothing"} <= empty.keys()
    assert not {"Queue depth", "Comparisons by result", "Decisions of the engine"} & empty.keys()
    assert all(panel["fieldConfig"]["defaults"]["noValue"] == "none" for panel in empty.values())


def test_a_configuration_of_somebodys_own_is_not_lost(cj_pipeline: Terminal, tmp_path: Path) -> None:
    mine = tmp_path / "prometheus.yml"
    mine.write_text("scrape_configs: []\n")
    refused = cj_pipeline("stack", "observe", str(tmp_path))
    assert refused.code == 2
    assert "prometheus.yml: is there already, and says something else." in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["prometheus.yml"]
    assert mine.read_text() == "scrape_configs: []\n"
    assert cj_pipeline("stack", "observe", str(tmp_path), "--force").code == 0
    assert "job_name: lps" in mine.read_text()
    # The same again is no loss.
    assert cj_pipeline("stack", "observe", str(tmp_path)).code == 0
