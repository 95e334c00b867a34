"""What was measured and left as it is: own code in MONAI's place, and switches, that gain too little."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import yaml
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import RandAffined
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import nn
from torch.nn import functional

from scripts.evaluate import surfaces
from scripts.multiclass.multiclass import Multiclass
from scripts.networks.decoder import AsppDecoder
from scripts.networks.device import FORMATS
from scripts.networks.encoder import QueryEncoder
from scripts.networks.segmentation_loss import IgnoringLoss

from .timing import compare, table, threads

NUMBERS = yaml.safe_load(Path("bundle/configs/common.yaml").read_text())
SEGMENT = yaml.safe_load(Path("bundle/configs/segment.yaml").read_text())
COARSE = yaml.safe_load(Path("bundle/configs/coarse.yaml").read_text())
ORGANS = 13
SMOOTH = 1e-5  # of MONAI's Dice
RADIUS = 70.0  # mm of the two balls whose surfaces are compared
SPACING = (0.8, 0.8, 2.0)  # mm
Run = Callable[[], object]


class DiceCEOnce(nn.Module):
    """MONAI's DiceCELoss of ``segment.yaml`` by one log-softmax instead of two softmaxes."""

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, ...) and labels (B, 1, ...)."""
        logs = functional.log_softmax(logits, dim=1)
        found, axes = logs.exp(), [0, *range(2, logits.ndim)]
        true = torch.zeros_like(found).scatter_(1, label.long(), 1)
        overlap, sizes = (found * true).sum(axes), (found * found).sum(axes) + true.sum(axes)
        dice = 1 - (2 * overlap + SMOOTH) / (sizes + SMOOTH)
        return functional.nll_loss(logs, label[:, 0].long()) + dice.mean()


def losses(size: Sequence[int]) -> dict[str, Run]:
    """A step of segment.yaml on slices of this size, without its data and optimizer, by both losses."""
    encoder = QueryEncoder(2, NUMBERS["block"], NUMBERS["layers"], NUMBERS["widths"], in_channels=1)
    of_decoder = {key: NUMBERS[key] for key in ("dilations", "skips", "skip_width")}
    decoder = AsppDecoder(2, encoder.channels, width=NUMBERS["decoder_width"], outputs=ORGANS + 1, **of_decoder)
    network = Multiclass(encoder, decoder)
    images = torch.randn(SEGMENT["batch_size"], 1, *size)
    labels = torch.randint(0, ORGANS + 1, images.shape)
    monai = {key: value for key, value in SEGMENT["segmentation_loss"].items() if key != "_target_"}

    def step(loss: nn.Module) -> Run:
        loss = IgnoringLoss(loss)
        return lambda: loss(network(images), labels).backward()

    return {"DiceCELoss": step(DiceCELoss(**monai)), "one log-softmax": step(DiceCEOnce())}


def layouts(size: Sequence[int]) -> dict[str, Run]:
    """The 3-D coarse network forward and backward, with both memory layouts."""
    kernel = NUMBERS["coarse_kernel"]
    network = UNet(3, 1, ORGANS + 1, NUMBERS["coarse_channels"], NUMBERS["coarse_strides"], kernel, kernel)
    last = copy.deepcopy(network).to(memory_format=FORMATS[5])
    volume = torch.randn(COARSE["batch_size"], 1, *size)
    return {
        "channels_last": lambda: last(volume.to(memory_format=FORMATS[5])).sum().backward(),
        "not channels_last": lambda: network(volume).sum().backward(),
    }


def grids(size: Sequence[int]) -> dict[str, Run]:
    """The affine augmentation of coarse.yaml, its sampling grid made each time or kept."""
    given = {"keys": ["image", "label"], "mode": ["bilinear", "nearest"], "padding_mode": "border", "prob": 1.0}
    ranges = {f"{name}_range": COARSE[key] for name, key in (("rotate", "rotation"), ("scale", "scaling"))}
    anew = RandAffined(**given, **ranges)
    kept = RandAffined(**given, **ranges, spatial_size=list(size), cache_grid=True)
    volume = {"image": torch.randn(1, *size), "label": torch.zeros(1, *size)}
    return {"grid made each time": lambda: anew(dict(volume)), "grid kept": lambda: kept(dict(volume))}


def trees(radius: float) -> dict[str, Run]:
    """NSD, HD95 and ASSD of two balls, by MONAI's distances and by SciPy's tree itself."""
    side = [int(2.5 * radius / step) for step in SPACING]
    places = [(np.arange(count) - count / 2) * step for count, step in zip(side, SPACING, strict=True)]
    squares = sum(part**2 for part in np.ix_(*places))
    masks = squares < radius**2, np.roll(squares, 3, axis=0) < (radius + 2) ** 2

    def by_tree(one: surfaces.Surface, other: surfaces.Surface, sizes: Sequence[float]) -> NDArray[np.float32]:
        tree = KDTree(np.argwhere(other.whole) * sizes)
        return np.asarray(tree.query(np.argwhere(one.asked) * sizes)[0], np.float32)

    def measure() -> object:
        return surfaces.surface_metrics(*masks, SPACING, 2.0)

    def measure_by_tree() -> object:
        with mock.patch.object(surfaces, "_distances", by_tree):
            return measure()

    return {"get_surface_distance": measure, "KDTree": measure_by_tree}


def report(rounds: int = 7, scale: float = 1.0) -> str:
    """The section of the results; ``scale`` of all sizes."""

    def sized(size: Sequence[int]) -> list[int]:
        return [max(16, int(count * scale) // 16 * 16) for count in size]

    coarse = sized(NUMBERS["coarse_size"])
    asked = {
        f"segment.yaml, network and loss, {ORGANS} organs": losses(sized(NUMBERS["segment_size"])),
        "coarse.yaml, network": layouts(coarse),
        "coarse.yaml, affine augmentation of a volume": grids(coarse),
        "evaluate, surfaces of an organ": trees(RADIUS * scale),
    }
    rows = []
    with threads(1):
        for what, candidates in asked.items():
            found = compare(candidates, rounds)
            rows += [[what, name, f"{1000 * taken:.1f}", f"{ratio:.2f}"] for name, (taken, ratio) in found.items()]
    text = (
        "Own code, or a switch, that was measured and not taken, after what is used; one thread, medians of "
        f"{rounds} interleaved rounds."
    )
    return "\n\n".join(["## Alternatives", text, table(["", "", "ms", "over what is used"], rows)])
