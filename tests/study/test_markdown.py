"""A study's results as Markdown: every table, with the numbers of the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.study.contrasts import Contrast
from scripts.study.markdown import embedded, markdown
from scripts.study.report import StudyReport
from scripts.study.strategy import FLOOR
from tests.study.made import cells_of, design_of, made_plan, made_results

NAMED = [Contrast("semantic", ("scratch",))]


def report_of(folder: Path, **changes: Any) -> StudyReport:
    plan = made_plan(folder, ["scratch", "organ", "semantic"], **changes)
    results = made_results(plan, {"scratch": 0.5, "organ": 0.6, "semantic": 0.8})
    return StudyReport(results, "lab", design_of(), NAMED)


@pytest.fixture
def report(tmp_path: Path) -> StudyReport:
    return report_of(tmp_path, cells=cells_of(["2", "4"]))


def tables_of(text: str) -> list[list[list[str]]]:
    """Every table as its lines of cells, heads first."""
    parts = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in part] for part in parts]


def test_it_holds_each_table_with_its_numbers(report: StudyReport) -> None:
    content = report.content()
    text = markdown(content, "lab")
    assert text.startswith(f"Cohort `lab`: {content['counts']}")
    named, *rest = tables_of(text)
    assert len(rest) == 2 * 4 + 1
    assert [row[:3] for row in named[2:]] == [
        ["semantic - scratch", cell, f"{table['named'][0]['difference']:+.4f}"]
        for cell, table in zip(("2 patients", "4 patients"), content["tables"], strict=True)
    ]
    for found, (organs, phases, differences, costs) in zip(content["tables"], (rest[:4], rest[4:8]), strict=True):
        assert f"**{found['title']}.** {' '.join(found['words'])}" in text
        assert organs[0][1:5] == [FLOOR, "scratch", "organ", "semantic"]
        for line, row in zip(found["organs"], organs[2:], strict=True):
            mean, sd = line["found"]["semantic"]
            assert row[0] == line["organ"].replace("_", " ")
            assert row[4] == f"**{mean:.3f} ± {sd:.3f}**"
            assert row[5] == str(line["patients"])
        assert [row[0] for row in phases[2:]] == ["noncontrast", "portal"]
        assert differences[0][0] == "exploratory"
        assert [row[0] for row in differences[2:]] == ["coarse map - scratch", "organ - scratch"]
        assert [row[0] for row in costs[2:]] == ["scratch", "organ", "semantic"]
        assert [row[1] for row in costs[2:]] == ["30", "40", "40"]
    assert rest[8] == [
        ["embeddings, mean over all tables", "untrained", "organ", "semantic"], ["---"] * 4,
        ["same organ", "0.250", "0.625", "0.625"], ["rank", "0.500", "-", "-"],
    ]  # fmt: skip
    assert all(len({len(row) for row in table}) == 1 for table in [named, *rest])


def test_chances_interval_and_verdict_are_those_that_were_tested(report: StudyReport) -> None:
    row = tables_of(markdown(report.content(), "lab"))[0][2]
    one = report.differences[0]
    assert one.tested is not None
    assert row[3] == f"{one.tested.low:+.4f} to {one.tested.high:+.4f}"
    assert row[4] == one.verdict
    assert row[5] == f"{one.tested.better:.0%} / {one.tested.equivalent:.0%} / {one.tested.worse:.0%}"
    assert row[6] == f"{one.p_corrected:.3f}"
    assert float(row[6]) >= 0.01  # from two seeds


def test_what_was_not_tested_is_a_dash(tmp_path: Path) -> None:
    (row,) = tables_of(markdown(report_of(tmp_path, seeds=1).content(), "lab"))[0][2:]
    assert row[3:] == ["-", "undecided (one seed: variation in training unknown)", "-", "-", "-"]


def test_what_limits_training_is_said(tmp_path: Path) -> None:
    report = report_of(tmp_path, cells=cells_of(["2"], [60.0, 120.0]))
    (sentence,) = report.content()["limits"]
    assert sentence in markdown(report.content(), "lab").split("\n\n")


def test_names_with_bars_stay_in_their_cell(report: StudyReport) -> None:
    content = report.content()
    content["tables"][0]["costs"][0]["strategy"] = "a|b"
    assert "| a\\|b |" in markdown(content, "lab")


def test_encoders_are_the_untrained_one_and_those_of_strategies_that_pretrain() -> None:
    lines = [{"measure": "x", "untrained": 1.0, "semantic": 0.5}, {"measure": "y", "organ": 0.5}]
    assert embedded(lines, ["scratch", "organ", "semantic"]) == ["untrained", "organ", "semantic"]
    begun = [{**lines[0], "begun": 0.7}]
    assert embedded(begun, ["scratch", "semantic"]) == ["untrained", "begun", "semantic"]
    assert embedded([], ["scratch"]) == []
