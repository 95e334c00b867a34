"""The study's tables: means, words, what limits training, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.evaluate.statistics import ALL
from scripts.study.comparisons import compare_contrasts
from scripts.study.contrasts import Contrast
from scripts.study.strategy import FLOOR
from scripts.study.tables import Table, as_data, csv_text, limits, mean_and_sd, organ_rows
from tests.study.made import cells_of, made_plan, made_results, strategy_file

LEVELS = {"scratch": 0.4, "organ": 0.7, "semantic": 0.8}
ODD = "50% & $_{x}^2~#\\ odd"
NAMED = [Contrast("semantic", ("scratch",)), Contrast("semantic", ("organ", "scratch"))]


def tables_of(
    folder: Path, strategies: Sequence[str] = tuple(LEVELS), levels: Mapping[str, float] = LEVELS, **changes: Any
) -> list[Table]:
    """The tables of a study, with two named contrasts and an exploratory one."""
    patients = changes.pop("patients", 6)
    plan = made_plan(folder, strategies, **changes)
    results = made_results(plan, levels, patients)
    measured = [results.measured(cell) for cell in plan.cells]
    found = compare_contrasts(measured, NAMED, [Contrast("organ", ("scratch",))], 0.01)
    return [
        Table(
            results,
            cell,
            [one for one in found if one.named and one.table == cell.name],
            [one for one in found if not one.named and one.table == cell.name],
        )
        for cell in plan.cells
    ]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return tables_of(tmp_path, seeds=3)[0]


# lines


def test_lines_are_means_and_deviations_over_patients_of_means_over_seeds(table: Table) -> None:
    for line in table.lines():
        values = table.measured.values if line["organ"] == ALL else table.measured.organs[line["organ"]]
        for method, (mean, sd) in line["found"].items():
            by_patient = values[table.measured.arms.index(method)].mean(0)
            by_patient = by_patient[~np.isnan(by_patient)]
            assert mean == pytest.approx(by_patient.mean())
            assert sd == pytest.approx(np.std(by_patient, ddof=1))
        assert line["best"] == max(line["found"], key=lambda method, line=line: line["found"][method][0]) == "semantic"
    assert [(line["organ"], line["patients"]) for line in table.lines()] == [(ALL, 6), ("liver", 6), ("bile_duct", 5)]


def test_one_patient_has_no_deviation() -> None:
    assert mean_and_sd(np.array([[0.25], [0.75]])) == (0.5, None)


def test_phases_are_those_that_were_tested(tmp_path: Path) -> None:
    (table,) = tables_of(tmp_path / "one", patients=1)
    assert [(line["phase"], line["patients"]) for line in table.phases()] == [("noncontrast", 1)]
    (table,) = tables_of(tmp_path / "six")
    assert [(line["phase"], line["patients"]) for line in table.phases()] == [("noncontrast", 3), ("portal", 3)]


@pytest.mark.parametrize(
    ("labels", "budget", "title"),
    [
        ("2", None, "Label maps of 2 patients"),
        ("100%", None, "Label maps of 100% (6 patients)"),
        ("50%", 60.0, "Label maps of 50% (3 patients), 60 s of training"),
    ],
)
def test_a_title_names_the_patients_and_the_budget(
    tmp_path: Path, labels: str, budget: float | None, title: str
) -> None:
    assert tables_of(tmp_path, cells=cells_of([labels], [budget]))[0].title == title


def test_a_title_of_folds_names_fewest_and_most_patients(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, folds=3, cells=cells_of(["100%"]))
    table = Table(made_results(plan, LEVELS, per_fold=True), plan.cells[0], [], [])
    assert table.title == "Label maps of 100% (5 to 6 patients)"


# words


def test_the_result_in_words_names_the_best_and_every_named_contrast(table: Table) -> None:
    best, over_scratch, over_best = table.in_words()
    mean = table.lines()[0]["found"]["semantic"][0]
    assert best == f"semantic has the highest mean Dice, {mean:.3f}."
    assert re.fullmatch(r"semantic over scratch: \+0\.\d{3} Dice, (better|undecided).*\.", over_scratch)
    assert re.fullmatch(r"semantic over organ, the best of 2: \+0\.\d{3} Dice, .*\.", over_best)


def test_one_seed_is_undecided(tmp_path: Path) -> None:
    (table,) = tables_of(tmp_path, seeds=1)
    _, over_scratch, over_best = table.in_words()
    assert over_scratch.endswith("undecided (one seed: variation in training unknown).")
    assert over_best.startswith("semantic over the best of 2: +")


def test_nothing_is_said_of_chance(table: Table) -> None:
    assert "chance" not in " ".join(table.in_words())


# content


def test_content_is_plain_data_with_all_parts(table: Table) -> None:
    content = table.content()
    assert (content["labels"], content["budget"], content["learnt"]["patients"]) == ("2 patients", None, [2])
    assert [line["contrast"] for line in content["named"]] == [contrast.name for contrast in NAMED]
    assert [line["contrast"] for line in content["exploratory"]] == ["organ - scratch"]
    assert list(content["by_organ"]) == [contrast.name for contrast in NAMED]
    assert [line["organ"] for line in content["by_organ"]["semantic - scratch"]] == ["liver", "bile_duct"]
    assert [line["arm"] for line in content["ranks"]] == ["semantic", "organ", FLOOR, "scratch"]
    assert [line["strategy"] for line in content["costs"]] == list(LEVELS)


def test_a_difference_is_told_with_what_was_tested(table: Table) -> None:
    line = as_data(table.named[1])
    assert (line["first"], line["second"], line["organ"], line["named"]) == (
        "semantic",
        "organ, the best of 2",
        ALL,
        True,
    )
    assert line["tested"]["low"] < line["difference"] < line["tested"]["high"]
    chances = [line["tested"][name] for name in ("better", "equivalent", "worse")]
    assert sum(chances) == pytest.approx(1)


def test_a_difference_of_one_seed_was_not_tested(tmp_path: Path) -> None:
    line = as_data(tables_of(tmp_path, seeds=1)[0].named[1])
    assert (line["tested"], line["p"], line["p_corrected"]) == (None, None, None)
    assert line["second"] == "organ, scratch"


# what limits training


def limits_of(folder: Path, low: float, high: float, budgets: Sequence[float]) -> list[str]:
    """What is said of a study in which more budget takes scratch from one Dice to another."""
    plan = made_plan(folder, ["scratch"], cells=cells_of(["2"], budgets))
    results = made_results(plan, {"scratch": 0.5})
    for number, cell in enumerate(plan.cells):
        for key, rows in results._rows[cell].items():
            level = low if number == 0 else high
            results._rows[cell][key] = [
                type(row)(row.case, row.patient, row.organ, row.phase, row.method, row.metric, level) for row in rows
            ]
    return limits([Table(results, cell, [], []) for cell in plan.cells])


def test_a_cell_is_limited_by_compute_where_twice_the_budget_gives_more_than_a_hundredth(tmp_path: Path) -> None:
    (sentence,) = limits_of(tmp_path, 0.5, 0.52, [60.0, 120.0])
    assert sentence.startswith("Label maps of 2 patients, 60 s of training: twice the budget gives scratch +0.020 Dice")
    assert "limited by compute" in sentence


@pytest.mark.parametrize("high", [0.509, 0.5, 0.4])
def test_a_cell_is_limited_by_labels_where_it_does_not(tmp_path: Path, high: float) -> None:
    (sentence,) = limits_of(tmp_path, 0.5, high, [60.0, 120.0])
    assert "limited by labels, not by compute" in sentence


@pytest.mark.parametrize("budgets", [[60.0], [60.0, 90.0], [60.0, 240.0]])
def test_without_twice_the_budget_nothing_is_said(tmp_path: Path, budgets: list[float]) -> None:
    assert limits_of(tmp_path, 0.4, 0.6, budgets) == []


def test_without_scratch_or_a_budget_nothing_is_said(tmp_path: Path) -> None:
    assert limits(tables_of(tmp_path, ["semantic"], cells=cells_of(["2"], [60.0, 120.0]))) == []
    assert limits(tables_of(tmp_path / "none")) == []


# CSV


def test_results_come_back_from_csv(table: Table) -> None:
    lines = organ_rows([table])
    read = list(csv.DictReader(io.StringIO(csv_text(lines))))
    assert len(read) == len(lines) == 3 * 4
    for there, line in zip(read, lines, strict=True):
        assert there.keys() == line.keys()
        for key, value in line.items():
            if isinstance(value, float):
                assert float(there[key]) == pytest.approx(value, abs=1e-6)
            else:
                assert there[key] == ("" if value is None else str(value))
    assert {line["method"] for line in read} == {FLOOR, *LEVELS}


def test_csv_leaves_blank_what_is_not_there_and_quotes_what_must_be() -> None:
    text = csv_text([{"name": 'a, "b"', "sd": None}, {"name": "c\nd", "sd": 0.5, "more": 1}])
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"name": 'a, "b"', "sd": "", "more": ""}, {"name": "c\nd", "sd": "0.500000", "more": "1"},
    ]  # fmt: skip


# LaTeX


def read_latex(text: str) -> tuple[str, list[list[str]]]:
    """Caption and cells of a table, taken apart as TeX does: comments, groups, environments, commands it knows."""
    assert not re.search(r"(?<!\\)%", text)  # a comment swallows the rest of its line
    known = {
        "begin", "end", "centering", "caption", "toprule", "midrule", "bottomrule", "textbf", "pm", "textbackslash",
        "textasciitilde", "textasciicircum",
    }  # fmt: skip
    assert set(re.findall(r"(?<!\\)\\([a-z]+)", text)) <= known
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    bare = re.sub(r"\\[\\{}%&#_$]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#~_^]", bare)
    columns = re.search(r"\\begin\{tabular\}\{([lc]+)\}", text)
    caption = re.search(r"\\caption\{(.*)\}\n", text)
    assert columns is not None
    assert caption is not None
    body = text[text.index("\\toprule") : text.index("\\bottomrule")]
    rows = [row for row in re.sub(r"\\(top|mid)rule\n?", "", body).split("\\\\\n") if row.strip()]
    lines = [[cell.strip() for cell in re.split(r"(?<!\\)&", row)] for row in rows]
    assert {len(line) for line in lines} == {len(columns[1])}
    return caption[1], lines


def test_latex_holds_together(table: Table) -> None:
    caption, (head, *rows) = read_latex(table.latex())
    assert caption == (
        "Label maps of 2 patients. Dice, mean $\\pm$ SD over 6 patients (bile\\_duct: 5) of the mean over 3 runs."
    )
    assert head == ["Organ", FLOOR, *LEVELS]
    assert [row[0] for row in rows] == ["all organs", "liver", "bile\\_duct"]


def test_latex_holds_the_numbers_and_the_best_is_bold(table: Table) -> None:
    _, (head, *rows) = read_latex(table.latex())
    for row, line in zip(rows, table.lines(), strict=True):
        for name, cell in zip(head[1:], row[1:], strict=True):
            mean, sd = line["found"][name]
            bare = f"{mean:.3f} $\\pm$ {sd:.3f}"
            assert cell == (f"\\textbf{{{bare}}}" if name == line["best"] else bare)
        assert sum("\\textbf" in cell for cell in row) == 1


def test_latex_escapes_what_it_would_read_as_commands(tmp_path: Path) -> None:
    odd = strategy_file(tmp_path / "own", ODD, "margin: 9\n")
    (table,) = tables_of(tmp_path, ["scratch", odd], {"scratch": 0.4, ODD: 0.6}, cells=cells_of(["50%"], [60.0]))
    caption, (head, *_) = read_latex(table.latex())
    assert head[3] == r"50\% \& \$\_\{x\}\textasciicircum{}2\textasciitilde{}\#\textbackslash{} odd"
    assert "Label maps of 50\\% (3 patients)" in caption


def test_latex_of_one_patient_has_no_deviations(tmp_path: Path) -> None:
    (table,) = tables_of(tmp_path, seeds=1, patients=1)
    _, (_, *rows) = read_latex(table.latex())
    assert not any("\\pm" in cell for row in rows for cell in row)
