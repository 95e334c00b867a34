"""The report: one self-contained page with the summary and what the stages left beside it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from ..files import write_text
from ..names import wrong_name
from ..sidefiles import for_show, plain_note
from ..version import __version__
from .expected import ExpectedBesideMeasured
from .figures import box_figure, curves_figure, expected_figure, forest_figure, paired_figure, reliability_figure
from .left_by_stages import read_calibration
from .metrics import BY_NAME, METRICS
from .owned_outputs import folder_output
from .safe_svg import safe_svg
from .slices import object_hex
from .statistics import ALL, paired
from .summary import Summary
from .wording import p_text, tests_in_words

TRAINING_STAGES = ("coarse", "segment", "pretrain", "train")
PLOTTED = ("dice", "hd95")  # metrics with figures
RUNS = ("coarse", "segment", "pretrain", "train", "inference", "embed")


class Report:
    """The results of an evaluation as report.html and figures/*.svg.

    Args:
        summary: the numbers.
        name: the cohort's name.
        counts: how many cases and patients were measured, in words.
        output_dir: where the page is written; it shows the curves/, jobs/ and embeddings/ that lie there.
        tolerances: of NSD, in words.
        expected: the Dice that inference expected, where it was noted.

    Attributes:
        pictures: the pictured cases, as ``case_picture`` returns them.
        legend: organs and their colours.
    """

    def __init__(
        self,
        summary: Summary,
        name: str,
        counts: str,
        output_dir: Path,
        tolerances: str,
        expected: ExpectedBesideMeasured | None = None,
    ) -> None:
        self.summary, self.name, self.counts, self.output_dir = summary, name, counts, output_dir
        self.tolerances, self.expected = tolerances, expected
        self.pictures: list[dict[str, str]] = []
        self.legend: list[tuple[str, str]] = []

    def write(self) -> None:
        """Write the page and its figures."""
        figures = self.figures()
        for name, figure in figures.items():
            write_text(self.output_dir / "figures" / f"{name}.svg", figure)
        folder_output(self.output_dir / "figures", self.output_dir).keep_only([f"{name}.svg" for name in figures])
        write_text(self.output_dir / "report.html", self.html(figures))

    def html(self, figures: Mapping[str, str]) -> str:
        """The page as HTML."""
        return template("report.html.j2").render(
            name=self.name,
            summary=self.summary.content() | {"main": self.summary.main},
            counts=self.counts,
            metrics=METRICS,
            by_name=BY_NAME,
            all_organs=ALL,
            tests=tests_in_words(),
            equivalence=self.summary.equivalence,
            tolerances=self.tolerances,
            figures={name: Markup(figure) for name, figure in figures.items()},
            pictures=self.pictures,
            legend=self.legend,
            runs=read_runs(self.output_dir / "jobs"),
            embeddings=read_embeddings(self.output_dir / "embeddings"),
            calibration=read_calibration(self.output_dir / "models"),
            expected=self.expected,
            version=__version__,
        )

    def figures(self) -> dict[str, str]:
        """Every figure by name, as SVG."""
        summary = self.summary
        found = {}
        for name in PLOTTED:
            metric = BY_NAME[name]
            by_organ = {
                organ: {method: summary.values(metric, method, organ) for method in summary.methods}
                for organ in summary.organs
            }
            by_phase = {
                phase: {method: summary.values(metric, method, phase=phase) for method in summary.methods}
                for phase in summary.phases
            }
            found[f"{name}_by_organ"] = box_figure(_with_values(by_organ), metric)
            found[f"{name}_by_phase"] = box_figure(_with_values(by_phase), metric)
            if len(summary.methods) > 1:
                methods = (summary.methods[0], summary.main)
                rows = [row for row in summary.rows if row.metric == name]
                organs = {organ: paired([row for row in rows if row.organ == organ], *methods) for organ in by_organ}
                phases = {phase: paired([row for row in rows if row.phase == phase], *methods) for phase in by_phase}
                found[f"{name}_pairs_by_organ"] = paired_figure(_with_pairs(organs), methods, metric)
                found[f"{name}_pairs_by_phase"] = paired_figure(_with_pairs(phases), methods, metric)
        if len(summary.methods) > 1:
            lines = summary.comparisons(BY_NAME["dice"], summary.main)
            found["forest"] = forest_figure(lines, (summary.methods[0], summary.main), summary.equivalence)
        curves = read_curves(self.output_dir / "curves")
        checks = read_checks(self.output_dir / "curves")
        calibration = read_calibration(self.output_dir / "models")
        found |= {"reliability": reliability_figure(calibration["quality"]["all organs"])} if calibration else {}
        found |= {"expected": expected_figure(self.expected)} if self.expected else {}
        return found | ({"training": curves_figure(curves, checks)} if curves else {})

    @staticmethod
    def colours(organs: Sequence[str]) -> list[tuple[str, str]]:
        """Organs with the colours of the pictures."""
        return list(zip(organs, object_hex(len(organs)), strict=True))


def template(name: str, folder: Path = Path(__file__).parent) -> Template:
    """A page's template; ``page.html.j2`` gives it styles, sortable tables and a layout for print."""
    loader = FileSystemLoader([folder, Path(__file__).parent])
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True)
    environment.filters["p_text"] = p_text
    return environment.get_template(name)


def _with_values(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {name: group for name, group in groups.items() if any(len(values) for values in group.values())}


def _with_pairs(groups: Mapping[str, Any]) -> dict[str, Any]:
    return {name: pairs for name, pairs in groups.items() if len(pairs)}


def read_curves(folder: Path) -> Mapping[str, list[list[float]]]:
    """Stage -> runs -> loss of each epoch, from those CSV files that a folder has."""
    curves: dict[str, list[list[float]]] = {}
    for stage in TRAINING_STAGES:
        path = folder / f"{stage}.csv"
        runs = for_show(path, _losses) if path.is_file() else None
        if runs:
            curves[stage] = runs
    return curves


def _losses(path: Path) -> list[list[float]]:
    runs: dict[str, list[float]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            runs.setdefault(row["run"], []).append(float(row["loss"]))
    return list(runs.values())


def read_checks(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Stage -> metric of its validation -> (epoch, value), from the curves of a folder."""
    paths = {stage: folder / f"{stage}_validation.csv" for stage in TRAINING_STAGES}
    found = {stage: for_show(path, _checks) for stage, path in paths.items() if path.is_file()}
    return {stage: checks for stage, checks in found.items() if checks}


def _checks(path: Path) -> dict[str, list[tuple[int, float]]]:
    checks: dict[str, list[tuple[int, float]]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            epoch = int(row.pop("epoch"))
            for name, value in ((name, value) for name, value in row.items() if value):
                checks.setdefault(name, []).append((epoch, float(value)))
    return checks


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """The manifests that a folder has, in the order of the stages."""
    paths = [folder / f"{stage}.json" for stage in RUNS]
    notes = [for_show(path, _run) for path in paths if path.is_file()]
    return [note for note in notes if note is not None]


def _run(path: Path) -> dict[str, Any]:
    """A manifest, checked to hold the types the page shows."""
    note = plain_note(path)
    git = note.get("git") or {"commit": ""}
    numbers = (note.get("seconds") or 0, (note.get("peak_memory") or {}).get("resident_mib", 0))
    texts = (note["stage"], note["status"], note["started"], git["commit"])
    if not _typed(texts, numbers):
        raise TypeError("values of other types than a run's")
    dict(note["versions"])
    return note


def read_embeddings(folder: Path) -> dict[str, Any] | None:
    """The results of the embed stage with its figures; None where it has not run."""
    path = folder / "summary.json"
    if not path.is_file():
        return None
    return for_show(path, _embeddings)


def _embeddings(path: Path) -> dict[str, Any]:
    """The content of summary.json with the figures it names; those that are missing or unsafe are left out."""
    found = plain_note(path)
    values = [value for measure in found["measures"] for value in measure["found"] if value is not None]
    titles = [measure["title"] for measure in found["measures"]]
    if not _typed([found["headline"], *found["encoders"], *found["figures"], *titles], values):
        raise TypeError("values of other types than the embed stage's")
    figures = {name: for_show(path.with_name(f"{name}.svg"), _figure) for name in found["figures"] if _is_name(name)}
    return found | {"figures": {name: figure for name, figure in figures.items() if figure is not None}}


def _typed(texts: Sequence[Any], numbers: Sequence[Any]) -> bool:
    return all(isinstance(text, str) for text in texts) and all(isinstance(number, int | float) for number in numbers)


def _is_name(name: str) -> bool:
    why = wrong_name(name)
    if why:
        print(f"warning: a figure is left out, its name is invalid: {why}", file=sys.stderr)
    return why is None


def _figure(path: Path) -> Markup:
    return Markup(safe_svg(path.read_text(encoding="utf-8")))
