from __future__ import annotations

import re
from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import (
    OVERLAYS_FOLDER,
    UnknownMode,
    load_mode,
    mode_names,
    overlay_description,
    overlay_names,
)
from cj_pipeline.mock.mode.mode import AlwaysWinner, CoinWinner, HashShareWinner, Mode

GOOD = """\
schema_version: 1
name: sample
description: A sample.
winner:
  model: ability
  abilities: {one: 1.5, two: -0.5}
  unknown_spread: {mean: 0.0, sd: 1.0}
latency:
  model: quantiles
  ms: [1000, 1500, 2400]
tokens:
  prompt: {model: per_item, base: 200, items: {one: 600}, unknown: 500}
  completion: {model: quantiles, tokens: [33, 35, 36]}
confidence:
  model: jitter
  base: 4.5
  jitter: 0.3
"""


def write(folder: Path, text: str) -> str:
    path = folder / "sample.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_built_in_mode_loads_and_is_called_like_its_file():
    assert {"default", "cj_generic_batch", "production_hash_anchor", "production_hash_lower5"} <= set(mode_names())
    for name in mode_names():
        assert load_mode(name).name == name


def test_every_overlay_applies_to_every_mode_and_says_what_is_wrong_about_it():
    assert {"always_a", "coin", "instant", "inverted", "slow_x1_5", "tokens_x1_4"} <= set(overlay_names())
    for overlay in overlay_names():
        assert len(overlay_description(overlay)) > 20
        for name in mode_names():
            assert load_mode(f"{name}+{overlay}").expression == f"{name}+{overlay}"


def test_the_references_own_mocks_are_kept_as_they_were():
    anchor, lower5 = load_mode("production_hash_anchor"), load_mode("production_hash_lower5")
    assert isinstance(anchor.winner, HashShareWinner)
    assert isinstance(lower5.winner, HashShareWinner)
    assert (anchor.winner.modulus, anchor.winner.a_below) == (66, 35)
    assert (lower5.winner.modulus, lower5.winner.a_below) == (10, 4)


def test_an_overlay_adds_keys_to_a_section_of_the_same_model():
    winner = load_mode("production_hash_anchor+inverted").winner
    assert winner == HashShareWinner(model="hash_share", modulus=66, a_below=35, invert=True)


def test_an_overlay_with_another_model_replaces_the_section_whole():
    mode = load_mode("default+inverted+coin")
    assert mode.winner == CoinWinner(model="coin", share_a=0.5)  # and `invert` went with the model it belonged to


def test_overlays_apply_in_order_and_tell_what_they_did():
    mode = load_mode("default+coin+always_a")
    assert isinstance(mode.winner, AlwaysWinner)
    assert mode.name == "default"
    assert mode.overlays == ("coin", "always_a")
    assert mode.description.endswith(
        "Overlay coin: " + overlay_description("coin") + " Overlay always_a: " + overlay_description("always_a")
    )


def test_a_mode_may_be_a_file_of_ones_own_with_overlays(tmp_path):
    folder = tmp_path / "a+b"
    folder.mkdir()
    mode = load_mode(write(folder, GOOD) + "+slow_x1_5")
    assert mode.expression == "sample+slow_x1_5"
    assert mode.latency.scale == 1.5


def test_the_digest_follows_the_content():
    assert load_mode("default").sha256() == load_mode("default").sha256()
    digests = {load_mode(f"default+{name}").sha256() for name in overlay_names()}
    assert len(digests) == len(overlay_names())
    assert re.fullmatch("[0-9a-f]{64}", load_mode("default").sha256())


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("cj_generic_bach", "'cj_generic_bach' is not a mode. Did you mean 'cj_generic_batch'?"),
        ("default+invertd", "'invertd' is not an overlay. Did you mean 'inverted'?"),
        ("default+", "'' is not an overlay."),
        ("", "'' is not a mode."),
    ],
)
def test_an_unknown_name_gets_a_suggestion_and_the_command_that_lists_them(expression, message):
    with pytest.raises(UnknownMode) as raised:
        load_mode(expression)
    assert str(raised.value).startswith(message)
    assert str(raised.value).endswith("Known modes: cj-pipeline lps modes")


