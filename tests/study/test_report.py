"""The report of a study: claims, files and page; in a browser silent, as wide as its window, sortable."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.study.contrasts import Contrast
from scripts.study.report import StudyReport
from scripts.study.strategy import FLOOR, find_strategies
from tests.evaluate.made import Page
from tests.evaluate.test_browser import CLICK, KEYS, Opened, browser, check_sorted, tables
from tests.study.made import KEYS as STAGE_KEYS
from tests.study.made import cells_of, design_of, made_plan, made_results, strategy_file

__all__ = ["browser"]
LEVELS = {"scratch": 0.3, "simclr": 0.5, "organ": 0.6, "semantic": 0.8}
NAME = "<i>ward</i> & co"
NAMED = [Contrast("semantic", ("scratch",)), Contrast("semantic", ("simclr", "organ"))]


def report_of(
    folder: Path,
    names: Sequence[str] = tuple(LEVELS),
    named: Sequence[Contrast] = NAMED,
    design: dict[str, Any] | None = None,
    **changes: Any,
) -> StudyReport:
    """A finished study's report."""
    patients, per_fold = changes.pop("patients", 6), bool(changes.get("folds"))
    plan = made_plan(folder, names, **changes)
    made = design_of(**({"folds": changes.get("folds", 0)} | (design or {})))
    return StudyReport(made_results(plan, LEVELS, patients, per_fold=per_fold), "ward", made, named)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of four strategies, two amounts of labels and two budgets."""
    folder = tmp_path_factory.mktemp("study")
    report = report_of(folder, cells=cells_of(["2", "100%"], [60.0, 120.0]), seeds=3, design={"budget": 60})
    report.name = NAME
    report.write()
    return folder / "study"


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page((written / "report.html").read_text())


def test_everything_is_written(written: Path) -> None:
    names = {path.name for path in written.iterdir() if path.is_file()}
    figures = {"strategies.svg", "contrasts.svg", "budgets.svg"}
    assert names == {
        *("report.html", "summary.json", "tables.tex", "tables.md", "results.csv", "rows.csv"), *figures,
    }  # fmt: skip
    assert (written / "tables.tex").read_text().count("\\begin{tabular}") == 4
    with open(written / "results.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * 3 * 5  # cells, organs and all of them, methods
    with open(written / "rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    dice = [row for row in rows if row["metric"] == "dice"]
    assert len(dice) == 4 * 3 * 5 * 11  # cells, seeds, methods, organs of patients


def test_figures_are_those_there_is_something_to_show_for(tmp_path: Path) -> None:
    report_of(tmp_path, named=[]).write()
    assert {path.name for path in (tmp_path / "study").glob("*.svg")} == {"strategies.svg"}


def test_the_summary_holds_the_page_s_numbers(written: Path, page: Page) -> None:
    content = json.loads((written / "summary.json").read_text())
    assert content["counts"] in page.text
    assert all(sentence in page.text for sentence in [*content["claims"], *content["limits"]])
    assert len(content["limits"]) == 2
    for number, table in enumerate(content["tables"], start=1):
        assert " ".join(table["words"]) in page.text
        for line, there in zip(table["organs"], page.lines(f"table{number}"), strict=True):
            assert there["Organ"] == line["organ"].replace("_", " ")
            for method, (mean, sd) in line["found"].items():
                assert there[method] == f"{mean:.3f} ± {sd:.3f}"
            assert there["patients"] == str(line["patients"])


def test_every_number_says_how_many_patients_it_learnt_from(page: Page) -> None:
    assert "Learnt from 2 labelled patients (" in page.text
    assert "Learnt from 6 labelled patients (8 scans) of 11 training scans" in page.text


def test_contrasts_are_on_the_page_with_what_they_exclude(written: Path, page: Page) -> None:
    content = json.loads((written / "summary.json").read_text())
    found = [line for number in range(4) for line in page.lines("contrasts", number)]
    named = [line for table in content["tables"] for line in table["named"]]
    assert len(found) == len(named) == 4 * len(NAMED)
    for there, line in zip(found, named, strict=True):
        assert there["strategy"] == line["first"]
        assert there["over"] == line["second"]
        assert there["95 % interval"] == f"{line['tested']['low']:+.3f} to {line['tested']['high']:+.3f}"
        assert there["verdict"] == line["verdict"]
        assert there["detectable"] == f"{line['tested']['detectable']:.3f}"


def test_every_strategy_is_described(page: Page) -> None:
    for strategy in find_strategies(list(LEVELS), STAGE_KEYS):
        assert strategy.about in page.text
    assert "The map that strategies which refine start from" in page.text


def costs_on(page: Page, number: int) -> dict[str, dict[str, str]]:
    """The costs of a cell by strategy."""
    (found,) = (table for table in page.tables[f"table{number}"] if "training (s)" in table[0])
    return {line[0]: dict(zip(found[0], line, strict=True)) for line in found[1:]}


def test_costs_and_embeddings_are_on_the_page(page: Page) -> None:
    costs = costs_on(page, 1)
    assert list(costs) == list(LEVELS)
    assert (costs["scratch"]["training (s)"], costs["simclr"]["training (s)"]) == ("30.0", "40.0")
    assert all(55 < float(line["planned (s)"]) <= 60 for line in costs.values())
    assert all(float(line["TFLOP"]) > 0 and float(line["samples"]) > 0 for line in costs.values())
    same, rank = page.lines("embeddings")
    assert list(same) == ["measure", "untrained", "simclr", "organ", "semantic"]
    assert (same["untrained"], same["semantic"]) == ("0.250", "0.750")
    assert (rank["untrained"], rank["semantic"]) == ("0.500", "")


def test_ranks_are_on_the_page_best_first(page: Page) -> None:
    (found,) = (table for table in page.tables["table1"] if table[0][1:3] == ["rank", "95 %"])
    assert [line[:2] for line in found[1:3]] == [["semantic", "1"], ["organ", "2"]]
    assert {line[0] for line in found[1:]} == {FLOOR, *LEVELS}


def test_names_are_escaped(page: Page) -> None:
    assert NAME in page.text
    assert "i" not in page.tags


def test_a_study_without_embeddings_has_no_such_section(tmp_path: Path) -> None:
    report_of(tmp_path, ["scratch"], named=[]).write()
    page = Page((tmp_path / "study" / "report.html").read_text())
    assert "embeddings" not in page.values("id")
    assert "contrasts" not in page.values("id")
    assert "#embeddings" not in page.values("href")
    assert "1 training strategy: ward" in page.text


# comparisons


def test_contrasts_of_the_design_that_were_not_named_before_the_run_are_exploratory(tmp_path: Path) -> None:
    design = {"contrasts": ["semantic - scratch", "semantic - simclr"]}
    report = report_of(tmp_path, named=NAMED[:1], design=design)
    assert [one.contrast.name for one in report.differences] == ["semantic - scratch"]
    (table,) = report.tables
    names = [one.contrast.name for one in table.exploratory]
    assert names == ["semantic - simclr", f"{FLOOR} - scratch", "simclr - scratch", "organ - scratch"]


def test_all_strategies_are_compared_with_the_baseline(tmp_path: Path) -> None:
    report = report_of(tmp_path, named=[], design={"baseline": FLOOR, "contrasts": []})
    assert report.baseline == FLOOR
    assert [one.contrast.name for one in report.tables[0].exploratory] == [f"{name} - {FLOOR}" for name in LEVELS]


def test_a_baseline_that_is_not_run_gives_way_to_the_first(tmp_path: Path) -> None:
    assert report_of(tmp_path, ["simclr", "semantic"], named=[]).baseline == FLOOR


def test_a_strategy_alone_is_compared_with_the_coarse_map(tmp_path: Path) -> None:
    report = report_of(tmp_path, ["semantic"], named=[])
    assert [one.contrast.name for one in report.tables[0].exploratory] == [f"semantic - {FLOOR}"]


# claims


def claims(folder: Path, **changes: Any) -> str:
    return "\n".join(report_of(folder, **changes).claims())


def test_claims_name_the_contrasts_and_the_region_of_equivalence(tmp_path: Path) -> None:
    sentences = claims(tmp_path, design={"equivalence": 0.02})
    assert "Named before the run" in sentences
    assert "semantic - scratch, semantic - best(simclr, organ)." in sentences
    assert "Differences within 0.02 Dice count as equivalent." in sentences
    assert "Every run sees the label maps of its own patients alone, in every stage" in sentences
    assert "smallest that this study would have found with a chance of 80 %" in sentences


@pytest.mark.parametrize(
    ("changes", "sentence", "there"),
    [
        ({"seeds": 1}, "With one run the variation between runs is unknown", True),
        ({"seeds": 3}, "With fewer than 5 runs no p below 0.01 is reported", True),
        ({"seeds": 5}, "no p below", False),
        ({"seeds": 1}, "would have found with a chance of 80 %", False),
        ({"folds": 3}, "Patients of one fold share their networks", True),
        ({}, "Patients of one fold", False),
        ({"design": {"budget": 60}}, "Budgets are training seconds of a device", True),
        ({}, "Budgets are", False),
        ({"named": []}, "corrected together over all tables (Holm): none.", True),
    ],
)
def test_claims_name_what_they_rest_on(tmp_path: Path, changes: dict[str, Any], sentence: str, there: bool) -> None:
    assert (sentence in claims(tmp_path, **changes)) == there


def test_claims_say_whose_coarse_map_is_shown_where_there_are_several(tmp_path: Path) -> None:
    assert "The coarse map is that of" not in claims(tmp_path)
    mine = strategy_file(tmp_path / "x", "organ", "segment.batch_size: 3\n", "{segment: 0.6, train: 0.4}")
    sentence = "The coarse map is that of scratch. Other coarse networks, whose maps are not shown, begin organ;"
    assert sentence in claims(tmp_path / "y", names=["scratch", mine], named=[])


def test_no_p_of_few_seeds_is_below_a_hundredth(tmp_path: Path) -> None:
    few, many = report_of(tmp_path / "few", seeds=3), report_of(tmp_path / "many", seeds=5)
    assert all(one.p_corrected is not None and one.p_corrected >= 0.01 for one in few.differences)
    assert any(one.p_corrected is not None and one.p_corrected < 0.01 for one in many.differences)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"seeds": 1}, "6 cases of 6 patients (the cohort's own testing cases), 1 run of each strategy and split."),
        ({"seeds": 2, "folds": 3}, "6 cases of 6 patients (3 folds, each tested once), 2 runs of each strategy and "
                                   "split."),
    ],
)  # fmt: skip
def test_counts(tmp_path: Path, changes: dict[str, Any], counts: str) -> None:
    assert report_of(tmp_path, **changes).counts() == counts


@pytest.mark.parametrize(("seeds", "patients"), [(1, 1), (1, 6), (3, 1)])
def test_one_seed_or_one_patient_make_a_report_too(tmp_path: Path, seeds: int, patients: int) -> None:
    report_of(tmp_path, seeds=seeds, patients=patients).write()
    page = Page((tmp_path / "study" / "report.html").read_text())
    line, _ = page.lines("contrasts")
    assert (line["verdict"].startswith("undecided (one"), line["p"], line["95 % interval"]) == (True, "", "")
    assert "nan" not in page.text.lower()


def test_long_names_and_sweeps_make_a_report_too(tmp_path: Path) -> None:
    name = "a strategy of somebody else with a very long name temperature=0.05"
    mine = strategy_file(tmp_path / "x", name, "margin: 9\n")
    plan = made_plan(tmp_path, [mine, "semantic"])
    StudyReport(made_results(plan, LEVELS | {name: 0.4}), "ward", design_of(), NAMED[:1]).write()
    assert name in Page((tmp_path / "study" / "report.html").read_text()).text


def test_what_is_written_again_is_the_same(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    report.write()
    before = {path.name: path.read_bytes() for path in (tmp_path / "study").iterdir() if path.is_file()}
    report_of(tmp_path).write()
    assert {name: (tmp_path / "study" / name).read_bytes() for name in before} == before


# in a browser


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    opened = Opened(page)
    page.goto((written / "report.html").as_uri(), wait_until="load")
    yield opened
    page.close()


OPEN = "() => { for (const part of document.querySelectorAll('details')) part.open = true; }"


def test_the_page_says_nothing_to_the_console_and_asks_the_network_for_nothing(opened: Opened, written: Path) -> None:
    opened.page.evaluate(OPEN)
    for button in opened.page.locator("th button").all()[:60]:
        button.click()
    opened.page.wait_for_load_state("networkidle")
    assert opened.messages == []
    assert opened.requested == [(written / "report.html").as_uri()]


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_is_no_wider_than_the_window(opened: Opened, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 800})
    opened.page.evaluate(OPEN)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_link_leads_somewhere(opened: Opened) -> None:
    targets = opened.page.eval_on_selector_all("nav a", "links => links.map(link => link.getAttribute('href'))")
    assert len(targets) == 4 + 4
    assert all(opened.page.locator(target).count() == 1 for target in targets)


def test_tables_are_sorted_by_a_click(opened: Opened) -> None:
    page = opened.page
    page.evaluate(OPEN)
    heads = tables(page)
    # contrasts; organs, phases, cost, two contrasts by organ, exploratory and ranks of each cell; embeddings
    assert len(heads) == 4 + 4 * 7 + 1
    for table in (0, 4, 5, 6, 7, 9, 10, len(heads) - 1):
        for at in range(len(heads[table])):
            before = page.evaluate(KEYS, [table, at])
            for reverse in (False, True):
                page.evaluate(CLICK, [table, at])
                check_sorted(page.evaluate(KEYS, [table, at]), before, reverse)
