"""``SupConLoss`` as it could be offered to ``monai.losses``: one file on torch and MONAI, by a matrix of all pairs.

It is the plain form of ``SemanticContrastiveLoss``, whose tests compare the two.
"""

from __future__ import annotations

import torch
from monai.utils import LossReduction
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss


class SupConLoss(_Loss):
    """
    Compute the supervised contrastive loss defined in:

        Khosla, Prannay, et al. "Supervised Contrastive Learning." NeurIPS 2020. https://arxiv.org/abs/2004.11362

    (equation 2, with the sum over positives outside of the logarithm). An anchor without another sample of its class is
    left out. Similarities are computed in float32 also under autocast.
    """

    def __init__(self, temperature: float = 0.1, reduction: LossReduction | str = LossReduction.MEAN) -> None:
        """
        Args:
            temperature: can be scaled between 0 and 1 for learning from negative samples, ideally set to 0.1.
            reduction: {``"none"``, ``"mean"``, ``"sum"``}
                Specifies the reduction to apply to the output. Defaults to ``"mean"``.

                - ``"none"``: no reduction will be applied, anchors that are left out are 0.
                - ``"mean"``: the mean over the anchors that are not left out.
                - ``"sum"``: the output will be summed.

        Raises:
            ValueError: When an input of dimension length > 2 is passed, or input and target do not fit.
        """
        super().__init__(reduction=LossReduction(reduction).value)
        self.temperature = temperature

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """
        Args:
            input: the shape should be B[F].
            target: class of each sample, integers of shape B; or second views of the samples, of shape B[F], as
                ``ContrastiveLoss`` takes them: each sample is then a class of its own.
        """
        if input.ndim != 2:
            raise ValueError(f"Input should have 2 dimensions, got {input.ndim}.")
        if target.shape == input.shape and target.is_floating_point():
            target, input = torch.arange(len(input), device=input.device).repeat(2), torch.cat([input, target])
        elif target.shape != input.shape[:1]:
            raise ValueError(f"Target of shape {tuple(target.shape)} for input of shape {tuple(input.shape)}.")

        with torch.autocast(input.device.type, enabled=False):
            embeddings = F.normalize(input if input.dtype == torch.float64 else input.float(), dim=1)
            logits = embeddings @ embeddings.T / self.temperature
        itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        positive = (target[:, None] == target) & ~itself
        count = positive.sum(1)
        if not count.any():
            return logits.sum(1) * 0 if self.reduction == "none" else logits.sum() * 0

        total = logits.masked_fill(itself, -torch.inf).logsumexp(1)
        loss = total - (logits * positive).sum(1) / count.clamp_min(1)
        loss = loss.where(count > 0, 0)
        if self.reduction == "none":
            return loss
        return loss.sum() / (count > 0).sum() if self.reduction == "mean" else loss.sum()
