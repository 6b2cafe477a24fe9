"""JSON literals and bytes with which tests spoil a callback, and the places where they can be put."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]
Place = tuple[str, ...]

# JSON literals: what stands in the place of a value.
LITERALS = [
    "null", "true", "false", "0", "1", "-1", "-0", "1.0", "4.5", "5.000001", "0.9999999999999999", "1e3", "1E+2",
    "3e-400", "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "1_000", "0x10",
    "9007199254740992", "9007199254740993", "18446744073709551616", "1" * 40, "1" * 400, "1" * 5000, "1" * 400 + ".0",
    "0.1000000000000000055511151231257827", "2.2250738585072011e-308", "1.7976931348623157e308",
    "123456789012345680000.0", '""', '"1"', '"1.0"', '" 1"', '"4"', '"true"', '"null"', '"NaN"', '"Essay A"',
    '"Essay C"', '"essay a"', '"ESSAY A"', '"openai"', '"OpenAI"', '"low"', '"minimal"', '"els"', '"essay-a"',
    '"essay-b"', '"TIMEOUT"', '"TIME OUT"', '"timeout"', '"TIMEOUT\\n"', '"LLMComparisonResultV1"',
    '"LLMComparisonResultV2"', '"2025-12-01T14:24:25.910348Z"', '"2025-12-01T14:24:25.9103489Z"',
    '"2025-12-01T14:24:25.91034850Z"', '"2025-12-01T14:24:25.910Z"', '"2025-12-01T14:24:25Z"', '"2025-12-01T14:24Z"',
    '"2025-12-01T14:24:25"', '"2025-12-01 14:24:25Z"', '"2025-12-01t14:24:25z"', '"2025-12-01T14:24:25+00:00"',
    '"2025-12-01T14:24:25.910348+02:00"', '"2025-12-01T14:24:25-00:00"', '"2025-12-01T14:24:25+0200"',
    '"2025-12-01T24:00:00Z"', '"2025-12-01T23:59:60Z"', '"2025-02-29T00:00:00Z"', '"2024-02-29T00:00:00.000000Z"',
    '"0000-01-01T00:00:00Z"', '"2025-1a-01T00:00:00Z"', '"2025-12-01T14:24:25.910348+24:00"',
    '"9999-12-31T23:59:59.999999Z"', '"2025-12-01"', "1764000000", '"1764000000"',
    '"2025-12-01T14:24:25.\\u0661\\u0661\\u0661Z"', '"\\u0032025-12-01T14:24:25Z"',
    '"13541a4e-8181-81c4-9f26-e09daefb5a68"', '"13541A4E-8181-81C4-9F26-E09DAEFB5A68"',
    '"13541a4e818181c49f26e09daefb5a68"', '"{13541a4e-8181-81c4-9f26-e09daefb5a68}"',
    '"urn:uuid:13541a4e-8181-81c4-9f26-e09daefb5a68"', '"13541a4e-8181-81c4-9f26-e09daefb5a6"',
    '"13541a4e-8181-81c4-9f26-e09daefb5a68|"', '"13541a4e_8181_81c4_9f26_e09daefb5a68"',
    '"\\u00313541a4e-8181-81c4-9f26-e09daefb5a68"', '"00000000-0000-0000-0000-000000000000"', '"\\ud800"',
    '"\\ude00\\ud83d"', '"\\ud83d\\ude00"', '"\\ud83d\\u0041"', '"\\u0000"', '"\\x41"', '"a\\/b"', '"\x01"', '"\x7f"',
    '"' + "x" * 500 + '"', '"' + "x" * 501 + '"', '"' + "\u00e5" * 500 + '"', '"' + "\U0001f600" * 500 + '"',
    '"' + "\U0001f600" * 501 + '"', "[]", "{}", "[1]", '{"a": 1, "a": 2}', "[1,]", '{"a": 1,}', '{"a": 1e999}',
    '{"a": ["\\ud800"]}', '{"a": NaN}', '{"prompt_tokens": 1}', '{"prompt_tokens": 1, "more": 2}',
    '{"prompt_tokens": -1}', '{"prompt_tokens": "1"}', '{"essay_a_id": "a", "essay_b_id": "b"}',
    '{"essay_a_id": "a", "essay_b_id": "a"}', '{"essay_a_id": "a"}', "[" * 100 + "]" * 100, "[" * 149 + "]" * 149,
    "[" * 190 + "]" * 190, "[" * 250 + "]" * 250, "[" * 3000 + "]" * 3000, '{"a":' * 194 + "1" + "}" * 194,
]  # fmt: skip

BYTES = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\x0c",
    b"\n",
    b"x",
    b"{}",
    b'"',
    b"\\",
    b",",
    b" ",
]


def places(document: Document, above: Place = ()) -> list[Place]:
    found: list[Place] = []
    for key, value in document.items():
        found.append((*above, key))
        if isinstance(value, dict):
            found += places(value, (*above, key))
    return found


def parent(document: Document, place: Place) -> Document:
    for key in place[:-1]:
        document = document[key]
    return document
