"""The evaluate stage: rows.csv, summary.json and a self-contained report.html."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from ..cohort.datalist import Case, read_label
from ..cohort.labels import LabelTable
from ..cohort.volume import normalise, read, read_objects, spacing
from ..errors import SemclError
from ..files import write_text, written_whole
from ..version import __version__
from .figures import curves_figure, organs_figure, overlay_figure
from .rows import Row, measure, write_rows
from .statistics import EXACT, Comparison, compare, paired

FIRST, SECOND = "coarse", "refined"
STAGES = ("coarse", "pretrain", "train")


class Evaluation:
    """Measures two folders of label maps against the truth and writes what was found.

    Args:
        cases: cases with label maps.
        table: the label table.
        coarse: folder of attention maps.
        refined: folder of predictions.
        output_dir: gets rows.csv, summary.json, report.html and pictures/; its curves/ are shown.
        window: intensities of the pictures.
        name: of the cohort, in the title.
        pictures: how many cases are shown, from the worst.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        table: LabelTable,
        coarse: str,
        refined: str,
        output_dir: str,
        window: Sequence[float] | str,
        name: str,
        pictures: int = 3,
    ) -> None:
        self.cases, self.table = cases, table
        self.folders = {FIRST: Path(coarse), SECOND: Path(refined)}
        self.output_dir, self.window, self.name, self.pictures = Path(output_dir), window, name, pictures

    def run(self) -> None:
        """Measure, compare, write."""
        rows = measure(self.cases, self.folders, self.table)
        lines = compare(rows, FIRST, SECOND, self.table.names)
        if not lines:
            raise SemclError(
                "there is nothing to compare",
                found=f"no organ in the label maps of {len(self.cases)} cases, nor in either prediction",
                expected="at least one organ in one case",
                remedy="check that the label maps are those of these scans",
            )
        write_rows(self.output_dir / "rows.csv", rows)
        compared = [asdict(line) | {"verdict": line.verdict} for line in lines]
        summary = {"headline": headline(lines[0]), "comparisons": compared}
        write_text(self.output_dir / "summary.json", json.dumps(summary, indent=1))
        write_text(self.output_dir / "report.html", self.html(rows, lines))
        print(headline(lines[0]))
        print(f"report: {self.output_dir / 'report.html'}")

    def html(self, rows: Sequence[Row], lines: Sequence[Comparison]) -> str:
        """The report."""
        environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
        curves = read_curves(self.output_dir / "curves")
        return environment.get_template("report.html.j2").render(
            name=self.name,
            headline=headline(lines[0]),
            counts=self.counts(),
            lines=lines,
            exact=EXACT,
            interval=lambda line: "" if line.low is None else f"{line.low:+.3f} to {line.high:+.3f}",
            p=lambda p: "" if p is None else ("< 0.001" if p < 0.001 else f"{p:.3f}"),
            organs_svg=Markup(organs_figure(rows, FIRST, SECOND, self.table.names)),
            phases=self.phases(rows),
            overlays=[self.overlay(case, value) for case, value in self.worst(rows)],
            curves_svg=Markup(curves_figure(curves)) if curves else None,
            version=__version__,
        )

    def counts(self) -> str:
        """Who was measured, and whether the networks had seen them."""
        seen = sum(case.fold is not None for case in self.cases)
        told = "that no network was trained on" if not seen else f"of which {seen} cases were trained on"
        return f"{len(self.cases)} cases of {len({case.patient for case in self.cases})} patients, {told}."

    def phases(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Mean Dice of each phase's cases."""
        listed = []
        for phase in self.table.phases:
            part = [row for row in rows if row.phase == phase]
            pairs = paired(part, FIRST, SECOND)
            if len(pairs):
                coarse, refined = pairs.mean(0)
                cases = len({row.case for row in part})
                listed.append({"name": phase, "cases": cases, "coarse": coarse, "refined": refined})
        return listed

    def worst(self, rows: Sequence[Row]) -> list[tuple[Case, float]]:
        """The cases with the lowest mean Dice of the refined map, and that mean."""
        values: dict[str, list[float]] = {case.case: [] for case in self.cases}
        for row in rows:
            if row.method == SECOND:
                values[row.case].append(row.value)
        means = {case: float(np.mean(found)) for case, found in values.items() if found}
        order = sorted((case for case in self.cases if case.case in means), key=lambda case: means[case.case])
        return [(case, means[case.case]) for case in order[: self.pictures]]

    def overlay(self, case: Case, value: float) -> dict[str, str]:
        """A case's title and its picture, which is also written to pictures/<case>.png."""
        image = read(case.image, case.case)
        maps = {"truth": read_label(case, image, self.table)}
        for method, folder in self.folders.items():
            maps[method] = read_objects(folder / f"{case.case}.nii.gz", image, case.case, self.table)
        pixels = normalise(image.as_tensor(), self.window)[0].numpy()
        picture = overlay_figure(pixels, maps, spacing(image), len(self.table))
        with written_whole(self.output_dir / "pictures" / f"{case.case}.png") as aside:
            aside.write_bytes(picture)
        inline = "data:image/png;base64," + base64.b64encode(picture).decode()
        return {"title": f"{case.case} ({case.phase}): mean Dice {value:.3f}", "picture": inline}


def headline(line: Comparison) -> str:
    """The result in one sentence."""
    way = {"better than chance": "better", "worse than chance": "worse"}.get(line.verdict)
    told = f"{way} than coarse beyond chance" if way else line.verdict
    p = "" if line.p is None else f", p = {line.p:.2g}"
    return (
        f"Mean Dice {line.first:.3f} coarse, {line.second:.3f} refined ({line.difference:+.3f}) "
        f"over {line.cases} cases of {line.patients} patients: {told}{p}."
    )


def read_curves(folder: Path) -> Mapping[str, list[list[float]]]:
    """Stage -> runs -> loss of each epoch, from the CSV files of a folder, as far as there are any."""
    curves: dict[str, list[list[float]]] = {}
    for stage in STAGES:
        path = folder / f"{stage}.csv"
        if path.is_file():
            runs: dict[str, list[float]] = {}
            with open(path, newline="") as file:
                for row in csv.DictReader(file):
                    runs.setdefault(row["run"], []).append(float(row["loss"]))
            curves[stage] = list(runs.values())
    return curves
