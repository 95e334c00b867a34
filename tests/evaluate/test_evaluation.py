"""The evaluate stage on a small cohort: files written, reproducibility, options refused."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.errors import SemclError
from scripts.evaluate.evaluation import Evaluation, name_methods
from scripts.outputs import visible
from tests.conftest import write_nifti
from tests.evaluate.made import (
    NAME,
    SHIFTS,
    TABLE,
    Page,
    evaluation,
    label_map,
    write_case,
    write_cohort,
)

SWAPPED = {"coarse": "predictions", "refined": "attention"}
FIGURES = [f"{metric}_{kind}" for metric in ("dice", "hd95")
           for kind in ("by_organ", "by_phase", "pairs_by_organ", "pairs_by_phase")]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort that was evaluated with two pictures, with a curve of training."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_cohort(folder)
    (folder / "curves").mkdir()
    (folder / "curves" / "train.csv").write_text("stage,run,epoch,loss\ntrain,1,1,0.5\ntrain,1,2,0.25\n")
    evaluation(folder, folder, pictures=2).run()
    return folder


def read_rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "rows.csv", newline="") as file:
        return list(csv.DictReader(file))


def summary_of(folder: Path) -> dict:
    def strict(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    return json.loads((folder / "summary.json").read_text(), parse_constant=strict)


def page_of(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


def files_written(folder: Path) -> dict[str, bytes]:
    parts = [folder / name for name in ("rows.csv", "summary.json", "report.html")]
    parts += [path for name in ("figures", "pictures") for path in (folder / name).iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in parts}


def test_only_the_expected_files_are_written(made: Path) -> None:
    written = {path.name for path in made.iterdir() if path.is_file()}
    assert written == {"datalist.json", "rows.csv", "summary.json", "report.html"}
    assert {path.name for path in visible(made / "figures")} == {
        f"{name}.svg" for name in [*FIGURES, "forest", "training"]
    }
    assert {path.name for path in visible(made / "pictures")} == {"scan0.png", "scan1.png"}


def test_rows_hold_the_figures_of_shifted_lobes(made: Path) -> None:
    rows = read_rows(made)
    figures = 2 * (2 * 9 + 1)  # of two organs: 9 of each of two methods, the volume of the truth
    assert len(rows) == 6 * (figures + 2 * 2)  # and what their backgrounds share with the truth's
    lobes = {(row["case"], row["metric"]): float(row["value"]) for row in rows
             if (row["organ"], row["method"]) == ("left_lobe", "coarse")}  # fmt: skip
    for number, shift in enumerate(SHIFTS):
        assert lobes[f"scan{number}", "dice"] == (8 - shift) / 8
        assert lobes[f"scan{number}", "iou"] == pytest.approx((8 - shift) / (8 + shift), abs=1e-6)
        assert lobes[f"scan{number}", "hd95"] == shift
    assert {row["value"] for row in rows if row["method"] == "refined" and row["metric"] == "dice"} == {"1.000000"}


def test_the_summary_is_strict_json_with_a_line_for_all_and_each_organ(made: Path) -> None:
    lines = summary_of(made)["comparisons"]
    assert [line["metric"] for line in lines[::3]] == ["dice", "iou", "nsd", "hd95", "assd"]
    overall, lobe, duct = lines[:3]
    assert [line["organ"] for line in (overall, lobe, duct)] == ["all organs", "left_lobe", "<b>duct</b> & co"]
    lost = sum(SHIFTS) / 8 / 6
    assert (lobe["first"], lobe["second"], lobe["difference"]) == pytest.approx((1 - lost, 1, lost))
    assert overall["difference"] == pytest.approx(lost / 2)
    assert overall["low"] < overall["difference"] < overall["high"]
    assert (overall["p"], overall["p_permutation"], lobe["p_corrected"], duct["p"]) == (2**-5, 2**-5, 2**-5, None)
    verdicts = ["better", "better", "no difference"]
    assert [line["verdict"] for line in (overall, lobe, duct)] == verdicts
    assert [line["equivalence"] for line in lines[::3]] == [0.01, 0.01, 0.01, 0, 0]
    distance = next(line for line in lines if (line["metric"], line["organ"]) == ("hd95", "left_lobe"))
    assert (distance["difference"], distance["verdict"]) == (pytest.approx(-sum(SHIFTS) / 6), verdicts[1])


def test_the_headline_is_the_same_everywhere(made: Path) -> None:
    start = "Mean Dice 0.865 coarse, 1.000 refined (+0.135) over 6 cases of 6 patients: better than coarse"
    assert summary_of(made)["headline"] == f"{start}, 95 % interval +0.059 to +0.212."
    assert f"{start}, 95 % interval +0.059 to +0.212." in page_of(made).text


def test_the_headline_reports_a_worse_method(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation(made, tmp_path, SWAPPED).run()
    shown = capsys.readouterr().out
    assert "Mean Dice 1.000 coarse, 0.865 refined (-0.135) over 6 cases" in shown
    assert "worse than coarse, 95 % interval -0.212 to -0.059." in shown
    assert str(tmp_path / "report.html") in shown


def test_the_worst_cases_are_pictured_first(made: Path, tmp_path: Path) -> None:
    evaluation(made, tmp_path, SWAPPED, pictures=2).run()
    html = (tmp_path / "report.html").read_text()
    assert "The worst case, scan1 (portal): mean Dice 0.750" in html  # the lobe 0.5, the duct 1
    assert re.findall(r"<figcaption>(.*?)</figcaption>", html) == ["scan2 (noncontrast): mean Dice 0.812"]
    assert page_of(tmp_path).values("alt") == [
        f"{title}: image, ground truth, coarse, refined"
        for title in ("scan1 (portal): mean Dice 0.750", "scan2 (noncontrast): mean Dice 0.812")
    ]  # the worst opens the report


@pytest.mark.parametrize(("pictures", "shown"), [(0, 0), (1, 1), (9, 6)])
def test_no_more_pictures_are_shown_than_requested_or_available(
    made: Path, tmp_path: Path, pictures: int, shown: int
) -> None:
    evaluation(made, tmp_path, pictures=pictures).run()
    page = page_of(tmp_path)
    assert page.tags.count("img") == shown
    assert ("Worst cases" in page.text) == (shown > 0)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_maps_give_the_same_bytes_in_another_folder(made: Path, tmp_path: Path, workers: int) -> None:
    shutil.copytree(made / "curves", tmp_path / "curves")
    evaluation(made, tmp_path, pictures=2, workers=workers).run()
    assert files_written(tmp_path) == files_written(made)


def test_nothing_is_written_when_a_map_is_missing(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    (tmp_path / "predictions" / "scan3.nii.gz").unlink()
    with pytest.raises(SemclError, match=r"(?s)case scan3: no label map of method refined.*run inference\.yaml first"):
        evaluation(tmp_path, tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_when_the_last_map_does_not_fit(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    write_nifti(tmp_path / "predictions" / "scan5.nii.gz", label_map()[:-1])
    with pytest.raises(SemclError, match="case scan5: true label map and label map differ in shape"):
        evaluation(tmp_path, tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def test_nothing_to_measure_is_refused(tmp_path: Path) -> None:
    nothing = label_map(lobe=False, duct=False)
    case = write_case(tmp_path, "one", "ann", "portal", labels=nothing, mine=label_map())
    match = r"(?s)there is nothing to measure.*no organ in the label maps of 1 case"
    with pytest.raises(SemclError, match=match):
        evaluation(tmp_path, tmp_path / "out", {"mine": "mine"}, cases=[case]).run()
    assert not (tmp_path / "out").exists()


def test_one_method_alone_is_measured(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation(made, tmp_path, {"mine": "attention"}, pictures=1).run()
    assert "Mean Dice 0.865 over 6 cases of 6 patients (mine)." in capsys.readouterr().out
    assert summary_of(tmp_path)["comparisons"] == []
    assert not [path for path in (tmp_path / "figures").iterdir() if "pairs" in path.name]
    assert page_of(tmp_path).values("alt") == ["scan1 (portal): mean Dice 0.750: image, ground truth, mine"]


def test_others_are_compared_with_the_first(made: Path, tmp_path: Path) -> None:
    others = [tmp_path / "maps" / name for name in ("atlas", "nnunet")]
    for shift, folder in enumerate(others, start=1):
        for number in range(len(SHIFTS)):
            write_nifti(folder / f"scan{number}.nii.gz", label_map(shift))
    evaluation(made, tmp_path, others=[str(folder) for folder in others], pictures=1).run()
    summary = summary_of(tmp_path)
    assert summary["methods"] == ["coarse", "refined", "atlas", "nnunet"]
    seconds = {line["second_method"]: line["second"] for line in summary["comparisons"][::-1]
               if (line["organ"], line["metric"]) == ("left_lobe", "dice")}  # fmt: skip
    assert seconds == pytest.approx({"nnunet": 0.75, "atlas": 0.875, "refined": 1})
    assert {line["first_method"] for line in summary["comparisons"]} == {"coarse"}
    assert summary["headline"].startswith("Mean Dice 0.865 coarse, 1.000 refined (+0.135)")
    assert page_of(tmp_path).values("alt") == [
        "scan0 (noncontrast): mean Dice 1.000: image, ground truth, coarse, refined, atlas, nnunet"
    ]


def test_another_method_at_the_end_changes_neither_headline_nor_words_nor_the_cases_shown(
    made: Path, tmp_path: Path
) -> None:
    for number in range(len(SHIFTS)):
        write_nifti(tmp_path / "maps" / "atlas" / f"scan{number}.nii.gz", label_map(number))
    found = []
    for others in ([], [str(tmp_path / "maps" / "atlas")]):
        evaluation(made, tmp_path / "out", SWAPPED, others=others, pictures=2).run()
        html = (tmp_path / "out" / "report.html").read_text()
        captions = re.findall(r"<figcaption>(.*?)</figcaption>", html)
        words = re.search(r'<h2 id="words">.*?</ul>', html, re.S)[0]
        found.append((summary_of(tmp_path / "out")["headline"], words, captions))
    assert found[0] == found[1]
    assert found[0][2] == ["scan2 (noncontrast): mean Dice 0.812"]


def moved_scan(folder: Path, case: str) -> None:
    """A scan a millimetre beside its label maps, which shows when it is pictured and not when it is measured."""
    off = np.eye(4)
    off[0, 3] = 1
    write_nifti(folder / "images" / f"{case}.nii.gz", np.zeros(label_map().shape, np.float32), off)


def test_a_picture_that_cannot_be_made_loses_nothing_that_was_measured(made: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path)
    moved_scan(tmp_path, "scan1")
    with pytest.raises(SemclError, match=r"case scan1: image and label map differ in position\n.*up to 1 mm"):
        evaluation(tmp_path, tmp_path / "out", pictures=2).run()
    for name in ("rows.csv", "summary.json"):
        assert (tmp_path / "out" / name).read_bytes() == (made / name).read_bytes()
    assert not (tmp_path / "out" / "report.html").exists()
    evaluation(tmp_path, tmp_path / "out", pictures=1).run()  # without it the report is made
    assert page_of(tmp_path / "out").tags.count("img") == 1


def test_files_of_an_earlier_run_are_removed(made: Path, tmp_path: Path) -> None:
    def files_in(kind: str) -> set[str]:
        return {path.name for path in visible(tmp_path / kind)}

    evaluation(made, tmp_path, pictures=3).run()
    assert files_in("pictures") == {"scan0.png", "scan1.png", "scan2.png"}
    assert "dice_pairs_by_organ.svg" in files_in("figures")
    (tmp_path / "figures" / "notes.txt").write_text("mine")
    (tmp_path / "pictures" / "notes.txt").write_text("mine")
    evaluation(made, tmp_path, {"mine": "attention"}, pictures=1).run()
    assert files_in("pictures") == {"scan1.png", "notes.txt"}
    assert files_in("figures") == {
        "dice_by_organ.svg", "dice_by_phase.svg", "hd95_by_organ.svg", "hd95_by_phase.svg", "notes.txt",
    }  # fmt: skip


def test_a_folder_of_pictures_without_a_marker_is_left_alone(made: Path, tmp_path: Path) -> None:
    evaluation(made, tmp_path, pictures=1).run()
    (tmp_path / "pictures" / ".semcl.json").unlink()
    (tmp_path / "pictures" / "scan1.png").write_bytes(b"a screenshot of mine")
    with pytest.raises(SemclError, match=r"(?s)not this stage's own.*pictures with 2 files.*--out or --output_dir"):
        evaluation(made, tmp_path, pictures=2).run()
    evaluation(made, tmp_path, pictures=0).run()  # writes none, and leaves these alone
    assert {path.name for path in visible(tmp_path / "pictures")} == {"scan0.png", "scan1.png"}


@pytest.mark.parametrize(
    ("folders", "taken", "message"),
    [
        (["a/mine", "b/mine/"], {}, r"(?s)two methods of the same name.*a/mine and b/mine\n.*rename or link"),
        (["x/coarse"], {"coarse": "attention"}, r"(?s)two methods of the same name.*attention and x/coarse"),
    ],
    ids=["of two folders", "of a folder and a method"],
)
def test_two_methods_of_the_same_name_are_refused(folders: list[str], taken: dict[str, str], message: str) -> None:
    with pytest.raises(SemclError, match=message):
        name_methods(folders, taken)


def test_a_folder_is_named_by_its_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_methods(["a/one/", "two", "."]) == {"one": Path("a/one"), "two": Path("two"), tmp_path.name: Path()}


def test_a_method_called_truth_is_refused(tmp_path: Path) -> None:
    """Its rows could not be distinguished from the volumes of the true label maps."""
    write_cohort(tmp_path)
    shutil.copytree(tmp_path / "attention", tmp_path / "theirs" / "truth")
    with pytest.raises(SemclError, match="truth"):
        evaluation(tmp_path, tmp_path / "out", others=[str(tmp_path / "theirs" / "truth")]).run()


def test_organs_that_were_not_annotated_are_not_measured(tmp_path: Path) -> None:
    cases = write_cohort(tmp_path, SHIFTS[:3])
    cases = [replace(cases[0], annotated=("left_lobe",)), *cases[1:]]
    evaluation(tmp_path, tmp_path / "out", cases=cases).run()
    found = {(row["case"], row["organ"]) for row in read_rows(tmp_path / "out")}
    every = {(f"scan{number}", organ) for number in range(3) for organ in TABLE.names}
    every |= {(f"scan{number}", "background") for number in (1, 2)}  # known where every organ is
    assert found == every - {("scan0", "<b>duct</b> & co")}
    patients = {line["organ"]: line["patients"] for line in summary_of(tmp_path / "out")["comparisons"][:3]}
    assert patients == {"all organs": 3, "left_lobe": 3, "<b>duct</b> & co": 2}


def test_false_negatives_and_false_positives_are_in_the_summary(tmp_path: Path) -> None:
    maps = [
        {"labels": label_map(), "mine": label_map(lobe=False)},
        {"labels": label_map(duct=False), "mine": label_map()},
        {"labels": label_map(duct=False), "mine": label_map(duct=False)},
    ]
    cases = [write_case(tmp_path, f"scan{number}", f"p{number}", "portal", **of) for number, of in enumerate(maps)]
    evaluation(tmp_path, tmp_path / "out", {"mine": "mine"}, cases=cases).run()
    lobe, duct = summary_of(tmp_path / "out")["detection"]
    assert (lobe["present"], lobe["missed"], lobe["absent"]) == (3, 1, 0)
    assert (duct["present"], duct["missed"], duct["absent"], duct["drawn_though_absent"]) == (1, 0, 2, 1)
    assert duct["false_positive_ml"] == pytest.approx(4 * 4 * 4 / 1000)
    means = {(line["metric"], line["organ"]): line["mean"] for line in summary_of(tmp_path / "out")["means"]}
    assert means["dice", "left_lobe"] == pytest.approx(2 / 3)  # the missed one counts
    assert means["hd95", "left_lobe"] == pytest.approx(np.linalg.norm((24, 24, 8)) / 3)
    assert means["dice", "<b>duct</b> & co"] == 1  # the absent one does not


def test_a_cohort_of_one_patient_is_measured(tmp_path: Path) -> None:
    write_cohort(tmp_path, [2])
    evaluation(tmp_path, tmp_path / "out", pictures=1).run()
    assert "undecided (one patient: variation between patients unknown)" in summary_of(tmp_path / "out")["headline"]


@pytest.mark.parametrize(
    ("folds", "seen", "text"),
    [
        ((None, None, None), True, "3 cases of 2 patients, kept for testing."),
        (
            (None, 0, 1),
            True,
            "3 cases of 2 patients, 2 of which the refiner was trained on, which flatters it.",
        ),
        ((None, None, None), False, "3 cases of 2 patients."),
    ],
)
def test_measured_cases_and_patients_are_counted(folds: tuple[int | None, ...], seen: bool, text: str) -> None:
    cases = [Case(f"scan{number}", f"patient{number // 2}", "portal", Path("x"), Path("y"), fold)
             for number, fold in enumerate(folds)]  # fmt: skip
    assert Evaluation(cases, TABLE, {}, "out", "percentile", NAME, seen=seen).counts() == text


@pytest.mark.parametrize(
    ("organs", "text"),
    [
        ((Organ("a", 1), Organ("b", 2)), "2 mm"),
        ((Organ("a", 1), Organ("big_b", 2, tolerance=3.5)), "big b 3.5, others 2 mm"),
        ((Organ("a", 1, tolerance=1.0), Organ("b", 2, tolerance=3.0)), "a 1, b 3 mm"),
    ],
    ids=["none", "of one organ", "of all"],
)
def test_tolerances_in_words(organs: tuple[Organ, ...], text: str) -> None:
    table = LabelTable(organs, ("portal",))
    assert Evaluation([], table, {}, "out", "percentile", NAME).tolerances() == f"{text}; by their area"


def test_the_region_of_equivalence_changes_verdicts_alone(made: Path, tmp_path: Path) -> None:
    evaluation(made, tmp_path, equivalence=0.25).run()
    before, after = (
        [{key: value for key, value in line.items() if key not in ("verdict", "equivalence")} for line in lines]
        for lines in (summary_of(made)["comparisons"], summary_of(tmp_path)["comparisons"])
    )
    assert before == after
    assert "equivalent (within 0.25), 95 % interval +0.059 to +0.212." in summary_of(tmp_path)["headline"]
    assert "within 0.25 of 0 (Dice, IoU, NSD)" in page_of(tmp_path).text


def test_the_tolerance_changes_nsd_alone(made: Path, tmp_path: Path) -> None:
    evaluation(made, tmp_path, tolerance=0.5).run()
    changed = {
        before["metric"]
        for before, after in zip(read_rows(made), read_rows(tmp_path), strict=True)
        if before["value"] != after["value"]
    }
    assert changed == {"nsd"}
    assert "NSD Share of both surfaces within tolerance of the other (0.5 mm; by their area)." in page_of(tmp_path).text


def test_annotated_organs_come_from_the_datalist(tmp_path: Path) -> None:
    cases = write_cohort(tmp_path, SHIFTS[:3])
    datalist.save([replace(case, annotated=("left_lobe",)) for case in cases], tmp_path)
    evaluation(tmp_path, tmp_path / "out").run()
    assert {row["organ"] for row in read_rows(tmp_path / "out")} == {"left_lobe"}


@pytest.mark.parametrize("equivalence", [-0.01, 1.0])
def test_a_region_of_equivalence_that_cannot_be_is_refused(equivalence: float) -> None:
    table = LabelTable((Organ("a", 1),), ("portal",))
    with pytest.raises(SemclError, match="equivalence cannot be"):
        Evaluation([], table, {}, "out", "percentile", NAME, equivalence=equivalence)
