"""The loss beside its peers: forward and backward, time as ratio to three dense products of matrices, and memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import torch
from monai.losses import ContrastiveLoss
from pytorch_metric_learning.losses import SupConLoss

from scripts.contrast.loss import SemanticContrastiveLoss

from .timing import compare, in_new_process, table, threads

CLASSES = 24  # 12 organs x 2 phases
TEMPERATURE = 0.1
SIZES = ((96, 256), (208, 256), (512, 256), (256, 128), (1024, 128), (4096, 128), (8192, 128), (4096, 256))  # N, D
SPREAD = ((4096, 128), (8192, 128))  # those that two threads are given
MEMORY = (1024, 2048, 4096, 8192, 16384)
ALL = 10_000  # up to this N every candidate runs; above it they would need more memory than a laptop has
SLOW = 256  # up to this N those that build (N, N, D)
PAIR_ROUNDS = 101  # of what pair weights add, which is little


def products(count: int, width: int) -> Callable[[], None]:
    """The three products any dense exact version needs: Z Z', G Z, G' Z; into memory that is there already."""
    z, g = torch.randn(count, width), torch.randn(count, count)
    square, flat = torch.empty(count, count), torch.empty(count, width)

    def run() -> None:
        torch.mm(z, z.T, out=square)
        torch.mm(g, z, out=flat)
        torch.mm(g.T, z, out=flat)

    return run


def dense(embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The formula as one writes it first: an N x N matrix and autograd."""
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    own = torch.eye(len(unit), dtype=torch.bool)
    logits = (unit @ unit.T / TEMPERATURE).masked_fill(own, -math.inf)
    positives = (labels[:, None] == labels) & ~own
    towards = logits.masked_fill(~positives, 0).sum(1) / positives.sum(1)
    return (logits.logsumexp(1) - towards).mean()


def candidates(count: int, width: int, peers: bool = True, compiled: bool = False) -> dict[str, Callable[[], None]]:
    """What is compared at N and D; with ``compiled`` the dense formula by torch.compile too."""
    embeddings = torch.randn(count, width, requires_grad=True)
    labels = torch.arange(count) % CLASSES
    intensity = torch.rand(count)
    ours, sharp = SemanticContrastiveLoss(TEMPERATURE), SemanticContrastiveLoss(0.01)
    peer, simclr = SupConLoss(TEMPERATURE), ContrastiveLoss(TEMPERATURE)

    def back(loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
        def run() -> None:
            embeddings.grad = None
            loss().backward()

        return run

    chosen = {
        "three dense products": products(count, width),
        "SemanticContrastiveLoss": back(lambda: ours(embeddings, labels)),
        "with pair weights": back(lambda: ours(embeddings, labels, intensity)),
        "at temperature 0.01": back(lambda: sharp(embeddings, labels)),
        "dense N x N, autograd": back(lambda: dense(embeddings, labels)),
    }
    if compiled and count <= ALL:
        fused = torch.compile(dense)
        chosen["dense N x N, compiled"] = back(lambda: fused(embeddings, labels))
    if peers and count <= ALL:
        chosen["pytorch-metric-learning SupConLoss"] = back(lambda: peer(embeddings, labels))
    if peers and count <= SLOW:
        half = count // 2
        chosen["MONAI ContrastiveLoss (SimCLR)"] = back(lambda: simclr(embeddings[:half], embeddings[half:]))
    return chosen


def pair_weights(count: int = 512) -> float:
    """Seconds pair weights add to forward and backward at this many views."""
    chosen = candidates(count, 128)
    both = {name: chosen[name] for name in ("SemanticContrastiveLoss", "with pair weights")}
    times = compare(both, PAIR_ROUNDS)
    return times["with pair weights"][0] - times["SemanticContrastiveLoss"][0]


def report(
    sizes: Sequence[tuple[int, int]] = SIZES,
    memory: Sequence[int] = MEMORY,
    rounds: int = 0,
    compiled: bool = True,
) -> str:
    """The section of the results."""
    parts = []
    for count, given in ((1, sizes), (2, [size for size in sizes if size in SPREAD] or sizes)):
        found: dict[str, dict[tuple[int, int], str]] = {}
        with threads(count):
            for size in given:
                few = rounds or max(3, min(15, 30_000 // size[0]))
                for name, (seconds, ratio) in compare(candidates(*size, count == 1, compiled), few).items():
                    found.setdefault(name, {})[size] = f"{ratio:.2f} ({seconds * 1e3:.3g} ms)"
        head = ["", *(f"N={n} D={d}" for n, d in given)]
        rows = [[name, *(cells.get(size, "-") for size in given)] for name, cells in found.items()]
        print(found, file=sys.stderr)
        parts.append(f"{count} thread{'s' * (count > 1)}: ratio to the products, (median).\n\n{table(head, rows)}")
    peaks = {
        name: {count: in_new_process("bench.peak", name, count)[0] for count in memory if name == "ours" or count < ALL}
        for name in ("ours", "dense", "peer")
    }
    rows = [[name, *(f"{peak[n]:.1f}" if n in peak else "-" for n in memory)] for name, peak in peaks.items()]
    first, last = memory[1], memory[-1]
    growth = math.log(peaks["ours"][last] / peaks["ours"][first]) / math.log(last / first)
    parts.append(
        "Peak memory of forward and backward beyond the embeddings, MiB (resident, D=128, one run each in a process of "
        f"its own; the gradient itself is {8192 * 128 * 4 / 2**20:.0f} MiB at 8192). Ours grows as N^{growth:.2f} from "
        f"{first} to {last}.\n\n{table(['', *(f'N={n}' for n in memory)], rows)}"
    )
    with threads(1):
        added = f"{pair_weights() * 1e3:.2f} ms"
        parts.append(
            f"Pair weights at 512 views add {added}, means known, one thread; "
            f"medians of {PAIR_ROUNDS} interleaved rounds."
        )
    return "## Loss\n\nForward and backward, float32; medians of 3 to 15 interleaved rounds.\n\n" + "\n\n".join(parts)
