"""The report in a headless browser: no console output or requests, responsive, sortable, printable."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import numpy as np
import pytest

from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.evaluate.evaluation import Evaluation
from tests.conftest import write_nifti

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHAPE = (40, 24, 8)
ORGANS = (
    "left_lobe_of_the_liver",
    "spleen",
    "aorta",
    "right_adrenal_gland_with_surroundings",
    "gall_bladder",
    "<b>duct</b> & co",
)
TABLE = LabelTable(tuple(Organ(name, number + 1) for number, name in enumerate(ORGANS)), ("noncontrast", "portal"))
METHODS = ("attention", "predictions", "somebody_elses_network_of_last_year")
SECTIONS = {"words", "organs", "phases", "missed", "cases", "embeddings", "training", "runs"}
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 6" width="900pt" height="600pt"><circle r="3"/></svg>'
MANIFEST = {
    "stage": "train",
    "status": "completed",
    "started": "2026-01-02T03:04:05+00:00",
    "seconds": 754.2,
    "seed": 0,
    "cohort": "0123456789ab",
    "labels": "0123456789ab",
    "config_hash": "0123456789abcdef",
    "peak_memory": {"resident_mib": 1234},
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "changed": True},
    "versions": {"semcl": "0.1.0", "python": "3.11.2", "torch": "2.13.0+cpu", "monai": "1.6.1"},
}
# of a column: what each row is sorted by, None where it is blank
KEYS = """([table, at]) => [...document.querySelectorAll("table.sortable")[table].tBodies[0].rows].map(row => {
  const cell = row.cells[at], key = cell.dataset.key ?? cell.textContent.trim();
  return key === "" ? null : key;
})"""
CLICK = """([table, at]) => document.querySelectorAll("table.sortable")[table].querySelectorAll("thead th button")[at]
  .click()"""
STATES = """table => [...document.querySelectorAll("table.sortable")[table].tHead.rows[0].cells]
  .map(head => head.getAttribute("aria-sort"))"""


def label_map(scan: int, off: int) -> np.ndarray:
    """Boxes of the organs, ``off`` voxels from where they are; the fourth is on one scan alone, the last on two."""
    voxels = np.zeros(SHAPE, np.uint8)
    shown_on = {3: (2,), 5: (1, 4)}
    for organ in range(len(ORGANS)):
        if scan not in shown_on.get(organ, range(6)):
            continue
        low = 1 + 6 * organ + (off if organ not in (3, 4) else 0)  # these two are always right
        voxels[low : low + 5, 4 + organ : 12 + organ, 2:6] = organ + 1
    return voxels


def write_stages(folder: Path) -> None:
    """What the stages leave for the report: curves, a manifest, embeddings."""
    (folder / "curves").mkdir()
    (folder / "curves" / "train.csv").write_text("stage,run,epoch,loss\ntrain,1,1,0.5\ntrain,1,2,0.25\n")
    (folder / "jobs").mkdir()
    (folder / "jobs" / "train.json").write_text(json.dumps(MANIFEST))
    (folder / "embeddings").mkdir()
    (folder / "embeddings" / "map_by_organ.svg").write_text(SVG)
    lines = [
        {"title": "same organ x phase among the 10 nearest of other patients", "found": [0.25, 0.75, 0.125]},
        {"title": "collapse: similarity of the clusters' centroids", "found": [0.9, 0.5, None]},
    ]
    found = {
        "headline": "Of the 10 nearest queries of other patients this share shows the same organ: 0.25, 0.75.",
        "encoders": ["untrained", "pretrained", "chance"],
        "queries": 40,
        "measures": lines,
        "figures": ["map_by_organ"],
    }
    (folder / "embeddings" / "summary.json").write_text(json.dumps(found))


def write_cohort(folder: Path) -> list[Case]:
    """Six scans of six patients and what three methods make of them; the first misses a spleen."""
    cases = []
    for scan in range(6):
        name = f"scan{scan}"
        noise = np.random.default_rng(scan).normal(0, 80, SHAPE).astype(np.float32)
        image = write_nifti(folder / "images" / f"{name}.nii.gz", noise)
        label = write_nifti(folder / "labels" / f"{name}.nii.gz", label_map(scan, 0))
        for method, off in zip(METHODS, (2 + scan % 3, scan % 2, 3), strict=True):
            write_nifti(folder / method / f"{name}.nii.gz", label_map(scan, off))
        cases.append(Case(name, f"patient{scan}", TABLE.phases[scan % 2], image, label))
    missed = label_map(0, 0)
    missed[missed == 2] = 0
    write_nifti(folder / "attention" / "scan0.nii.gz", missed)
    return cases


def evaluate(cases: list[Case], folder: Path, methods: int, pictures: int) -> Path:
    """The report of the first ``methods`` methods."""
    folders = {method: str(folder / method) for method in METHODS[:methods]}
    Evaluation(cases, TABLE, folders, str(folder), [-160, 240], "<i>ward</i> & co", pictures=pictures).run()
    return folder / "report.html"


@pytest.fixture(scope="module", params=[2, 3], ids=["two methods", "three methods"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section."""
    folder = tmp_path_factory.mktemp("evaluated")
    cases = write_cohort(folder)
    write_stages(folder)
    return evaluate(cases, folder, request.param, 2)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; without it the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the report in a browser: needs playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("the report in a browser: needs chromium, chromium-browser or google-chrome on the path")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page, and what happened on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.messages: list[str] = []
        self.requested: list[str] = []
        page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.messages.append(f"uncaught: {error}"))
        page.on("request", lambda request: self.requested.append(request.url))


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    opened = Opened(page)
    page.goto(report.as_uri(), wait_until="load")
    yield opened
    page.close()


