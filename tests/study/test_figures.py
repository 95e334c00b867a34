"""The study's figures: every strategy, contrast and budget is drawn, whatever their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest

from scripts.study.contrasts import Contrast
from scripts.study.figures import budgets_figure, contrasts_figure, strategies_figure
from scripts.study.report import StudyReport
from scripts.study.strategy import FLOOR
from tests.study.made import cells_of, design_of, made_plan, made_results, strategy_file

LEVELS = {"scratch": 0.5, "organ": 0.6, "semantic": 0.8}
NAMED = [Contrast("semantic", ("scratch",)), Contrast("semantic", ("organ", "scratch"))]


def report_of(folder: Path, **changes: Any) -> StudyReport:
    plan = made_plan(folder, list(LEVELS), **changes)
    return StudyReport(made_results(plan, LEVELS), "lab", design_of(), NAMED)


def words_of(svg: str) -> list[str]:
    """The texts of a figure, which is well formed."""
    root = ElementTree.fromstring(svg)
    return ["".join(part.itertext()).strip() for part in root.iter() if part.tag.endswith(("text", "tspan"))]


def test_strategies_and_tables_are_named(tmp_path: Path) -> None:
    found = words_of(strategies_figure(report_of(tmp_path, cells=cells_of(["2", "4"])).tables))
    assert {FLOOR, *LEVELS, "mean Dice", "Label maps of 2 patients", "Label maps of 4 patients"} <= set(found)


def test_named_contrasts_are_drawn_one_a_line_the_best_of_several_by_its_name(tmp_path: Path) -> None:
    found = words_of(contrasts_figure(report_of(tmp_path).differences, 0.01))
    assert {"semantic - scratch", "semantic - best: organ", "difference in Dice"} <= set(found)


def test_contrasts_that_were_not_tested_are_drawn_too(tmp_path: Path) -> None:
    found = words_of(contrasts_figure(report_of(tmp_path, seeds=1).differences, 0.01))
    assert "semantic - best: organ, scratch" in found


def test_budgets_have_a_panel_for_each_amount_of_labels(tmp_path: Path) -> None:
    report = report_of(tmp_path, cells=cells_of(["2", "4"], [120.0, 60.0]))
    found = words_of(budgets_figure(report.tables))
    assert {"label maps of 2 patients", "label maps of 4 patients", "60", "120", FLOOR, *LEVELS} <= set(found)
    assert found.count("training seconds of a device") == 2


@pytest.mark.parametrize("name", ["50% of $x_1$", "a $_{ formula $", "<b>bold", "a&b"])
def test_names_are_drawn_as_they_are(tmp_path: Path, name: str) -> None:
    mine = strategy_file(tmp_path / "own", name, "margin: 9\n")
    plan = made_plan(tmp_path, ["scratch", mine], cells=cells_of(["2"], [60.0, 120.0]))
    results = made_results(plan, {"scratch": 0.4, name: 0.6})
    report = StudyReport(results, "lab", design_of(), [Contrast(name, ("scratch",))])
    assert name in words_of(strategies_figure(report.tables))
    assert name in words_of(budgets_figure(report.tables))
    assert f"{name} - scratch" in words_of(contrasts_figure(report.differences, 0.01))


def test_no_figure_stays_open(tmp_path: Path) -> None:
    report = report_of(tmp_path, cells=cells_of(["2"], [60.0, 120.0]))
    for figure in (strategies_figure(report.tables), budgets_figure(report.tables)):
        assert figure.startswith("<")
    contrasts_figure(report.differences, 0.01)
    assert plt.get_fignums() == []
