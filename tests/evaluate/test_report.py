"""The report: self-contained, in agreement with the summary, with the results of other stages."""

import json
import re
from pathlib import Path

import pytest

from scripts.evaluate.report import Report, read_checks, read_curves, read_embeddings, read_runs
from scripts.evaluate.rows import Row
from scripts.evaluate.summary import Summary
from tests.evaluate.made import NAME, Page, every_metric, rows_of

ORGANS = ("left_lobe", "<b>duct</b> & co")
METHODS = ("coarse", "refined")
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>a map</text></svg>'
GAINS = [(0.5 + 0.01 * number, 0.6 + 0.02 * number) for number in range(7)]
SAME = [(0.75, 0.75)] * 7
PICTURE = {"title": "scan <1>: mean Dice 0.100", "shows": "image", "picture": "data:image/png;base64,AAAA"}
RUN = {
    "stage": "train", "status": "completed", "started": "2026-01-02T03:04:05+00:00", "seconds": 90.0, "seed": 7,
    "peak_memory": {"resident_mib": 1234}, "config_hash": "c0ffee", "cohort": "beef", "machine": {"cores": 2},
    "versions": {"semcl": "1.2", "python": "3.11", "torch": "2.9", "monai": None, "itk": "5.4"},
    "git": {"commit": "0123456789abcdef", "changed": True},
}  # fmt: skip


def summary_of(methods: tuple[str, ...] = METHODS) -> Summary:
    """Seven patients; the lobe gains, the duct stays, and is missing in one more scan, where it is a false positive."""
    rows = every_metric(ORGANS[0], GAINS) + every_metric(ORGANS[1], SAME, "noncontrast")
    rows += [Row("scan9", "patient6", ORGANS[1], "portal", "refined", "false_positive_ml", 2.5)]
    kept = [row for row in rows if row.method in methods]
    return Summary(kept, methods, ORGANS, ("noncontrast", "portal"))


def report_in(folder: Path, summary: Summary | None = None) -> Report:
    report = Report(summary or summary_of(), NAME, "8 cases of 7 patients.", folder, "2 mm")
    report.legend = report.colours(ORGANS)
    return report


def page_in(folder: Path, summary: Summary | None = None, *pictures: dict[str, str]) -> Page:
    report = report_in(folder, summary)
    report.pictures = list(pictures)
    report.write()
    return Page((folder / "report.html").read_text())


def write_run(folder: Path, stage: str, **changed: object) -> None:
    (folder / "jobs").mkdir(exist_ok=True)
    (folder / "jobs" / f"{stage}.json").write_text(json.dumps(RUN | {"stage": stage} | changed))


def write_embeddings(folder: Path) -> None:
    (folder / "embeddings").mkdir()
    found = {
        "headline": "Neighbours are of one organ: <0.5> before.", "encoders": ["random", "pretrained", "chance"],
        "measures": [
            {"title": "purity & co", "found": [0.25, 0.75, 0.125]}, {"title": "spread", "found": [1, 2, None]},
        ],
        "figures": ["map_pretrained"],
    }  # fmt: skip
    (folder / "embeddings" / "summary.json").write_text(json.dumps(found))
    (folder / "embeddings" / "map_pretrained.svg").write_text(SVG)


def write_calibration(folder: Path, made_of: str) -> None:
    raw = {"ece": 0.1234, "brier": 0.05, "reliability": [[0.1, 0.2, 30], [0.9, 0.7, 10]]}
    judged = {"raw": raw, "calibrated": raw | {"ece": 0.0123}}
    quality = {"all organs": judged, "left_lobe": judged, "<b>duct</b> & co": {"raw": {}, "calibrated": {}}}
    (folder / "models").mkdir()
    (folder / "models" / "model.calibration.json").write_text(json.dumps({"made_of": made_of, "quality": quality}))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything that can be shown."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "curves").mkdir()
    (folder / "curves" / "coarse.csv").write_text("stage,run,epoch,loss\ncoarse,1,1,2.5\ncoarse,1,2,1.5\n")
    for stage in ("train", "coarse", "evaluate"):
        write_run(folder, stage)
    write_run(folder, "embed", git=None, seconds=None, peak_memory=None, status="running")
    write_embeddings(folder)
    write_calibration(folder, "training queries")
    page_in(folder, None, PICTURE)
    return folder


@pytest.fixture(scope="module")
def html(full: Path) -> str:
    return (full / "report.html").read_text()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_needs_nothing_but_itself(html: str, page: Page) -> None:
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for attribute in ("src", "href", "xlink:href", "srcset", "poster", "data"):
        assert [part for part in page.values(attribute) if not part.startswith(("data:image/png;base64,", "#"))] == []
    assert "@import" not in html
    assert re.findall(r"url\((?!#)", html) == []
    assert "fetch(" not in html


