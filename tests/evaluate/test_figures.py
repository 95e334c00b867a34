"""Figures: positions of marks, and reproducible bytes."""

import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest

from scripts.evaluate.figures import (
    BETTER,
    COLOURS,
    WORSE,
    box_figure,
    curves_figure,
    figure_text,
    forest_figure,
    paired_figure,
)
from scripts.evaluate.metrics import BY_NAME
from scripts.evaluate.statistics import ALL, Comparison

SVG = "{http://www.w3.org/2000/svg}"
DICE, HD95 = BY_NAME["dice"], BY_NAME["hd95"]
PAIRS = {
    "liver": np.array([(0.5, 0.75), (0.25, 1.0), (0.125, 0.5)]),
    "left_kidney": np.array([(0.375, 0.0), (0.875, 0.625)]),
}
GROUPS = {organ: dict(zip(("coarse", "refined"), pairs.T, strict=True)) for organ, pairs in PAIRS.items()}
CURVES = {"coarse": [[3.0, 2.0, 1.5], [2.5, 2.25, 0.5]], "pretrain": [[4.0, 1.0]]}
METHODS = ("coarse", "refined")


def groups(svg: str, name: str) -> list[ElementTree.Element]:
    """Groups of an SVG that matplotlib calls ``name``_1, ``name``_2, ... in order."""
    return [group for group in ElementTree.fromstring(svg).iter(f"{SVG}g") if group.get("id", "").startswith(name)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def points(path: ElementTree.Element) -> np.ndarray:
    """Corners (N, 2) of a path."""
    return np.array(re.findall(r"[ML] (\S+) (\S+)", path.get("d", "")), float)


def medians(svg: str) -> np.ndarray:
    """Places (N, 2) of the medians of boxes."""
    paths = [path for group in groups(svg, "line2d") for path in group.iter(f"{SVG}path")]
    return np.array([points(path).mean(0) for path in paths if "stroke: #212529" in path.get("style", "")])


def boxes(svg: str) -> list[str]:
    """Colours of the boxes, in order."""
    styles = [path.get("style", "") for group in groups(svg, "patch") for path in group.iter(f"{SVG}path")]
    return [re.findall("fill: (#\\w+)", style)[0] for style in styles if "opacity: 0.55" in style]


def along(values: Sequence[float], heights: Sequence[float]) -> None:
    """That heights are values on one scale that goes up."""
    slope, start = np.polyfit(values, heights, 1)
    assert slope < 0
    np.testing.assert_allclose(heights, np.multiply(values, slope) + start, atol=1e-3)


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda: paired_figure(PAIRS, METHODS, DICE), id="pairs"),
        pytest.param(lambda: box_figure(GROUPS, DICE), id="boxes"),
        pytest.param(lambda: curves_figure(CURVES), id="curves"),
    ],
)
def test_an_svg_is_reproducible_and_has_no_time_stamp(draw: Callable[[], str]) -> None:
    once = draw()
    assert once.startswith("<svg")
    assert once == draw()
    assert "date" not in once
    assert not re.search(r"20\d\d-\d\d-\d\d", once)


def test_figures_are_closed() -> None:
    paired_figure(PAIRS, METHODS, DICE)
    box_figure(GROUPS, HD95)
    curves_figure(CURVES)
    assert plt.get_fignums() == []


def test_there_is_one_point_per_patient_at_its_dice_and_a_bar_at_the_mean() -> None:
    svg = paired_figure(PAIRS, METHODS, DICE)
    columns = [column for pairs in PAIRS.values() for column in pairs.T]
    marks = [[float(use.get("y")) for use in group.iter(f"{SVG}use")] for group in groups(svg, "PathCollection")]
    assert [len(heights) for heights in marks] == [len(column) for column in columns]
    bars = [points(path)[:, 1] for group in groups(svg, "LineCollection") for path in group.iter(f"{SVG}path")]
    means = [[column.mean()] * 2 for column in columns]
    along(np.concatenate([*columns, *means]), np.concatenate([*marks, *bars]))


def test_one_line_per_patient_joins_its_two_values() -> None:
    svg = paired_figure(PAIRS, METHODS, DICE)
    paths = [path for group in groups(svg, "line2d") for path in group.iter(f"{SVG}path")]
    lines = np.array([points(path) for path in paths if "stroke: #adb5bd" in path.get("style", "")])
    assert lines.shape == (5, 2, 2)
    assert (lines[:, 0, 0] < lines[:, 1, 0]).all()
    along(np.concatenate(list(PAIRS.values())).ravel(), lines[..., 1].ravel())


def test_there_is_one_box_per_group_and_method_with_its_median() -> None:
    svg = box_figure(GROUPS, DICE)
    expected = [np.median(GROUPS[organ][method]) for method in METHODS for organ in GROUPS]
    found = medians(svg)
    along(expected, found[:, 1])
    assert boxes(svg) == [COLOURS[0]] * 2 + [COLOURS[1]] * 2
    assert found[0, 0] < found[2, 0] < found[1, 0] < found[3, 0]  # liver of both methods, then the kidney


