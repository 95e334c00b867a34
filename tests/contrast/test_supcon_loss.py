"""The loss as it could be offered to MONAI, with the tests that would go along."""

import pytest
import torch
from monai.losses import ContrastiveLoss

from scripts.contrast.loss import SemanticContrastiveLoss

from .oracles import REDUCED, loop, sample
from .supcon_loss import SupConLoss
from .test_loss import MONAIS


@pytest.mark.parametrize(("temperature", "first", "second", "expected"), MONAIS.values(), ids=MONAIS)
def test_values_of_monais_contrastive_loss(temperature, first, second, expected):
    views = torch.tensor(first).float(), torch.tensor(second).float()
    assert SupConLoss(temperature)(*views).item() == pytest.approx(expected, abs=1e-4)
    assert ContrastiveLoss(temperature)(*views).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("reduction", REDUCED)
@pytest.mark.parametrize("classes", [2, 5, 30])
def test_values_are_those_of_a_loop_over_pairs(classes, reduction):
    vectors, labels, _ = sample(24, classes=classes)
    expected = torch.tensor(REDUCED[reduction](loop(vectors, labels, 0.1)), dtype=torch.float64)
    torch.testing.assert_close(SupConLoss(0.1, reduction)(vectors, labels), expected)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_ours_is_the_same_with_the_same_gradient(temperature):
    vectors, labels, _ = sample(40, classes=6)
    vectors.requires_grad_()
    values = [loss(temperature)(vectors, labels) for loss in (SupConLoss, SemanticContrastiveLoss)]
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(torch.autograd.grad(value, vectors)[0] for value in values))


def test_without_a_positive_it_is_zero_with_zero_gradient():
    for count in (1, 3):
        vectors = torch.randn(count, 4, requires_grad=True)
        loss = SupConLoss()(vectors, torch.arange(count))
        loss.backward()
        assert loss.item() == 0
        assert not vectors.grad.any()


def test_it_is_finite_in_half_precision():
    vectors, labels, _ = sample(16, dtype=torch.float16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert SupConLoss(0.005)(vectors, labels).isfinite()


@pytest.mark.parametrize(
    ("shape", "target", "message"),
    [((2, 3, 4), torch.zeros(2), "2 dimensions, got 3"), ((2, 3), torch.zeros(3), "of shape .3,. for input")],
)
def test_ill_shapes(shape, target, message):
    with pytest.raises(ValueError, match=message):
        SupConLoss()(torch.ones(shape), target)