def test_the_page_has_one_script_of_its_own(page: Page) -> None:
    assert page.tags.count("script") == 1
    assert [name for tag, name, _ in page.attributes if tag == "script"] == []
    assert [name for _, name, _ in page.attributes if name.startswith("on")] == []


def test_every_tag_is_closed_and_every_link_of_the_page_leads_somewhere(page: Page) -> None:
    assert page.open == []
    assert "img" in page.tags
    links = [value for tag, name, value in page.attributes if tag == "a" and name == "href"]
    sections = ("words", "organs", "phases", "missed", "calibration", "cases", "embeddings", "training", "runs")
    assert links == [f"#{name}" for name in ("worst", *sections, "worst")]
    assert [link for link in links if link[1:] not in page.values("id")] == []


def test_the_page_states_cases_patients_and_tests(page: Page) -> None:
    for words in (
        f"coarse and refined: {NAME}", f"SemCL report: {NAME}", "8 cases of 7 patients.",
        "within tolerance of the other (2 mm)", "Two-sided Wilcoxon signed-rank test",
        "Research software, not a medical device",
    ):  # fmt: skip
        assert words in page.text


def test_names_are_escaped(html: str, page: Page) -> None:
    assert not {"i", "b"} & set(page.tags) - {"i"}
    assert page.tags.count("i") == len(ORGANS)  # the squares of the legend
    assert "<b>" not in html
    assert "<i>ward" not in html
    for words in ("<b>duct</b> & co", "scan <1>: mean Dice 0.100", "purity & co", "<0.5> before"):
        assert words in page.text
    assert "scan <1>: mean Dice 0.100: image" in page.values("alt")


@pytest.mark.parametrize("methods", [METHODS, METHODS[:1]], ids=["two methods", "one"])
def test_the_page_prints_no_missing_value(tmp_path: Path, methods: tuple[str, ...]) -> None:
    write_run(tmp_path, "train", git=None, seconds=None, peak_memory=None)
    write_embeddings(tmp_path)
    page = page_in(tmp_path, summary_of(methods))
    bare = [*page.words, *(value for _, _, value in page.attributes)]
    assert [part for part in bare if re.search(r"\b(?:[nN]a[nN]|inf|Infinity|None|undefined)\b", part)] == []


def test_single_patients_leave_cells_empty(tmp_path: Path) -> None:
    line = page_in(
        tmp_path, Summary(every_metric("left_lobe", [(0.5, 0.5)]), METHODS, ("left_lobe",), ("portal",))
    ).lines("organs")[0]
    assert (line["95 % interval"], line["p"], line["p (corrected)"], line["p (permutation)"]) == ("", "", "", "")
    assert (line["difference"], line["patients"]) == ("+0.000", "1")
    assert line["verdict"] == "undecided (one patient: variation between patients unknown)"
    page = Page((tmp_path / "report.html").read_text())
    phases, means = page.lines("phases"), page.lines("organs", 5)
    assert {(of["SD"], of["mean"]) for of in (phases[0], means[0])} == {("", "0.500")}


def test_comparisons_have_one_table_per_metric(page: Page) -> None:
    summary = summary_of()
    assert len(page.tables["organs"]) == 5 + 1  # and the means
    for number, (metric, form) in enumerate({"dice": ".3f", "iou": ".3f", "nsd": ".3f", "hd95": ".1f"}.items()):
        expected = [line for line in summary.content()["comparisons"] if line["metric"] == metric]
        lines = page.lines("organs", number)
        assert [line["organ"] for line in lines] == ["all organs", "left lobe", "<b>duct</b> & co"]
        for line, values in zip(lines, expected, strict=True):
            assert line["coarse"] == f"{values['first']:{form}}"
            assert line["refined"] == f"{values['second']:{form}}"
            assert line["difference"] == f"{values['difference']:+{form}}"
            assert line["95 % interval"] == f"{values['low']:+{form}} to {values['high']:+{form}}"
            assert line["effect"] == f"{values['effect']:+.2f}"
            assert (line["verdict"], line["patients"]) == (values["verdict"], "7")
    lobe, duct = page.lines("organs")[1:]
    assert (lobe["p"], lobe["p (corrected)"], lobe["p (permutation)"]) == ("0.016", "0.016", "0.016")
    assert (duct["p"], duct["p (corrected)"], duct["p (permutation)"]) == ("", "", "")