@pytest.fixture
def page(opened: Opened) -> Page:
    return opened.page


def number(key: str) -> float | str:
    try:
        return float(key)
    except ValueError:
        return key


def test_every_section_is_on_the_page(page: Page) -> None:
    assert {head.get_attribute("id") for head in page.query_selector_all("h2")} == SECTIONS
    assert page.locator("svg").count() >= 6
    assert page.locator("#worst img, figure.case img").count() == 2
    assert page.title().endswith("<i>ward</i> & co")


def test_the_page_logs_nothing_to_the_console(opened: Opened) -> None:
    page = opened.page
    page.evaluate("() => { for (const part of document.querySelectorAll('details')) part.open = true; }")
    for button in page.locator("th button").all():
        button.click()
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert opened.messages == []


def test_the_page_makes_no_network_request(opened: Opened, report: Path) -> None:
    opened.page.mouse.wheel(0, 20000)
    opened.page.wait_for_load_state("networkidle")
    assert {urlparse(url).scheme for url in opened.requested} <= {"file", "data"}
    assert [url for url in opened.requested if url.startswith("file:")] == [report.as_uri()]


def test_pictures_are_shown(page: Page) -> None:
    sizes = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    assert len(sizes) == 2  # the worst one opens the page
    assert min(sizes) > 100


