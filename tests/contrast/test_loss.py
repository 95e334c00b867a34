"""The semantic contrastive loss against known values, an explicit loop and MONAI's SimCLR loss."""

import math

import pytest
import torch
from monai.losses import ContrastiveLoss

from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.errors import SemclError


def at(*degrees: float) -> torch.Tensor:
    """Unit vectors in the plane at these angles."""
    turned = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([turned.cos(), turned.sin()], dim=1)


def axes(*numbers: int) -> torch.Tensor:
    """Unit vectors along axes 1.., negative numbers the opposite way."""
    units = torch.eye(8, dtype=torch.float64)
    return torch.stack([units[abs(number) - 1] * math.copysign(1, number) for number in numbers])


SIX = at(0, 25, 80, 100, 170, 260)

CASES = {
    "four axes in two classes": (axes(1, 2, 3, 4), [0, 0, 1, 1], 0.07, math.log(3)),
    "eight identical vectors": (axes(*[1] * 8), [0, 1, 2, 3] * 2, 0.07, math.log(7)),
    "two tight opposite classes": (axes(1, 1, -1, -1), [0, 0, 1, 1], 0.5, 0.0359762997481932),
    "the same at a low temperature": (axes(1, 1, -1, -1), [0, 0, 1, 1], 0.07, 7.80937408640001e-13),
    "classes torn apart": (axes(1, -1, 1, -1), [0, 0, 1, 1], 0.07, 28.5714285714293),
    "torn apart at a very low temperature": (axes(1, -1, 1, -1), [0, 0, 1, 1], 0.01, 200.0),
    "three pairs": (SIX, [0, 0, 1, 1, 2, 2], 0.1, 0.619278884195979),
    "an anchor without a positive is left out": (SIX, [0, 0, 0, 1, 1, 2], 0.1, 3.41897350501394),
    "one class": (SIX, [0] * 6, 0.1, 7.75292090994003),
    "all different": (SIX, [0, 1, 2, 3, 4, 5], 0.1, 0.0),
    "two vectors of one class": (SIX[:2], [3, 3], 0.1, 0.0),
    "one vector": (SIX[:1], [0], 0.1, 0.0),
    "large labels": (SIX, [10**12, 10**12, 10**12 + 1, 10**12 + 1, 7, 7], 0.1, 0.619278884195979),
    "SimCLR at 0.5": (SIX, [0, 1, 2, 0, 1, 2], 0.5, 3.30470498539286),
    "SimCLR at 0.07": (SIX, [0, 1, 2, 0, 1, 2], 0.07, 19.1126596736951),
    "SimCLR at 0.011": (SIX, [0, 1, 2, 0, 1, 2], 0.011, 121.509415218418),
}


@pytest.mark.parametrize(("vectors", "labels", "temperature", "expected"), CASES.values(), ids=CASES)
def test_known_values(vectors, labels, temperature, expected):
    loss = SemanticContrastiveLoss(temperature)(vectors, torch.tensor(labels))
    assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-14)


def loop(vectors: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    """The formula, pair by pair in float64."""
    rows = [[value / math.sqrt(sum(v * v for v in row)) for value in row] for row in vectors.double().tolist()]
    terms = []
    for i, row in enumerate(rows):
        scores = {j: sum(a * b for a, b in zip(row, other, strict=True)) / temperature for j, other in enumerate(rows)}
        others = [j for j in scores if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        if positives:
            top = max(scores[j] for j in others)
            normaliser = top + math.log(sum(math.exp(scores[j] - top) for j in others))
            terms.append(-sum(scores[j] - normaliser for j in positives) / len(positives))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_a_loop_over_pairs(seed):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(23, 7, generator=generator, dtype=torch.float64) * 5
    labels = torch.randint(0, 6, (23,), generator=generator)
    loss = SemanticContrastiveLoss(0.2)(vectors, labels)
    assert loss.item() == pytest.approx(loop(vectors, labels, 0.2), rel=1e-12)


def test_agrees_with_monai_where_both_are_simclr():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 16, 32, generator=generator)
    ours = SemanticContrastiveLoss(0.5)(torch.cat([first, second]), torch.arange(16).repeat(2))
    assert ours.item() == pytest.approx(ContrastiveLoss(temperature=0.5)(first, second).item(), rel=1e-5)


def test_views_on_their_own_axis_are_the_same_as_listed():
    vectors = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 1, 2, 1])
    loss = SemanticContrastiveLoss(0.1)
    listed = loss(vectors.flatten(0, 1), labels.repeat_interleave(3))
    assert torch.equal(loss(vectors, labels), listed)


def test_gradient_by_finite_differences():
    vectors = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 3])
    assert torch.autograd.gradcheck(lambda z: SemanticContrastiveLoss(0.3)(z, labels), vectors)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0]])
def test_without_any_positive_the_gradient_is_zero(labels):
    vectors = torch.randn(len(labels), 4, requires_grad=True)
    SemanticContrastiveLoss(0.1)(vectors, torch.tensor(labels)).backward()
    assert torch.equal(vectors.grad, torch.zeros_like(vectors))


def test_the_order_of_samples_does_not_matter():
    generator = torch.Generator().manual_seed(1)
    vectors, labels = torch.randn(20, 6, generator=generator), torch.randint(0, 4, (20,), generator=generator)
    order = torch.randperm(20, generator=generator)
    loss = SemanticContrastiveLoss(0.1)
    assert loss(vectors, labels).item() == pytest.approx(loss(vectors[order], labels[order]).item(), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.001, 0.07, 10.0])
def test_low_precision_stays_finite_and_is_computed_in_float32(dtype, temperature):
    vectors = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    labels = torch.arange(4).repeat(4)
    loss = SemanticContrastiveLoss(temperature)(vectors, labels)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(loop(vectors.detach(), labels, temperature), rel=1e-4)
    assert torch.isfinite(vectors.grad).all()


def test_autocast_does_not_lower_its_precision():
    vectors, labels = torch.randn(32, 16, generator=torch.Generator().manual_seed(0)), torch.arange(8).repeat(4)
    loss = SemanticContrastiveLoss(0.07)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(vectors, labels)
    assert torch.equal(inside, loss(vectors, labels))


@pytest.mark.parametrize("temperature", [0, -0.1, math.nan, math.inf])
def test_a_bad_temperature_is_refused(temperature):
    with pytest.raises(SemclError, match="bad temperature"):
        SemanticContrastiveLoss(temperature)


@pytest.mark.parametrize(
    ("vectors", "labels", "message"),
    [
        (torch.randn(4, 2), torch.tensor([0, 1]), r"expected: integers of shape \(4,\)"),
        (torch.randn(4, 2), torch.tensor([0.0, 1, 1, 0]), "found:    torch.float32"),
        (torch.randn(4), torch.tensor([0, 1, 1, 0]), r"\(N, D\) or \(B, V, D\)"),
        (torch.ones(4, 2, dtype=torch.int64), torch.tensor([0, 1, 1, 0]), "floating point"),
    ],
)
def test_what_does_not_fit_is_refused(vectors, labels, message):
    with pytest.raises(SemclError, match=message):
        SemanticContrastiveLoss()(vectors, labels)