def test_small_p_are_not_printed_as_0(tmp_path: Path) -> None:
    gains = [(0.3, 0.4 + 0.01 * number) for number in range(13)]
    summary = Summary(every_metric("left_lobe", gains), METHODS, ("left_lobe",), ("portal",))
    assert page_in(tmp_path, summary).lines("organs")[0]["p"] == "< 0.001"


def test_differences_are_coloured_by_which_way_is_better(html: str) -> None:
    """Dice rises and HD95 falls: both are good."""
    classes = re.findall(r'<td class="(good|bad|)">([+-][\d.]+)</td>', html)
    assert {way for way, value in classes if float(value) != 0} == {"good"}
    assert {value[0] for way, value in classes if way == "good"} == {"+", "-"}
    assert {way for way, value in classes if float(value) == 0} == {""}


def test_means_phases_and_what_was_missed_have_tables(page: Page) -> None:
    means = {(line["organ"], line["metric"], line["method"]): line for line in page.lines("organs", 5)}
    assert means["left lobe", "Dice", "coarse"]["mean"] == "0.530"
    assert means["left lobe", "HD95 (mm)", "coarse"]["mean"] == "18.8"
    phases = {(line["phase"], line["method"]): line for line in page.lines("phases")}  # of Dice
    assert phases["portal", "coarse"]["mean"] == "0.530"
    assert (phases["portal", "coarse"]["cases"], phases["portal", "coarse"]["patients"]) == ("7", "7")
    assert phases["noncontrast", "refined"]["mean"] == "0.750"
    hd95 = {(line["phase"], line["method"]): line for line in page.lines("phases", 3)}
    assert hd95["portal", "coarse"]["mean"] == "18.8"
    missed = page.lines("missed")
    assert [tuple(line.values()) for line in missed] == [
        ("<b>duct</b> & co", "refined", "7", "0", "1", "1", "2.5", "0.933"),  # where there is nothing, there is no row
    ]


def test_tables_of_results_can_be_sorted(page: Page) -> None:
    assert page.values("class").count("sortable") == 5 + 1 + 5 + 1 + 1
    assert sum(len(tables) for name, tables in page.tables.items() if name in ("runs", "embeddings")) == 2
    keys = [value for value in page.values("data-key") if value]
    assert keys
    assert [float(key) for key in keys]


def test_one_method_has_no_comparison(tmp_path: Path) -> None:
    page = page_in(tmp_path, summary_of(METHODS[:1]))
    assert f"coarse: {NAME}" in page.text
    assert len(page.tables["organs"]) == 1
    assert "verdict" not in page.text
    assert page.tags.count("svg") == 4
    assert "Every organ that is present was found" in " ".join(page.text.split())


def test_three_methods_are_named_in_each_line(tmp_path: Path) -> None:
    methods = ("one", "<b>two", "three")
    values = [(0.5, 0.25, 0.75), (0.75, 0.25, 1.0)]
    rows = [row for name in ("dice", "hd95", "nsd") for row in rows_of("left_lobe", values, methods, metric=name)]
    page = page_in(tmp_path, Summary(rows, methods, ("left_lobe",), ("portal",)))
    assert f"3 segmentations: {NAME}" in page.text
    lines = page.lines("organs")
    assert [(line["compared"], line["one"], line["the other"]) for line in lines] == [
        ("<b>two", "0.625", "0.250"), ("<b>two", "0.625", "0.250"),
        ("three", "0.625", "0.875"), ("three", "0.625", "0.875"),
    ]  # fmt: skip


def test_of_three_methods_the_second_is_paired_with_the_first(tmp_path: Path) -> None:
    methods = ("one", "two", "three")
    values = [(0.5, 0.25, 0.75), (0.75, 0.25, 1.0)]
    rows = [row for name in ("dice", "hd95", "nsd") for row in rows_of("left_lobe", values, methods, metric=name)]
    summary = Summary(rows, methods, ("left_lobe",), ("portal",))
    figures = report_in(tmp_path, summary).figures()
    pairs = {name: svg for name, svg in figures.items() if "_pairs_" in name}
    assert len(pairs) == 4
    assert [name for name, svg in pairs.items() if ">two<" not in svg or ">three<" in svg] == []
    assert ">three<" in figures["dice_by_organ"]
    page = page_in(tmp_path, summary, PICTURE)
    assert "the axial slice on which two differs most from the ground truth" in page.text


def test_sections_are_there_when_there_is_something_to_show(tmp_path: Path, page: Page) -> None:
    assert set(page.tables) == {"organs", "phases", "missed", "calibration", "embeddings", "runs"}
    bare = page_in(tmp_path)
    assert {"organs", "phases"} <= set(bare.tables)
    assert not {"cases", "calibration", "training", "runs", "embeddings"} & set(bare.values("id"))
    assert (page.tags.count("svg"), bare.tags.count("svg")) == (9 + 3, 9)


