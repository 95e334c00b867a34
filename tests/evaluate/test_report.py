"""The report on a made cohort: numbers worked by hand, and a page that needs nothing but itself."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.datalist import Case
from scripts.cohort.labels import LabelTable, Organ
from scripts.errors import SemclError
from scripts.evaluate.report import Evaluation, headline, read_curves
from scripts.evaluate.statistics import Comparison
from tests.conftest import write_nifti

SHAPE = (24, 24, 8)
NAME = "<i>ward</i> & co"
TABLE = LabelTable((Organ("left_lobe", 5), Organ("<b>duct</b> & co", 2)), ("noncontrast", "portal"))
SHIFTS = (2, 4, 3, 1, 2, 1)  # voxels by which the coarse lobe of each case is off


class Page(HTMLParser):
    """Tags, references and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def label_map(shift: int) -> np.ndarray:
    """A lobe of 8 planes, moved, and a duct that stays."""
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[4 + shift : 12 + shift, 4:10, 2:6] = 5
    voxels[18:22, 14:18, 2:6] = 2
    return voxels


def write_cohort(folder: Path) -> list[Case]:
    """Six scans of six patients; the refined maps are the truth."""
    cases = []
    for number, shift in enumerate(SHIFTS):
        name = f"scan{number}"
        noise = np.random.default_rng(number).normal(0, 80, SHAPE).astype(np.float32)
        image = write_nifti(folder / "images" / f"{name}.nii.gz", noise)
        label = write_nifti(folder / "labels" / f"{name}.nii.gz", label_map(0))
        write_nifti(folder / "attention" / f"{name}.nii.gz", label_map(shift))
        write_nifti(folder / "predictions" / f"{name}.nii.gz", label_map(0))
        cases.append(Case(name, f"patient{number}", TABLE.phases[number % 2], image, label))
    datalist.save(cases, folder)
    return datalist.load(folder, "testing", need_label=True)


def evaluation(cohort: Path, out: Path, *, swapped: bool = False, pictures: int = 2) -> Evaluation:
    coarse, refined = ("predictions", "attention") if swapped else ("attention", "predictions")
    cases = datalist.load(cohort, "testing", need_label=True)
    return Evaluation(cases, TABLE, str(cohort / coarse), str(cohort / refined), str(out), [-160, 240], NAME, pictures)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort that was evaluated, with curves of two stages."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_cohort(folder)
    (folder / "curves").mkdir()
    (folder / "curves" / "coarse.csv").write_text("stage,run,epoch,loss\ncoarse,1,1,2.5\ncoarse,1,2,1.5\n")
    (folder / "curves" / "train.csv").write_text("stage,run,epoch,loss\ntrain,1,1,0.5\ntrain,1,2,0.25\n")
    evaluation(folder, folder).run()
    return folder


