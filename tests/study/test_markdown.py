"""A study's results as Markdown: every table, with the numbers of the tables."""

from __future__ import annotations

import pytest

from scripts.study.cells import parse_cells
from scripts.study.markdown import markdown
from scripts.study.report import StudyReport
from scripts.study.strategy import find_strategies
from tests.study.made import BUNDLE, made_plan, made_results


@pytest.fixture
def report(tmp_path):
    found = tuple(find_strategies(["scratch", "semantic"], BUNDLE))
    plan = made_plan(tmp_path, strategies=found, cells=parse_cells(["frozen", "tuned"], ["100%"]))
    return StudyReport(made_results(plan, {"scratch": 0.5, "semantic": 0.8}), "lab", 0)


def tables_of(text):
    """Every table as its lines of cells, heads first."""
    parts = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in part] for part in parts]


def test_it_holds_each_table_with_its_numbers(report):
    content = report.content()
    text = markdown(content, report.results.methods, "lab")
    assert text.startswith(f"Cohort `lab`: {content['counts']}")
    tables = tables_of(text)
    assert len(tables) == 2 * 3 + 2
    for found, made in zip(content["tables"], (tables[:3], tables[3:6]), strict=True):
        assert f"**{found['title']}**: " in text
        assert found["words"].removeprefix(f"{found['title']}: ") in text
        organs, phases, differences = made
        assert organs[0][1:4] == ["coarse", "scratch", "semantic"]
        for line, row in zip(found["organs"], organs[2:], strict=True):
            mean, sd = line["found"]["semantic"]
            assert row[0] == line["organ"].replace("_", " ")
            assert row[3] == f"**{mean:.3f} ± {sd:.3f}**"
            assert row[4] == str(line["patients"])
        assert [row[0] for row in phases[2:]] == ["noncontrast", "portal"]
        lines = [found["against_baseline"]["semantic"][0], *(line["against_baseline"][0] for line in found["phases"])]
        assert [row[:3] for row in differences[2:]] == [
            ["semantic", scans, f"{line['difference']:+.4f}"]
            for scans, line in zip(("all", "noncontrast", "portal"), lines, strict=True)
        ]
    embeddings, costs = tables[-2:]
    assert embeddings == [
        ["embeddings", "untrained", "semantic"],
        ["---"] * 3,
        ["same organ", "0.250", "0.625"],
        ["rank", "0.500", "-"],
    ]
    assert [row[0] for row in costs[2:]] == ["scratch", "semantic"]
    assert [row[-1] for row in costs[2:]] == ["121", "121"]
    assert all(len({len(row) for row in table}) == 1 for table in tables)


def test_a_phase_s_p_is_of_its_own_scans(report):
    for table in report.tables:
        for line in table.phases():
            (against,) = line["against_baseline"]
            assert line["patients"] == against["patients"] == 3
            assert 0 < against["p"] < 0.05
