"""The semantic contrastive loss against known values, two reference implementations, and two other libraries."""

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import ContrastiveLoss
from monai.utils import LossReduction
from pytorch_metric_learning.losses import NTXentLoss, SupConLoss
from torch.nn.modules.loss import _Loss

from scripts.contrast import loss as module
from scripts.contrast import partition
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.contrast.memory import QueryMemory

from .oracles import REDUCED, at, compute_by, dense, dense_mean, loop, mean, sample, way_of


def axes(*numbers: int) -> torch.Tensor:
    """Unit vectors along axes 1.., negative numbers the opposite way."""
    units = torch.eye(8, dtype=torch.float64)
    return torch.stack([units[abs(number) - 1] * math.copysign(1, number) for number in numbers])


SIX = at(0, 25, 80, 100, 170, 260)
INTENSITIES = torch.tensor([0.1, 0.2, 0.5, 0.6, 0.9, 0.4], dtype=torch.float64)
LARGE = 10**12
TIGHT, TORN = 0.0359762997481932, 28.5714285714293

# vectors, labels, temperature; the mean over anchors with a positive, over all anchors, the sum inside the log
CASES = {
    "four axes in two classes": (axes(1, 2, 3, 4), [0, 0, 1, 1], 0.07, *[math.log(3)] * 3),
    "eight identical vectors": (axes(*[1] * 8), [0, 1, 2, 3] * 2, 0.07, *[math.log(7)] * 3),
    "two tight opposite classes": (axes(1, 1, -1, -1), [0, 0, 1, 1], 0.5, *[TIGHT] * 3),
    "the same at a low temperature": (axes(1, 1, -1, -1), [0, 0, 1, 1], 0.07, *[7.80937408640001e-13] * 3),
    "classes torn apart": (axes(1, -1, 1, -1), [0, 0, 1, 1], 0.07, *[TORN] * 3),
    "torn apart at a very low temperature": (axes(1, -1, 1, -1), [0, 0, 1, 1], 0.01, *[200.0] * 3),
    "three pairs": (SIX, [0, 0, 1, 1, 2, 2], 0.1, *[0.619278884195979] * 3),
    "the last has no positive": (SIX, [0, 0, 0, 1, 1, 2], 0.1, 3.41897350501394, 2.84914458751162, 2.35872643409555),
    "one class": (SIX, [0] * 6, 0.1, 7.75292090994003, 7.75292090994003, 1.6094379124341),
    "all different": (SIX, [0, 1, 2, 3, 4, 5], 0.1, 0.0, 0.0, 0.0),
    "two vectors of one class": (SIX[:2], [3, 3], 0.1, 0.0, 0.0, 0.0),
    "two vectors of one class, cold": (SIX[:2], [3, 3], 0.001, 0.0, 0.0, 0.0),
    "two vectors of one class, warm": (SIX[:2], [3, 3], 10.0, 0.0, 0.0, 0.0),
    "one vector": (SIX[:1], [0], 0.1, 0.0, 0.0, 0.0),
    "large labels": (SIX, [LARGE, LARGE, LARGE + 1, LARGE + 1, 7, 7], 0.1, *[0.619278884195979] * 3),
    "SimCLR at 0.5": (SIX, [0, 1, 2, 0, 1, 2], 0.5, *[3.30470498539286] * 3),
    "SimCLR at 0.07": (SIX, [0, 1, 2, 0, 1, 2], 0.07, *[19.1126596736951] * 3),
    "SimCLR at 0.02": (SIX, [0, 1, 2, 0, 1, 2], 0.02, *[66.8302066362556] * 3),
    "SimCLR at 0.011": (SIX, [0, 1, 2, 0, 1, 2], 0.011, *[121.509415218418] * 3),
    "two ranks as one batch": (
        *(at(0, 25, 80, 100, 170, 260, 300, 330), [0, 0, 1, 1, 2, 2, 3, 4], 0.1),
        *(1.96367584814697, 1.96367584814697 * 6 / 8, 1.96367584814697),
    ),
}
SIMCLR = {name: case for name, case in CASES.items() if name.startswith("SimCLR")}


