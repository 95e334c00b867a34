"""Slices of scans as radiologists view them, with the contours of label maps (PNG)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from numpy.typing import NDArray

from .figures import figure_text, png

HUES = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")  # Okabe and Ito, 2008
SHADES = (0.0, 0.55, -0.35)  # towards white or black, for further organs
STYLES = ("solid", "dashed", "dotted")  # of contours, one per shade
FILL = 0.22  # opacity within a contour
BARS = (100, 50, 20, 10, 5, 2, 1)  # mm, of scale bars
INK = "#bdbdbd"  # of marks on a slice


def overlay_figure(
    image: NDArray[np.floating],
    maps: Mapping[str, NDArray[np.integer]],
    spacing: Sequence[float],
    objects: int,
    main: str | None = None,
    window: Sequence[float] | str | None = None,
    counted: NDArray[np.bool_] | None = None,
) -> bytes:
    """An axial slice, bare and with the contours of each label map, the patient's right on the left (PNG).

    The slice is the one on which the main map differs most from the ground truth.

    Args:
        image: (X, Y, Z, C) in RAS, in [-1, 1].
        maps: name -> object numbers (X, Y, Z), the ground truth first.
        spacing: mm.
        objects: how many objects there are.
        main: the map whose errors choose the slice, None for the last.
        window: intensities shown, stated on the bare slice.
        counted: voxels (X, Y, Z) at which an error counts, None for all.
    """
    (_, truth), *predictions = maps.items()
    main_map = maps[main or list(maps)[-1]]
    errors = truth != main_map if counted is None else (truth != main_map) & counted
    wrong = errors.sum((0, 1)) + 1e-6 * (truth > 0).sum((0, 1))
    z = int(np.argmax(wrong))
    figure, axes = plt.subplots(1, 1 + len(maps), figsize=(3.1 * (1 + len(maps)), 2.7))
    panels: list[tuple[str, NDArray[np.integer] | None]] = [(f"image, slice {z + 1} of {image.shape[2]}", None)]
    for axis, (name, objects_map) in zip(axes, [*panels, ("ground truth", truth), *predictions], strict=True):
        show_slice(axis, image[:, :, z], spacing[1] / spacing[0])
        if objects_map is not None:
            _contours(axis, objects_map[::-1, ::-1, z].T, objects, spacing[1] / spacing[0])
        elif image.shape[3] == 1:
            _marks(axis, image.shape, spacing, window)
        axis.set_title(figure_text(name), fontsize=10)
        axis.axis("off")
    figure.subplots_adjust(wspace=0.03)
    return png(figure)


def _contours(axis: Axes, pixels: NDArray[np.integer], objects: int, aspect: float) -> None:
    """Draw the contour of each object of a slice (rows, columns), faintly filled."""
    colours = object_colours(objects)
    layer = np.zeros((*pixels.shape, 4))
    layer[pixels > 0, :3] = colours[pixels[pixels > 0] - 1]
    layer[pixels > 0, 3] = FILL
    axis.imshow(layer, aspect=aspect, interpolation="nearest")
    limits = axis.get_xlim(), axis.get_ylim()
    rows, columns = (np.arange(-1, size + 1) for size in pixels.shape)
    for number in np.unique(pixels[pixels > 0]).tolist():
        own = np.pad(pixels == number, 1)  # so that a contour closes at the border
        style = STYLES[(number - 1) // len(HUES) % len(STYLES)]
        axis.contour(columns, rows, own, [0.5], colors=[colours[number - 1]], linewidths=1.3, linestyles=style)
    axis.set_xlim(limits[0])
    axis.set_ylim(limits[1])


def _marks(axis: Axes, shape: Sequence[int], spacing: Sequence[float], window: Sequence[float] | str | None) -> None:
    """Mark the patient's sides, and show a scale bar and the window."""
    for across, side, align in ((0.02, "R", "left"), (0.98, "L", "right")):
        axis.text(across, 0.5, side, transform=axis.transAxes, color=INK, ha=align, va="center", fontsize=9)
    width = shape[0] * spacing[0]
    length = next((bar for bar in BARS if bar <= width / 3), 0)
    if length:
        axis.plot([0.04, 0.04 + length / width], [0.05, 0.05], transform=axis.transAxes, color=INK, lw=2)
        axis.text(0.04, 0.08, f"{length} mm", transform=axis.transAxes, color=INK, fontsize=7, va="bottom")
    if window is not None:
        shown = window if isinstance(window, str) else " to ".join(f"{end:g}" for end in window)
        text = "window: 1st to 99th percentile" if shown == "percentile" else f"window {shown}"
        axis.text(0.5, -0.03, text, transform=axis.transAxes, color="#495057", fontsize=7, ha="center", va="top")


def show_slice(axis: Axes, image: NDArray[np.floating], aspect: float = 1.0) -> None:
    """Show a slice (X, Y, C) in RAS and [-1, 1] as radiologists view it; one channel in grey, three in colour."""
    pixels = image[::-1, ::-1].swapaxes(0, 1)
    if image.shape[2] == 3:
        axis.imshow((pixels + 1) / 2, aspect=aspect)
    else:
        axis.imshow(pixels[..., 0], cmap="gray", vmin=-1, vmax=1, aspect=aspect)


def object_colours(objects: int) -> NDArray[np.float64]:
    """One colour (K, 3) per object, the same in every picture; those of neighbouring numbers differ in hue.

    The hues are told apart with any colour vision; further objects get lighter and darker shades of them.
    """
    hues = np.array([to_rgb(hue) for hue in HUES])
    shades = [hues + (1 - hues) * shade if shade > 0 else hues * (1 + shade) for shade in SHADES]
    every = np.concatenate(shades)
    colours: NDArray[np.float64] = every[np.arange(objects) % len(every)]
    return colours


def object_hex(objects: int) -> list[str]:
    """The same colours in hexadecimal, for the page."""
    return [to_hex(colour) for colour in object_colours(objects)]
