"""Whole-volume inference beside the bare network, a plain loop, and MONAI's sliding window over two networks.

``python -m bench.inference NAME X Y Z`` prints the seconds one of them takes, and the memory in MiB it adds, on voxels
of X x Y x Z mm.
"""

from __future__ import annotations

import copy
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import SegResNet, SwinUNETR, UNet
from torch import nn

from scripts.coarse.inferer import CoarseInferer
from scripts.cohort.label_table import LabelTable
from scripts.cohort.resampling import resample, resample_objects, strongest, working_shape
from scripts.cohort.volume import read, read_objects
from scripts.networks.decoder import AsppDecoder
from scripts.networks.device import on_device
from scripts.networks.encoder import QueryEncoder
from scripts.networks.fusion import fuse_norms
from scripts.phantom.phantom import write_phantoms
from scripts.queries.grid import AIR, QueryGrid, overlap_slices
from scripts.refine.inferer import QueryInferer
from scripts.refine.patches import VolumePatches
from scripts.refine.refiner import Refiner

from .timing import compare, forget_peak, in_new_process, memory, table, threads

NUMBERS = yaml.safe_load(Path("bundle/configs/common.yaml").read_text())
STANDARD = NUMBERS | yaml.safe_load(Path("bundle/configs/standard.yaml").read_text())
BATCH = yaml.safe_load(Path("bundle/configs/inference.yaml").read_text())["batch_size"]
CLINICAL = (0.8, 0.8, 3.0)  # mm, of an abdominal CT with 512 x 512 voxels a slice
USUAL = (1.5, 1.5, 2.0)  # mm, the grid MONAI's zoo has sliding windows work on for abdominal CT
WINDOW = (96, 96, 96)
ORGANS = (1, 4, 13)
SLICES = (76, 200, 600)
AIR_HU = -1000.0
NAMES = ("QueryInferer", "plain loop", "SegResNet, sliding window", "SwinUNETR, sliding window")
LONG = 60.0  # seconds of a run that is not repeated
EVERYWHERE = (slice(None),) * 3
Run = Callable[[], object]


class Copier(nn.Module):
    """An untrained refiner that predicts about its attention mask, as a trained one does."""

    def __init__(self, refiner: nn.Module) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.refiner(inputs).mul_(0.1).add_(inputs[:, 1:] * 10 - 5)


@functools.cache
def phantom() -> tuple[MetaTensor, np.ndarray]:
    """A rendered scan and its objects, not to be written into."""
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(Path(folder), 1, 0)
        (scan,) = Path(folder, "images").iterdir()
        image = read(scan, "phantom")
        objects = read_objects(Path(folder, "labels", scan.name), image, "phantom", LabelTable.load(folder))
    return image, objects.astype(np.int16)


