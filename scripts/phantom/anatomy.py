"""The body of one phantom patient: every structure as a signed distance in millimetres.

Coordinates are RAS: x to the patient's right, y to the front, z to the head; the origin is the middle of the body at
the height of L4. A structure is where its distance is negative. Shapes are analytic (ellipsoids, tapered tubes) and are
varied by patient in position, size, rotation, smooth deformation and surface bumps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

Array = NDArray[np.float32]

# name -> index: the thirteen organs of the MICCAI 2015 BTCV challenge, in its order
ORGANS = {
    name: index
    for index, name in enumerate(
        (
            "spleen",
            "right_kidney",
            "left_kidney",
            "gallbladder",
            "esophagus",
            "liver",
            "stomach",
            "aorta",
            "inferior_vena_cava",
            "portal_and_splenic_vein",
            "pancreas",
            "right_adrenal",
            "left_adrenal",
        ),
        start=1,
    )
}
PARTNERS = {"right_kidney": "left_kidney", "right_adrenal": "left_adrenal"}


def ellipsoid(xyz: Array, centre: Sequence[float], radii: Sequence[float], rotation: Array | None = None) -> Array:
    """Approximate signed distance (mm) of points (3, ...) to an ellipsoid; ``rotation`` is 3 x 3."""
    local = xyz - np.asarray(centre, np.float32).reshape(3, 1, 1, 1)
    if rotation is not None:
        local = np.einsum("ij,j...->i...", rotation, local)
    scaled = np.sqrt(sum((local[axis] / radii[axis]) ** 2 for axis in range(3)))
    return np.asarray((scaled - 1) * min(radii), np.float32)


def tube(xyz: Array, points: Sequence[Sequence[float]], radii: Sequence[float]) -> Array:
    """Signed distance (mm) of points (3, ...) to a polyline thickened by a radius that tapers between its points."""
    best = np.full(xyz.shape[1:], np.inf, np.float32)
    nodes = np.asarray(points, np.float32)
    for start, end, first, last in zip(nodes[:-1], nodes[1:], radii[:-1], radii[1:], strict=True):
        axis = end - start
        local = xyz - start.reshape(3, 1, 1, 1)
        along = np.clip(np.einsum("i,i...->...", axis, local) / float(axis @ axis), 0, 1)
        apart = local - axis.reshape(3, 1, 1, 1) * along
        distance = np.sqrt((apart**2).sum(0)) - (first + (last - first) * along)
        np.minimum(best, distance, out=best)
    return best


def smooth_noise(rng: np.random.Generator, shape: Sequence[int], cells: Sequence[int]) -> Array:
    """Noise (shape) of about unit range that varies over ``cells`` cells per axis."""
    coarse = rng.standard_normal([cell + 1 for cell in cells]).astype(np.float32) * 0.6
    factors = [size / knots for size, knots in zip(shape, coarse.shape, strict=True)]
    return np.asarray(zoom(coarse, factors, order=2, mode="nearest", grid_mode=True), np.float32)


class Patient:
    """One patient's random anatomy; ``structures`` evaluates it on a grid.

    Args:
        rng: source of the patient's random numbers.
        numbers: the ``patient`` part of phantom.yaml.
    """

    def __init__(self, rng: np.random.Generator, numbers: Mapping[str, Any]) -> None:
        self.numbers = numbers
        self.size = rng.uniform(numbers["size"][0], numbers["size"][1], size=3).astype(np.float32)
        self.fat = float(rng.uniform(*numbers["fat_mm"]))
        self.enhancement = float(rng.uniform(*numbers["enhancement"]))
        self.has_gallbladder = bool(rng.random() >= numbers["no_gallbladder"])
        names = [*ORGANS, "bowel", "colon", "spine", "muscle"]
        self.shift = {name: rng.normal(0, numbers["place_sd_mm"], 3) for name in names}
        self.scale = {name: float(np.exp(rng.normal(0, numbers["scale_sd"]))) for name in names}
        self.rotation = {name: _rotation(rng.normal(0, numbers["turn_sd_deg"], 3)) for name in names}
        self.hounsfield = {name: float(rng.normal(0, numbers["hounsfield_sd"])) for name in names}
        self.seed = int(rng.integers(2**31))

    def _place(self, name: str, centre: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(value) for value in np.asarray(centre) + self.shift[name])

    def _ellipsoid(self, name: str, xyz: Array, centre: Sequence[float], radii: Sequence[float]) -> Array:
        grown = [radius * self.scale[name] for radius in radii]
        return ellipsoid(xyz, self._place(name, centre), grown, self.rotation[name])

    def _tube(self, name: str, xyz: Array, points: Sequence[Sequence[float]], radii: Sequence[float]) -> Array:
        middle = np.asarray(points).mean(0)
        moved = [self.rotation[name].T @ (np.asarray(point) - middle) + middle + self.shift[name] for point in points]
        return tube(xyz, moved, [radius * self.scale[name] for radius in radii])

    def structures(self, xyz: Array) -> dict[str, Array]:
        """Signed distances (mm) on a grid of RAS points (3, X, Y, Z), in painting order: later covers earlier."""
        rng = np.random.default_rng(self.seed)  # the same bumps for both scans of a patient
        shape = xyz.shape[1:]
        warp = np.stack([smooth_noise(rng, shape, (3, 3, 3)) for _ in range(3)]) * self.numbers["warp_mm"]
        xyz = (xyz + warp) / self.size.reshape(3, 1, 1, 1)
        parts = {**self._body(xyz), **self._hollow(xyz), **self._organs(xyz)}
        bumps = self.numbers["surface_mm"]
        for name in ("liver", "spleen", "stomach", "pancreas", "right_kidney", "left_kidney", "bowel", "colon"):
            parts[name] = parts[name] + bumps * smooth_noise(rng, shape, (9, 8, 7))
        if not self.has_gallbladder:
            del parts["gallbladder"]
        return parts

    def _body(self, xyz: Array) -> dict[str, Array]:
        """Skin, fat, muscle wall, peritoneal cavity, lungs, spine, ribs, back muscles."""
        x, y, z = xyz
        out = np.sqrt(x**2 + (y - 2) ** 2)  # from the cavity's axis; its wall lies as far as the ellipse that way
        inner = np.asarray(out - out / np.maximum(np.sqrt((x / 142) ** 2 + ((y - 2) / 92) ** 2), 1e-6), np.float32)
        dome = 205 - 0.010 * (x - 60) ** 2 * (x > 60) - 0.006 * (x + 55) ** 2 * (x < -55) - 0.004 * (y + 5) ** 2
        lung = np.maximum(inner + 9, dome - z)
        spine = self.shift["spine"] * 0.3
        column = np.sqrt((x - spine[0]) ** 2 + ((y + 62) * 1.15 - spine[1]) ** 2) - 21
        period = np.mod(z + spine[2], 34)
        ribs = np.full(x.shape, np.inf, np.float32)
        for level in range(5):
            height = 88 + 28 * level - 0.45 * (y + 70)  # ribs fall from the spine to the front
            ribs = np.minimum(ribs, np.sqrt((inner - 4) ** 2 + (z - height) ** 2) - 5)
        ribs = np.maximum(ribs, np.maximum(y - 62, 14 - np.abs(x)))
        back = np.minimum(*(self._column(x, y, side * 34, -86, 24, 17) for side in (1, -1)))
        psoas = np.minimum(*(self._column(x, y, side * 36, -52, 15, 17) for side in (1, -1)))
        psoas = np.maximum(psoas, z - 105)
        process = np.maximum(np.abs(x) - 4, np.abs(y + 92) - 16)
        return {
            "skin": inner - 13 - self.fat - 3,
            "fat": inner - 11 - self.fat,
            "wall": inner - 11,
            "cavity": inner,
            "lung": lung.astype(np.float32),
            "muscle": np.minimum(back, psoas).astype(np.float32),
            "ribs": ribs.astype(np.float32),
            "cortex": np.minimum(column, process).astype(np.float32),
            "bone": np.maximum(column + 3, 5 - period).astype(np.float32),
            "disc": np.maximum(column, np.abs(period - 2.5) - 3).astype(np.float32),
        }

    @staticmethod
    def _column(x: Array, y: Array, at_x: float, at_y: float, wide: float, deep: float) -> Array:
        distance = np.sqrt(((x - at_x) / wide) ** 2 + ((y - at_y) / deep) ** 2) - 1
        return np.asarray(distance * min(wide, deep), np.float32)

    def _hollow(self, xyz: Array) -> dict[str, Array]:
        """Bowel loops and colon: unlabelled neighbours that look like organs."""
        loops = [(50, 15, 0), (-10, 48, 8), (-60, 20, 22), (-15, 8, 30), (45, 45, 38), (0, 30, 52), (-58, 38, 60)]
        loops += [(-60, 5, 75), (-20, 40, 78), (30, 10, 60), (60, 40, 65)]
        colon = [(98, -5, -5), (100, 5, 60), (85, 45, 92), (0, 72, 78), (-85, 45, 105), (-104, -10, 120)]
        left = [(-104, -10, 120), (-102, -5, 50), (-98, 0, -10)]
        return {
            "bowel": self._tube("bowel", xyz, loops, [13, 12, 14, 12, 14, 12, 14, 12, 12, 11, 13]),
            "colon": np.minimum(
                self._tube("colon", xyz, colon, [19, 18, 17, 15, 16, 15]),
                self._tube("colon", xyz, left, [15, 14, 14]),
            ),
        }

    def _organs(self, xyz: Array) -> dict[str, Array]:
        """The thirteen labelled organs."""
        x, _, z = xyz
        liver = np.minimum(
            self._ellipsoid("liver", xyz, (76, 8, 150), (62, 76, 62)),
            self._ellipsoid("liver", xyz, (0, 46, 168), (66, 34, 30)),
        )
        slope = z - (88 - 0.35 * (x - 75))  # the lower edge rises towards the left
        liver = np.maximum(liver, -0.9 * slope)
        spleen = self._ellipsoid("spleen", xyz, (-104, -34, 158), (30, 46, 48))
        hollow = self._ellipsoid("spleen", xyz, (-72, -12, 160), (34, 40, 60))
        stomach = [(-20, -4, 192), (-62, 8, 176), (-66, 36, 145), (-40, 58, 112), (0, 60, 104), (28, 44, 108)]
        veins = np.minimum(
            self._tube("portal_and_splenic_vein", xyz, [(12, 2, 112), (30, 8, 136), (50, 16, 156)], [7, 7, 6]),
            self._tube("portal_and_splenic_vein", xyz, [(12, 2, 112), (-28, -4, 128), (-78, -24, 148)], [7, 5.5, 5]),
        )
        pancreas = [(36, 2, 88), (28, 8, 102), (6, 16, 114), (-26, 8, 126), (-70, -16, 142)]
        return {
            "liver": liver,
            "stomach": self._tube("stomach", xyz, stomach, [14, 27, 30, 22, 17, 13]),
            "spleen": np.maximum(spleen, -hollow),
            "right_kidney": self._kidney("right_kidney", xyz, (64, -46, 92)),
            "left_kidney": self._kidney("left_kidney", xyz, (-64, -44, 108)),
            "pancreas": self._tube("pancreas", xyz, pancreas, [15, 14, 9, 11, 9]),
            "gallbladder": self._ellipsoid("gallbladder", xyz, (56, 46, 104), (14, 17, 25)),
            "right_adrenal": self._adrenal("right_adrenal", xyz, (38, -34, 150)),
            "left_adrenal": self._adrenal("left_adrenal", xyz, (-36, -30, 150)),
            "esophagus": self._tube("esophagus", xyz, [(-4, -24, 235), (-8, -18, 208), (-18, -8, 192)], [8, 8.5, 9]),
            "portal_and_splenic_vein": veins,
            "inferior_vena_cava": self._tube(
                "inferior_vena_cava", xyz, [(16, -34, -10), (19, -30, 110), (26, -12, 200)], [11, 12, 13]
            ),
            "aorta": self._tube("aorta", xyz, [(-8, -32, -10), (-11, -35, 120), (-13, -37, 240)], [9.5, 10.5, 12]),
        }

    def _kidney(self, name: str, xyz: Array, centre: tuple[float, float, float]) -> Array:
        """A bean: an ellipsoid with a sinus of fat cut in from the middle of the body."""
        side = 1 if centre[0] > 0 else -1
        bean = self._ellipsoid(name, xyz, centre, (27, 25, 52))
        sinus = self._ellipsoid(name, xyz, (centre[0] - side * 22, centre[1] + 8, centre[2]), (15, 9, 17))
        return np.maximum(bean, -sinus)

    def _adrenal(self, name: str, xyz: Array, top: tuple[float, float, float]) -> Array:
        """An inverted Y of two thin limbs."""
        side = 1 if top[0] > 0 else -1
        x, y, z = top
        return np.minimum(
            self._tube(
                name, xyz, [(x - side * 4, y + 6, z + 10), (x, y, z), (x + side * 9, y - 10, z - 14)], [4, 5, 3.5]
            ),
            self._tube(
                name, xyz, [(x - side * 4, y + 6, z + 10), (x, y, z), (x - side * 3, y - 14, z - 12)], [4, 5, 3.5]
            ),
        )


def _rotation(degrees: NDArray[np.float64]) -> Array:
    """Rotation matrix (3, 3) of rotations about x, y and z."""
    a, b, c = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z, np.float32)
