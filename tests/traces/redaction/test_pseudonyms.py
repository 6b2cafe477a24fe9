"""A pseudonym is the same for the same name and key, differs for others, and says of an anchor that it is one."""

from __future__ import annotations

import hmac
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.contracts.els_request import EssayReference
from cj_pipeline.traces.redaction import pseudonyms as module
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms, SamePseudonym

KEY = bytes(range(32))
UUID_TEXT = "50f4509e-2e8c-4c62-a19d-93cf0739eefd"


@pytest.fixture
def names() -> Pseudonyms:
    return Pseudonyms(KEY)


def test_an_essay_is_called_by_an_hmac_of_its_id(names: Pseudonyms) -> None:
    expected = hmac.new(KEY, b"essay\0essay-7", "sha256").hexdigest()[:16]
    assert names.essay("essay-7") == f"essay-{expected}"


def test_another_key_gives_another_name_and_another_key_id(names: Pseudonyms) -> None:
    other = Pseudonyms(b"k" * 32)
    assert other.essay("essay-7") != names.essay("essay-7")
    assert other.key_id != names.key_id
    assert len(names.key_id) == 8
    assert Pseudonyms(KEY).key_id == names.key_id


@given(st.text(), st.text())
def test_two_names_are_two_pseudonyms(one: str, other: str) -> None:
    names = Pseudonyms(KEY)
    assert (names.essay(one) == names.essay(other)) == (one == other)
    assert (names.text(one) == names.text(other)) == (one == other)
    assert (names.prompt(one) == names.prompt(other)) == (one == other)


@pytest.mark.parametrize(
    ("essay_id", "beginning"),
    [
        ("ANCHOR_7_abc", "ANCHOR_"),
        ("student::ANCHOR_ESSAY_ENG_5_73127661", "essay-ANCHOR_"),
        ("Anna Andersson 9B", "essay-"),
        ("anchor_7", "essay-"),
    ],
)
def test_an_anchor_stays_recognisable_in_the_same_way(essay_id: str, beginning: str, names: Pseudonyms) -> None:
    name = names.essay(essay_id)
    assert name[:-16] == beginning
    students = [EssayReference(essay_id=i, text_storage_id="t").is_student for i in (essay_id, name)]
    assert students[0] is students[1]


def test_a_batch_that_is_a_uuid_names_nobody(names: Pseudonyms) -> None:
    assert names.batch(UUID_TEXT) == UUID_TEXT
    assert names.batch("class 9B of Anna Andersson").startswith("batch-")
    assert names.batch(f"{UUID_TEXT} ").startswith("batch-")


def test_a_request_always_has_a_uuid(names: Pseudonyms) -> None:
    assert names.request(UUID_TEXT) == UUID_TEXT
    made = names.request("the request of Anna Andersson")
    assert UUID(made).version == 8
    assert made == names.request("the request of Anna Andersson")
    assert made != names.request("the request of Arne Andersson")


def test_a_prompts_digest_becomes_another_one(names: Pseudonyms) -> None:
    digest = "4149a066e734b9b75b64c2b40a626368019c2d9784d4599765f630cb426393d2"
    made = names.prompt(digest)
    assert len(made) == 64
    assert set(made) <= set("0123456789abcdef")
    assert made == names.prompt(digest) != digest
    assert made != Pseudonyms(b"k" * 32).prompt(digest)


def test_two_essays_of_one_pseudonym_are_an_error(names: Pseudonyms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_essay_name", lambda essay_id, digits: "essay-0000000000000000")
    assert names.essay("Anna") == names.essay("Anna")
    with pytest.raises(SamePseudonym, match="two essays have the pseudonym essay-0000000000000000") as raised:
        names.essay("Arne")
    assert "Arne" not in str(raised.value)
    assert "Anna" not in str(raised.value)


def test_names_that_come_once_are_not_kept_for_ever(names: Pseudonyms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CACHED", 10)
    for number in range(100):
        assert names.batches[f"class {number}"] == names.batch(f"class {number}")
        assert len(names.batches) <= 10


def test_a_key_s_id_stays_what_it_was(names: Pseudonyms) -> None:
    assert names.key_id == hmac.new(KEY, b"key id", "sha256").hexdigest()[:8]