def test_distances_above_a_millimetre_are_plotted_on_a_logarithmic_axis() -> None:
    values = [0.0, 0.5, 1.0, 10.0, 100.0, 500.0]
    svg = box_figure({f"organ{value}": {"refined": np.array([value])} for value in values}, HD95)
    scaled = [value / 0.9 if value <= 1 else 1 / 0.9 + np.log10(value) for value in values]
    along(scaled, medians(svg)[:, 1])
    assert {"HD95 (mm)", "0", "1", "10", "100"} <= set(texts(svg))


def test_a_method_without_values_in_a_group_has_no_box_there() -> None:
    svg = box_figure({"liver": {"a": np.array([]), "b": np.array([0.5, 0.7])}}, DICE)
    assert boxes(svg) == [COLOURS[1]]
    assert {"a", "b"} <= set(texts(svg))


def test_a_group_without_pairs_is_named_and_bare() -> None:
    svg = paired_figure(PAIRS | {"portal_vein": np.empty((0, 2))}, METHODS, DICE)
    assert {"liver", "left kidney", "portal vein", "coarse", "refined", "Dice"} <= set(texts(svg))
    assert len(groups(svg, "PathCollection")) == 4


@pytest.mark.parametrize("metric", [DICE, HD95], ids=["dice", "hd95"])
@pytest.mark.parametrize("draw", [lambda m: box_figure({}, m), lambda m: paired_figure({}, METHODS, m)])
def test_an_empty_figure_can_be_plotted(draw: Callable[..., str], metric: object) -> None:
    assert groups(draw(metric), "PathCollection") == boxes(draw(metric)) == []


def test_more_methods_than_colours_are_plotted() -> None:
    count = len(COLOURS) + 2
    svg = box_figure({"liver": {f"method{number}": np.array([0.5]) for number in range(count)}}, DICE)
    assert boxes(svg) == [*COLOURS, *COLOURS[:2]]


@pytest.mark.parametrize("name", ["<b>liver</b> & co", "a$b", "$x$ and $y", "$x$", "50 % \\alpha"])
def test_names_are_shown_literally_in_the_figure(name: str) -> None:
    for svg in (
        box_figure({name: {name: np.array([0.5])}}, DICE),
        paired_figure({name: np.array([[0.5, 0.6]])}, (name, "b"), DICE),
    ):
        assert "<b>" not in svg
        assert texts(svg).count(name) == 2


def test_underscores_of_names_are_blanks() -> None:
    assert figure_text("left_kidney") == "left kidney"


def test_there_is_one_curve_per_run_with_one_point_per_epoch() -> None:
    svg = curves_figure(CURVES)
    assert {"coarse", "pretrain", "epoch", "loss"} <= set(texts(svg))
    for axes, runs in zip(groups(svg, "axes"), CURVES.values(), strict=True):
        lines = [points(path) for path in axes.iter(f"{SVG}path") if COLOURS[1] in path.get("style", "")]
        assert [len(line) for line in lines] == [len(run) for run in runs]
        along(np.concatenate(runs), np.concatenate(lines)[:, 1])


def test_methods_keep_their_colours() -> None:
    svg = paired_figure(PAIRS, METHODS, DICE)
    fills = [next(group.iter(f"{SVG}use")).get("style", "") for group in groups(svg, "PathCollection")]
    assert [COLOURS[0] in fill for fill in fills] == [True, False, True, False]
    assert [COLOURS[1] in fill for fill in fills] == [False, True, False, True]


def test_a_forest_has_an_interval_and_both_means_per_organ_and_colours_by_verdict():
    lines = [
        Comparison("dice", organ, 6, 6, 0.5, 0.5 + change, change, low, high, 1.0, p, p, p, 0.01)
        for organ, change, low, high, p in (
            (ALL, 0.25, 0.2, 0.3, 0.01), ("left_kidney", -0.125, -0.2, -0.05, 0.02), ("liver", 0.0625, -0.1, 0.2, 0.5),
        )
    ]  # fmt: skip
    svg = forest_figure(lines, METHODS, 0.01)
    assert {"0.50 \N{RIGHTWARDS ARROW} 0.75", "left kidney", "difference in Dice, refined minus coarse"} <= set(
        texts(svg)
    )
    spans = [points(path) for group in groups(svg, "LineCollection") for path in group.iter(f"{SVG}path")]
    widths = [float(np.ptp(span[:, 0])) for span in spans]
    np.testing.assert_allclose(np.divide(widths, widths[0]), [1, 1.5, 3], rtol=1e-3)
    fills = [next(group.iter(f"{SVG}use")).get("style", "") for group in groups(svg, "PathCollection")]
    assert [colour in fill for fill, colour in zip(fills, (BETTER, WORSE, "fill: #ffffff"), strict=True)] == [True] * 3


def test_validation_has_an_axis_and_epochs_are_whole():
    svg = curves_figure({"train": [[3.0, 2.0, 1.5]]}, {"train": {"val_mean_dice": [(1, 0.25), (3, 0.75)]}})
    assert "val mean dice" in texts(svg)
    assert not [text for text in texts(svg) if re.fullmatch(r"[123]\.\d+", text) and svg.count(">1.25<")]