@pytest.mark.parametrize(
    ("old", "new", "field", "line", "problem"),
    [
        ("schema_version: 1", "schema_version: 2", "schema_version", 1, "a newer cj-pipeline wrote version 2"),
        ("name: sample", "name: Sample!", "name", 2, "is not a mode's name: it has 'S'"),
        ("  model: ability", "  model: abilty", "winner.model", 5, "Did you mean 'ability'?"),
        ("  model: ability\n", "", "winner.model", 4, "missing."),
        ("latency:\n  model: quantiles\n  ms: [1000, 1500, 2400]\n", "", "latency", None, "missing."),
        ("two: -0.5", "two: much", "winner.abilities.two", 6, "valid number (here: 'much')"),
        ("two: -0.5", "two: .inf", "winner.abilities.two", 6, "finite"),
        ("two: -0.5", "two: true", "winner.abilities.two", 6, "valid number"),
        ("sd: 1.0", "sd: -1.0", "winner.unknown_spread.sd", 7, "greater than or equal to 0"),
        ("[1000, 1500, 2400]", "[1000, 900, 2400]", "latency.ms", 10, "900 follows 1000 at index 1"),
        ("[1000, 1500, 2400]", "[1000, fast]", "latency.ms.1", 10, "valid number"),
        ("[1000, 1500, 2400]", "[1000]", "latency.ms", 10, "at least 2"),
        ("[33, 35, 36]", "[33, 35, 34]", "tokens.completion.tokens", 13, "34 follows 35"),
        ("  jitter: 0.3", "  jiter: 0.3", "confidence.jiter", 17, "Did you mean 'jitter'?"),
        ("  jitter: 0.3\n", "", "confidence.jitter", 14, "missing."),
        ("  base: 4.5", "  base: 0.9", "confidence.base", 16, "greater than or equal to 1"),
        ("description: A sample.", "descripton: A sample.\ndescription: x", "descripton", 3, "Did you mean 'desc"),
        ("  base: 4.5", "  base: 4.5\n  bias: 1", "confidence.bias", 17, "Known: base, jitter, model."),
        ("  base: 4.5", "  base: 4.5\n  base: 4.6", "confidence.base", 17, "given twice"),
        ("name: sample", "name: sample\noverlays: [coin]", "overlays", 3, "cannot be set in a file"),
        ("name: sample", "name: sample\nerrors: {rate: 1.5}", "errors.rate", 3, "less than or equal to 1"),
        ("name: sample", "name: sample\nerrors: {rate: 0.5, codes: []}", "errors.codes", 3, "at least 1"),
        ("name: sample", "name: sample\ncache: {hit_rate: -0.1}", "cache.hit_rate", 3, "greater than or equal to 0"),
        (
            "name: sample",
            "name: sample\nfitted_from: {scenario_id: x, trace_sha256: y}",
            "fitted_from.trace_sha256",
            3,
            "",
        ),
    ],
)
def test_a_mistake_is_named_by_file_line_and_key(tmp_path, old, new, field, line, problem):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(BadInput) as raised:
        load_mode(path)
    assert (raised.value.field, raised.value.line) == (field, line)
    assert problem in str(raised.value)
    assert str(raised.value).startswith(path)
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("latency", "field", "problem"),
    [
        ("{model: lognormal, sigma: 0.3}", "latency", "give one of median_ms and mean_ms"),
        ("{model: lognormal, median_ms: 5, mean_ms: 6, sigma: 0.3}", "latency", "give one of median_ms and mean_ms"),
        ("{model: lognormal, median_ms: 5}", "latency.sigma", "missing."),
        ("{model: lognormal, median_ms: 5, sigma: 300}", "latency.sigma", "less than or equal to 5"),
        ("{model: lognormal, median_ms: 0, sigma: 1}", "latency.median_ms", "greater than 0"),
        (
            "{model: lognormal, median_ms: 5, sigma: 1, min_ms: 9, max_ms: 8}",
            "latency.max_ms",
            "8 is less than min_ms 9",
        ),
        ("{model: uniform, low_ms: 5, high_ms: 4}", "latency.high_ms", "4 is less than low_ms 5"),
    ],
)
def test_a_latency_section_has_rules_of_its_own(tmp_path, latency, field, problem):
    start, end = GOOD.index("latency:"), GOOD.index("tokens:")
    path = write(tmp_path, GOOD[:start] + f"latency: {latency}\n" + GOOD[end:])
    with pytest.raises(BadInput) as raised:
        load_mode(path)
    assert (raised.value.field, raised.value.line) == (field, 8)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("errors", "field", "problem"),
    [
        ("{kinds: {http: 0}}", "errors.kinds", "at least one kind needs a weight above 0"),
        ("{kinds: {http: -1}}", "errors.kinds.http", "greater than or equal to 0"),
        ("{kinds: {htttp: 1}}", "errors.kinds.htttp", "Did you mean 'http'?"),
        ("{codes: [200]}", "errors.codes.0", "greater than or equal to 400"),
        ("{timeout_ms: -1}", "errors.timeout_ms", "greater than or equal to 0"),
        ("{codes: [500], retry_after_s: 3}", "errors.retry_after_s", "goes with 429 and 503"),
        ("{retry_success: 1.1}", "errors.retry_success", "less than or equal to 1"),
        ("{bursts: {rate: 0.5, length: 0}}", "errors.bursts.length", "greater than or equal to 1"),
        ("{bursts: {rate: 0.8, length: 3}}", "errors.bursts.rate", "at most 0.75 of all calls, not 0.8"),
    ],
)
def test_an_errors_section_has_rules_of_its_own(tmp_path, errors, field, problem):
    path = write(tmp_path, GOOD + f"errors: {errors}\n")
    with pytest.raises(BadInput) as raised:
        load_mode(path)
    assert (raised.value.field, raised.value.line) == (field, 18)
    assert problem in str(raised.value)


