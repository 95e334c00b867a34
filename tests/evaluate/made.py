"""Shared by the tests of evaluation: a cohort of boxes, rows of values, a parsed page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from scripts.cohort import datalist
from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.evaluate.evaluation import Evaluation
from scripts.evaluate.rows import Row
from tests.conftest import write_nifti

SHAPE = (24, 24, 8)
NAME = "<i>ward</i> & co"
TABLE = LabelTable((Organ("left_lobe", 5), Organ("<b>duct</b> & co", 2)), ("noncontrast", "portal"))
SHIFTS = (2, 4, 3, 1, 2, 1)  # voxels by which the coarse lobe of each case is off
VOID = {"meta", "img", "br", "hr", "input", "link"}


def label_map(shift: int = 0, lobe: bool = True, duct: bool = True) -> np.ndarray:
    """A lobe of 8 planes, moved, and a duct that stays."""
    voxels = np.zeros(SHAPE, np.uint8)
    if lobe:
        voxels[4 + shift : 12 + shift, 4:10, 2:6] = 5
    if duct:
        voxels[18:22, 14:18, 2:6] = 2
    return voxels


def write_case(folder: Path, name: str, patient: str, phase: str, fold: int | None = None, **maps: np.ndarray) -> Case:
    """A scan of noise, and a label map in a folder for each keyword; ``labels`` is the ground truth."""
    noise = np.random.default_rng(len(name)).normal(0, 80, SHAPE).astype(np.float32)
    image = write_nifti(folder / "images" / f"{name}.nii.gz", noise)
    for kind, voxels in maps.items():
        write_nifti(folder / kind / f"{name}.nii.gz", voxels)
    return Case(name, patient, phase, image, folder / "labels" / f"{name}.nii.gz", fold)


def write_cohort(folder: Path, shifts: Sequence[int] = SHIFTS) -> list[Case]:
    """One scan per patient; the refined maps are the ground truth."""
    cases = [
        write_case(
            folder, f"scan{number}", f"patient{number}", TABLE.phases[number % 2],
            labels=label_map(), attention=label_map(shift), predictions=label_map(),
        )
        for number, shift in enumerate(shifts)
    ]  # fmt: skip
    datalist.save(cases, folder)
    return datalist.load(folder, "testing", need_label=True)


def evaluation(cohort: Path, out: Path, methods: Mapping[str, str] | None = None, **more: Any) -> Evaluation:
    """The stage on a cohort; ``methods`` is name -> folder in it."""
    named = methods or {"coarse": "attention", "refined": "predictions"}
    given = {method: str(cohort / folder) for method, folder in named.items()}
    cases = more.pop("cases", None) or datalist.load(cohort, need_label=True)
    return Evaluation(cases, TABLE, given, str(out), [-160, 240], NAME, **({"pictures": 0} | more))


def rows_of(
    organ: str,
    values: Sequence[Sequence[float]],
    methods: Sequence[str] = ("coarse", "refined"),
    metric: str = "dice",
    phase: str = "portal",
) -> list[Row]:
    """Rows of an organ: one value per method for patients 0, 1, ..., with one scan each."""
    return [
        Row(f"scan{number}", f"patient{number}", organ, phase, method, metric, value)
        for number, measured in enumerate(values)
        for method, value in zip(methods, measured, strict=True)
    ]


def every_metric(organ: str, dice: Sequence[Sequence[float]], phase: str = "portal") -> list[Row]:
    """Rows of an organ with every metric, made of its Dice; one of 0 was missed."""
    made = {
        "dice": lambda value: value,
        "iou": lambda value: value / (2 - value),
        "nsd": lambda value: value**2,
        "hd95": lambda value: 40 * (1 - value),
        "assd": lambda value: 10 * (1 - value),
        "missed": lambda value: float(value == 0),
        "volume_ml": lambda value: 100 * value,
    }
    return [
        row
        for metric, of in made.items()
        for row in rows_of(organ, [[of(value) for value in pair] for pair in dice], metric=metric, phase=phase)
    ]


class Page(HTMLParser):
    """A parsed page: tags with attributes, text, and the cells of tables by section."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.section = ""
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "h2":
            self.section = dict(attrs)["id"] or ""
        if tag == "table":
            self.tables.setdefault(self.section, []).append([])
        if tag == "tr":
            self.tables[self.section][-1].append([])
        if tag in ("td", "th"):
            self.tables[self.section][-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.words.append(data)
        if self.open and {"td", "th"} & set(self.open):
            self.tables[self.section][-1][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]

    def lines(self, section: str, number: int = 0) -> list[dict[str, str]]:
        """A table's lines by its heads."""
        heads, *lines = self.tables[section][number]
        return [dict(zip(heads, line, strict=True)) for line in lines]
