from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from openpyxl import Workbook

from cj_pipeline.eng5.essay_ids import anchor_as_student_id, anchor_id, listed_id, student_id
from cj_pipeline.eng5.inputs import SHIPPED_NET, read_inventory
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.essay_key import essay_key
from tests.eng5.nets import small_net


def test_the_shipped_net_has_twelve_graded_anchors_and_twelve_students() -> None:
    net = read_inventory(SHIPPED_NET)
    assert (len(net.anchors), len(net.students), net.warnings) == (12, 12, ())
    assert [anchor.grade for anchor in net.anchors] == [
        "A",
        "A",
        "B",
        "B",
        "C+",
        "C-",
        "D+",
        "D-",
        "E+",
        "E-",
        "F+",
        "F+",
    ]
    assert net.grade_scale(None) == "eng5_np_legacy_9_step"
    # Two of them and a prompt fit into the 2,048 tokens of the small model.
    assert max(len(essay.file.text.split()) for essay in (*net.anchors, *net.students)) <= 110


def test_each_file_has_the_checksum_of_its_bytes(tmp_path: Path) -> None:
    net = read_inventory(small_net(tmp_path))
    (prompt,) = [file for file in net.files if file.path.name == "prompt.md"]
    assert prompt.checksum == sha256(b"Write about the sea.\n").hexdigest()
    assert len(net.files) == 2 + 4 + 2


def test_grades_come_from_the_names_of_files_where_there_is_no_table(tmp_path: Path) -> None:
    assert [anchor.grade for anchor in read_inventory(small_net(tmp_path)).anchors] == ["A", "B", "C+", "D-"]


def test_a_table_in_a_sheet_names_anchors_by_their_files(tmp_path: Path) -> None:
    root = small_net(tmp_path)
    book = Workbook()
    assert book.active is not None
    for row in (
        ["ANCHOR-ID", "FILE-NAME", "pred_mode_grade"],
        ["one", "vt_000_A.txt", "B"],
        ["two", "vt_001_B.txt", "A"],
    ):
        book.active.append(row)
    book.save(root / "anchors.xlsx")
    anchors = read_inventory(root).anchors
    assert [(anchor.name, anchor.grade) for anchor in anchors[:2]] == [("one", "B"), ("two", "A")]
    # What the table does not grade has no grade, whatever its name says.
    assert [anchor.grade for anchor in anchors[2:]] == [None, None]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("vt_009_A,A", "anchors.csv:2: essay_id: 'vt_009_A' is no file of the anchors."),
        ("vt_000_A,Q", "anchors.csv:2: grade: 'Q' is not a grade."),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, row: str, problem: str) -> None:
    root = small_net(tmp_path)
    (root / "anchors.csv").write_text(f"essay_id,grade\n{row}\n")
    with pytest.raises(BadInput, match=problem.replace("(", r"\(")):
        read_inventory(root)


def test_files_that_an_editor_holds_open_are_no_essays(tmp_path: Path) -> None:
    root = small_net(tmp_path)
    (root / "anchors" / "~$t_000_A.docx").write_bytes(b"lock")
    assert len(read_inventory(root).anchors) == 4


def test_two_files_of_one_essay_are_refused(tmp_path: Path) -> None:
    root = small_net(tmp_path)
    (root / "students" / "pupil_0.md").write_text("Another one.")
    with pytest.raises(BadInput, match=r"pupil_0\.txt: is another file of the essay pupil_0\.md"):
        read_inventory(root)


def test_the_environment_names_other_anchors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, others = small_net(tmp_path / "net"), tmp_path / "others"
    others.mkdir()
    (others / "x_F+.txt").write_text("Other.")
    monkeypatch.setenv("ENG5_ANCHOR_DIR_OVERRIDE", str(others))
    assert [(anchor.name, anchor.grade) for anchor in read_inventory(root).anchors] == [("x_F+", "F+")]


def test_missing_instructions_are_a_warning(tmp_path: Path) -> None:
    root = small_net(tmp_path)
    (root / "instructions.md").unlink()
    net = read_inventory(root)
    assert net.instructions is None
    assert "instructions.*: no such file" in net.warnings[0]


def test_a_scale_without_a_grade_that_is_in_use_is_refused(tmp_path: Path) -> None:
    net = read_inventory(small_net(tmp_path))
    with pytest.raises(BadInput, match="grade A is not on eng5_np_national_9_step"):
        net.grade_scale("eng5_np_national_9_step")


def test_ids_have_the_lengths_that_the_services_take() -> None:
    long = "Anchor essay ENG 5 no. 17 vt_012_A"
    sanitised = "ANCHOR_ESSAY_ENG_5_NO__17_VT_012_A"
    assert student_id("pupil 1") == "PUPIL_1"
    assert essay_key(long) == sanitised
    digest = sha256(sanitised.encode()).hexdigest()[:8].upper()
    assert anchor_as_student_id(long) == f"student::ANCHOR_ESSAY_ENG_5_{digest}"
    assert len(anchor_as_student_id(long)) == 36
    assert len(student_id("x" * 80)) == 36
    assert anchor_id("vt_001_B") == "ANCHOR_VT_001_B"
    assert listed_id("student::Å B") == "__b"


def test_a_folder_that_holds_no_net_is_refused_and_an_empty_list_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds neither anchors/ nor students/") as refused:
        read_inventory(tmp_path / "empty")
    assert "--net" in str(refused.value)
    (tmp_path / "begun" / "students").mkdir(parents=True)
    assert read_inventory(tmp_path / "begun").anchors == ()
