"""Bounds of the values in the configs, by key: checked with the config, before anything is done."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..cohort.window import window_ends
from ..errors import SemclError
from .overlays import is_expression

LARGE = 10**6


class Rule(Protocol):
    """Decides whether a value is allowed; its text describes the allowed values."""

    def admits(self, value: Any) -> bool:
        """Whether a literal is allowed."""
        ...


@dataclass(frozen=True)
class Bound:
    """A number, or each number of a list.

    Args:
        low: the smallest allowed.
        high: the largest allowed.
        above: ``low`` itself is not allowed.
        whole: fractions are not allowed.
        multiple: only multiples of it are allowed.
        zero: 0 is allowed too.
        odd: even numbers are not allowed.
        count: length of a list; None for any.
    """

    low: float = 0
    high: float = LARGE
    above: bool = False
    whole: bool = False
    multiple: int = 1
    zero: bool = False
    odd: bool = False
    count: int | None = None

    def admits(self, value: Any) -> bool:
        """Whether a number, or every number of a list, is within the bounds; expressions in a list count as within."""
        if isinstance(value, list | tuple):
            right = self.count in (None, len(value))
            return right and all(is_expression(part) or self.admits(part) for part in value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.zero and value == 0:
            return True
        inside = (self.low < value if self.above else self.low <= value) and value <= self.high  # of NaN neither
        parts = (value % 1 == 0 or not self.whole) and (self.multiple == 1 or value % self.multiple == 0)
        return inside and parts and (value % 2 == 1 or not self.odd)

    def __str__(self) -> str:
        kind = f"a multiple of {self.multiple}" if self.multiple > 1 else "an odd number" if self.odd else "a number"
        kind = "a whole number" if self.whole and kind == "a number" else kind
        ends = f"above {self.low:g}, at most {self.high:g}" if self.above else f"{self.low:g} to {self.high:g}"
        return f"{kind}, {ends}{', or 0' if self.zero else ''}{f', {self.count} of them' if self.count else ''}"


@dataclass(frozen=True)
class OneOf:
    """One of several values."""

    values: tuple[object, ...]

    def admits(self, value: Any) -> bool:
        """Whether it is one of them."""
        return value in self.values and not isinstance(value, bool)

    def __str__(self) -> str:
        return ", ".join(map(str, self.values[:-1])) + f" or {self.values[-1]}"


class WindowRule:
    """An intensity window, as ``window_ends`` takes it."""

    def admits(self, value: Any) -> bool:
        """Whether it is one; a list that holds expressions counts as one."""
        if isinstance(value, list) and any(map(is_expression, value)):
            return True
        try:
            return len(window_ends(torch.zeros(1), value)) == 2
        except (ValueError, TypeError):
            return False

    def __str__(self) -> str:
        return '[low, high] with low below high, or "percentile"'


COUNT = Bound(1, whole=True)
NATURAL = Bound(0, whole=True)
SHARE = Bound(0, 1)
THREE_SIDES = Bound(1, 4096, whole=True, count=3)
BOUNDS: Mapping[str, Rule] = {  # key -> rule; it holds too for a component's argument that is "@key"
    # shared by stages
    "num_workers": Bound(0, 1024, whole=True),
    "scan_workers": Bound(0, 1024, whole=True),
    "workers": Bound(1, 1024, whole=True),
    "rank_patience": Bound(0, above=True),
    "time_limit": Bound(0),
    "seed": Bound(0, 2**32 - 1, whole=True),
    "precision": OneOf(("float32", "bfloat16", "float16")),
    "compile_mode": OneOf(("default", "reduce-overhead", "max-autotune")),
    "window": WindowRule(),
    "image_channels": Bound(1, 1024, whole=True),
    "spatial_dims": OneOf((2, 3)),
    "patch_size": Bound(16, 1024, whole=True, multiple=8),  # the encoder's last map is 1/8 of it
    "spacing": Bound(0.001, 1000, zero=True, count=3),
    "extend": Bound(0, 100, whole=True),
    "islands": SHARE,
    "block": OneOf(("basic", "bottleneck")),
    "layers": Bound(1, 100, whole=True, count=4),
    "widths": Bound(1, 8192, whole=True, count=4),
    "decoder_width": Bound(1, 8192, whole=True),
    "dilations": Bound(1, 128, whole=True),
    "skips": Bound(0, 8, whole=True),
    "skip_width": Bound(1, 8192, whole=True),
    # plain networks
    "segment_dims": OneOf((2, 3)),
    "segment_size": Bound(8, 4096, whole=True, multiple=8, count=2),
    "segment_patch": Bound(8, 4096, whole=True, multiple=8, count=3),
    "segment_spacing": Bound(0.001, 1000, zero=True, count=3),
    "foreground": SHARE,
    "overlap": Bound(0, 0.95),
    "consistency": Bound(0, 1000),
    "unlabelled_per_batch": COUNT,
    "confidence": SHARE,
    "pseudo_cases": COUNT,
    "kept_weights": Bound(0, 0.9),
    "least_volume": SHARE,
    "deformation": Bound(0, 0.49),  # up to it, places along an axis of the control points keep their order
    "deformed_from": Bound(0),
    "pseudo_share": Bound(0, 0.9, above=True),  # some of each step are of label maps
    "momentum": SHARE,
    # coarse
    "coarse_dims": OneOf((2, 3)),
    "coarse_spacing": Bound(0.001, 1000, zero=True, count=3),
    "coarse_slice": Bound(8, 4096, whole=True, multiple=8, count=2),
    "coarse_size": THREE_SIDES,
    "coarse_channels": Bound(1, 8192, whole=True),
    "coarse_strides": Bound(1, 8, whole=True),
    "coarse_kernel": Bound(1, 15, whole=True, odd=True, count=3),
    "rotation": Bound(0, math.pi, count=3),
    "scaling": Bound(0, 0.9, count=3),
    "translation": Bound(0, 4096, count=3),
    "labelled_maps": OneOf(("cross-fitted", "simulated", "none")),
    "simulated_errors": Bound(0, 10),
    # training
    "labelled": Bound(0, 1, above=True),
    "calibration_share": Bound(0, 0.9),
    "calibration_patients": COUNT,
    "max_epochs": COUNT,
    "epoch_length": COUNT,
    "batch_size": COUNT,
    "learning_rate": Bound(0, 100, above=True),
    "encoder_rate": Bound(0, 100),
    "weight_decay": Bound(0, 100),
    "clusters_per_batch": COUNT,
    "queries_per_cluster": COUNT,
    "embedding": COUNT,
    "temperature": Bound(0.001, 100),
    "memory": NATURAL,
    "meaning": OneOf(("cluster", "object", "phase", "query", "slice")),
    "nsd": OneOf(("area", "edges")),
    "settings": OneOf(("noted", "given")),
    "schedule": OneOf(("begun", "refitted")),
    "pooling": OneOf(("patch", "regions", "points")),
    "points": COUNT,
    "margin": Bound(0, 1024, whole=True),
    "without_fold": NATURAL,
    "calibration_batches": COUNT,
    # inference, embed, evaluate
    "grow": Bound(0, 100, whole=True),
    "test_views": Bound(1, 10, whole=True),
    "smallest_island": SHARE,
    "certain": Bound(0.5, 1),
    "val_interval": NATURAL,
    "val_cases": COUNT,
    "patience": NATURAL,
    "val_batches": COUNT,
    "val_neighbours": COUNT,
    "queries_per_object": COUNT,
    "threshold": SHARE,
    "usable": SHARE,
    "queries_per_organ": COUNT,
    "neighbours": COUNT,
    "perplexity": Bound(1),
    "map_points": Bound(2, whole=True),
    "tolerance": Bound(0, 1000, above=True),
    "equivalence": SHARE,
    "pictures": NATURAL,
}


def out_of_bounds(path: str, value: Any, key: str) -> Iterator[SemclError]:
    """Yield the error of a literal value at a path of a config that breaks the rule of a key, if it has one."""
    rule = BOUNDS.get(key)
    if rule is not None and not rule.admits(value):
        yield SemclError(f"--{path} is out of bounds", found=repr(value), expected=rule, remedy=f"change --{path}")


def indivisible(config: Mapping[str, Any]) -> Iterator[SemclError]:
    """Yield the error of a coarse grid that is not divisible by the strides of the network a stage trains on it."""
    size, strides = config.get("coarse_size"), config.get("coarse_strides")
    if config.get("stage") != "coarse" or not isinstance(size, list) or not isinstance(strides, list):
        return
    if not BOUNDS["coarse_size"].admits(size) or not BOUNDS["coarse_strides"].admits(strides):
        return
    steps = [stride if isinstance(stride, list) else [stride] * 3 for stride in strides]
    if any(is_expression(part) for row in [size, *steps] for part in row) or any(len(step) != 3 for step in steps):
        return
    divisors = [math.prod(step[axis] for step in steps) for axis in range(3)]
    nearest = [max(divisor, round(side / divisor) * divisor) for side, divisor in zip(size, divisors, strict=True)]
    if nearest != size:
        yield SemclError(
            "--coarse_size is not divisible by the strides of the coarse network",
            found=f"{size}, with coarse_strides {strides}",
            expected=f"multiples of {divisors}, the products of the strides along each axis",
            remedy=f"set --coarse_size to {nearest}, say",
        )
