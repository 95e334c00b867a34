"""Errors as annotators and exports make them, injected into maps that are taken to be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ..cohort.components import boxes
from ..cohort.label_table import LabelTable
from ..cohort.resampling import resample_objects
from .kinds import ISLAND, LEAK, MISSING_PART, SLICE_OFF, WRONG_ORGAN
from .measures import ObjectMap

REMOVED = (0.25, 0.6)  # share of an object that a missing part takes
LEAKED = (0.25, 0.6)  # volume of a leak as a share of the object's
STRAY = (0.05, 0.2)  # volume of an island as a share of the object's
NEAR_RADII, FAR_RADII = (
    2.5,
    8.0,
)  # distance of an island from the object's centre, in radii of a ball of the object's volume
PLACES = 3000  # random places that are tried for an island
FEWEST_VOXELS = 4  # of an object of which a part can be missing
OFF = 0.15  # slices that a displaced object is off, as a share of its own; one at least


@dataclass(frozen=True)
class Injector:
    """Injects errors into copies of a map.

    Args:
        objects: object numbers (X, Y, Z), not changed.
        table: names the objects and their partners.
        size: mm of the voxels along X, Y, Z.
        rng: draws the errors.
    """

    objects: ObjectMap
    table: LabelTable
    size: Sequence[float]
    rng: np.random.Generator

    @cached_property
    def voxels(self) -> dict[int, NDArray[np.int64]]:
        """The voxels (V, 3) of each object that is there."""
        places = enumerate(boxes(self.objects), start=1)
        return {
            number: np.argwhere(self.objects[box] == number) + [part.start for part in box]
            for number, box in places
            if box is not None
        }

    @cached_property
    def centres(self) -> dict[int, NDArray[np.float64]]:
        """The centre (mm) of each object that is there."""
        return {number: (voxels.mean(0) + 0.5) * self.size for number, voxels in self.voxels.items()}

    def inject(self, kind: str, number: int) -> ObjectMap | None:
        """A copy of the map in which an object has an error of a kind; None where that is impossible."""
        changes: dict[str, Callable[[int], ObjectMap | None]] = {
            WRONG_ORGAN: self._swap,
            MISSING_PART: self._remove,
            LEAK: self._leak,
            ISLAND: self._island,
            SLICE_OFF: self._shift,
        }
        return changes[kind](number) if number in self.voxels else None

    def _swap(self, number: int) -> ObjectMap | None:
        """Exchange the numbers of an object and its partner, else of one of the three nearest objects."""
        others = [other for other in self.voxels if other != number]
        if not others:
            return None
        partner = self.table.organs[number - 1].partner
        other = self.table.names.index(partner) + 1 if partner else 0
        if other not in others:
            centre = self.centres[number]
            others.sort(key=lambda one: float(np.linalg.norm(self.centres[one] - centre)))
            other = int(self.rng.choice(others[:3]))
        return self._set(self._set(self.objects, self.voxels[number], other), self.voxels[other], number)

    def _remove(self, number: int) -> ObjectMap | None:
        """Cut an object by a plane in any direction."""
        voxels = self.voxels[number]
        if len(voxels) < FEWEST_VOXELS:
            return None
        along = voxels * np.asarray(self.size) @ self._direction()
        return self._set(self.objects, voxels[along > np.quantile(along, 1 - self.rng.uniform(*REMOVED))], 0)

    def _leak(self, number: int) -> ObjectMap | None:
        """Let an object grow into what lies around a point of its surface."""
        voxels = self.voxels[number]
        along = voxels * np.asarray(self.size) @ self._direction()
        return self._ball(number, voxels[int(np.argmax(along))], LEAKED, free=False)

    def _island(self, number: int) -> ObjectMap | None:
        """Add a piece of an object in the background, away from the object."""
        radius = (len(self.voxels[number]) * np.prod(self.size) * 3 / (4 * np.pi)) ** (1 / 3)
        places = self.rng.integers(0, self.objects.shape, (PLACES, 3))
        places = places[self.objects[tuple(places.T)] == 0]
        if not len(places):
            return None
        apart = np.linalg.norm((places + 0.5) * self.size - self.centres[number], axis=1)
        far = places[(apart > NEAR_RADII * radius) & (apart < FAR_RADII * radius)]
        return self._ball(number, far[0] if len(far) else places[int(np.argmax(apart))], STRAY, free=True)

    def _ball(self, number: int, seed: NDArray[np.integer], share: tuple[float, float], free: bool) -> ObjectMap | None:
        """Give an object the voxels nearest to a seed, as many as a share of its own; ``free``: of background only."""
        count = max(2, round(float(self.rng.uniform(*share)) * len(self.voxels[number])))
        reach = (count * np.prod(self.size) * 3 / np.pi) ** (1 / 3) * 1.5  # half of a ball may lie in the object
        low = [max(0, int(at - reach / mm) - 1) for at, mm in zip(seed, self.size, strict=True)]
        high = [int(at + reach / mm) + 2 for at, mm in zip(seed, self.size, strict=True)]
        part = self.objects[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
        others = np.argwhere(part == 0 if free else part != number) + low
        if not len(others):
            return None
        apart = np.linalg.norm((others - seed) * np.asarray(self.size), axis=1)
        return self._set(self.objects, others[np.argsort(apart)[:count]], number)

    def _shift(self, number: int) -> ObjectMap | None:
        """Move an object along the slices, towards either end."""
        voxels = self.voxels[number]
        steps = max(1, round(OFF * (int(np.ptp(voxels[:, 2])) + 1))) * int(self.rng.choice([-1, 1]))
        moved = voxels + np.array([0, 0, steps])
        moved = moved[(moved[:, 2] >= 0) & (moved[:, 2] < self.objects.shape[2])]
        return self._set(self._set(self.objects, voxels, 0), moved, number) if len(moved) else None

    def _direction(self) -> NDArray[np.float64]:
        direction = self.rng.standard_normal(3)
        return direction / np.linalg.norm(direction)

    @staticmethod
    def _set(objects: ObjectMap, voxels: NDArray[np.integer], value: int) -> ObjectMap:
        changed = objects.copy()
        changed[tuple(voxels.T)] = value
        return changed


def another_map(donor: ObjectMap, shape: Sequence[int]) -> ObjectMap:
    """The map of another scan, as it would lie on the voxels (X, Y, Z) of this one."""
    resampled: ObjectMap = resample_objects(torch.from_numpy(np.ascontiguousarray(donor)), shape).numpy()
    return resampled
