"""Views of a batch beside MONAI's dictionary transforms, sample by sample, and kornia's augmentations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import kornia.augmentation as kornia
import numpy as np
import torch
from monai.data import DataLoader, Dataset, set_track_meta
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandShiftIntensityd,
)

from scripts.queries.views import Views

from .timing import compare, table, threads

CASES = ((2, 64, 128), (2, 64, 64), (3, 8, 48))  # dims, batch, patch
WORKERS, EPOCH = 2, 16  # processes of a loader, and batches it gives in a run
LOADER = f"MONAI transforms, {WORKERS} workers"


def ours(dims: int, image: torch.Tensor, mask: torch.Tensor) -> Callable[[], object]:
    """Crop with scale, rotation, flip, gain and offset, gamma, blur, noise."""
    views = Views(
        image.shape[-1], rotation=30, flip_axes=[0], contrast=0.1, brightness=0.1, gamma=0.2, blur=1, noise=0.05
    )
    return lambda: views(image, mask)


def transforms(dims: int, side: int) -> Compose:
    """The same changes by transforms of dictionaries."""
    both = ["image", "mask"]
    blur = {f"sigma_{axis}": (0.01, 1.0) for axis in "xyz"[:dims]}
    return Compose(
        [
            RandAffined(
                both,
                prob=1,
                rotate_range=[np.pi / 6] if dims == 2 else [0, 0, np.pi / 6],
                scale_range=[0.2] * dims,
                translate_range=[side / 5] * dims,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandFlipd(both, prob=0.5, spatial_axis=0),
            RandGaussianSmoothd("image", prob=1, **blur),
            RandAdjustContrastd("image", prob=1, gamma=(0.8, 1.2)),
            RandScaleIntensityd("image", factors=0.1, prob=1),
            RandShiftIntensityd("image", offsets=0.1, prob=1),
            RandGaussianNoised("image", prob=1, std=0.05),
        ]
    )


def samples(image: torch.Tensor, mask: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """A batch as MONAI's transforms take it."""
    return [{"image": one, "mask": other} for one, other in zip(image, mask, strict=True)]


def monai(dims: int, image: torch.Tensor, mask: torch.Tensor) -> Callable[[], object]:
    """MONAI's transforms in this process."""
    changes, given = transforms(dims, image.shape[-1]), samples(image, mask)
    return lambda: [changes(sample) for sample in given]


def loader(dims: int, image: torch.Tensor, mask: torch.Tensor) -> Callable[[], object]:
    """MONAI's transforms in worker processes, which have started and given an epoch; a run takes another."""
    data = Dataset(samples(image, mask) * EPOCH, transforms(dims, image.shape[-1]))
    batches = DataLoader(data, batch_size=len(image), num_workers=WORKERS, persistent_workers=True)

    def run() -> None:
        for _ in batches:
            pass

    run()
    return run


def kornias(image: torch.Tensor, mask: torch.Tensor) -> Callable[[], object]:
    """The same changes by kornia, a batch at a time."""
    changes = kornia.AugmentationSequential(
        kornia.RandomAffine(30.0, translate=(0.2, 0.2), scale=(0.55, 0.85), p=1.0),
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.RandomGaussianBlur((7, 7), (0.01, 1.0), p=1.0),
        kornia.RandomGamma((0.8, 1.2), p=1.0),
        kornia.RandomContrast((0.9, 1.1), p=1.0),
        kornia.RandomBrightness((0.9, 1.1), p=1.0),
        kornia.RandomGaussianNoise(std=0.05, p=1.0),
        data_keys=["image", "mask"],
    )
    image = (image + 1) / 2  # kornia's intensities are 0 to 1
    return lambda: changes(image, mask)


def report(cases: Sequence[tuple[int, int, int]] = CASES, rounds: int = 15) -> str:
    """The section of the results."""
    rows = []
    for dims, batch, side in cases:
        image = torch.rand(batch, 1, *[side] * dims) * 2 - 1
        mask = (image > 0).float()
        set_track_meta(False)  # for MONAI, which is quicker without
        chosen = {"Views": ours(dims, image, mask), "MONAI transforms": monai(dims, image, mask)}
        if dims == 2:
            chosen["kornia"] = kornias(image, mask)
        for count in (1, WORKERS):
            if count == WORKERS:
                chosen[LOADER] = loader(dims, image, mask)
            with threads(count):
                found = compare(chosen, rounds)
            for name, (seconds, ratio) in found.items():
                size, batches = " x ".join(map(str, [batch, *[side] * dims])), EPOCH if name == LOADER else 1
                rows.append([size, count, name, f"{batch * batches / seconds:,.0f}", f"{ratio / batches:.1f}"])
    set_track_meta(True)
    head = ["patches", "threads or workers", "by", "views a second", "time over Views'"]
    text = (
        "Image and mask: crop with scale, rotation, flip; blur, gamma, gain, offset and noise of the image. MONAI's "
        "transforms take a sample at a time, without tracking metadata, Views and kornia the whole batch. With workers "
        f"they run in a MONAI DataLoader of {WORKERS} persistent processes with a thread each, beside the others with "
        f"as many threads: a run is an epoch of {EPOCH} batches, after one in which the processes started. Wall time, "
        f"medians of {rounds} interleaved rounds.\n\n"
    )
    return "## Views\n\n" + text + table(head, rows)
