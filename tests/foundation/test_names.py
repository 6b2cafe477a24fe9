"""One policy decides what a name may be, whatever it is the name of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.names import (
    EXPERIMENT,
    LABEL,
    MODE,
    PROMPT,
    RECORDING,
    SCENARIO,
    TOPIC,
    NameRule,
    fault_of,
    is_name,
    require_name,
    same_name,
    valid_name,
)

FILES = [SCENARIO, MODE, EXPERIMENT, LABEL, RECORDING, PROMPT]
RULES = [*FILES, TOPIC]

PATHS = ["..", ".", "", "a/b", "../a", "/a", "a\\b", "c:a", "~", "a\x00b", "http://a/b", "+a", "a*", "%2e%2e", "$HOME"]
CONTROLS = ["a\nb", "a\n", "\ta", "a\r", "a\x1b[31m", "a\x7f", "a\x85b", "a\ud800"]
BLANKS = ["a ", " a", "a b", "a\u00a0", "a\u3000", "a\u2028"]
# Each is shown as, or read as, a name of ours: Cyrillic, Greek, full width, a combining mark, a digit, no width at all,
# turned around.
LOOK_ALIKES = [
    *("sc\u0435ne", "\u0430", "\u03bf", "\uff41\uff42", "a\u0301", "\u0661", "a\u200bb", "a\u202eb", "\u2170"),
    *("a\ufe0f", "\u212a", "\u017f"),
]
DEVICES = ["con", "CON", "prn", "aux", "Aux.txt", "nul.v1", "com1", "COM9.a.b", "lpt0"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
@pytest.mark.parametrize("name", [*PATHS, *CONTROLS, *BLANKS, *LOOK_ALIKES])
def test_what_is_no_name_anywhere_is_refused_for_every_kind(name: str, rule: NameRule) -> None:
    assert not is_name(name, rule)
    with pytest.raises(ValueError, match=f"is not {rule.kind}"):
        valid_name(name, rule)
    with pytest.raises(BadInput, match=f"is not {rule.kind}"):
        require_name(name, rule, path="somewhere")


@pytest.mark.parametrize("rule", FILES, ids=lambda rule: rule.kind)
@pytest.mark.parametrize("name", [*DEVICES, "a.", "a..", "-a", ".a", "CONOUT$"])
def test_what_another_machine_could_not_keep_is_refused_where_the_name_is_a_file(name: str, rule: NameRule) -> None:
    assert not is_name(name, rule)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("eng5_lower5_gpt51_low_20251202", SCENARIO),
        ("0", SCENARIO),
        ("a" * 200, SCENARIO),
        ("console", SCENARIO),  # begins as a device does
        ("com10", SCENARIO),
        ("default", MODE),
        ("recording_2", RECORDING),
        ("Run-3.b", RECORDING),
        ("_a", RECORDING),
        ("mainly", RECORDING),
        ("plain.v1", PROMPT),
        ("nightly_7", LABEL),
        ("huleedu.llm_provider.comparison_result.v1", TOPIC),
        ("aux.events", TOPIC),  # Kafka takes them, and a team may have them
        ("-a.", TOPIC),
        ("...", TOPIC),
        ("t" * 249, TOPIC),
    ],
)
def test_names_that_are_in_use_stay_names(name: str, rule: NameRule) -> None:
    assert fault_of(name, rule) is None
    assert valid_name(name, rule) == name
    require_name(name, rule, path="somewhere")


@pytest.mark.parametrize(
    ("name", "rule", "fault"),
    [
        ("", SCENARIO, "is empty"),
        ("sc\u0435ne", SCENARIO, "has U+0435, cyrillic small letter ie"),
        ("a\x07", SCENARIO, "has U+0007, a control character"),
        ("a b", RECORDING, "has a blank"),
        ("a/b", RECORDING, "has '/'"),
        ("Eng5", SCENARIO, "has 'E'"),
        ("a" * 201, SCENARIO, "has 201 characters"),
        ("-x", RECORDING, "begins with '-'"),
        ("run.", RECORDING, "ends with a dot"),
        ("aux.txt", RECORDING, "is a device of Windows"),
        ("Main", RECORDING, "means something else"),
        ("..", TOPIC, "means something else"),
    ],
)
def test_the_fault_is_named(name: str, rule: NameRule, fault: str) -> None:
    assert fault_of(name, rule) == fault


def test_names_that_differ_in_capitals_alone_are_one_name() -> None:
    assert same_name("Run_1", "run_1")
    assert not same_name("run_1", "run_2")


@given(st.text(max_size=12), st.sampled_from(RULES))
def test_whatever_is_a_name_stays_inside_its_folder(name: str, rule: NameRule) -> None:
    if is_name(name, rule):
        assert name.isascii()
        assert name.isprintable()
        assert not set(name) & set("/\\:*?\"<>|' ~$")
        assert name not in {"", ".", ".."}
