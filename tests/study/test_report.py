"""The report of a study: claims, files and page; in a browser silent, as wide as its window, sortable."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.study.cells import parse_cells
from scripts.study.report import StudyReport
from scripts.study.results import Results
from scripts.study.strategy import find_strategies
from tests.evaluate.made import Page
from tests.evaluate.test_browser import CLICK, KEYS, Opened, browser, check_sorted, tables
from tests.study.made import BUNDLE, made_plan, made_results, strategy_of

__all__ = ["browser"]
LEVELS = {"scratch": 0.3, "simclr": 0.5, "organ": 0.6, "semantic": 0.8}
NAME = "<i>ward</i> & co"


def results_of(folder: Path, names: tuple[str, ...] = tuple(LEVELS), patients: int = 6, **changes: object) -> Results:
    plan = made_plan(folder, strategies=tuple(find_strategies(names, BUNDLE)), **changes)
    return made_results(plan, LEVELS, patients)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of four strategies, two protocols and two shares of labels."""
    folder = tmp_path_factory.mktemp("study")
    StudyReport(results_of(folder, cells=parse_cells(["frozen", "tuned"], ["10%", "100%"]), seeds=3), NAME, 0).write()
    return folder / "study"


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page((written / "report.html").read_text())


def test_everything_is_written(written: Path) -> None:
    names = {path.name for path in written.iterdir() if path.is_file()}
    tables = {"tables.tex", "tables.md", "results.csv", "rows.csv"}
    assert names == {"report.html", "summary.json", "strategies.svg", *tables}
    assert (written / "tables.tex").read_text().count("\\begin{tabular}") == 4
    with open(written / "results.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * 3 * 5  # cells, organs and all of them, methods
    with open(written / "rows.csv", newline="") as file:
        assert (
            len(list(csv.DictReader(file))) == 4 * 3 * 5 * 11 * 5
        )  # cells, seeds, methods, organs of patients, metrics


def test_the_summary_holds_the_page_s_numbers(written: Path, page: Page) -> None:
    content = json.loads((written / "summary.json").read_text())
    assert content["counts"] in page.text
    assert all(sentence in page.text for sentence in content["claims"])
    for number, table in enumerate(content["tables"], start=1):
        assert table["words"] in page.text
        for line, there in zip(table["organs"], page.lines(f"table{number}"), strict=True):
            assert there["Organ"] == line["organ"].replace("_", " ")
            for method, (mean, sd) in line["found"].items():
                assert there[method] == f"{mean:.3f} ± {sd:.3f}"
            assert there["patients"] == str(line["patients"])


def test_every_strategy_is_described(page: Page) -> None:
    for strategy in find_strategies(list(LEVELS), BUNDLE):
        assert strategy.about in page.text


def test_costs_and_embeddings_are_on_the_page(page: Page) -> None:
    costs = {line["strategy"]: line for line in page.lines("cost")}
    assert list(costs) == list(LEVELS)
    assert (costs["scratch"]["pretraining (s)"], costs["simclr"]["pretraining (s)"]) == ("0.0", "10.0")
    same, rank = page.lines("embeddings")
    assert list(same) == ["measure", "untrained", "simclr", "organ", "semantic"]
    assert (same["untrained"], same["semantic"]) == ("0.250", "0.750")
    assert (rank["untrained"], rank["semantic"]) == ("0.500", "")


def test_names_are_escaped(page: Page) -> None:
    assert NAME in page.text
    assert "i" not in page.tags


def test_a_study_without_embeddings_has_no_such_section(tmp_path: Path) -> None:
    StudyReport(results_of(tmp_path, ("scratch",)), "ward", 0).write()
    page = Page((tmp_path / "study" / "report.html").read_text())
    assert "embeddings" not in page.values("id")
    assert "#embeddings" not in page.values("href")
    assert "1 training strategy: ward" in page.text


# claims


def claims(folder: Path, folds: int = 0, **changes: object) -> str:
    return "\n".join(StudyReport(results_of(folder, **changes), "ward", folds).claims())


def test_claims_count_runs_and_differences(tmp_path: Path) -> None:
    sentences = claims(tmp_path, seeds=5)
    assert "t-test over seeds and patients" in sentences
    assert "calls 100% of the single runs here significant (p < 0.05); 4 of 4 differences hold" in sentences
    assert "known only roughly" not in sentences


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": 1}, "With one seed the variation between training runs is unknown"),
        ({"seeds": 3}, "With 3 seeds the variation between training runs is known only roughly"),
        ({"cells": parse_cells(["frozen"], ["10%"])}, "The coarse maps come from all labelled cases"),
    ],
)
def test_claims_name_what_they_rest_on(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    assert sentence in claims(tmp_path, **changes)


def test_claims_of_folds(tmp_path: Path) -> None:
    sentences = claims(tmp_path, folds=3)
    assert "Training sets of folds overlap" in sentences
    assert "The coarse maps come from all labelled cases" in sentences


def test_a_strategy_alone_is_compared_with_the_coarse_map(tmp_path: Path) -> None:
    assert "1 of 1 differences hold" in claims(tmp_path, names=("semantic",), seeds=5)


@pytest.mark.parametrize(
    ("seeds", "folds", "counts"),
    [
        (1, 0, "6 cases of 6 patients (the cohort's own testing cases), 1 training run of each strategy and split."),
        (2, 5, "6 cases of 6 patients (5 folds, each tested once), 2 training runs of each strategy and split."),
    ],
)
def test_counts(tmp_path: Path, seeds: int, folds: int, counts: str) -> None:
    assert StudyReport(results_of(tmp_path, seeds=seeds), "ward", folds).counts() == counts


@pytest.mark.parametrize(("seeds", "patients"), [(1, 1), (1, 6), (3, 1)])
def test_one_seed_or_one_patient_make_a_report_too(tmp_path: Path, seeds: int, patients: int) -> None:
    report = StudyReport(results_of(tmp_path, seeds=seeds, patients=patients), "ward", 0)
    report.write()
    page = Page((tmp_path / "study" / "report.html").read_text())
    (line, *_) = page.lines("table1")
    assert line["semantic against next best, p"] == ""
    assert "nan" not in page.text.lower()


def test_long_names_and_sweeps_make_a_report_too(tmp_path: Path) -> None:
    name = "a strategy of somebody else with a very long name/temperature=0.05"
    strategies = (strategy_of(tmp_path / "x", "short", "temperature: 0.2"), *find_strategies(["semantic"], BUNDLE))
    plan = made_plan(tmp_path, strategies=tuple(strategies))
    object.__setattr__(plan.strategies[0], "name", name)
    StudyReport(made_results(plan, LEVELS | {name: 0.4}), "ward", 0).write()
    assert name in Page((tmp_path / "study" / "report.html").read_text()).text


# in a browser


@pytest.fixture
def opened(browser: object, written: Path) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    opened = Opened(page)
    page.goto((written / "report.html").as_uri(), wait_until="load")
    yield opened
    page.close()


def test_the_page_says_nothing_to_the_console_and_asks_the_network_for_nothing(opened: Opened, written: Path) -> None:
    opened.page.evaluate("() => { for (const part of document.querySelectorAll('details')) part.open = true; }")
    for button in opened.page.locator("th button").all():
        button.click()
    opened.page.wait_for_load_state("networkidle")
    assert opened.messages == []
    assert opened.requested == [(written / "report.html").as_uri()]


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_is_no_wider_than_the_window(opened: Opened, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 800})
    opened.page.evaluate("() => { for (const part of document.querySelectorAll('details')) part.open = true; }")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_link_leads_somewhere(opened: Opened) -> None:
    targets = opened.page.eval_on_selector_all("nav a", "links => links.map(link => link.getAttribute('href'))")
    assert len(targets) == 4 + 4
    assert all(opened.page.locator(target).count() == 1 for target in targets)


def test_tables_are_sorted_by_a_click(opened: Opened) -> None:
    page = opened.page
    heads = tables(page)
    assert (
        len(heads) == 4 * (2 + 2 + 1 + 3) + 2
    )  # organs, phases, against scratch by phase, next and scratch; cost, embeddings
    for table in (0, 1, 2, len(heads) - 2, len(heads) - 1):
        for at in range(len(heads[table])):
            before = page.evaluate(KEYS, [table, at])
            for reverse in (False, True):
                page.evaluate(CLICK, [table, at])
                check_sorted(page.evaluate(KEYS, [table, at]), before, reverse)
