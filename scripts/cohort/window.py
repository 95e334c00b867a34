"""The window of intensities that networks see: its ends, images mapped to it, and scans that show nothing in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..errors import SemclError
from .volume_files import SAMPLE

PERCENTILE = "percentile"  # a window: each volume's own
PERCENTILES = (0.01, 0.99)  # that it goes from and to
LEAST_FILLED = 0.05  # share of a window that the intensities of a scan fill


def normalise(image: torch.Tensor, window: Sequence[float] | str) -> torch.Tensor:
    """Intensities mapped to [-1, 1] and clipped.

    Args:
        image: any shape.
        window: [low, high] in the image's units (HU), or "percentile": the 1st and 99th of the volume, of each channel.
    """
    low, high = window_ends(image, window)
    return between(image, low, high)


def between(image: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Intensities of any shape with ``low`` to ``high`` mapped to [-1, 1], and clipped."""
    half = (high - low).clamp_min(1e-6) / 2
    scaled: torch.Tensor = image.float().sub((low + high) / 2).div_(half).clamp_(-1, 1)
    return scaled


def window_ends(image: torch.Tensor, window: Sequence[float] | str) -> torch.Tensor:
    """The two intensities (2,) of an image that become -1 and 1; by percentile of each channel (2, C, 1, 1, 1).

    Raises:
        SemclError: when the window is neither.
    """
    ends = [] if isinstance(window, str) else [float(end) for end in window]
    if window != PERCENTILE and not (len(ends) == 2 and -math.inf < ends[0] < ends[1] < math.inf):
        raise SemclError(
            "unknown intensity window",
            found=window,
            expected='[low, high] with low below high, or "percentile"',
            remedy="set window",
        )
    if ends:
        return torch.tensor(ends, device=image.device)
    if image.ndim == 4 and len(image) > 1:  # modalities differ in their units
        each = [window_ends(channel[None], window) for channel in image]
        return torch.stack(each, 1).view(2, -1, 1, 1, 1)
    return torch.quantile(_sample(image.float().flatten()), torch.tensor(PERCENTILES, device=image.device))


def _sample(voxels: torch.Tensor) -> torch.Tensor:
    """A million voxels sampled at random, the same each time: torch.quantile is limited in size."""
    if len(voxels) <= SAMPLE:
        return voxels
    sampled = torch.randint(len(voxels), (SAMPLE,), generator=torch.Generator().manual_seed(0))
    return voxels[sampled.to(voxels.device)]


def require_visible(image: torch.Tensor, window: Sequence[float] | str, case: str | None, source: object) -> None:
    """Refuse a scan of which a network would see next to nothing: of one value, normalised already, or few labels.

    Args:
        image: (C, X, Y, Z) as stored.
        window: [low, high] in the image's units, or "percentile".
        case: its id.
        source: its file.

    Raises:
        SemclError: where its intensities fill less than 0.05 of the window; of their own, where all are the same.
    """
    low, high = (float(value) for value in image.aminmax())
    if isinstance(window, str):
        shown, expected = high - low, "voxels of different values"
    else:
        first, last = (float(end) for end in window_ends(image, window))
        shown = (min(high, last) - max(low, first)) / (last - first) - LEAST_FILLED
        expected = f"values that fill at least {LEAST_FILLED:.0%} of the window from {first:g} to {last:g}"
    if shown <= 0:
        raise SemclError(
            "a scan shows next to nothing",
            case=case,
            found=f"values from {low:g} to {high:g} in {source}",
            expected=expected,
            remedy="leave label maps out; export intensities that were normalised anew, or train and segment with their"
            " own window",
        )
