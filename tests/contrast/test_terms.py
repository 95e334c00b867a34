"""Numerator and denominator of the loss: groups of labels, unit vectors, and gradients by finite differences."""

import math

import pytest
import torch

from scripts.contrast import partition
from scripts.contrast import terms as terms_module
from scripts.contrast.gather import Communicator
from scripts.contrast.terms import CHUNK_ROWS, Batch, Groups, Terms, unit_vectors

from .oracles import sample

LABELS = {
    "mixed": [3, -1, 3, 0, 3, 0],
    "one class": [7, 7, 7],
    "all different": [2, 9, 4],
    "one": [5],
    "large": [2**62, -(2**62), 2**62],
    "none": [],
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("looking", [True, False], ids=["on a CPU", "elsewhere"])
def test_groups_are_the_distinct_labels(labels, looking, monkeypatch):
    monkeypatch.setattr(terms_module, "readable_without_sync", lambda tensor: looking)
    groups = Groups.from_labels(torch.tensor(labels, dtype=torch.int64))
    distinct = sorted(set(labels))
    assert groups.number.tolist() == [distinct.index(label) for label in labels]
    assert groups.size.tolist() == [labels.count(label) for label in labels]
    assert [labels[i] for i in groups.order.tolist()] == sorted(labels)
    starts = [sum(other < label for other in labels) for label in distinct]
    assert groups.starts.tolist() == starts + ([] if looking else [len(labels)] * (len(labels) - len(distinct)))


@pytest.mark.parametrize("looking", [True, False], ids=["on a CPU", "elsewhere"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_sum_of_a_group_is_in_its_row(weighted, looking, monkeypatch):
    monkeypatch.setattr(terms_module, "readable_without_sync", lambda tensor: looking)
    labels = torch.tensor([3, -1, 3, 0, 3])
    rows, weights = torch.arange(10.0).view(5, 2), torch.tensor([1.0, 2, 3, 4, 5])
    sums = Groups.from_labels(labels).sum(rows, weights if weighted else None)
    rows = rows * weights[:, None] if weighted else rows
    expected = [rows[1].tolist(), rows[3].tolist(), (rows[0] + rows[2] + rows[4]).tolist()]
    assert sums.tolist() == expected + ([] if looking else [[0, 0], [0, 0]])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_unit_vectors_are_at_least_float32(dtype):
    computed = torch.promote_types(dtype, torch.float32)
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-0.5, 0.0]], dtype=dtype)
    z, lengths = unit_vectors(vectors)
    assert z.dtype == lengths.dtype == computed
    torch.testing.assert_close(z, torch.tensor([[0.6, 0.8], [0, 0], [-1, 0]], dtype=computed))
    torch.testing.assert_close(lengths, torch.tensor([[5], [1e-12], [0.5]], dtype=computed))


def test_unit_vectors_of_float16_that_would_overflow_there_are_right():
    z, lengths = unit_vectors(torch.full((1, 4), 60000.0, dtype=torch.float16))
    assert z.tolist() == [[0.5] * 4]
    assert lengths.item() == pytest.approx(120000, rel=1e-3)


KINDS = {
    "out": {},
    "in": {"inside": True},
    "out with intensities": {"weighted": True},
    "in with intensities": {"inside": True, "weighted": True},
    "out with a memory": {"memory": 5},
    "in with a memory": {"inside": True, "memory": 5},
    "out with both": {"weighted": True, "memory": 5},
    "in with both": {"inside": True, "weighted": True, "memory": 5},
}


def terms(vectors, scale, sharp, inside=False, weighted=False, memory=0):
    """Numerator and denominator of a batch of which the last ``memory`` embeddings are constants."""
    own = vectors[: len(vectors) - memory]
    z, lengths = unit_vectors(vectors)
    groups = Groups.from_labels(torch.tensor([0, 1, 0, 2, 1, 0, 3, 4, 1, 0, 3, 0])[: len(vectors)])
    intensity = sample(len(vectors))[2] if weighted else None
    positives = groups.size[: len(own)] - 1
    batch = Batch(z, lengths[: len(own)], groups, positives, intensity, Communicator.alone(len(own)))
    numerator, denominator = Terms.apply(own, scale, batch, inside, sharp)
    return numerator[positives > 0], denominator


@pytest.mark.parametrize("side", [3, 384], ids="tiles of {}".format)
@pytest.mark.parametrize("sharp", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_gradients_agree_with_finite_differences(monkeypatch, side, sharp, kind):
    monkeypatch.setitem(partition.SIDE, "cpu", side)
    memory = kind.get("memory", 0)
    vectors = sample(12)[0]
    constants = vectors[12 - memory :]
    own = vectors[: 12 - memory].requires_grad_()
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, s: terms(torch.cat([x, constants]), s, sharp, **kind), (own, scale))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_gradients_agree_at_a_very_low_temperature(monkeypatch, kind):
    monkeypatch.setitem(partition.SIDE, "cpu", 3)
    own = sample(12)[0].requires_grad_()
    scale = torch.tensor(2 * partition.SHARP, dtype=torch.float64, requires_grad=True)
    kind = {name: value for name, value in kind.items() if name != "memory"}
    assert torch.autograd.gradcheck(lambda x, s: terms(x, s, True, **kind), (own, scale), atol=1e-4, rtol=1e-4)


def test_several_chunks_of_rows_have_the_gradient_of_the_formula():
    count = 2 * CHUNK_ROWS + 7
    vectors, labels, _ = sample(count, classes=count // 3)
    vectors.requires_grad_()
    groups = Groups.from_labels(labels)
    batch = Batch(*unit_vectors(vectors), groups, groups.size - 1, None, Communicator.alone(count))
    numerator, _ = Terms.apply(vectors, torch.tensor(5.0, dtype=torch.float64), batch, False, False)
    upstream = torch.linspace(-1, 2, count, dtype=torch.float64) * (batch.positives > 0)
    (found,) = torch.autograd.grad((numerator * upstream).sum(), vectors)

    z = vectors / vectors.norm(dim=1, keepdim=True)
    positive = (labels[:, None] == labels).fill_diagonal_(False)
    expected = (z @ z.T * positive).sum(1) / positive.sum(1).clamp_min(1)
    torch.testing.assert_close(numerator, expected)
    torch.testing.assert_close(found, torch.autograd.grad((expected * upstream).sum(), vectors)[0])


def test_the_numerator_of_an_anchor_without_positives_is_empty():
    vectors, groups = sample(3)[0], Groups.from_labels(torch.tensor([0, 1, 1]))
    for inside, nothing in ((False, 0.0), (True, -math.inf)):
        batch = Batch(*unit_vectors(vectors), groups, groups.size - 1, None, Communicator.alone(3))
        numerator, denominator = Terms.apply(vectors, torch.tensor(5.0, dtype=torch.float64), batch, inside, False)
        assert numerator[0] == nothing
        assert torch.isfinite(denominator).all()