def test_runs_are_listed_in_the_order_of_the_stages(page: Page) -> None:
    coarse, train, embed = page.lines("runs")
    assert (coarse["stage"], train["stage"], embed["stage"]) == ("coarse", "train", "embed")
    assert tuple(train.values()) == (
        "train", "completed", "2026-01-02T03:04:05+00:00", "1.5", "1234", "7", "c0ffee", "beef", "0123456789, changed",
        train["versions"],
    )  # fmt: skip
    assert re.fullmatch(r"\s*semcl 1\.2,? *torch 2\.9,? *", train["versions"])
    assert (embed["minutes"], embed["memory (MiB)"], embed["code"]) == ("0.0", "", "")


def test_embeddings_are_reported_with_their_figures(page: Page) -> None:
    assert page.tables["embeddings"] == [
        [["measure", "random", "pretrained", "chance"], ["purity & co", "0.250", "0.750", "0.125"],
         ["spread", "1.000", "2.000", ""]],
    ]  # fmt: skip
    assert "a map" in page.text


def test_calibration_is_reported_before_and_after(page: Page, tmp_path: Path) -> None:
    (every, lobe) = page.lines("calibration")
    assert (every["organ"], lobe["organ"]) == ("all organs", "left lobe")
    assert (lobe["ECE network"], lobe["ECE calibrated"], lobe["Brier network"]) == ("0.1234", "0.0123", "0.0500")
    assert "fitted to training queries: patients that the network was trained on" in page.text
    write_calibration(tmp_path, "queries of held-out patients")
    held_out = page_in(tmp_path).text
    assert "fitted to queries of held-out patients." in held_out
    assert "network: ECE 0.123" in held_out


def test_figures_are_written_beside_the_page_and_embedded_in_it(full: Path, html: str) -> None:
    written = {path.stem: path.read_text() for path in (full / "figures").iterdir()}
    pairs = {f"{metric}_pairs_by_{group}" for metric in ("dice", "hd95") for group in ("organ", "phase")}
    assert set(written) == pairs | {name.replace("_pairs", "") for name in pairs} | {
        "training",
        "forest",
        "reliability",
    }
    assert [name for name, figure in written.items() if figure.strip() not in html] == []


def test_an_organ_nobody_has_is_in_no_figure(tmp_path: Path) -> None:
    summary = Summary(every_metric("left_lobe", GAINS), METHODS, ("left_lobe", "right_lobe"), ("portal", "arterial"))
    figures = report_in(tmp_path, summary).figures()
    assert [name for name, svg in figures.items() if "right lobe" in svg or "arterial" in svg] == []
    assert [name for name, svg in figures.items() if "left lobe" in svg] == [
        "dice_by_organ", "dice_pairs_by_organ", "hd95_by_organ", "hd95_pairs_by_organ", "forest",
    ]  # fmt: skip


def test_organs_have_the_colours_of_the_pictures(page: Page, full: Path) -> None:
    legend = report_in(full).legend
    assert [name for name, _ in legend] == list(ORGANS)
    assert [value for value in page.values("style") if value.startswith("background:")] == [
        f"background:{colour}" for _, colour in legend
    ]


def test_validations_are_read_by_stage_and_metric(tmp_path: Path) -> None:
    (tmp_path / "train_validation.csv").write_text("epoch,val_mean_dice\n5,0.5\n10,0.625\n")
    (tmp_path / "pretrain_validation.csv").write_text("damaged")
    assert read_checks(tmp_path) == {"train": {"val_mean_dice": [(5, 0.5), (10, 0.625)]}}


def test_curves_are_read_by_stage_and_run(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("stage,run,epoch,loss\ntrain,1,1,0.75\n")
    (tmp_path / "coarse.csv").write_text(
        "stage,run,epoch,loss\ncoarse,1,1,3.0\ncoarse,1,2,2.0\ncoarse,2,1,2.5\ncoarse,2,2,1.0\n"
    )
    (tmp_path / "other.csv").write_text("stage,run,epoch,loss\nother,1,1,9.0\n")
    curves = read_curves(tmp_path)
    assert list(curves.items()) == [("coarse", [[3.0, 2.0], [2.5, 1.0]]), ("train", [[0.75]])]


def test_missing_results_of_stages_are_not_read(tmp_path: Path) -> None:
    assert read_curves(tmp_path / "nowhere") == {}
    assert read_runs(tmp_path / "nowhere") == []
    assert read_embeddings(tmp_path / "nowhere") is None