@pytest.fixture(
    params=[(0, False), (384, False), (2, False), (2, True)],
    ids=["one matrix", "one tile", "tiles of 2", "tiles of 2, shifted"],
)
def contrast(request, monkeypatch):
    """Make losses that compute by one matrix, or by these tiles."""
    side, shifted = request.param
    compute_by(monkeypatch, side)
    if shifted:
        monkeypatch.setattr(module, "SHARP", 0.0)
    return SemanticContrastiveLoss


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_known_values(contrast, case):
    vectors, labels, temperature, ours, over_all, inside = case
    labels, close = torch.tensor(labels), {"rel": 1e-12, "abs": 1e-14 + 2e-16 / temperature}
    assert contrast(temperature)(vectors, labels).item() == pytest.approx(ours, **close)
    total = contrast(temperature, reduction="sum")(vectors, labels).item()
    assert total / len(labels) == pytest.approx(over_all, **close)
    assert contrast(temperature, summation="in")(vectors, labels).item() == pytest.approx(inside, **close)


@pytest.mark.parametrize("case", SIMCLR.values(), ids=SIMCLR)
def test_known_values_of_paired_views_without_labels(contrast, case):
    vectors, _, temperature, expected, *_ = case
    paired = torch.stack([vectors[:3], vectors[3:]], dim=1)
    assert contrast(temperature)(paired).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("intensities", "expected"), [(INTENSITIES, 2.08914046122199), (INTENSITIES * 0 + 0.3, 0.619278884195979)]
)
def test_known_values_with_intensities(contrast, intensities, expected):
    found = contrast(0.1)(SIX, torch.tensor([0, 0, 1, 1, 2, 2]), intensities)
    assert found.item() == pytest.approx(expected, rel=1e-12)


# Oracles: an explicit loop over pairs for values, one matrix and autograd for gradients

KEYS = (torch.nn.functional.normalize(sample(9, seed=7)[0]), *sample(9, seed=7)[1:])
KEYS = tuple(part.float() if part.is_floating_point() else part for part in KEYS)  # as a memory keeps them
TEMPERATURES = {"ordinary": 0.2, "sharp": 0.01}


def remembering(keys):
    memory = QueryMemory(len(keys[0]) + 2, keys[0].shape[1])
    memory.write(*keys)
    return memory


@pytest.mark.parametrize("side", [0, 3, 5, 384], ids=way_of)
@pytest.mark.parametrize("temperature", TEMPERATURES.values(), ids=TEMPERATURES)
@pytest.mark.parametrize("summation", ["out", "in"])
@pytest.mark.parametrize("weighed", [False, True], ids=["", "intensities"])
@pytest.mark.parametrize("keys", [None, KEYS], ids=["", "memory"])
def test_agrees_with_a_loop_over_pairs(monkeypatch, side, temperature, summation, weighed, keys):
    compute_by(monkeypatch, side)
    vectors, labels, intensity = sample(17, classes=9, seed=side)
    intensity = intensity if weighed else None
    expected = loop(vectors, labels, temperature, summation, intensity, keys)
    for reduction, reduced in REDUCED.items():
        memory = None if keys is None else remembering(keys)
        loss = SemanticContrastiveLoss(temperature, summation=summation, memory=memory, reduction=reduction)
        found = loss(vectors, labels, intensity)
        assert found.tolist() == pytest.approx(reduced(expected), rel=1e-11, abs=1e-12)
        assert loss.left_out.item() == expected.count(None)
    assert 0 < expected.count(None) < 17


@pytest.mark.parametrize("side", [0, 3, 5, 384], ids=way_of)
@pytest.mark.parametrize("temperature", TEMPERATURES.values(), ids=TEMPERATURES)
@pytest.mark.parametrize("summation", ["out", "in"])
@pytest.mark.parametrize("weighed", [False, True], ids=["", "intensities"])
@pytest.mark.parametrize("keys", [None, KEYS], ids=["", "memory"])
def test_the_gradient_is_that_of_a_matrix_of_all_pairs(monkeypatch, side, temperature, summation, weighed, keys):
    compute_by(monkeypatch, side)
    vectors, labels, intensity = sample(17, classes=9, seed=side)
    vectors.requires_grad_()
    intensity = intensity if weighed else None
    memory = None if keys is None else remembering(keys)
    loss = SemanticContrastiveLoss(temperature, True, (temperature / 2, 1.0), summation, memory, reduction="none")
    loss.double()
    upstream = torch.linspace(-1, 2, 17, dtype=torch.float64)
    found = (loss(vectors, labels, intensity) * upstream).sum()
    log_scale = loss.log_scale.detach().clone().requires_grad_()
    losses, _ = dense(vectors, labels, log_scale.exp(), summation, intensity, keys)
    expected = (losses * upstream).sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-11)
    ours = torch.autograd.grad(found, (vectors, loss.log_scale))
    theirs = torch.autograd.grad(expected, (vectors, log_scale))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("summation", ["out", "in"])
