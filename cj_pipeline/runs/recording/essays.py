"""This module reads the essays that a judge is to compare: one file each, text, Markdown, Word or PDF."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.input_file import read_input, refuse_large_archive

# As much as ten novels; a file beyond it is no essay.
MOST_BYTES = 16 * 2**20
# Two of them and the prompt must fit into one request; a novella has as many.
MOST_SIGNS = 200_000


@dataclass(frozen=True, slots=True)
class Essays:
    """Texts by essay id, sorted. The id is the file's name without its ending. left_out: other files of the folder."""

    texts: Mapping[str, str]
    left_out: tuple[str, ...] = ()


def read_essays(folder: Path) -> Essays:
    """Read every essay of a folder.

    Raises BadInput naming the file: no such folder, fewer than two essays, two files for one essay, one that holds no
    text or cannot be read.
    """
    if not folder.is_dir():
        raise BadInput("no such folder.", path=folder, remedy="Name the folder that holds the essays, a file each.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    texts: dict[str, str] = {}
    left_out = []
    for path in files:
        if path.suffix.lower() not in _READERS:
            left_out.append(path.name)
            continue
        essay_id = unicodedata.normalize("NFC", path.stem).strip()
        if essay_id in texts:
            raise BadInput("another file has the same name with another ending.", path=path, remedy="Keep one of them.")
        texts[essay_id] = essay_text(path)
    if len(texts) < 2:
        raise BadInput(
            f"holds {len(texts)} essays, and a comparison needs two.",
            path=folder,
            remedy=f"One file for each essay, ending in {', '.join(_READERS)}.",
        )
    return Essays(dict(sorted(texts.items())), tuple(left_out))


def essay_text(path: Path) -> str:
    """Return the text of one file, by its ending. Raises BadInput: an ending that is not read, no text, too much."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadInput("is no kind of text that is read.", path=path, remedy=f"Known: {', '.join(_READERS)}.")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise BadInput(f"has {size / 2**20:.0f} MiB; no essay is that long.", path=path, remedy="Take it out.")
    text = unicodedata.normalize("NFC", reader(path)).strip()
    if len(text) > MOST_SIGNS:
        raise BadInput(f"has {len(text):,} characters; no essay is that long.", path=path, remedy="Take it out.")
    if not text:
        remedy = "A scanned page has no text; recognise it first." if path.suffix.lower() == ".pdf" else "Take it out."
        raise BadInput("holds no text.", path=path, remedy=remedy)
    return text


def _plain(path: Path) -> str:
    content = read_input(path, MOST_BYTES)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput("not UTF-8 text.", path=path, line=line, remedy="Save the file as UTF-8.") from None


def _word(path: Path) -> str:
    try:
        import docx
    except ModuleNotFoundError:
        raise _reader_is_missing("Word files", "python-docx") from None
    try:
        refuse_large_archive(path)
        return "\n".join(paragraph.text for paragraph in docx.Document(str(path)).paragraphs)
    except BadInput:
        raise
    except Exception as error:  # the library raises what its XML and ZIP readers raise
        raise _unreadable(path, "Word file", error) from None


def _pdf(path: Path) -> str:
    try:
        import pypdf
    except ModuleNotFoundError:
        raise _reader_is_missing("PDF files", "pypdf") from None
    try:
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
    except Exception as error:  # the library raises what is wrong with any of a PDF's parts
        raise _unreadable(path, "PDF", error) from None


_READERS: Mapping[str, Callable[[Path], str]] = {".txt": _plain, ".md": _plain, ".docx": _word, ".pdf": _pdf}

ENDINGS = tuple(_READERS)
"""Of files that are read."""


def _reader_is_missing(kind: str, package: str) -> CjPipelineError:
    return CjPipelineError(f"reading {kind} needs {package}: install cj-pipeline[texts], or save the essays as .txt.")


def _unreadable(path: Path, kind: str, error: Exception) -> BadInput:
    # The type alone: the text of the exception may quote the essay.
    return BadInput(f"cannot be read as a {kind} ({type(error).__name__}).", path=path, remedy="Save it as .txt.")
