"""This module tests how the essays of a recording are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.local.small_judge import ESSAYS, GRADES
from cj_pipeline.runs.recording import essays as module
from cj_pipeline.runs.recording.essays import read_essays
from cj_pipeline.traces.grade_file import read_grade_file


def folder_of(tmp_path: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = tmp_path / name.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path


def test_text_and_markdown_are_read_by_the_names_of_their_files(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path, b__md="# Two\n", a__txt="\ufeffone \r\n", c__TXT="three", grades__csv="x", __hidden="y"
    )
    assert read_essays(folder) == module.Essays({"a": "one", "b": "# Two", "c": "three"}, ("grades.csv",))


def test_word_files_are_read(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.add_paragraph("First paragraph.")
    document.add_paragraph("Second one.")
    document.save(str(tmp_path / "a.docx"))
    assert read_essays(folder_of(tmp_path, b__txt="two")).texts["a"] == "First paragraph.\nSecond one."


def pdf(text: str) -> bytes:
    """A PDF of one page with one line, as small as they get."""
    content = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    made, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(made))
        made += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    tail = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(made)
    return made + b"xref\n0 6\n0000000000 65535 f \n" + table + tail


def test_pdf_files_are_read(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    texts = read_essays(folder_of(tmp_path, a__pdf=pdf("Words of a pupil."), b__txt="two")).texts
    assert texts["a"] == "Words of a pupil."


@pytest.mark.parametrize(("name", "package"), [("a.docx", "docx"), ("a.pdf", "pypdf")])
def test_a_file_that_is_not_of_its_kind_is_named(tmp_path: Path, name: str, package: str) -> None:
    pytest.importorskip(package)
    (tmp_path / name).write_bytes(b"not really")
    with pytest.raises(BadInput, match=rf"{name}: cannot be read as a .*Save it as \.txt"):
        read_essays(folder_of(tmp_path, b__txt="two"))


@pytest.mark.parametrize(("name", "package"), [("a.docx", "docx"), ("a.pdf", "pypdf")])
def test_a_missing_reader_says_what_to_install(
    tmp_path: Path, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CjPipelineError, match=r"install cj-pipeline\[texts\]"):
        read_essays(folder_of(tmp_path, b__txt="two"))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a__txt": "one"}, "holds 1 essays, and a comparison needs two"),
        ({"a__txt": "one", "a__md": "two"}, "another file has the same name"),
        ({"a__txt": "one", "b__txt": " \n"}, "holds no text"),
        ({"a__txt": "one", "b__txt": b"two\nl\xe4sa"}, "b.txt:2: not UTF-8"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, files: dict[str, str | bytes], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_essays(folder_of(tmp_path, **files))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        read_essays(tmp_path / "nothing")


def test_the_project_brings_twelve_short_texts_with_two_of_each_grade() -> None:
    texts, grades = read_essays(ESSAYS).texts, read_grade_file(GRADES)
    assert texts.keys() == grades.keys()
    assert sorted(one.grade for one in grades.values()) == sorted("ABCDEF" * 2)
    assert {50 <= len(text.split()) <= 70 for text in texts.values()} == {True}
