"""Figures: where marks and pixels lie, and that the same numbers give the same bytes."""

import io
import re
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from scripts.evaluate.figures import COARSE, REFINED, curves_figure, organs_figure, overlay_figure
from scripts.evaluate.rows import Row

SVG = "{http://www.w3.org/2000/svg}"
VALUES = {"liver": [(0.5, 0.75), (0.25, 1.0), (0.125, 0.5)], "left_kidney": [(0.375, 0.0), (0.875, 0.625)]}
CURVES = {"coarse": [[3.0, 2.0, 1.5], [2.5, 2.25, 0.5]], "pretrain": [[4.0, 1.0]]}


def made_rows() -> list[Row]:
    return [
        Row(f"scan{number}", f"patient{number}", organ, "portal", method, "dice", value)
        for organ, pairs in VALUES.items()
        for number, pair in enumerate(pairs)
        for method, value in zip(("coarse", "refined"), pair, strict=True)
    ]


def groups(svg: str, name: str) -> list[ElementTree.Element]:
    """Groups of an SVG that matplotlib calls ``name``_1, ``name``_2, ... in order."""
    return [group for group in ElementTree.fromstring(svg).iter(f"{SVG}g") if group.get("id", "").startswith(name)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def points(path: ElementTree.Element) -> np.ndarray:
    """Corners (N, 2) of a path."""
    return np.array(re.findall(r"[ML] (\S+) (\S+)", path.get("d", "")), float)


def overlay(shape: tuple[int, int, int], **parts: np.ndarray) -> np.ndarray:
    """Pixels (rows, columns, RGB) of an overlay on a black image."""
    return pixels(overlay_figure(np.full(shape, -1, np.float32), parts, [1, 1, 1], 3))


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def panels(picture: np.ndarray) -> list[np.ndarray]:
    """The panels from left to right: what lies between columns and rows that are all but white."""
    filled = (picture.min(2) < 200).mean(0) > 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[0], filled, [0]])))
    cut = []
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        rows = np.flatnonzero((picture[:, left:right].min(2) < 200).mean(1) > 0.5)
        cut.append(picture[rows[0] : rows[-1] + 1, left:right])
    return cut


def coloured(panel: np.ndarray) -> np.ndarray:
    """Rows and columns (N, 2) of coloured pixels, as shares of the panel's height and width."""
    found = np.argwhere(panel.max(2) - panel.min(2) > 30)
    return found / np.array(panel.shape[:2])


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda: organs_figure(made_rows(), "coarse", "refined", list(VALUES)), id="organs"),
        pytest.param(lambda: curves_figure(CURVES), id="curves"),
    ],
)
def test_an_svg_is_the_same_twice_and_tells_no_time(draw: Callable[[], str]) -> None:
    once = draw()
    assert once.startswith("<svg")
    assert once == draw()
    assert "date" not in once
    assert not re.search(r"20\d\d-\d\d-\d\d", once)


def test_figures_are_closed() -> None:
    organs_figure(made_rows(), "coarse", "refined", list(VALUES))
    curves_figure(CURVES)
    overlay((6, 6, 2), truth=np.ones((6, 6, 2), np.uint16))
    assert plt.get_fignums() == []


def test_a_point_a_patient_at_its_dice_and_a_bar_at_the_mean() -> None:
    svg = organs_figure(made_rows(), "coarse", "refined", list(VALUES))
    columns = [[pair[method] for pair in pairs] for pairs in VALUES.values() for method in (0, 1)]
    drawn = [[float(use.get("y")) for use in group.iter(f"{SVG}use")] for group in groups(svg, "PathCollection")]
    assert [len(heights) for heights in drawn] == [len(column) for column in columns]
    slope, start = np.polyfit(np.concatenate(columns), np.concatenate(drawn), 1)
    assert slope < 0  # up is more
    np.testing.assert_allclose(np.concatenate(drawn), np.concatenate(columns) * slope + start, atol=1e-3)
    bars = [points(path)[:, 1] for group in groups(svg, "LineCollection") for path in group.iter(f"{SVG}path")]
    means = [[sum(column) / len(column)] * 2 for column in columns]
    np.testing.assert_allclose(bars, np.array(means) * slope + start, atol=1e-3)


def test_organs_and_methods_are_named_also_without_a_value() -> None:
    shown = texts(organs_figure(made_rows(), "coarse", "refined", ["liver", "portal_vein"]))
    assert {"liver", "portal vein", "coarse", "refined", "Dice"} <= set(shown)


def test_names_with_signs_of_markup_are_escaped() -> None:
    svg = organs_figure(made_rows(), "coarse", "refined", ["<b>liver</b> & co"])
    assert "<b>" not in svg
    assert "<b>liver</b> & co" in texts(svg)


