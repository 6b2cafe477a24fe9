"""A scenario file that cannot run is refused by `traces validate` in one sentence with its line, and exit code 2."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.traces.folders import LOWER5, TRACES

# (what is replaced in the file, by what)
CASES: dict[str, tuple[str, str]] = {
    "tau-nan": ("at_least_tau: 0.60", "at_least_tau: .nan"),
    "tau-inf": ("at_least_tau: 0.60", "at_least_tau: .inf"),
    "tau-minus-inf": ("at_least_tau: 0.60", "at_least_tau: -.inf"),
    "tau-text": ("at_least_tau: 0.60", 'at_least_tau: "0.6"'),
    "tau-true": ("at_least_tau: 0.60", "at_least_tau: true"),
    "share-of-nan": ("tokens_total: {share: 0.15}", "tokens_total: {share: .nan}"),
    "share-of-1e308": ("tokens_total: {share: 0.15}", "tokens_total: {share: 1e308}"),
    "share-null": ("tokens_total: {share: 0.15}", "tokens_total: {share: null}"),
    "share-a-list": ("tokens_total: {share: 0.15}", "tokens_total: {share: [0.15]}"),
    "check-unknown": ("tokens_total: {share: 0.15}", "tokens_totals: {share: 0.15}"),
    "limit-unknown": ("tokens_total: {share: 0.15}", "tokens_total: {shore: 0.15}"),
    "budget-0": ("max_pairwise_comparisons: 10", "max_pairwise_comparisons: 0"),
    "budget-negative": ("max_pairwise_comparisons: 10", "max_pairwise_comparisons: -1"),
    "budget-a-fraction": ("max_pairwise_comparisons: 10", "max_pairwise_comparisons: 10.5"),
    "budget-true": ("max_pairwise_comparisons: 10", "max_pairwise_comparisons: true"),
    "budget-of-400-digits": ("max_pairwise_comparisons: 10", "max_pairwise_comparisons: 1" + "0" * 400),
    "budget-of-5000-digits": ("max_pairwise_comparisons: 10", "max_pairwise_comparisons: 1" + "0" * 5000),
    "budget-octal": ("max_pairwise_comparisons: 10", "max_pairwise_comparisons: 0o12x"),
    "seed-nan": ("seed: 42", "seed: .nan"),
    "seed-a-date": ("seed: 42", "seed: 2020-01-01"),
    "seed-of-65-bits": ("seed: 42", "seed: 36893488147419103232"),
    "seed-twice": ("seed: 42", "seed: 42\n  seed: 43"),
    "seed-binary": ("seed: 42", "seed: !!binary aGVsbG8="),
    "seed-a-set": ("seed: 42", "seed: !!set {a, b}"),
    "seed-merged": ("seed: 42", "<<: {seed: 42}\n  <<: {seed: 43}"),
    "version-2": ("schema_version: 1", "schema_version: 2"),
    "version-text": ("schema_version: 1", 'schema_version: "1"'),
    "key-unknown": ("schema_version: 1", "schema_version: 1\nschema_versoin: 1"),
    "key-a-list": ("schema_version: 1", "schema_version: 1\n? [a, b]\n: x"),
    "key-empty": ("schema_version: 1", 'schema_version: 1\n"": x'),
    "two-documents": ("schema_version: 1", "schema_version: 1\n---\nschema_version: 1"),
    "tab": ("schema_version: 1", "schema_version: 1\n\ttitle: x"),
    "anchor-and-alias": ("seed: 42", "seed: &a 42\n  # x\nzz: *a"),
    "id-of-another": ("scenario_id: eng5", "scenario_id: ../eng5"),
    "id-with-slash": ("scenario_id: eng5", "scenario_id: a/eng5"),
    "mode-climbs": ("mode: eng5_lower5_gpt51_low", "mode: ../../../../etc/passwd"),
    "mode-a-device": ("mode: eng5_lower5_gpt51_low", "mode: /dev/zero"),
    "mode-empty": ("mode: eng5_lower5_gpt51_low", 'mode: ""'),
    "mode-a-list": ("mode: eng5_lower5_gpt51_low", "mode: [default]"),
    "started-without-zone": ("2025-12-02T00:17:14Z", "2025-12-02T00:17:14"),
    "started-in-year-1": ("2025-12-02T00:17:14Z", "0001-01-01T00:00:00Z"),
    "started-a-number": ("2025-12-02T00:17:14Z", ".inf"),
    "topic-of-300": ("  cj_batch_id: 147", "  cj_batch_id: 147\n  callback_topic: " + "a" * 300),
    "topic-unicode": ("  cj_batch_id: 147", "  cj_batch_id: 147\n  callback_topic: \u0430.v1"),
    "batch-id-true": ("  cj_batch_id: 147", "  cj_batch_id: true"),
    "batch-id-negative": ("  cj_batch_id: 147", "  cj_batch_id: -1"),
    "batches-negative": ("batches: 10, comparisons: 10", "batches: -1, comparisons: 10"),
    "batches-nan": ("batches: 10, comparisons: 10", "batches: .nan, comparisons: 10"),
    "scale-empty": ("grade_scale: [A, B,", "grade_scale: [] #"),
    "scale-of-numbers": ("[A, B,", "[1, 2,"),
}


# A rule over all tolerances has none, and a mode is looked for after the file is read.
WITHOUT_A_LINE = ("tau-text", "share-of-1e308", "mode-climbs", "mode-a-device")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TRACES / LOWER5, tmp_path / LOWER5))


@pytest.mark.parametrize("case", CASES)
def test_a_value_that_cannot_run_is_refused(case: str, folder: Path, cj_pipeline: Terminal) -> None:
    old, new = CASES[case]
    file = folder / "scenario.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    answer = cj_pipeline("traces", "validate", folder)
    assert answer.code == 2, answer
    assert re.search(r"scenario\.yaml:\d+: ", answer.err) or case in WITHOUT_A_LINE
    assert "Traceback" not in answer.err
    assert len(answer.err) < 1500