def test_a_tokenizer_needs_words_to_count(tmp_path):
    path = write(tmp_path, GOOD.replace("tokens:\n", "tokens:\n  tokenizer: tiktoken\n", 1))
    with pytest.raises(BadInput, match=r":12: tokens\.tokenizer: neither prompt nor completion is of model 'words'"):
        load_mode(path)


# As they stand in the records of runs. Keys that the schema has gained since do not count until they are used.
DIGESTS = {
    "default": "f987c2ff1ac9880a",
    "cj_generic_batch": "ad04b720d257d9c4",
    "eng5_anchor_gpt51_low": "7320760fbaa1ab2e",
    "production_hash_lower5": "0480d5002b7dff9c",
}


@pytest.mark.parametrize(("name", "digest"), DIGESTS.items())
def test_the_digest_of_a_mode_outlives_additions_to_the_schema(name, digest):
    assert load_mode(name).sha256()[:16] == digest


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("errors", {"kinds": {"timeout": 1.0}}),
        ("errors", {"timeout_ms": 5.0}),
        ("errors", {"retry_after_s": 5.0}),
        ("errors", {"bursts": {"rate": 0.1}}),
        ("errors", {"retry_success": 0.5}),
        ("tokens", {"tokenizer": "tiktoken"}),
    ],
)
def test_the_digest_follows_a_later_key_that_is_used(section, change):
    plain = load_mode("default").model_dump()
    changed = Mode.model_validate(plain | {section: plain[section] | change})
    assert changed.sha256() != load_mode("default").sha256()


@pytest.mark.parametrize(
    ("winner", "field", "problem"),
    [
        ("{model: hash_share, modulus: 10, a_below: 11}", "winner.a_below", "11 is more than modulus 10"),
        ("{model: hash_share, modulus: 0, a_below: 0}", "winner.modulus", "greater than or equal to 1"),
        ("{model: coin, share_a: 1.01}", "winner.share_a", "less than or equal to 1"),
        ("{model: always, winner: essay_a}", "winner.winner", "'Essay A' or 'Essay B'"),
        ("{model: coin, share_a: 0.5, invert: 1}", "winner.invert", "valid boolean"),
        ("coin", "winner", ""),
    ],
)
def test_a_winner_section_has_rules_of_its_own(tmp_path, winner, field, problem):
    start, end = GOOD.index("winner:"), GOOD.index("latency:")
    path = write(tmp_path, GOOD[:start] + f"winner: {winner}\n" + GOOD[end:])
    with pytest.raises(BadInput) as raised:
        load_mode(path)
    assert (raised.value.field, raised.value.line) == (field, 4)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"winner: [1, 2\n", 2, "not YAML"),
        (b"- a\n- b\n", None, "not a mapping"),
        (b"", None, "not a mapping"),
        (b"name: \xff\n", 1, "not UTF-8"),
        (b"name: 2025-13-45\n", 1, "not YAML"),
    ],
)
def test_a_file_that_is_not_a_mode_at_all_is_refused(tmp_path, content, line, problem):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=problem) as raised:
        load_mode(str(path))
    assert raised.value.line == line


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"nowhere\.yaml: no such file"):
        load_mode(str(tmp_path / "nowhere.yaml"))


def test_a_mistake_in_an_overlay_is_blamed_on_the_overlay(tmp_path, monkeypatch):
    for source in OVERLAYS_FOLDER.glob("*.yaml"):
        (tmp_path / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr("cj_pipeline.mock.mode.files.OVERLAYS_FOLDER", tmp_path)
    bad = tmp_path / "bad.yaml"

    bad.write_text("schema_version: 1\ndescription: Too slow.\nlatency:\n  scale: -1\n", encoding="utf-8")
    with pytest.raises(BadInput, match=rf"{re.escape(str(bad))}:4: latency\.scale: .* \(here: -1\)"):
        load_mode("default+bad+coin")

    bad.write_text("schema_version: 1\ndescription: Renames.\nname: other\n", encoding="utf-8")
    with pytest.raises(BadInput, match=rf"{re.escape(str(bad))}:3: name: not a key of an overlay"):
        load_mode("default+bad")

    bad.write_text("schema_version: 1\nlatency: {scale: 2}\n", encoding="utf-8")
    with pytest.raises(BadInput, match="description: missing"):
        load_mode("default+bad")