@pytest.fixture(scope="module")
def html(made: Path) -> str:
    return (made / "report.html").read_text()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def strict(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def test_three_files_are_written_and_nothing_else(made: Path) -> None:
    written = {path.name for path in made.iterdir() if path.is_file()}
    assert written == {"datalist.json", "rows.csv", "summary.json", "report.html"}


def test_rows_hold_the_dice_of_shifted_lobes(made: Path) -> None:
    with open(made / "rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 2 * 2
    lobes = [row for row in rows if row["organ"] == "left_lobe" and row["method"] == "coarse"]
    found = {row["case"]: float(row["value"]) for row in lobes}
    assert found == {f"scan{number}": (8 - shift) / 8 for number, shift in enumerate(SHIFTS)}
    assert {row["value"] for row in rows if row["method"] == "refined"} == {"1.000000"}


def test_the_summary_is_strict_json_with_a_line_for_all_and_each_organ(made: Path) -> None:
    summary = json.loads((made / "summary.json").read_text(), parse_constant=strict)
    overall, lobe, duct = summary["comparisons"]
    assert [line["organ"] for line in (overall, lobe, duct)] == ["all organs", "left_lobe", "<b>duct</b> & co"]
    lost = sum(SHIFTS) / 8 / 6
    assert (lobe["first"], lobe["second"], lobe["difference"]) == pytest.approx((1 - lost, 1, lost))
    assert overall["difference"] == pytest.approx(lost / 2)
    assert overall["low"] < overall["difference"] < overall["high"]
    assert (overall["p"], lobe["p_holm"], duct["p"]) == (2**-5, 2**-5, None)
    assert [line["verdict"] for line in (overall, duct)] == ["better than chance", "no difference"]


def test_the_headline_is_the_same_everywhere(made: Path, page: Page) -> None:
    said = "Mean Dice 0.865 coarse, 1.000 refined (+0.135) over 6 cases of 6 patients: better than coarse beyond chance"
    assert json.loads((made / "summary.json").read_text())["headline"] == f"{said}, p = 0.031."
    assert f"{said}, p = 0.031." in page.text


def test_the_headline_says_when_it_got_worse(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation(made, tmp_path, swapped=True, pictures=0).run()
    shown = capsys.readouterr().out
    assert "Mean Dice 1.000 coarse, 0.865 refined (-0.135) over 6 cases" in shown
    assert "worse than coarse beyond chance, p = 0.031." in shown
    assert str(tmp_path / "report.html") in shown


@pytest.mark.parametrize(
    ("second", "p", "smallest_p", "told"),
    [
        (0.75, 0.0078, 0.0078, "(+0.250) over 9 cases of 8 patients: better than coarse beyond chance, p = 0.0078."),
        (0.25, 0.0078, 0.0078, "(-0.250) over 9 cases of 8 patients: worse than coarse beyond chance, p = 0.0078."),
        (0.75, 0.25, 0.0078, "(+0.250) over 9 cases of 8 patients: cannot be told from chance, p = 0.25."),
        (0.75, 0.25, 0.25, "(+0.250) over 9 cases of 8 patients: too few patients to tell (8), p = 0.25."),
        (0.5, None, 0.0078, "(+0.000) over 9 cases of 8 patients: no difference."),
    ],
)
def test_the_headline_of_each_verdict(second: float, p: float | None, smallest_p: float, told: str) -> None:
    line = Comparison(
        "all organs", 9, 8, 0.5, second, second - 0.5, -1, 1, 1 if second > 0.5 else -1, p, None, smallest_p
    )
    assert headline(line) == f"Mean Dice 0.500 coarse, {second:.3f} refined {told}"


def test_the_page_needs_nothing_but_itself(html: str, page: Page) -> None:
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert "img" in page.tags
    assert [part for part in page.references if not part.startswith(("data:image/png;base64,", "#"))] == []
    assert "@import" not in html
    assert re.findall(r"url\((?!#)", html) == []


def test_the_page_names_organs_cases_patients_and_phases(page: Page) -> None:
    assert "6 cases of 6 patients" in page.text
    for word in ("all organs", "left lobe", "<b>duct</b> & co", "noncontrast", "portal", "better than chance"):
        assert word in page.text


def test_names_are_escaped(html: str, page: Page) -> None:
    assert f"SemCL report: {NAME}" in page.text
    assert not {"i", "b"} & set(page.tags)
    assert "<b>" not in html


def test_the_page_holds_no_nan(html: str) -> None:
    bare = re.sub(r"data:image/png;base64,[\w+/=]+", "", html)
    assert re.findall(r"\b(?:[nN]a[nN]|inf|None)\b", bare) == []


def test_phases_are_averaged_over_their_own_cases(page: Page) -> None:
    by_phase = [[1 - shift / 16 for shift in SHIFTS[first::2]] for first in (0, 1)]  # the duct is right everywhere
    for phase, values in zip(TABLE.phases, by_phase, strict=True):
        assert f"{phase} 3 {sum(values) / 3:.3f} 1.000" in page.text


def test_the_worst_cases_are_pictured_first(made: Path, tmp_path: Path) -> None:
    evaluation(made, tmp_path, swapped=True, pictures=2).run()
    html = (tmp_path / "report.html").read_text()
    shown = Page(html)
    assert re.findall(r"<figcaption>(.*?)</figcaption>", html) == [
        "scan1 (portal): mean Dice 0.750",  # the lobe 0.5, the duct 1
        "scan2 (noncontrast): mean Dice 0.812",
    ]
    assert shown.tags.count("img") == 2


def test_asking_for_more_pictures_than_cases_shows_each_once(made: Path, tmp_path: Path) -> None:
    evaluation(made, tmp_path, pictures=9).run()
    assert Page((tmp_path / "report.html").read_text()).tags.count("img") == 6


def test_curves_are_shown_where_there_are_any(page: Page, made: Path, tmp_path: Path) -> None:
    assert page.tags.count("svg") == 2
    assert re.search(r"Training .*coarse .*train", page.text)
    evaluation(made, tmp_path, pictures=0).run()
    bare = Page((tmp_path / "report.html").read_text())
    assert bare.tags.count("svg") == 1
    assert "Training" not in bare.text


def test_curves_are_read_by_stage_and_run(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("stage,run,epoch,loss\ntrain,1,1,0.75\n")
    (tmp_path / "coarse.csv").write_text(
        "stage,run,epoch,loss\ncoarse,1,1,3.0\ncoarse,1,2,2.0\ncoarse,2,1,2.5\ncoarse,2,2,1.0\n"
    )
    (tmp_path / "other.csv").write_text("stage,run,epoch,loss\nother,1,1,9.0\n")
    curves = read_curves(tmp_path)
    assert list(curves.items()) == [("coarse", [[3.0, 2.0], [2.5, 1.0]]), ("train", [[0.75]])]
    assert read_curves(tmp_path / "nowhere") == {}


def test_the_same_maps_give_the_same_bytes_in_another_folder(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "curves", tmp_path / "curves")
    evaluation(made, tmp_path).run()
    for name in ("rows.csv", "summary.json", "report.html"):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_nothing_is_written_when_a_map_is_missing(tmp_path: Path) -> None:
    write_cohort(tmp_path)
    (tmp_path / "predictions" / "scan3.nii.gz").unlink()
    with pytest.raises(SemclError, match=r"(?s)case scan3: no label map of method refined.*run inference\.yaml first"):
        evaluation(tmp_path, tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def test_nothing_to_compare_is_refused(tmp_path: Path) -> None:
    table = LabelTable.parse({"organs": {"liver": 1}, "phases": ["portal"]})
    for folder in ("images", "labels", "coarse", "refined"):
        write_nifti(tmp_path / folder / "one.nii.gz", np.zeros((8, 8, 4), np.uint8))
    case = Case("one", "ann", "portal", tmp_path / "images" / "one.nii.gz", tmp_path / "labels" / "one.nii.gz")
    folders = (str(tmp_path / "coarse"), str(tmp_path / "refined"))
    with pytest.raises(SemclError, match="there is nothing to compare"):
        Evaluation([case], table, *folders, str(tmp_path / "out"), [-160, 240], "none").run()
    assert not (tmp_path / "out").exists()
