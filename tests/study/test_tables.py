"""The study's tables: what is best, what is compared, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest

from scripts.evaluate.statistics import ALL
from scripts.study.cells import parse_cells
from scripts.study.strategy import FLOOR, find_strategies
from scripts.study.tables import Table, csv_text, mean_and_sd, organ_rows, share_of_runs
from tests.study.made import BUNDLE, made_plan, made_results, strategy_of

LEVELS = {"scratch": 0.4, "semantic": 0.8, "organ": 0.7, "50% & $_{x}^2~#\\ odd": 0.6}


def table_of(folder, names=("scratch", "organ", "semantic"), levels=LEVELS, patients=6, baseline=None, **changes):
    found = [find_strategies([name], BUNDLE)[0] if name in ("scratch", "organ", "semantic") else name for name in names]
    strategies = tuple(strategy_of(folder, one, "temperature: 0.2") if isinstance(one, str) else one for one in found)
    plan = made_plan(folder, strategies=strategies, **changes)
    return Table(made_results(plan, levels, patients), plan.cells[0], baseline)


@pytest.fixture
def table(tmp_path):
    return table_of(tmp_path)


def test_the_best_and_the_next_best_are_by_the_mean_over_all_organs(table):
    assert (table.best, table.next_best, table.baseline) == ("semantic", "organ", "scratch")
    assert {(line.first, line.second) for line in table.against_next} == {("organ", "semantic")}
    assert {name: {(line.first, line.second) for line in lines} for name, lines in table.against_baseline.items()} == {
        "organ": {("scratch", "organ")}, "semantic": {("scratch", "semantic")},
    }  # fmt: skip
    assert [line.organ for line in table.against_next] == [ALL, "liver", "bile_duct"]


@pytest.mark.parametrize(
    ("names", "best", "next_best", "baseline", "compared"),
    [
        (["semantic"], "semantic", None, FLOOR, {("coarse", "semantic")}),
        (["scratch"], "scratch", None, FLOOR, {("coarse", "scratch")}),
        (["scratch", "semantic"], "semantic", "scratch", "scratch", {("scratch", "semantic")}),
        (["organ", "semantic"], "semantic", "organ", FLOOR,
         {("coarse", "organ"), ("coarse", "semantic"), ("organ", "semantic")}),
    ],
)  # fmt: skip
def test_what_is_compared_goes_by_what_was_run(tmp_path, names, best, next_best, baseline, compared):
    table = table_of(tmp_path, names)
    assert (table.best, table.next_best, table.baseline) == (best, next_best, baseline)
    pairs = [(line.first, line.second) for line in table.overall()]
    assert len(pairs) == len(compared)
    assert set(pairs) == compared


def test_another_baseline_is_what_all_are_compared_with(tmp_path):
    for name in ("organ", FLOOR):
        table = table_of(tmp_path / name, baseline=name)
        rest = [other for other in ("scratch", "organ", "semantic") if other != name]
        assert table.baseline == name
        assert {one: {line.first for line in lines} for one, lines in table.against_baseline.items()} == {
            other: {name} for other in rest
        }
        assert [[line["second"] for line in part["against_baseline"]] for part in table.phases()] == [rest, rest]
        assert f"over {name} (" in table.in_words()
        assert f"against {name}," in table.latex()


def test_lines_are_means_and_deviations_over_patients_of_means_over_seeds(table):
    for line in table.lines():
        values = table.values[line["organ"]]
        for method, (mean, sd) in line["found"].items():
            by_patient = [sum(run[number] for run in values[method]) / 2 for number in range(line["patients"])]
            assert mean == pytest.approx(sum(by_patient) / len(by_patient))
            assert sd == pytest.approx(np.std(by_patient, ddof=1))
        assert line["best"] == max(line["found"], key=lambda method, line=line: line["found"][method][0])
    assert [line["patients"] for line in table.lines()] == [6, 6, 5]


def test_p_of_a_line_is_the_corrected_one(table):
    overall, *organs = table.lines()
    assert overall["p_next"] == table.against_next[0].p
    assert [line["p_next"] for line in organs] == [line.p_holm for line in table.against_next[1:]]
    assert overall["p_baseline"] == table.against_baseline["semantic"][0].p


def test_one_patient_has_no_deviation():
    assert mean_and_sd(np.array([[0.25], [0.75]])) == (0.5, None)


def test_phases_are_those_that_were_tested(tmp_path):
    table = table_of(tmp_path, patients=1)
    assert [(line["phase"], line["patients"]) for line in table.phases()] == [("noncontrast", 1)]


@pytest.mark.parametrize(
    ("protocol", "share", "title"),
    [
        ("frozen", "100%", "Encoder frozen"),
        ("tuned", "10%", "Encoder tuned, 10% of the labelled patients"),
        ("tuned", "12.5%", "Encoder tuned, 12.5% of the labelled patients"),
    ],
)
def test_titles(tmp_path, protocol, share, title):
    assert table_of(tmp_path, cells=parse_cells([protocol], [share])).title == title


def test_the_result_in_words_names_the_coarse_map_and_both_comparisons(table):
    words = table.in_words()
    assert re.match(
        r"Encoder frozen: semantic has the highest mean Dice of the strategies, 0\.\d+ \(coarse map 0\.5", words
    )
    assert re.search(r"; \+0\.\d+ over organ \(95 % interval [+-]0\.\d+ to \+0\.\d+, p = [\de.-]+\): ", words)
    assert "over scratch (" in words


def test_a_comparison_is_stated_once(tmp_path):
    assert table_of(tmp_path, ["scratch", "semantic"]).in_words().count("over scratch") == 1
    assert "over coarse" in table_of(tmp_path / "one", ["semantic"]).in_words()


def test_one_seed_is_reported_without_an_interval(tmp_path):
    words = table_of(tmp_path, seeds=1).in_words()
    assert "interval" not in words
    assert "one seed: chance in training cannot be assessed" in words


# CSV


def test_results_come_back_from_csv(table):
    lines = organ_rows([table])
    read = list(csv.DictReader(io.StringIO(csv_text(lines))))
    assert len(read) == len(lines) == 3 * 4
    for there, line in zip(read, lines, strict=True):
        assert there.keys() == line.keys()
        for key, value in line.items():
            assert (
                float(there[key]) == pytest.approx(value, abs=1e-6)
                if isinstance(value, float)
                else there[key] == str(value)
            )
    assert {line["method"] for line in read} == {FLOOR, "scratch", "organ", "semantic"}


def test_csv_leaves_blank_what_is_not_there_and_quotes_what_must_be():
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
    plain = re.sub(r"\\[\\{}%&#_$]", "", text)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not re.search(r"[#~]", plain)
    assert not re.search(r"[_^]", plain)
    columns = re.search(r"\\begin\{tabular\}\{([lc]+)\}", text)[1]
    body = text[text.index("\\toprule") : text.index("\\bottomrule")]
    rows = [row for row in re.sub(r"\\(top|mid)rule\n?", "", body).split("\\\\\n") if row.strip()]
    lines = [[cell.strip() for cell in re.split(r"(?<!\\)&", row)] for row in rows]
    assert {len(line) for line in lines} == {len(columns)}
    return re.search(r"\\caption\{(.*)\}\n", text)[1], lines


def test_latex_holds_together(table):
    caption, (head, *rows) = read_latex(table.latex())
    assert caption.startswith("Encoder frozen. Dice, mean $\\pm$ SD over 6 patients of the mean over 2 training runs.")
    assert head == ["Organ", "coarse", "scratch", "organ", "semantic", "$p$ next", "$p$ scratch"]
    assert [row[0] for row in rows] == ["all organs", "liver", "bile\\_duct"]


def test_latex_holds_the_numbers_and_the_best_is_bold(table):
    _, (head, *rows) = read_latex(table.latex())
    for row, line in zip(rows, table.lines(), strict=True):
        for name, cell in zip(head[1:5], row[1:5], strict=True):
            mean, sd = line["found"][name]
            plain = f"{mean:.3f} $\\pm$ {sd:.3f}"
            assert cell == (f"\\textbf{{{plain}}}" if name == line["best"] else plain)
        assert sum("\\textbf" in cell for cell in row) == 1


def test_latex_escapes_what_it_would_read_as_commands(tmp_path):
    odd = "50% & $_{x}^2~#\\ odd"
    caption, (head, *_) = read_latex(
        table_of(tmp_path, ["scratch", odd], cells=parse_cells(["tuned"], ["10%"])).latex()
    )
    assert head[3] == r"50\% \& \$\_\{x\}\textasciicircum{}2\textasciitilde{}\#\textbackslash{} odd"
    assert "10\\% of the labelled patients" in caption
    assert head[3] in caption


def test_latex_of_undefined_p_values(tmp_path):
    _, (_, *rows) = read_latex(table_of(tmp_path, seeds=1, patients=1).latex())
    assert [row[-2:] for row in rows] == [["--", "--"]] * len(rows)
    assert not any("\\pm" in cell for row in rows for cell in row)


def test_small_p_values_are_bounds(tmp_path):
    _, (_, *rows) = read_latex(table_of(tmp_path, ["scratch", "semantic"], {"scratch": 0.1, "semantic": 0.9}).latex())
    assert rows[0][-1] == "$<$ 0.001"


# run by run


def test_the_share_of_single_runs_that_wilcoxon_calls_significant(table):
    lines = table.overall()
    found = [p for line in lines for p in line.runs]
    assert len(found) == 2 * len(lines)
    assert share_of_runs(lines, 0.05) == sum(p < 0.05 for p in found) / len(found)
    assert share_of_runs([], 0.05) == 0
