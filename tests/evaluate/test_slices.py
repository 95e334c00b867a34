"""Slices with contours: positions of pixels, colours, marks."""

import io

import numpy as np
import pytest
from PIL import Image

from scripts.evaluate.slices import FILL, HUES, object_colours, object_hex, overlay_figure


def overlay(shape: tuple[int, int, int], **parts: np.ndarray) -> np.ndarray:
    """Pixels (rows, columns, RGB) of an overlay on a black image."""
    return pixels(overlay_figure(np.full((*shape, 1), -1, np.float32), parts, [1, 1, 1], 3))


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def panels(picture: np.ndarray) -> list[np.ndarray]:
    """The panels from left to right, separated by columns and rows that are almost white."""
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


def test_the_page_names_the_colours_of_the_pictures() -> None:
    assert object_hex(7) == list(HUES)
    assert len(set(object_hex(21))) == 21
    assert object_hex(24)[21:] == object_hex(3)
    shown = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in object_hex(5)])
    np.testing.assert_allclose(object_colours(5) * 255, shown, atol=0.5)


def test_an_overlay_is_a_png_the_same_each_time() -> None:
    shape = (6, 6, 2)
    data = overlay_figure(np.zeros((*shape, 1), np.float32), {"truth": np.ones(shape, np.uint16)}, [1, 1, 1], 1)
    assert Image.open(io.BytesIO(data)).format == "PNG"
    assert data == overlay_figure(np.zeros((*shape, 1), np.float32), {"truth": np.ones(shape, np.uint16)}, [1, 1, 1], 1)


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
    shown = panels(pixels(overlay_figure(image[..., None], {"truth": np.zeros(image.shape, np.uint16)}, [1, 1, 1], 1)))
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


def test_the_slice_with_most_errors_of_the_last_map_is_shown() -> None:
    truth = np.zeros((12, 12, 6), np.uint16)
    truth[1:11, 1:11, 1] = 1  # the most to see, and right
    truth[1:5, 1:5, 4] = 1
    first, last = truth.copy(), truth.copy()
    first[:, :, 5] = 2  # the most errors, but of the first
    last[1:5, 1:5, 4] = 2
    shown = panels(overlay(truth.shape, truth=truth, first=first, last=last))
    assert [len(coloured(panel)) > 0 for panel in shown] == [False, True, True, True]
    assert coloured(shown[1]).max(0) == pytest.approx([11 / 12, 11 / 12], abs=0.03)
    assert coloured(shown[1]).min(0) == pytest.approx([7 / 12, 7 / 12], abs=0.03)


def test_the_slice_with_most_errors_of_the_main_map_is_shown() -> None:
    truth = np.zeros((12, 12, 6), np.uint16)
    maps = {"truth": truth} | {name: truth.copy() for name in ("first", "second", "third")}
    for z, objects in enumerate(list(maps.values())[1:], start=2):
        objects[:, :, z] = 1
    image = np.full(truth.shape, -1, np.float32)
    for main, expected in {"first": 1, "second": 2, "third": 3, None: 3}.items():
        shown = panels(pixels(overlay_figure(image[..., None], maps, [1, 1, 1], 3, main)))
        assert [number for number, panel in enumerate(shown[1:]) if len(coloured(panel))] == [expected]


def test_errors_that_do_not_count_choose_no_slice() -> None:
    truth = np.zeros((12, 12, 6), np.uint16)
    drawn, counted = truth.copy(), np.ones(truth.shape, bool)
    drawn[:, :, 2], drawn[4:6, 4:6, 4] = 1, 1
    counted[:, :, 2] = False
    image = np.full((*truth.shape, 1), -1, np.float32)
    for given, size in ((None, 1.0), (counted, 2 / 12)):
        shown = panels(pixels(overlay_figure(image, {"truth": truth, "a": drawn}, [1, 1, 1], 3, "a", None, given)))
        assert np.ptp(coloured(shown[2]), axis=0) == pytest.approx([size, size], abs=0.05)


def test_without_errors_the_slice_with_most_of_the_ground_truth_is_shown() -> None:
    truth = np.zeros((12, 12, 6), np.uint16)
    truth[5, 5, :] = 1
    truth[2:10, 2:10, 3] = 1
    assert np.ptp(coloured(panels(overlay(truth.shape, truth=truth, last=truth))[1]), axis=0).min() > 0.6


def test_each_object_has_a_colour() -> None:
    truth = np.zeros((12, 12, 2), np.uint16)
    truth[1:5, 1:5], truth[7:11, 1:5], truth[7:11, 7:11] = 1, 2, 3
    panel = panels(overlay(truth.shape, truth=truth))[1]
    height, width = panel.shape[:2]
    places = [(0.75, 0.75), (0.75, 0.25), (0.25, 0.25)]  # of objects 1, 2, 3: x and y are both turned
    for (row, column), colour in zip(places, object_colours(3), strict=True):
        np.testing.assert_allclose(panel[int(row * height), int(column * width)], colour * FILL * 255, atol=3)
    assert panel[int(0.25 * height), int(0.75 * width)].max() < 10


def test_pixels_have_the_shape_of_voxels() -> None:
    shape = (10, 20, 2)
    data = overlay_figure(
        np.full((*shape, 1), -1, np.float32), {"truth": np.zeros(shape, np.uint16)}, [3.0, 1.0, 5.0], 1
    )
    height, width = panels(pixels(data))[0].shape[:2]
    assert height / width == pytest.approx(20 * 1.0 / (10 * 3.0), rel=0.03)


def test_neighbouring_organs_differ_with_any_colour_vision():
    """Seen without red or green (Vienot and others, 1999), neighbours of the table stay apart."""
    rgb_to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    without = {
        "red": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
        "green": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
    }
    for lost in without.values():
        seen = np.linalg.solve(rgb_to_lms, lost @ rgb_to_lms @ (object_colours(21).T * 255)).T
        assert np.linalg.norm(np.diff(seen, axis=0), axis=1).min() > 50


def test_a_bare_slice_has_sides_a_scale_bar_and_the_window():
    marked = pixels(
        overlay_figure(
            np.full((60, 60, 2, 1), -1.0), {"truth": np.zeros((60, 60, 2), int)}, [2, 2, 5], 1, None, [-160, 240]
        )
    )
    first, second = panels(marked)
    grey = (abs(first - 189) < 12).all(2)
    height, width = grey.shape
    letters = first.min(2) > 120  # on black; thin strokes are blended with it
    assert letters[height // 3 : 2 * height // 3, : width // 8].any(), "R"
    assert letters[height // 3 : 2 * height // 3, -width // 8 :].any(), "L"
    bar = np.flatnonzero(grey[int(0.93 * height) : int(0.97 * height)].any(0))
    assert np.ptp(bar[bar < width / 2]) / width == pytest.approx(20 / 120, abs=0.03)
    assert not (abs(second - 189) < 12).all(2).any()