class Scene:
    """A phantom with its ground truth as attention, and an untrained refiner.

    Args:
        spacing: mm, of the volume.
        organs: how many of the organs are looked for.
        padding: voxels of air at each side along X and Y.
        numbers: of the queries and the networks, by the keys of common.yaml.
    """

    def __init__(
        self,
        spacing: Sequence[float] = CLINICAL,
        organs: int = ORGANS[-1],
        padding: int = 0,
        numbers: Mapping[str, Any] = NUMBERS,
    ) -> None:
        torch.manual_seed(0)
        image, every = phantom()
        objects = np.where(every > organs, 0, every)
        shape = working_shape(image.shape[1:], image.pixdim.tolist(), spacing)
        pad = [0, 0, padding, padding, padding, padding]
        voxels = nn.functional.pad(resample(image.as_tensor(), shape), pad, value=AIR_HU)[None]
        self.image = MetaTensor(voxels, affine=torch.diag(torch.tensor([*spacing, 1.0])), meta={})
        self.attention = nn.functional.pad(resample_objects(torch.from_numpy(objects), shape), pad)[None, None]
        self.grid = QueryGrid(2, numbers["patch_size"], numbers["spacing"], numbers["window"])
        encoder = QueryEncoder(2, numbers["block"], numbers["layers"], numbers["widths"])
        of_decoder = {key: numbers[key] for key in ("dilations", "skips", "skip_width")}
        decoder = AsppDecoder(2, encoder.channels, width=numbers["decoder_width"], **of_decoder)
        refiner = Refiner(encoder, decoder)
        self.network = on_device(Copier(refiner), "cpu").eval()
        self.folded = fuse_norms(copy.deepcopy(self.network))  # as the inference stage runs it
        self.inferer = QueryInferer(self.grid, BATCH, lambda inputs: self.attention, grow=0)
        objects_on_grid = self.grid.objects(self.attention[0, 0], self.image[0])
        self.patches = VolumePatches(self.grid, self.image[0], objects_on_grid)

    def run(self, name: str) -> Run:
        """What segments the volume once."""
        channels = {"in_channels": 1, "out_channels": ORGANS[-1] + 1}
        if name.startswith("SwinUNETR"):
            return self.sliding(SwinUNETR(**channels, feature_size=48))
        if name.startswith("SegResNet"):
            return self.sliding(SegResNet(**channels))
        return self.loop if name == "plain loop" else self.ours

    def ours(self) -> torch.Tensor:
        """The inferer, attention given."""
        return self.inferer(self.image, self.folded, attention=self.attention)

    def bare(self) -> Run:
        """The forward passes alone, folded as the inferer runs them, over batches cut before."""
        rows = self.patches.queries.tolist()
        batches = [self.patches.cut(rows[first : first + BATCH]) for first in range(0, len(rows), BATCH)]

        def run() -> None:
            with torch.no_grad():
                for batch in batches:
                    self.folded(batch)

        return run

    def coarse(self) -> Run:
        """The coarse map: its network, untrained, runs, and finds the organs on its grid where they are."""
        size, channels = NUMBERS["coarse_size"], NUMBERS["coarse_channels"]
        network = UNet(3, 1, ORGANS[-1] + 1, channels, NUMBERS["coarse_strides"]).eval()
        organs = resample_objects(self.attention[0, 0], size).long()
        scores = nn.functional.one_hot(organs, ORGANS[-1] + 1).movedim(-1, 0)[None] * 10.0
        inferer = CoarseInferer(size, NUMBERS["window"])
        return lambda: inferer(self.image, lambda volume: network(volume).mul_(0).add_(scores))

    def loop(self) -> torch.Tensor:
        """A loop over objects and slices, one forward pass each, with each organ's probability on the full volume."""
        image, objects = self.grid.image(self.image[0])[0], self.grid.objects(self.attention[0, 0], self.image[0])
        rows = self.grid.queries(objects.numpy())

        def drawn(number: int) -> torch.Tensor:
            canvas = torch.zeros(image.shape)
            for _, *start in rows[rows[:, 0] == number].tolist():
                mask = self.grid.cut(objects, start) == number
                query = torch.stack([self.grid.cut(image, start, outside=AIR), mask.float()])
                with torch.no_grad():
                    patch = torch.sigmoid(self.network(query[None]))[0, 0, :, :, None]
                part, where = overlap_slices(start, self.grid.box, image.shape)
                canvas[where] = torch.maximum(canvas[where], patch[part])
            return resample(canvas[None], self.image.shape[2:])[0]

        scores = ((number, EVERYWHERE, drawn(number)) for number in np.unique(rows[:, 0]).tolist())
        return strongest(scores, torch.full(self.image.shape[2:], 0.5))[None, None]

    def sliding(self, network: nn.Module) -> Run:
        """MONAI's sliding window, half overlapping, over the volume on the usual grid, and the result brought back."""
        inferer = SlidingWindowInferer(WINDOW, sw_batch_size=1, overlap=0.5)
        network.eval()
        shape = working_shape(self.image.shape[2:], self.image[0].pixdim.tolist(), USUAL)

        def run() -> torch.Tensor:
            with torch.no_grad():
                small = resample(self.image.as_tensor()[0], shape)[None] / 1000
                objects: torch.Tensor = inferer(small, network).argmax(1)[0]
                return resample_objects(objects, self.image.shape[2:])

        return run


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
                    "coarse map, by CoarseInferer": scene.coarse(),
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
    """Time by the number of slices the same body is scanned in, of the inferer and of the coarse map."""
    depth = Scene(spacing).image.shape[-1] * spacing[2]
    rows = []
    for count in slices:
        scene = Scene((*spacing[:2], depth / count))
        found = compare({"ours": scene.ours, "coarse": scene.coarse()}, rounds)
        queries, (seconds, _) = len(scene.patches.queries), found["ours"]
        size = " x ".join(map(str, scene.image.shape[2:]))
        rows.append([size, queries, f"{seconds:.2f}", f"{1000 * seconds / queries:.1f}", f"{found['coarse'][0]:.2f}"])
    return table(["voxels", "queries", "seconds", "ms a query", "coarse map, seconds"], rows)


def report(
    names: Sequence[str] = NAMES,
    rounds: int = 5,
    organs: Sequence[int] = ORGANS,
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
        f"A phantom of {size} voxels at {steps} mm, {ORGANS[-1]} organs, {len(scene.patches.queries)} queries, "
        "attention given, the networks of common.yaml. Forward passes and QueryInferer run the network with its "
        "normalisations folded, as inference does; the plain loop, organ by organ and slice by slice, as trained. "
        f"One thread and two; {medians}.",
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
