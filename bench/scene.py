"""A phantom to segment: its volume, its attention, untrained networks, and what runs them over it."""

from __future__ import annotations

import copy
import functools
import tempfile
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

from scripts.coarse.config import SLICES as COARSE_SLICES
from scripts.coarse.inferer import CoarseInferer
from scripts.coarse.slices import SLICES_AT_ONCE, coarse_inferer
from scripts.cohort.label_table import LabelTable
from scripts.cohort.resampling import resample, resample_objects, strongest, working_shape
from scripts.cohort.volume import read, read_objects
from scripts.files import write_volume
from scripts.multiclass.grid import SegmentGrid
from scripts.multiclass.multiclass import Multiclass
from scripts.networks.decoder import AsppDecoder
from scripts.networks.device import on_device
from scripts.networks.encoder import QueryEncoder
from scripts.networks.fusion import fuse_norms
from scripts.phantom.phantom import write_phantoms
from scripts.queries.grid import AIR, QueryGrid, overlap_slices
from scripts.refine.inferer import QueryInferer
from scripts.refine.patches import VolumePatches
from scripts.refine.refiner import Refiner

NUMBERS = yaml.safe_load(Path("bundle/configs/common.yaml").read_text())
INFERENCE = yaml.safe_load(Path("bundle/configs/inference.yaml").read_text())
BATCH = INFERENCE["batch_size"]
CLINICAL = (0.8, 0.8, 3.0)  # mm, of an abdominal CT with 512 x 512 voxels a slice
USUAL = (1.5, 1.5, 2.0)  # mm, the grid MONAI's zoo has sliding windows work on for abdominal CT
WINDOW = (96, 96, 96)
ORGANS = 13
AIR_HU = -1000.0
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


def write_scan(
    folder: Path, voxels: np.ndarray, objects: np.ndarray, spacing: Sequence[float], maps: str
) -> LabelTable:
    """Write images/a.nii.gz, <maps>/a.nii.gz and labels.yaml, which gives each organ its object number."""
    affine = np.diag([*spacing, 1.0])
    write_volume(folder / "images" / "a.nii.gz", voxels.astype(np.int16), affine)
    write_volume(folder / maps / "a.nii.gz", objects.astype(np.uint8), affine)
    names = {f"organ_{number}": {"index": number} for number in range(1, ORGANS + 1)}
    (folder / "labels.yaml").write_text(yaml.safe_dump({"phases": ["portal"], "organs": names}))
    return LabelTable.load(folder)


def encoder_and_decoder(numbers: Mapping[str, Any], channels: int, outputs: int) -> tuple[QueryEncoder, AsppDecoder]:
    """Those of axial slices or patches, untrained."""
    encoder = QueryEncoder(2, numbers["block"], numbers["layers"], numbers["widths"], in_channels=channels)
    of_decoder = {key: numbers[key] for key in ("dilations", "skips", "skip_width")}
    decoder = AsppDecoder(2, encoder.channels, width=numbers["decoder_width"], outputs=outputs, **of_decoder)
    return encoder, decoder


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
        organs: int = ORGANS,
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
        self.network = on_device(Copier(Refiner(*encoder_and_decoder(numbers, 2, 1))), "cpu").eval()
        self.folded = fuse_norms(copy.deepcopy(self.network))  # as the inference stage runs it
        cleaning = {key: INFERENCE[key] for key in ("smallest_island", "keep_slices")}
        self.inferer = QueryInferer(self.grid, BATCH, lambda inputs: self.attention, grow=0, **cleaning)
        objects_on_grid = self.grid.objects(self.attention[0, 0], self.image[0])
        self.patches = VolumePatches(self.grid, self.image[0], objects_on_grid)

    def run(self, name: str) -> Run:
        """What segments the volume once."""
        channels = {"in_channels": 1, "out_channels": ORGANS + 1}
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
        """The coarse map by axial slices: their network, untrained, runs, and finds the organs where they are."""
        size, window = NUMBERS["segment_size"], NUMBERS["window"]
        network = on_device(Multiclass(*encoder_and_decoder(NUMBERS, 1, ORGANS + 1)), "cpu").eval()
        grid = SegmentGrid(COARSE_SLICES, size, NUMBERS["coarse_spacing"], window)
        inferer = coarse_inferer(COARSE_SLICES, grid, NUMBERS["coarse_size"], window, channels=1)
        shape = grid.shape(self.image[0])
        missing = [side - there for side, there in zip(size, shape, strict=False)]  # a slice fits into a window
        pad = [0, 0, *(part for gap in reversed(missing) for part in (gap // 2, gap - gap // 2))]
        organs = nn.functional.pad(resample_objects(self.attention[0, 0], shape).long(), pad).movedim(-1, 0)[:, None]

        def run() -> torch.Tensor:
            told = iter(torch.split(organs, SLICES_AT_ONCE))
            return inferer(self.image, lambda slices: network(slices).zero_().scatter_(1, next(told), 10.0))

        return run

    def coarse_volume(self) -> Run:
        """The coarse map of the whole volume at once, by a network that is told where the organs are likewise."""
        size, channels = NUMBERS["coarse_size"], NUMBERS["coarse_channels"]
        network = UNet(3, 1, ORGANS + 1, channels, NUMBERS["coarse_strides"]).eval()
        organs = resample_objects(self.attention[0, 0], size).long()
        scores = nn.functional.one_hot(organs, ORGANS + 1).movedim(-1, 0)[None] * 10.0
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
        floor = torch.full(self.image.shape[2:], 0.5)
        strongest(scores, floor, winner := torch.zeros_like(floor, dtype=torch.int16))
        return winner[None, None]

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