@pytest.mark.parametrize("unfolded", [False, True], ids=["as opened", "everything unfolded"])
@pytest.mark.parametrize("width", [390, 768, 1200])
def test_the_page_is_no_wider_than_the_window(page: Page, width: int, unfolded: bool) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    if unfolded:
        page.evaluate("() => { for (const part of document.querySelectorAll('details')) part.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_link_leads_somewhere(page: Page) -> None:
    targets = page.eval_on_selector_all("nav a", "links => links.map(link => link.getAttribute('href'))")
    assert {target.lstrip("#") for target in targets} == SECTIONS
    for target in targets:
        assert target.startswith("#")
        assert page.locator(target).count() == 1


# sorting


def tables(page: Page) -> list[list[str]]:
    """Heads of the tables that can be sorted."""
    script = "tables => tables.map(table => [...table.tHead.rows[0].cells].map(head => head.textContent.trim()))"
    found: list[list[str]] = page.eval_on_selector_all("table.sortable", script)
    return found


def check_sorted(keys: list[str | None], before: list[str | None], reverse: bool) -> None:
    """Blank cells last, the others in order: as numbers where they are."""
    filled = [key for key in keys if key is not None]
    assert keys == filled + [None] * (len(keys) - len(filled))
    assert sorted(map(str, keys)) == sorted(map(str, before))
    values = [number(key) for key in filled]
    if all(isinstance(value, float) for value in values):
        assert values == sorted(values, reverse=reverse)
    else:
        words = [str(value).lower() for value in values]
        assert words[0] == (max if reverse else min)(words)
        assert words[-1] == (min if reverse else max)(words)


def test_a_click_on_a_head_sorts_and_another_one_reverses(page: Page) -> None:
    heads = tables(page)
    assert len(heads) == 5 + 2 + 5 + 1  # a metric each; spread and range, over all voxels; phases by metric; missed
    blank = 0
    for table, names in enumerate(heads):
        for at in range(len(names)):
            before = page.evaluate(KEYS, [table, at])
            blank += None in before and len(set(before)) > 2
            for state, reverse in (("ascending", False), ("descending", True), ("ascending", False)):
                page.evaluate(CLICK, [table, at])
                check_sorted(page.evaluate(KEYS, [table, at]), before, reverse)
                assert page.evaluate(STATES, table) == [state if one == at else None for one in range(len(names))]
    assert blank >= 3 * 5  # interval, p (Holm) and p of each metric


def test_numbers_are_not_sorted_as_words(page: Page) -> None:
    heads = tables(page)
    means = next(at for at, names in enumerate(heads) if "lowest" in names)
    column = heads[means].index("highest")
    page.evaluate(CLICK, [means, column])
    keys = page.evaluate(KEYS, [means, column])
    assert keys != sorted(keys)  # 10.0 would come before 9.0
    assert [float(key) for key in keys] == sorted(float(key) for key in keys)


def test_rows_are_moved_whole(page: Page) -> None:
    rows = "() => [...document.querySelectorAll('table.sortable')[0].tBodies[0].rows].map(row => row.textContent)"
    before = page.evaluate(rows)
    page.evaluate(CLICK, [0, tables(page)[0].index("difference")])
    after = page.evaluate(rows)
    assert sorted(after) == sorted(before)
    assert after != before


def test_a_head_can_be_clicked_and_reached_by_keyboard(page: Page) -> None:
    head = page.locator("#missed ~ .wide table.sortable th").first
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"


# paper


def test_details_are_unfolded_before_printing(page: Page) -> None:
    closed = "document.querySelectorAll('details:not([open])').length"
    assert page.evaluate(closed) > 0
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(closed) == 0


def test_nothing_is_cut_off_in_print(page: Page) -> None:
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 794, "height": 1123})  # A4 at 96 dots an inch
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    script = """parts => parts.map(part => [part.tagName, part.getBoundingClientRect()])
      .filter(([, box]) => box.right > 794.5 || box.left < -0.5)
      .map(([name, box]) => `${name} ${box.left} ${box.right}`)"""
    assert page.eval_on_selector_all("table, td, th, img, svg, p, figcaption", script) == []
    clipped = """parts => parts.filter(part => getComputedStyle(part).overflowX !== "visible"
      && part.scrollWidth > part.clientWidth + 1).map(part => part.className)"""
    assert page.eval_on_selector_all(".wide", clipped) == []


def test_the_page_can_be_printed(page: Page) -> None:
    printed: bytes = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 1


def test_the_page_is_unchanged_after_printing(page: Page) -> None:
    before: Any = page.evaluate("document.body.textContent")
    page.pdf(format="A4")
    page.emulate_media(media="screen")
    assert page.evaluate("document.body.textContent") == before


# what needs no browser, but a cohort like this one


def test_an_organ_of_a_single_patient_that_got_better_is_reported(tmp_path: Path) -> None:
    cases = write_cohort(tmp_path)
    better = label_map(2, 0)
    worse = better.copy()
    worse[20:, :, :][better[20:] == 4] = 0
    worse[19:22, 7:15, 2:6] = 4
    write_nifti(tmp_path / "attention" / "scan2.nii.gz", worse)
    write_nifti(tmp_path / "predictions" / "scan2.nii.gz", better)
    html = evaluate(cases, tmp_path, 2, 0).read_text()
    assert "right adrenal gland with surroundings" in html
    summary = json.loads((tmp_path / "summary.json").read_text())
    line = next(line for line in summary["comparisons"] if line["organ"] == ORGANS[3] and line["metric"] == "dice")
    assert (line["patients"], line["difference"] > 0) == (1, True)
