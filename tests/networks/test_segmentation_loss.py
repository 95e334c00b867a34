"""Segmentation losses with ignored voxels: neither value nor gradient comes from them."""

import pytest
import torch
from monai.losses import DiceCELoss

from scripts.networks.segmentation_loss import IgnoringLoss

LOSSES = {
    "one object": (DiceCELoss(sigmoid=True, squared_pred=True), 1),
    "several": (DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, batch=True), 4),
}


def batch(channels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, C, 6, 7) and labels (2, 1, 6, 7), some ignored."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, channels, 6, 7, generator=rng).requires_grad_()
    label = torch.randint(0, max(channels, 2), (2, 1, 6, 7), generator=rng).float()
    label[:, :, 2:4] = -1
    return logits, label


@pytest.mark.parametrize("which", LOSSES)
def test_predictions_on_ignored_voxels_change_neither_loss_nor_gradient(which):
    loss, channels = LOSSES[which]
    logits, label = batch(channels)
    other = torch.where(label < 0, logits.detach() * 9 + 5, logits.detach()).requires_grad_()
    values = [IgnoringLoss(loss)(given, label) for given in (logits, other)]
    assert values[0] == values[1]
    for value in values:
        value.backward()
    assert torch.equal(logits.grad, other.grad)
    ignored = (label < 0).expand_as(logits)
    assert not logits.grad[ignored].any()
    assert logits.grad[~ignored].abs().min() > 0


@pytest.mark.parametrize("which", LOSSES)
def test_without_ignored_voxels_it_is_the_loss_itself(which):
    loss, channels = LOSSES[which]
    logits, label = batch(channels)
    label = label.clamp_min(0)
    assert IgnoringLoss(loss)(logits, label) == loss(logits, label)


def test_dice_is_that_of_the_other_voxels():
    logits, label = batch(1)
    dice = DiceCELoss(sigmoid=True, squared_pred=True, lambda_ce=0)
    kept = [part.detach()[:, :, [0, 1, 4, 5]] for part in (logits, label)]
    assert IgnoringLoss(dice)(logits, label).item() == pytest.approx(dice(*kept).item(), abs=1e-6)


def test_in_half_precision_nothing_overflows():
    logits, label = batch(1)
    value = IgnoringLoss(DiceCELoss(sigmoid=True, squared_pred=True))(logits.half(), label.half())
    assert torch.isfinite(value)
