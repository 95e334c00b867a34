"""Peak resident memory one forward and backward of a loss adds, in MiB: python -m bench.peak ours|dense|peer N."""

from __future__ import annotations

import sys

import torch
from pytorch_metric_learning.losses import SupConLoss

from scripts.contrast.loss import SemanticContrastiveLoss

from .loss import CLASSES, TEMPERATURE, dense
from .timing import forget_peak, memory

LOSSES = {"ours": SemanticContrastiveLoss(TEMPERATURE), "dense": dense, "peer": SupConLoss(TEMPERATURE)}
WARM = 512


def main(name: str, count: int) -> None:
    """Print it."""
    torch.set_num_threads(1)
    for size in (WARM, count):
        embeddings, labels = torch.randn(size, 128, requires_grad=True), torch.arange(size) % CLASSES
        forget_peak()
        before = memory("VmRSS")
        LOSSES[name](embeddings, labels).backward()
    print(memory("VmHWM") - before)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
