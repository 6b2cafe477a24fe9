"""The key is made once, read by its owner alone, and never stands where traces are."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cj_pipeline.cli.main import cli
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.redaction.key import default_key_file, key_from, key_when_used
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from tests.traces.folders import LOWER5, copy_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_is_made_where_there_is_none_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "redaction.key"
    key = key_from(path)
    assert len(key) == 32
    assert key_from(path) == key
    assert key_from(tmp_path / "other.key") != key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_two_that_make_it_at_once_have_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(key_from, [tmp_path / "redaction.key"] * 32))
    assert len(keys) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "redaction.key"
    key_from(path)
    path.chmod(mode)
    with pytest.raises(BadInput, match=r"redaction\.key: others may read this key\. chmod 600 "):
        key_from(path)


@pytest.mark.parametrize("name", ["redaction.key", "keys/redaction.key"])
def test_a_key_in_a_trace_folder_is_refused_and_not_made(name: str, tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    with pytest.raises(BadInput, match="lies in a trace folder"):
        key_from(folder / name)
    assert not (folder / name).exists()


@pytest.mark.parametrize("content", ["", "short", "zz" * 32, "ab" * 31, "ab" * 33, "\xe5" * 64])
def test_what_is_no_key_is_refused_without_being_shown(content: str, tmp_path: Path) -> None:
    path = tmp_path / "redaction.key"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(BadInput, match="is no key: 64 hex digits are expected") as raised:
        key_from(path)
    assert not content or content not in str(raised.value)


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read as a key"):
        key_from(tmp_path)


def test_where_the_key_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CJ_PIPELINE_REDACTION_KEY_FILE", raising=False)
    assert default_key_file(tmp_path) == tmp_path / "redaction.key"
    monkeypatch.setenv("CJ_PIPELINE_REDACTION_KEY_FILE", str(tmp_path / "elsewhere"))
    assert default_key_file(tmp_path) == tmp_path / "elsewhere"


def test_a_link_in_a_trace_folder_is_no_place_for_a_key_either(tmp_path: Path) -> None:
    folder, outside = copy_of(LOWER5, tmp_path), tmp_path / "redaction.key"
    key_from(outside)
    (folder / "link").symlink_to(outside)
    with pytest.raises(BadInput, match="lies in a trace folder"):
        key_from(folder / "link")


def test_a_key_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "redaction.key"
    key_from(path)
    monkeypatch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(BadInput, match="belongs to somebody else"):
        key_from(path)


def test_a_key_that_is_not_there_is_made_when_the_first_name_is_hidden(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.key"
    names = Pseudonyms(key_when_used(path))
    assert not path.parent.exists()
    hidden = names.essay("essay-1")
    assert Pseudonyms(key_when_used(path)).essay("essay-1") == Pseudonyms(key_from(path)).essay("essay-1") == hidden


@pytest.mark.parametrize(
    "arguments",
    ["import x --from-folder {here}/missing", "redact missing {here}/copy", "import x --from-artefact {here}"],
)
def test_a_refused_command_leaves_no_key(tmp_path: Path, arguments: str) -> None:
    key = tmp_path / "x.key"
    ended = CliRunner().invoke(
        cli, ["traces", *arguments.format(here=tmp_path).split(), "--key", str(key)], obj={"debug": False}
    )
    assert ended.exit_code != 0
    assert not key.exists()
