"""The semantic contrastive loss: embeddings of one cluster are pulled together, all others pushed apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.loss import _Loss

from ..errors import SemclError, one_of
from .checks import check_batch, check_temperature
from .gather import Communicator
from .matrix import MatrixTerms, fits_matrix
from .memory import QueryMemory
from .partition import SHARP
from .terms import Batch, Groups, Terms, readable_without_sync, unit_vectors


class SemanticContrastiveLoss(_Loss):
    r"""Supervised contrastive loss over all views of a batch, the class being any integer label.

    .. math:: L = \frac1{|I|} \sum_{i \in I} -\frac1{|P(i)|} \sum_{p \in P(i)}
        \left[ z_i z_p/\tau - \log \sum_{a \ne i} e^{z_i z_a/\tau} \right]

    z are the embeddings normalised to unit length, P(i) the others with i's label, I the anchors for which P(i) is not
    empty; without any the loss is 0 with zero gradient. One label per organ x phase gives the paper's loss
    (arXiv 2106.01596), no labels SimCLR's, one label per phase scan-level SupCon (arXiv 2004.11362).

    It is exact. Small batches are compared in one matrix (``fits_matrix``), larger ones by tiles, whose memory grows
    linearly with N. Similarities and their log-sum-exp are float32, or float64 for float64 embeddings.

    - *autocast*: has no effect inside; bfloat16 and float16 embeddings are accepted.
    - *torch.compile*: one graph, in which tiles are two operators. A memory, or more than one rank, breaks the
      graph.
    - *DistributedDataParallel*: with ``gather`` every rank gets the value of the whole batch, and the averaged
      gradients are those of one process with that batch. All ranks must call the loss; their batches may differ in
      size. Without ``gather`` each rank compares its own embeddings only.
    - *gradient accumulation*: each partial batch has its own negatives; a memory adds to them.
    - *NaN embeddings*: an error on the CPU; elsewhere a NaN loss, since a check would synchronise host and device.

    Args:
        temperature: tau, above 0.
        learnable: learn log(1/tau), starting from ``temperature`` and kept within ``temperature_range``.
        temperature_range: lowest and highest learnt temperature.
        summation: "out", the mean over positives of logs; "in", the log of their mean (both in arXiv 2004.11362).
        memory: embeddings of earlier batches to compare with too; each call in training adds this batch's.
        gather: compare with the batches of all ranks.
        reduction: "mean" over the anchors with a positive, "sum", or "none": (N,), 0 for the others.

    Attributes:
        left_out: number of anchors without a positive in the last call, a scalar tensor on its device.

    Raises:
        SemclError: for a temperature that is not a positive number, or an unknown option.

    Example:
        >>> embeddings = torch.eye(4)
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> round(SemanticContrastiveLoss(0.07)(embeddings, labels).item(), 4)
        1.0986
    """

    def __init__(
        self,
        temperature: float = 0.1,
        learnable: bool = False,
        temperature_range: Sequence[float] = (0.02, 1.0),
        summation: str = "out",
        memory: QueryMemory | None = None,
        gather: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        check_temperature(temperature, temperature_range if learnable else None)
        one_of("summation", summation, ("out", "in"))
        one_of("reduction", reduction, ("mean", "sum", "none"))
        self.temperature, self.memory, self.gather, self.summation = temperature, memory, gather, summation
        self.sharp = 1 / (min(temperature_range) if learnable else temperature) > SHARP
        self.bounds = sorted(-math.log(end) for end in temperature_range) if learnable else [0.0, 0.0]
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature))) if learnable else None
        self.left_out: torch.Tensor | None = None

    def forward(
        self, input: torch.Tensor, target: torch.Tensor | None = None, intensity: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            input: embeddings (N, D), or (B, V, D) for V views of each of B queries. They are normalised to unit length;
                one of length 0 stays 0 and gets no gradient.
            target: labels, integers (N,), or (B,) with (B, V, D). None with (B, V, D): each query is its own class. Or
                second views (N, D) of the embeddings ``input``, as MONAI's ContrastiveLoss takes them.
            intensity: mean image intensity under the mask, in [0, 1], (N,), or (B, V) with (B, V, D). The logit s of a
                pair in the denominator then becomes 1/tau + (1 - abs(m_i - m_j)) (s - 1/tau), the intensity-adaptive
                weights of arXiv 2210.08652.

        Returns:
            A scalar, or (N,) for the reduction "none"; with ``gather`` for all ranks, in their order.

        Raises:
            SemclError: for shapes, dtypes or values that do not fit.
        """
        embeddings, labels = _views(input, target)
        check_batch(embeddings, labels, intensity)
        if self.memory is not None and self.memory.vectors.shape[1] != embeddings.shape[-1]:
            raise SemclError(
                "embeddings do not fit the memory",
                found=f"embeddings of length {embeddings.shape[-1]}",
                expected=f"{self.memory.vectors.shape[1]}, the length that the memory was made for",
                remedy="make it QueryMemory(size, embedding) with the cluster head's embedding",
            )
        vectors = embeddings.flatten(0, -2)
        views = len(vectors) // max(len(embeddings), 1)
        with torch.autocast(embeddings.device.type, enabled=False):
            communicator = (
                Communicator.of_group(len(vectors), vectors.device) if self.gather else Communicator.alone(len(vectors))
            )
            if labels is None:
                classes = torch.arange(len(embeddings), device=vectors.device) + communicator.start
            else:
                classes = labels.long()
            classes = classes if views == 1 else classes.repeat_interleave(views)
            scale = self._scale(vectors)
            if self.memory is None and len(communicator.sizes) == 1 and fits_matrix(vectors):
                terms, positives = self._by_matrix(vectors, classes, intensity, scale)
            else:
                batch = self._batch(vectors, classes, intensity, communicator, labels is None)
                terms = Terms.apply(vectors, scale, batch, self.summation == "in", self.sharp)  # type: ignore[no-untyped-call]
                positives = batch.positives
            return self._reduce(self._per_anchor(*terms, positives, scale), positives, communicator)

    def _by_matrix(
        self, vectors: torch.Tensor, labels: torch.Tensor, intensity: torch.Tensor | None, scale: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Numerator and denominator, and the number of positives (N,), of a small batch."""
        z, lengths = _finite_unit_vectors(vectors)
        same = (labels[:, None] == labels).fill_diagonal_(False)
        intensity = None if intensity is None else intensity.detach().flatten().to(z.dtype)
        positives = same.sum(1)
        terms = MatrixTerms.apply(vectors, scale, z, lengths, same, positives, intensity, self.summation == "in")  # type: ignore[no-untyped-call]
        return terms, positives

    def _batch(
        self,
        vectors: torch.Tensor,
        labels: torch.Tensor,
        intensity: torch.Tensor | None,
        communicator: Communicator,
        unlabelled: bool,
    ) -> Batch:
        """This process's vectors first, then the other ranks', then the memory's."""
        own, lengths = _finite_unit_vectors(vectors)
        z, classes = communicator.gather(own), communicator.gather(labels)
        intensities = None if intensity is None else communicator.gather(intensity.flatten().to(z.dtype))
        if self.memory is not None:
            live, live_classes, live_intensities = z, classes, intensities
            kept, kept_classes, kept_intensities = self.memory.read()
            z, classes = torch.cat([z, kept.to(z.dtype)]), torch.cat([classes, kept_classes])
            intensities = None if intensities is None else torch.cat([intensities, kept_intensities.to(z.dtype)])
            if self.training:
                learnt = torch.full_like(live_classes, -1) if unlabelled else live_classes
                in_order = None if live_intensities is None else communicator.in_order(live_intensities)
                self.memory.write(communicator.in_order(live), communicator.in_order(learnt), in_order)
        groups = Groups.from_labels(classes)
        return Batch(z, lengths, groups, groups.size[: communicator.rows] - 1, intensities, communicator)

    def _scale(self, vectors: torch.Tensor) -> torch.Tensor:
        """1/temperature, a scalar of the precision that similarities are computed in."""
        dtype = torch.float64 if vectors.dtype == torch.float64 else torch.float32
        if self.log_scale is None:
            return torch.full((), 1 / self.temperature, device=vectors.device, dtype=dtype)
        with torch.no_grad():
            self.log_scale.clamp_(*self.bounds)
        return self.log_scale.exp().to(dtype)

    def _per_anchor(
        self, numerator: torch.Tensor, denominator: torch.Tensor, positives: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        """The loss (L,) of each anchor; 0 without a positive."""
        if self.summation == "in":
            numerator = numerator - positives.clamp_min(1).to(numerator.dtype).log()
        else:
            numerator = numerator * scale
        return torch.where(positives > 0, denominator - numerator, 0)

    def _reduce(self, losses: torch.Tensor, positives: torch.Tensor, communicator: Communicator) -> torch.Tensor:
        anchors = (positives > 0).sum()
        self.left_out = len(losses) - anchors
        if self.reduction == "none":
            return communicator.in_order(losses)
        total = losses.sum()
        return total / anchors.clamp_min(1) if self.reduction == "mean" else total


def _finite_unit_vectors(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``unit_vectors``, with an error for NaN and infinity where the host can see them."""
    z, lengths = unit_vectors(vectors)
    if readable_without_sync(lengths) and len(lengths) and not math.isfinite(lengths.amax().item()):
        raise SemclError(
            "embeddings are not finite",
            found=f"NaN or infinity in {int((~torch.isfinite(lengths)).sum())} of {len(lengths)}",
            expected="numbers",
            remedy="lower the learning rate, or check the images for NaN",
        )
    return z, lengths


def _views(first: torch.Tensor, second: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Embeddings and labels; two views of queries (B, D) become embeddings (B, 2, D) without labels."""
    if second is not None and second.is_floating_point() and first.ndim == 2 and second.shape == first.shape:
        return torch.stack([first, second], dim=1), None
    return first, second
