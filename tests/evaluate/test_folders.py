"""Folders of label maps as cases, and the label table inferred when none is given."""

from dataclasses import replace
from pathlib import Path

import itk
import numpy as np
import pytest

from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.errors import SemclError
from scripts.evaluate.folders import cases_from_folders, label_table_for
from tests.conftest import write_nifti
from tests.evaluate.made import label_map

ABSENT = r"(?s)a folder is missing.*found: +no \S+/nowhere\n.*fix the path"
EMPTY = r"(?s)there are no (label maps|scans).*found: +no volumes in \S+/empty\n.*named by case"


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Three label maps of three formats, and another file."""
    folder = tmp_path / "truth"
    write_nifti(folder / "b.nii.gz", label_map())
    write_nifti(folder / "a.nii", label_map())
    itk.imwrite(itk.image_from_array(label_map().T.copy()), str(folder / "c.mha"))
    (folder / "notes.txt").write_text("none")
    (tmp_path / "empty").mkdir()
    return folder


def sheet(folder: Path, text: str) -> Path:
    (folder / "cases.csv").write_text(text)
    return folder / "cases.csv"


def test_each_label_map_is_a_case_and_a_patient(truth: Path) -> None:
    files = {"a": "a.nii", "b": "b.nii.gz", "c": "c.mha"}
    assert cases_from_folders(truth, None, None) == [
        Case(name, name, "unknown", truth / file, truth / file) for name, file in files.items()
    ]


def test_scans_of_the_same_names_are_the_images(truth: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "more"):
        write_nifti(tmp_path / "scans" / f"{name}.nii.gz", np.zeros((4, 4, 4), np.float32))
    cases = cases_from_folders(truth, tmp_path / "scans", None)
    assert [(case.image.name, case.label.name) for case in cases] == [
        ("a.nii.gz", "a.nii"),
        ("b.nii.gz", "b.nii.gz"),
        ("c.nii.gz", "c.mha"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "case,patient\nc,ann\nb,ann\na,bob\nmore,cid\n",
            [("a", "bob", "unknown", None), ("b", "ann", "unknown", None), ("c", "ann", "unknown", None)],
            id="patients",
        ),
        pytest.param(
            "patient,phase,case,annotated\nann,portal,a,liver aorta\nann,,b,\nbob,late,c,liver;aorta\n",
            [("a", "ann", "portal", ("liver", "aorta")), ("b", "ann", "unknown", None),
             ("c", "bob", "late", ("liver", "aorta"))],
            id="phases and annotated organs",
        ),
    ],
)  # fmt: skip
def test_the_table_of_cases_gives_patients_and_phases(
    truth: Path, tmp_path: Path, text: str, expected: list[tuple]
) -> None:
    cases = cases_from_folders(truth, None, sheet(tmp_path, text))
    assert [(case.id, case.patient, case.phase, case.annotated) for case in cases] == expected


@pytest.mark.parametrize(("folder", "message"), [("nowhere", ABSENT), ("empty", EMPTY)])
@pytest.mark.parametrize("which", ["truth", "images"])
def test_a_folder_without_volumes_is_refused(
    truth: Path, tmp_path: Path, which: str, folder: str, message: str
) -> None:
    given = {"truth": truth, "images": None} | {which: tmp_path / folder}
    with pytest.raises(SemclError, match=message):
        cases_from_folders(given["truth"], given["images"], None)


def test_a_case_without_scan_is_refused(truth: Path, tmp_path: Path) -> None:
    write_nifti(tmp_path / "scans" / "a.nii.gz", np.zeros((4, 4, 4), np.float32))
    with pytest.raises(SemclError, match=r"(?s)case b: a case without image.*no scan with that name in \S+/scans"):
        cases_from_folders(truth, tmp_path / "scans", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,patient\na,ann\nb,bob\n", r"(?s)case c: a case without row in the table.*no row in \S+cases\.csv"),
        ("case,phase\na,late\n", r"(?s)the table of cases cannot be used.*columns case, phase\n"),
        ("case,patient\na,ann\na,ann\n", r"(?s)an invalid line in the table of cases.*line 3.*no case twice"),
    ],
    ids=["no line", "no column", "twice"],
)
def test_a_table_that_does_not_fit_is_refused(truth: Path, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SemclError, match=message):
        cases_from_folders(truth, None, sheet(tmp_path, text))


def of(folder: Path, **maps: np.ndarray) -> list[Case]:
    """A case of each map; its phase is its name."""
    return [Case(name, name, name, path, path) for name, path in
            ((name, write_nifti(folder / f"{name}.nii.gz", voxels)) for name, voxels in maps.items())]  # fmt: skip


def test_without_a_table_every_label_value_is_an_organ(tmp_path: Path) -> None:
    cases = of(tmp_path, z=label_map(duct=False), a=label_map(), m=label_map().astype(np.uint16) * 100)
    organs = (Organ("label_2", 2), Organ("label_5", 5), Organ("label_200", 200), Organ("label_500", 500))
    assert label_table_for(cases, None) == LabelTable(organs, ("a", "m", "z"))


def test_without_a_table_ignored_voxels_are_no_organ(tmp_path: Path) -> None:
    ignoring = np.where(label_map() == 0, 65535, label_map().astype(np.uint16))
    cases = of(tmp_path / "truth", a=ignoring)
    of(tmp_path / "mine", a=ignoring)
    table = label_table_for(cases, None, [tmp_path / "mine"])
    assert table.names == ("label_2", "label_5")
    assert (table.encode(ignoring, "a") == -1).sum() == (label_map() == 0).sum()


def test_a_label_value_that_only_a_prediction_holds_is_an_organ(tmp_path: Path) -> None:
    cases = of(tmp_path / "truth", a=label_map(duct=False), b=label_map(duct=False))
    write_nifti(tmp_path / "mine" / "a.nii", label_map(lobe=False))
    write_nifti(tmp_path / "yours" / "b.nii.gz", label_map() * 3)
    write_nifti(tmp_path / "yours" / "stranger.nii.gz", np.full((4, 4, 4), 99, np.uint8))  # of no case
    found = [label_table_for(cases, None, [tmp_path / name for name in names]).names
             for names in ([], ["mine"], ["mine", "yours"])]  # fmt: skip
    assert found == [
        ("label_5",),
        ("label_2", "label_5"),
        ("label_2", "label_5", "label_6", "label_15"),
    ]
    given = LabelTable((Organ("lobe", 5),), ("x",))
    assert label_table_for(cases, given, [tmp_path / "mine"]).names == ("lobe",)


@pytest.mark.parametrize(("folder", "message"), [("nowhere", ABSENT), ("empty", EMPTY)])
def test_a_folder_of_predictions_without_volumes_is_refused(tmp_path: Path, folder: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SemclError, match=message):
        label_table_for(of(tmp_path / "truth", a=label_map()), None, [tmp_path / folder])


def test_a_table_gives_organs_and_the_cases_give_phases(tmp_path: Path) -> None:
    given = LabelTable((Organ("lobe", 5, tolerance=3.0), Organ("duct", 2)), ("early", "late"))
    table = label_table_for(of(tmp_path, b=label_map(), a=label_map()), given)
    assert table == LabelTable((Organ("lobe", 5, tolerance=3.0), Organ("duct", 2)), ("a", "b"))


@pytest.mark.parametrize(
    ("changed", "found"),
    [(0.5, "0.5"), (-1, "-1"), (2.25, "2.25")],
    ids=["half", "negative", "between"],
)
def test_values_that_are_not_labels_are_refused(tmp_path: Path, changed: float, found: str) -> None:
    voxels = label_map().astype(np.float32)
    voxels[0, 0, 0] = changed
    cases = of(tmp_path, a=label_map(), b=voxels)
    message = rf"(?s)case b: a label map holds values that are not labels.*found: +{found}\n.*whole numbers from 0 in "
    remedy = r"\n.*point --truth and --pred at label maps"
    with pytest.raises(SemclError, match=f"{message}{cases[1].label}{remedy}"):
        label_table_for(cases, None)
    write_nifti(tmp_path / "mine" / "b.nii.gz", voxels)
    with pytest.raises(SemclError, match=f"{message}{tmp_path / 'mine' / 'b.nii.gz'}{remedy}"):
        label_table_for([replace(case, label=cases[0].label) for case in cases], None, [tmp_path / "mine"])


def test_the_first_five_values_that_are_not_labels_are_named(tmp_path: Path) -> None:
    noise = np.linspace(0.1, 0.9, 24 * 24 * 8, dtype=np.float32).reshape(24, 24, 8)
    with pytest.raises(SemclError, match=r"found: +0\.1(, 0\.\d+){4}\n"):
        label_table_for(of(tmp_path, a=noise), None)


def test_label_maps_without_a_label_are_refused(tmp_path: Path) -> None:
    nothing = label_map(lobe=False, duct=False)
    with pytest.raises(SemclError, match=r"(?s)there is nothing to measure.*no label in any of 2 label maps"):
        label_table_for(of(tmp_path, a=nothing, b=nothing), None)


def test_a_label_map_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_text("no volume")
    with pytest.raises(SemclError, match=r"(?s)case a: a volume cannot be read.*a\.nii\.gz"):
        label_table_for([Case("a", "a", "x", tmp_path / "a.nii.gz", tmp_path / "a.nii.gz")], None)


def test_annotated_organs_the_table_does_not_name_are_refused(tmp_path: Path) -> None:
    (case,) = of(tmp_path, a=label_map())
    with pytest.raises(SemclError, match=r"(?s)column annotated names organs.*found: +spleem\n"):
        label_table_for([replace(case, annotated=("label_5", "spleem"))], None)
