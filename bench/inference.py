"""Whole-volume inference beside the bare network, a plain loop, and MONAI's sliding window over two networks.

``python -m bench.inference NAME X Y Z`` prints the seconds one of them takes, and the memory in MiB it adds, on voxels
of X x Y x Z mm.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from .scene import CLINICAL, NUMBERS, ORGANS, USUAL, WINDOW, Run, Scene
from .timing import compare, forget_peak, in_new_process, memory, table, threads

STANDARD = NUMBERS | yaml.safe_load(Path("bundle/configs/standard.yaml").read_text())
COUNTS = (1, 4, ORGANS)
SLICES = (76, 200, 600)
NAMES = ("QueryInferer", "plain loop", "SegResNet, sliding window", "SwinUNETR, sliding window")
LONG = 60.0  # seconds of a run that is not repeated


def alone(name: str, spacing: Sequence[float]) -> tuple[float, float]:
    """Seconds of a run, the median of three after a first one unless that is long, and the memory in MiB it adds."""
    run = Scene(spacing).run(name)
    forget_peak()
    before, seconds = memory("VmRSS"), [_timed(run)]
    peak = memory("VmHWM") - before
    if seconds[0] < LONG:
        seconds = [_timed(run) for _ in range(3)]
    return statistics.median(seconds), peak


def _timed(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def beside(names: Sequence[str], spacing: Sequence[float]) -> str:
    """Seconds and memory of each on the same volume."""
    rows = []
    for name in names:
        seconds, peak = in_new_process("bench.inference", name, *spacing)
        rows.append([name, f"{seconds:.1f}", f"{peak:.0f}"])
    return table(["by", "seconds", "peak memory it adds, MiB"], rows)


def overhead(scene: Scene, rounds: int) -> str:
    """Against the network's forward passes alone, and a loop of single queries."""
    rows = []
    for count in (1, 2):
        with threads(count):
            found = compare(
                {
                    "forward passes alone": scene.bare(),
                    "QueryInferer": scene.ours,
                    "plain loop": scene.loop,
                    "coarse map, slice by slice": scene.coarse(),
                    "coarse map, whole volume": scene.coarse_volume(),
                },
                rounds,
            )
        ours = found["QueryInferer"][1]
        rows += [
            [count, name, f"{seconds:.2f}", f"{ratio:.2f}", f"{ratio / ours:.2f}"]
            for name, (seconds, ratio) in found.items()
        ]
    return table(["threads", "by", "seconds", "over forward passes", "over QueryInferer"], rows)


def larger(scene: Scene, rounds: int) -> str:
    """Against the forward passes of a larger network, one thread."""
    with threads(1):
        found = compare({"forward passes alone": scene.bare(), "QueryInferer": scene.ours}, rounds)
    rows = [[name, f"{seconds:.2f}", f"{ratio:.2f}"] for name, (seconds, ratio) in found.items()]
    return table(["by", "seconds", "over forward passes"], rows)


def growth(organs: Sequence[int], paddings: Sequence[int], rounds: int, spacing: Sequence[float]) -> str:
    """Time by the number of organs segmented, and by the amount of air around the body."""
    scenes = {(count, 0): Scene(spacing, count) for count in organs}
    scenes |= {(organs[-1], padding): Scene(spacing, organs[-1], padding) for padding in paddings}
    found = compare({str(key): scene.ours for key, scene in scenes.items()}, rounds)
    rows = []
    for key, scene in scenes.items():
        seconds = found[str(key)][0]
        size = " x ".join(map(str, scene.image.shape[2:]))
        queries = len(scene.patches.queries)
        rows.append([key[0], size, queries, f"{seconds:.2f}", f"{1000 * seconds / queries:.1f}"])
    return table(["organs", "voxels", "queries", "seconds", "ms a query"], rows)


def along_the_body(slices: Sequence[int], rounds: int, spacing: Sequence[float]) -> str:
    """Time by the number of slices the same body is scanned in, of the inferer and of the coarse maps."""
    depth = Scene(spacing).image.shape[-1] * spacing[2]
    rows = []
    for count in slices:
        scene = Scene((*spacing[:2], depth / count))
        found = compare({"ours": scene.ours, "coarse": scene.coarse(), "volume": scene.coarse_volume()}, rounds)
        queries, (seconds, _) = len(scene.patches.queries), found["ours"]
        size, each = " x ".join(map(str, scene.image.shape[2:])), f"{1000 * seconds / queries:.1f}"
        rows.append(
            [size, queries, f"{seconds:.2f}", each, *(f"{found[name][0]:.2f}" for name in ("coarse", "volume"))]
        )
    of_coarse = ("coarse map, slice by slice, seconds", "coarse map, whole volume, seconds")
    return table(["voxels", "queries", "seconds", "ms a query", *of_coarse], rows)


def report(
    names: Sequence[str] = NAMES,
    rounds: int = 5,
    organs: Sequence[int] = COUNTS,
    paddings: Sequence[int] = (120, 360),
    spacing: Sequence[float] = CLINICAL,
    slices: Sequence[int] = SLICES,
    larger_numbers: Mapping[str, Any] = STANDARD,
) -> str:
    """The section of the results."""
    scene, large = Scene(spacing), Scene(spacing, 1, numbers=larger_numbers)
    medians = f"medians of {rounds} interleaved rounds"
    usual = f"{torch.get_num_threads()} threads, {medians}"
    size, steps = (" x ".join(map(str, numbers)) for numbers in (scene.image.shape[2:], spacing))
    parts = [
        "## Inference",
        f"A phantom of {size} voxels at {steps} mm, {ORGANS} organs, {len(scene.patches.queries)} queries, "
        "attention given, the networks of common.yaml. Forward passes and QueryInferer run the network with its "
        "normalisations folded, as inference does; the plain loop, organ by organ and slice by slice, as trained. "
        "Coarse maps are made by the network of `coarse_dims` 2, slice by slice, which `semcl run` trains, and by that "
        f"of 3, of the whole volume, with normalisations as trained. One thread and two; {medians}.",
        overhead(scene, rounds),
        f"The same with a larger network, that of standard.yaml, and the {len(large.patches.queries)} queries of one "
        f"organ, one thread; {medians}:",
        larger(large, rounds),
        f"In processes of their own, the median of three runs after a first one, or one of over {LONG:.0f} s; sliding "
        f"windows of {WINDOW[0]} voxels a side, half overlapping, on a grid of {' x '.join(map(str, USUAL))} mm. They "
        "find organs by themselves, ours is told where to look.",
        beside(names, spacing),
        f"Time grows with the queries, that is with the slices organs touch, and hardly with the volume; {usual}.",
        growth(organs, paddings, rounds, spacing),
        f"The same body in more slices; {usual}:",
        along_the_body(slices, rounds, spacing),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(*alone(sys.argv[1], [float(word) for word in sys.argv[2:]]))
