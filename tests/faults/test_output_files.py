"""A file that a user asked for is written whole or not at all, and what kept it from that is said with a remedy."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cj_pipeline.foundation.disk import DiskError, os_error_sentence
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.files import replace_whole, write_output
from tests.cli.terminal import Terminal
from tests.sides import LOWER5


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Let no write of this process make a file larger; Python ignores the signal, so `write` fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_output_that_does_not_fit_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old one")
    with no_file_beyond(4096), pytest.raises(DiskError) as refusal:
        write_output(path, "x" * 10_000)
    assert str(refusal.value).startswith(f"{path}: File too large. Raise the limit of the size of files")
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]
    write_output(path, "x" * 10_000)
    assert path.stat().st_size == 10_000


def test_a_link_is_followed_and_who_may_read_the_old_file_may_read_the_new_one(tmp_path: Path) -> None:
    path, link = tmp_path / "kept.json", tmp_path / "link.json"
    path.write_text("{}")
    path.chmod(0o640)
    link.symlink_to(path)
    write_output(link, "[]")
    assert (link.is_symlink(), path.read_text(), path.stat().st_mode & 0o777) == (True, "[]", 0o640)


def test_a_device_is_written_to_and_stays_one() -> None:
    write_output(Path("/dev/null"), "nothing")
    with pytest.raises(DiskError, match=r"^/dev/full: No space left on device.*Make room"):
        write_output(Path("/dev/full"), "something")
    assert Path("/dev/null").is_char_device()
    assert Path("/dev/full").is_char_device()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=rf"^{tmp_path}/none: there is no such folder\. Make it"):
        write_output(tmp_path / "none/a.json", "{}")


def test_a_file_where_a_folder_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match=r"Not a directory\. A part of the path is a file"):
        replace_whole(tmp_path / "file/below/a.json", lambda path: path.write_text("{}"))


@pytest.mark.parametrize("leads_to", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_or_to_itself_is_said(tmp_path: Path, leads_to: str) -> None:
    (tmp_path / "link").symlink_to(leads_to)
    with pytest.raises(DiskError, match=r"link/x\.json: .*a link that leads nowhere|links lead to each other"):
        replace_whole(tmp_path / "link/x.json", lambda path: path.write_text("{}"))


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"File name too long\. Choose a shorter one"):
        replace_whole(tmp_path / ("n" * 300), lambda path: path.write_text("{}"))


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "Make room"),
        (errno.EDQUOT, "Make room"),
        (errno.EROFS, "mount it for writing"),
        (errno.EACCES, "give this user the right"),
        (errno.EPERM, "give this user the right"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "system's log"),
    ],
)
def test_every_error_of_a_disk_has_its_file_the_system_s_words_and_a_remedy(code: int, remedy: str) -> None:
    sentence = os_error_sentence(OSError(code, os.strerror(code), "/srv/some/file"))
    assert sentence.startswith(f"/srv/some/file: {os.strerror(code)}")
    assert remedy in sentence


def test_a_full_disk_says_how_much_is_free(tmp_path: Path) -> None:
    sentence = os_error_sentence(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "not/there/yet")))
    assert " KiB free). Make room" in sentence


OUTPUTS = ["--junit", "--markdown", "--html"]


@pytest.mark.parametrize("option", OUTPUTS)
def test_a_report_that_finds_no_room_is_one_sentence_and_a_2(cj_pipeline: Terminal, option: str) -> None:
    answer = cj_pipeline("parity", LOWER5, option, "/dev/full")
    assert answer.code == 2
    assert answer.err.startswith("error: /dev/full: No space left on device")
    assert answer.err.endswith("Make room, and run it again.")


PRINTS: list[tuple[str, ...]] = [("--help",), ("traces", "list", "--json"), ("traces", "list", "--csv"), ("doctor",)]


@pytest.mark.parametrize("arguments", PRINTS, ids=" ".join)
def test_standard_output_that_is_full_is_one_sentence_and_a_2(arguments: tuple[str, ...]) -> None:
    program = "from cj_pipeline.cli.main import main; main()"
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", program, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr == "error: No space left on device. Make room, and run it again.\n"