def test_a_curve_a_run_with_a_point_an_epoch() -> None:
    svg = curves_figure(CURVES)
    assert {"coarse", "pretrain", "epoch", "loss"} <= set(texts(svg))
    for axes, runs in zip(groups(svg, "axes"), CURVES.values(), strict=True):
        lines = [points(path) for path in axes.iter(f"{SVG}path") if REFINED in path.get("style", "")]
        assert [len(line) for line in lines] == [len(run) for run in runs]
        heights, losses = np.concatenate(lines)[:, 1], np.concatenate(runs)
        slope, start = np.polyfit(losses, heights, 1)
        assert slope < 0
        np.testing.assert_allclose(heights, losses * slope + start, atol=1e-3)


def test_both_methods_keep_their_colours() -> None:
    svg = organs_figure(made_rows(), "coarse", "refined", list(VALUES))
    fills = [next(group.iter(f"{SVG}use")).get("style", "") for group in groups(svg, "PathCollection")]
    assert [COARSE in fill for fill in fills] == [True, False, True, False]
    assert [REFINED in fill for fill in fills] == [False, True, False, True]


def test_an_overlay_is_a_png_the_same_each_time() -> None:
    shape = (6, 6, 2)
    data = overlay_figure(np.zeros(shape, np.float32), {"truth": np.ones(shape, np.uint16)}, [1, 1, 1], 1)
    assert Image.open(io.BytesIO(data)).format == "PNG"
    assert data == overlay_figure(np.zeros(shape, np.float32), {"truth": np.ones(shape, np.uint16)}, [1, 1, 1], 1)


def test_the_right_of_the_patient_is_on_the_left_of_the_picture() -> None:
    truth = np.zeros((24, 20, 4), np.uint16)
    truth[18:24, 8:12] = 1  # large x is right in RAS
    columns = coloured(panels(overlay(truth.shape, truth=truth))[1])[:, 1]
    assert columns.min() < 0.02
    assert columns.max() == pytest.approx(6 / 24, abs=0.02)


def test_the_front_of_the_patient_is_at_the_top_of_the_picture() -> None:
    truth = np.zeros((24, 20, 4), np.uint16)
    truth[10:14, 15:20] = 1  # large y is anterior in RAS
    rows = coloured(panels(overlay(truth.shape, truth=truth))[1])[:, 0]
    assert rows.min() < 0.02
    assert rows.max() == pytest.approx(5 / 20, abs=0.02)


def test_the_image_lies_as_the_label_maps_do() -> None:
    image = np.full((24, 20, 3), -1, np.float32)
    image[18:24, 15:20] = 1
    shown = panels(pixels(overlay_figure(image, {"truth": np.zeros(image.shape, np.uint16)}, [1, 1, 1], 1)))
    bright = shown[1].min(2) > 200
    height, width = bright.shape
    assert bright[: height // 5, : width // 5].all()
    assert not bright[height // 3 :].any()
    assert not bright[:, width // 3 :].any()


def test_only_the_panel_of_a_map_shows_its_objects() -> None:
    truth = np.zeros((12, 12, 3), np.uint16)
    truth[2:5, 2:5] = 2
    shown = panels(overlay(truth.shape, truth=truth, coarse=np.zeros_like(truth), refined=truth))
    assert [len(coloured(panel)) > 0 for panel in shown] == [False, True, False, True]
    np.testing.assert_allclose(coloured(shown[1]).max(0), coloured(shown[3]).max(0), atol=0.02)


def test_the_slice_with_most_objects_is_shown_and_each_has_a_colour() -> None:
    truth = np.zeros((12, 12, 6), np.uint16)
    truth[:, :, 1] = 1  # more voxels, fewer objects
    truth[1:5, 1:5, 4], truth[7:11, 1:5, 4], truth[7:11, 7:11, 4] = 1, 2, 3
    panel = panels(overlay(truth.shape, truth=truth))[1]
    height, width = panel.shape[:2]
    places = [(0.75, 0.75), (0.75, 0.25), (0.25, 0.25)]  # of objects 1, 2, 3: x and y are both turned
    assert len({tuple(panel[int(row * height), int(column * width)]) for row, column in places}) == 3
    assert panel[int(0.25 * height), int(0.75 * width)].max() < 10


def test_pixels_have_the_shape_of_voxels() -> None:
    shape = (10, 20, 2)
    data = overlay_figure(np.full(shape, -1, np.float32), {"truth": np.zeros(shape, np.uint16)}, [3.0, 1.0, 5.0], 1)
    height, width = panels(pixels(data))[0].shape[:2]
    assert height / width == pytest.approx(20 * 1.0 / (10 * 3.0), rel=0.03)