@pytest.mark.parametrize("temperature", TEMPERATURES.values(), ids=TEMPERATURES)
def test_several_tiles_of_the_real_size(temperature, summation):
    vectors, labels, intensity = sample(900, classes=300)
    vectors.requires_grad_()
    loss = SemanticContrastiveLoss(temperature, summation=summation)
    found = loss(vectors, labels, intensity)
    expected = dense_mean(vectors, labels, 1 / temperature, summation, intensity)
    assert len(vectors) > 2 * partition.SIDE["cpu"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    ours, theirs = (torch.autograd.grad(value, vectors)[0] for value in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("summation", ["out", "in"])
@pytest.mark.parametrize("weighed", [False, True], ids=["", "intensities"])
def test_both_reference_implementations_agree(summation, weighed):
    vectors, labels, intensity = sample(12, classes=6)
    intensity = intensity if weighed else None
    losses, counted = dense(vectors, labels, 5.0, summation, intensity, KEYS)
    expected = loop(vectors, labels, 0.2, summation, intensity, KEYS)
    assert losses.tolist() == pytest.approx(REDUCED["none"](expected), rel=1e-11)
    assert counted.tolist() == [loss is not None for loss in expected]


@pytest.mark.parametrize("summation", ["out", "in"])
@pytest.mark.parametrize("side", [0, 3, 384], ids=way_of)
@pytest.mark.parametrize("temperature", TEMPERATURES.values(), ids=TEMPERATURES)
@pytest.mark.parametrize("weighed", [False, True], ids=["", "intensities"])
def test_gradients_agree_with_finite_differences(monkeypatch, summation, side, temperature, weighed):
    compute_by(monkeypatch, side)
    vectors, labels, intensity = sample(8)
    loss = (
        SemanticContrastiveLoss(temperature, True, (temperature / 2, 1.0), summation, remembering(KEYS)).double().eval()
    )

    def at_scale(embeddings, log_scale):
        state = {"log_scale": log_scale}
        arguments = (embeddings, labels, intensity if weighed else None)
        return torch.func.functional_call(loss, state, arguments)

    where = (vectors.requires_grad_(), loss.log_scale.detach().clone().requires_grad_())
    assert torch.autograd.gradcheck(at_scale, where, eps=1e-7, rtol=1e-4, atol=1e-4)


# Other libraries


def of_ours_and(theirs, vectors, *arguments):
    """Values and gradients of two losses."""
    results = []
    for function in (SemanticContrastiveLoss(theirs.temperature), theirs):
        leaf = vectors.clone().requires_grad_()
        value = function(leaf, *arguments)
        results.append((value.detach(), torch.autograd.grad(value, leaf)[0]))
    return results


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("classes", [2, 10, 40])
def test_agrees_with_the_supervised_loss_of_pytorch_metric_learning(temperature, classes):
    vectors, labels, _ = sample(40, classes=classes)
    ours, theirs = of_ours_and(SupConLoss(temperature), vectors, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
def test_agrees_with_the_pairwise_loss_of_pytorch_metric_learning(temperature):
    vectors, _, _ = sample(40)
    ours, theirs = of_ours_and(NTXentLoss(temperature), vectors, torch.arange(20).repeat(2))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_agrees_with_monais_loss_where_both_are_simclr(temperature):
    first, second = sample(32, 24, dtype=torch.float32)[0].view(2, 16, 24).requires_grad_()
    ours = SemanticContrastiveLoss(temperature)(torch.stack([first, second], dim=1))
    theirs = ContrastiveLoss(temperature=temperature)(first, second)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    gradients = (torch.autograd.grad(value, (first, second)) for value in (ours, theirs))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


MONAIS = {  # temperature, two views, value: those of MONAI's own tests
    "one pair": (0.5, [[1, 1, 0, 0]], [[1, 1, 0, 0]], 0.0),
    "two identical pairs": (0.5, [[1, 1, 0, 0], [1, 1, 0, 0]], [[1, 1, 0, 0], [1, 1, 0, 0]], 1.0986),
    "a view of length 0": (0.5, [[1, 2, 3, 4], [1, 1, 0, 0]], [[0, 0, 0, 0], [1, 1, 0, 0]], 0.8719),
    "one unlike pair": (0.5, [[0, 0, 1, 1]], [[1, 1, 0, 0]], 0.0),
    "one unlike pair, cold": (0.05, [[0, 0, 1, 1]], [[1, 1, 0, 0]], 0.0),
}


@pytest.mark.parametrize(("temperature", "first", "second", "expected"), MONAIS.values(), ids=MONAIS)
def test_it_takes_two_views_as_monais_loss_does(temperature, first, second, expected):
    views = {"input": torch.tensor(first).float(), "target": torch.tensor(second).float()}
    for loss in (SemanticContrastiveLoss(temperature), ContrastiveLoss(temperature)):
        assert isinstance(loss, _Loss)
        assert loss(**views).item() == pytest.approx(expected, abs=1e-4)


def test_where_monais_loss_is_not_a_number_ours_is_one():
    views = torch.eye(4), torch.eye(4).roll(1, 0)
    assert ContrastiveLoss(0.005)(*views).isfinite().item() is False
    assert SemanticContrastiveLoss(0.005)(*views).item() == pytest.approx(1 / 0.005)


@pytest.mark.parametrize("reduction", LossReduction)
def test_reductions_are_those_of_monai(reduction):
    vectors, labels, _ = sample(12)
    assert torch.equal(
        SemanticContrastiveLoss(reduction=reduction)(vectors, labels),
        SemanticContrastiveLoss(reduction=reduction.value)(vectors, labels),
    )


# Views and labels


def test_views_on_their_own_axis_are_the_same_as_listed():
    vectors, labels = sample(15)[0].view(5, 3, 5), torch.tensor([0, 0, 1, 2, 1])
    intensity = sample(15)[2].view(5, 3)
    loss = SemanticContrastiveLoss(0.1)
    listed = loss(vectors.flatten(0, 1), labels.repeat_interleave(3), intensity.flatten())
    assert torch.equal(loss(vectors, labels, intensity), listed)


def test_without_labels_each_query_is_a_class_of_its_own():
    vectors = sample(12)[0].view(4, 3, 5)
    loss = SemanticContrastiveLoss(0.1)
    assert torch.equal(loss(vectors), loss(vectors, torch.tensor([5, 3, 9, 1])))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_may_be_any_integers(dtype):
    vectors, labels, _ = sample(12)
    loss = SemanticContrastiveLoss(0.1)
    assert torch.equal(loss(vectors, labels.to(dtype)), loss(vectors, labels))


def test_an_intensity_gets_no_gradient():
    vectors, labels, intensity = sample(12)
    intensity.requires_grad_()
    SemanticContrastiveLoss(0.1)(vectors.requires_grad_(), labels, intensity).backward()
    assert intensity.grad is None


# Properties


@st.composite
def batches(draw):
    """Vectors, labels, intensities or None, and a loss that gives each anchor's value."""
    count, embedding = draw(st.integers(1, 10)), draw(st.integers(1, 5))
    vectors, _, intensity = sample(count, embedding, seed=draw(st.integers(0, 99)))
    labels = torch.tensor(draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    temperature = draw(st.sampled_from([0.01, 0.07, 0.5, 3.0]))
    loss = SemanticContrastiveLoss(temperature, summation=draw(st.sampled_from(["out", "in"])), reduction="none")
    return vectors, labels, intensity if draw(st.booleans()) else None, loss


modest = settings(max_examples=25, deadline=None, derandomize=True)
EXACT = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(scope="module", params=[0, 4], ids=way_of)
def way(request):
    """All pairs in one matrix, or in tiles of four."""
    with pytest.MonkeyPatch.context() as patch:
        compute_by(patch, request.param)
        yield


@pytest.mark.usefixtures("way")
class TestProperties:
    @modest
    @given(batches(), st.randoms(use_true_random=False))
    def test_the_order_of_samples_does_not_matter(self, batch, random):
        vectors, labels, intensity, loss = batch
        order = torch.tensor(random.sample(range(len(labels)), len(labels)))
        shuffled = loss(vectors[order], labels[order], None if intensity is None else intensity[order])
        torch.testing.assert_close(shuffled, loss(*batch[:3])[order], **EXACT)

    @modest
    @given(batches(), st.lists(st.floats(1e-6, 1e6), min_size=10, max_size=10))
    def test_lengths_do_not_matter(self, batch, lengths):
        vectors, *rest, loss = batch
        scaled = vectors * torch.tensor(lengths, dtype=torch.float64)[: len(vectors), None]
        torch.testing.assert_close(loss(scaled, *rest), loss(vectors, *rest), **EXACT)

    @modest
    @given(batches(), st.integers(0, 99))
    def test_a_rotation_or_reflection_of_all_does_not_matter(self, batch, seed):
        vectors, *rest, loss = batch
        turn, _ = torch.linalg.qr(sample(vectors.shape[1], vectors.shape[1], seed=seed)[0])
        torch.testing.assert_close(loss(vectors @ turn, *rest), loss(vectors, *rest), **EXACT)

    @modest
    @given(batches(), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4, unique=True))
    def test_names_of_classes_do_not_matter(self, batch, names):
        vectors, labels, intensity, loss = batch
        renamed = torch.tensor(names)[labels]
        torch.testing.assert_close(loss(vectors, renamed, intensity), loss(vectors, labels, intensity), **EXACT)

    @modest
    @given(batches())
    def test_reductions_are_of_the_same_values(self, batch):
        *given_, loss = batch
        losses = loss(*given_)
        total = SemanticContrastiveLoss(loss.temperature, summation=loss.summation, reduction="sum")(*given_)
        average = SemanticContrastiveLoss(loss.temperature, summation=loss.summation)(*given_)
        labels = given_[1].tolist()
        alone = [labels.count(label) == 1 for label in labels]
        assert loss.left_out.item() == sum(alone)
        assert losses[torch.tensor(alone)].tolist() == [0] * sum(alone)
        torch.testing.assert_close(total, losses.sum(), **EXACT)
        torch.testing.assert_close(average * (len(labels) - sum(alone)), total, **EXACT)

    @modest
    @given(batches())
    def test_the_loss_lies_between_its_bounds(self, batch):
        vectors, labels, intensity, loss = batch
        most = 2 / loss.temperature + math.log(max(len(labels) - 1, 1))
        inside, outside = (
            SemanticContrastiveLoss(loss.temperature, summation=summation, reduction="none")(*batch[:3])
            for summation in ("in", "out")
        )
        positives = torch.tensor([labels.tolist().count(label) - 1 for label in labels.tolist()]).double()
        assert (inside >= positives.clamp_min(1).log() - 1e-9).all()
        assert (outside >= inside - 1e-9).all()
        assert (outside <= most + 1e-9).all()
        assert (loss(vectors, labels, intensity) >= loss(vectors, labels) - 1e-9).all()

    @modest
    @given(batches())
    def test_the_gradient_is_at_right_angles_to_each_embedding(self, batch):
        vectors, *rest, loss = batch
        vectors.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(vectors, *rest).sum(), vectors)
        along = (gradient * vectors).sum(1) / vectors.norm(dim=1) ** 2
        torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-10 / loss.temperature)


# Stability

GENERATOR = torch.Generator().manual_seed(0)
KINDS = {
    "random": (torch.randn(24, 8, generator=GENERATOR), torch.arange(24) % 7),
    "identical": (torch.randn(1, 8, generator=GENERATOR).expand(12, 8), torch.arange(12) % 3),
    "one class": (torch.randn(12, 8, generator=GENERATOR), torch.zeros(12, dtype=torch.int64)),
    "torn apart": (torch.tensor([1.0, -1.0]).repeat(6)[:, None] * torch.ones(8), torch.arange(12) // 2),
    "all different": (torch.randn(12, 8, generator=GENERATOR), torch.arange(12)),
    "one": (torch.randn(1, 8, generator=GENERATOR), torch.zeros(1, dtype=torch.int64)),
    "some without positives": (torch.randn(12, 8, generator=GENERATOR), torch.tensor([0, 0, 1, 1, *range(2, 10)])),
    "some of length zero": (
        torch.randn(12, 8, generator=GENERATOR) * (torch.arange(12) % 4 > 0)[:, None],
        torch.arange(12) % 5,
    ),
}
WARMTH = [1e-3, 0.011, 0.02, 0.07, 1.0, 10.0]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("summation", ["out", "in"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("temperature", WARMTH)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_value_and_gradient_hold_in_low_precision(kind, temperature, dtype, summation):
    vectors, labels = kind[0].clone().to(dtype).requires_grad_(), kind[1]
    loss = SemanticContrastiveLoss(temperature, summation=summation)
    found = loss(vectors, labels)
    found.backward()
    explicit = loop(vectors, labels, temperature, summation)
    assert found.dtype == torch.float32
    assert vectors.grad.dtype == dtype
    assert found.item() == pytest.approx(mean(explicit), abs=1e-6 + 1.5e-6 / temperature)
    assert loss.left_out.item() == explicit.count(None)
    assert torch.isfinite(vectors.grad).all()
    assert not vectors.grad[vectors.detach().norm(dim=1) == 0].any()
    if loss.left_out == len(labels):
        assert found.item() == 0
        assert not vectors.grad.any()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("temperature", [0.011, 0.02, 0.07, 1.0])
@pytest.mark.parametrize("summation", ["out", "in"])
def test_gradients_in_low_precision_are_those_of_float64_rounded(summation, temperature, dtype):
    vectors, labels, intensity = sample(40, 16, classes=8, dtype=dtype)
    exact = vectors.double().requires_grad_()
    vectors.requires_grad_()
    SemanticContrastiveLoss(temperature, summation=summation)(vectors, labels, intensity).backward()
    dense_mean(exact, labels, 1 / temperature, summation, intensity.double()).backward()
    apart = (vectors.grad.double() - exact.grad).norm() / exact.grad.norm()
    assert apart < torch.finfo(dtype).eps + 2e-6 / temperature


def test_anchors_without_a_positive_are_left_out_and_counted():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    loss = SemanticContrastiveLoss(0.1, reduction="none")
    assert loss.left_out is None
    assert loss(SIX, labels)[-1].item() == 0
    assert loss.left_out.item() == 1
    loss(SIX, torch.arange(6))
    assert loss.left_out.item() == 6


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("options", [{}, {"learnable": True}, {"summation": "in"}, {"temperature": 0.001}], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("labels", [[], [0], [0, 1, 2, 3]], ids=str)
def test_without_any_positive_loss_and_gradient_are_zero(labels, reduction, options):
    vectors = torch.randn(len(labels), 4, requires_grad=True)
    loss = SemanticContrastiveLoss(reduction=reduction, **options)
    found = loss(vectors, torch.tensor(labels, dtype=torch.int64), torch.rand(len(labels)))
    found.sum().backward()
    assert not found.any()
    assert torch.equal(vectors.grad, torch.zeros_like(vectors))
    assert loss.left_out.item() == len(labels)
    assert all(weight.grad.item() == 0 for weight in loss.parameters())


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("backward_too", [False, True], ids=["forward", "forward and backward"])
@pytest.mark.parametrize("summation", ["out", "in"])
@pytest.mark.parametrize("temperature", TEMPERATURES.values(), ids=TEMPERATURES)
def test_autocast_lowers_no_precision(temperature, summation, backward_too):
    vectors, labels, intensity = sample(32, 16, dtype=torch.float32)
    loss, results = SemanticContrastiveLoss(temperature, summation=summation), []
    for enabled in (True, False):
        leaf = vectors.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            found = loss(leaf, labels, intensity)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled and backward_too):
            found.backward()
        results.append((found, leaf.grad))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_no_gradient_is_computed_where_none_is_required():
    vectors, labels, _ = sample(12)
    with torch.no_grad():
        assert not SemanticContrastiveLoss(learnable=True)(vectors.requires_grad_(), labels).requires_grad
    assert not SemanticContrastiveLoss()(vectors.detach(), labels).requires_grad


# A learnt temperature


@pytest.mark.parametrize(("start", "strayed", "kept"), [(0.1, 1e-4, 0.02), (0.1, 50.0, 0.5), (0.02, 0.02, 0.02)])
def test_a_learnt_temperature_starts_at_its_initial_value_and_stays_in_its_range(start, strayed, kept):
    vectors, labels, _ = sample(12)
    loss = SemanticContrastiveLoss(start, learnable=True, temperature_range=(0.02, 0.5))
    assert loss(vectors, labels).item() == pytest.approx(mean(loop(vectors, labels, start)), rel=1e-6)
    with torch.no_grad():
        loss.log_scale.fill_(-math.log(strayed))
    found = loss(vectors, labels)
    assert found.item() == pytest.approx(mean(loop(vectors, labels, kept)), rel=1e-5)
    assert loss.log_scale.exp().item() == pytest.approx(1 / kept, rel=1e-6)
    found.backward()
    assert loss.log_scale.grad.item() != 0


def test_a_learnt_temperature_may_become_very_low():
    vectors, labels, _ = sample(12, dtype=torch.float32)
    vectors.requires_grad_()
    loss = SemanticContrastiveLoss(0.1, learnable=True, temperature_range=(0.001, 1.0))
    with torch.no_grad():
        loss.log_scale.fill_(math.log(1000))
    found = loss(vectors, labels)
    found.backward()
    assert found.item() == pytest.approx(mean(loop(vectors, labels, 0.001)), rel=1e-5)
    assert torch.isfinite(vectors.grad).all()


def test_learning_the_temperature_lowers_the_loss():
    vectors, labels, _ = sample(12)
    loss = SemanticContrastiveLoss(0.1, learnable=True)
    optimiser = torch.optim.SGD(loss.parameters(), 0.05)
    values = []
    for _ in range(5):
        optimiser.zero_grad()
        value = loss(vectors, labels)
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values == sorted(values, reverse=True)
    assert loss.state_dict()["log_scale"].item() != pytest.approx(math.log(10))


def test_a_fixed_temperature_is_not_a_parameter():
    assert list(SemanticContrastiveLoss(0.1).parameters()) == []


# torch.compile

COMPILED = {
    "fixed temperature": ({}, False),
    "very low temperature, intensities": ({"temperature": 0.01}, True),
    "learnt temperature, intensities": ({"learnable": True}, True),
    "sum inside the log, one value per anchor": ({"summation": "in", "reduction": "none"}, False),
}


def both_ways(options, backend, counts=(12,), weighed=False):
    """Values, gradients and numbers left out of a loss as it is, and compiled into one graph."""
    torch._dynamo.reset()
    plain = SemanticContrastiveLoss(**options)
    compiled = torch.compile(SemanticContrastiveLoss(**options), fullgraph=True, backend=backend)
    for count in counts:
        vectors, labels, intensity = sample(count, dtype=torch.float32)
        for loss in (plain, compiled):
            leaf = vectors.clone().requires_grad_()
            value = loss(leaf, labels, intensity if weighed else None)
            yield value.detach(), torch.autograd.grad(value.sum(), (leaf, *loss.parameters())), loss.left_out


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("options", "weighed"), COMPILED.values(), ids=COMPILED)
def test_a_compiled_loss_is_one_graph_and_gives_the_same(options, weighed):
    torch.testing.assert_close(*both_ways(options, "aot_eager", weighed=weighed))


@pytest.mark.usefixtures("way")
def test_a_compiled_loss_accepts_batches_of_other_sizes():
    results = list(both_ways({}, "aot_eager", counts=(12, 17, 5)))
    for plain, compiled in zip(results[::2], results[1::2], strict=True):
        torch.testing.assert_close(compiled, plain)


@pytest.mark.usefixtures("way")
def test_a_loss_compiled_to_machine_code_gives_the_same():
    torch.testing.assert_close(*both_ways({"learnable": True}, "inductor"))


# As a user meets it


def test_its_example_runs():
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted > 0


def test_ten_lines_train_a_network():
    from semcl import SemanticContrastiveLoss

    torch.manual_seed(0)
    images, labels = torch.randn(32, 16), torch.arange(4).repeat(8)
    network, loss = torch.nn.Linear(16, 8), SemanticContrastiveLoss(temperature=0.1)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    values = []
    for _ in range(20):
        value = loss(network(images), labels)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < values[0]
