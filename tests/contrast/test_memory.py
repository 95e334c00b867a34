"""The memory of earlier embeddings: what it keeps, how it is restored, and how the loss uses it."""

import copy
import io

import pytest
import torch
from torch.nn.functional import normalize

from scripts.contrast import partition
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.contrast.memory import QueryMemory
from scripts.errors import SemclError

from .oracles import dense_mean, loop, mean, sample


def numbered(first, last):
    """Vectors (n, 2), labels and intensities that all encode their number."""
    numbers = torch.arange(first, last)
    return numbers[:, None].expand(-1, 2).float(), numbers, numbers / 100


def remembered(memory):
    vectors, labels, intensity = memory.read()
    assert vectors[:, 0].tolist() == vectors[:, 1].tolist() == labels.tolist()
    assert (intensity * 100).round().tolist() == labels.tolist()
    return labels.tolist()


WRITES = {
    "nothing yet": ([], []),
    "less than it holds": ([2], [0, 1]),
    "exactly what it holds": ([3, 2], [0, 1, 2, 3, 4]),
    "the newest in place of the oldest": ([3, 4], [5, 6, 2, 3, 4]),
    "around twice": ([4, 4, 4], [10, 11, 7, 8, 9]),
    "as many as it holds, from the middle": ([2, 5], [5, 6, 2, 3, 4]),
    "more at once than it holds: the last": ([8], [3, 4, 5, 6, 7]),
    "more at once, from the middle": ([2, 9], [9, 10, 6, 7, 8]),
    "a batch of none": ([3, 0, 1], [0, 1, 2, 3]),
}


@pytest.mark.parametrize(("counts", "kept"), WRITES.values(), ids=WRITES)
def test_the_newest_embeddings_are_kept(counts, kept):
    memory, first = QueryMemory(5, 2), 0
    for count in counts:
        memory.write(*numbered(first, first + count))
        first += count
    assert remembered(memory) == kept


@pytest.mark.parametrize("written", [2, 5, 8], ids=["part filled", "full", "around once"])
def test_a_restored_memory_continues_where_it_was_saved(written):
    memory = QueryMemory(5, 2)
    memory.write(*numbered(0, written))
    file = io.BytesIO()
    torch.save(memory.state_dict(), file)
    file.seek(0)
    loaded = QueryMemory(5, 2)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert remembered(loaded) == remembered(memory)
    for both in (memory, loaded):
        both.write(*numbered(written, written + 2))
    assert remembered(loaded) == remembered(memory)


def test_a_restored_loss_gives_the_same_values():
    torch.manual_seed(0)
    loss = SemanticContrastiveLoss(learnable=True, memory=QueryMemory(7, 5))
    for seed in range(2):
        loss(*sample(5, seed=seed))
    resumed = SemanticContrastiveLoss(learnable=True, memory=QueryMemory(7, 5))
    resumed.load_state_dict(copy.deepcopy(loss.state_dict()))
    for seed in range(2, 5):
        assert torch.equal(resumed(*sample(5, seed=seed)), loss(*sample(5, seed=seed)))


@pytest.mark.parametrize(("size", "embedding"), [(0, 4), (4, 0), (-1, 4)])
def test_an_empty_memory_is_refused(size, embedding):
    with pytest.raises(SemclError, match=f"must hold something\n  found:    size {size}, embedding {embedding}\n"):
        QueryMemory(size, embedding)


def test_embeddings_of_another_length_than_the_memorys_are_refused():
    with pytest.raises(SemclError, match="embedding"):
        SemanticContrastiveLoss(memory=QueryMemory(4, 3))(torch.randn(6, 5), torch.tensor([0, 0, 1, 1, 2, 2]))


@pytest.mark.parametrize("weighed", [False, True], ids=["", "intensities"])
@pytest.mark.parametrize("summation", ["out", "in"])
@pytest.mark.parametrize("side", [3, 384], ids="tiles of {}".format)
def test_embeddings_of_earlier_batches_are_additional_keys(monkeypatch, side, summation, weighed):
    monkeypatch.setitem(partition.SIDE, "cpu", side)
    loss = SemanticContrastiveLoss(0.2, summation=summation, memory=QueryMemory(8, 5))
    kept = None
    for seed in range(4):
        vectors, labels, intensity = sample(6, seed=seed)
        intensity = intensity if weighed else None
        vectors.requires_grad_()
        found = loss(vectors, labels, intensity)
        explicit = loop(vectors, labels, 0.2, summation, intensity, kept)
        assert found.item() == pytest.approx(mean(explicit), rel=1e-11)
        assert loss.left_out.item() == explicit.count(None)
        expected = dense_mean(vectors, labels, 1 / 0.2, summation, intensity, kept)
        torch.testing.assert_close(
            torch.autograd.grad(found, vectors)[0], torch.autograd.grad(expected, vectors)[0], rtol=1e-9, atol=1e-10
        )
        kept = tuple(part.clone() for part in loss.memory.read())
    assert len(kept[0]) == 8


def test_a_positive_in_the_memory_alone_makes_an_anchor():
    loss = SemanticContrastiveLoss(memory=QueryMemory(4, 3))
    first = loss(torch.eye(3), torch.tensor([0, 1, 2]))
    assert first.item() == 0
    assert loss.left_out.item() == 3
    assert loss(torch.eye(3), torch.tensor([0, 5, 6])).item() > 0
    assert loss.left_out.item() == 2


def test_stored_embeddings_have_unit_length_and_no_gradient():
    memory = QueryMemory(9, 5)
    loss = SemanticContrastiveLoss(memory=memory)
    vectors, labels, _ = sample(6, dtype=torch.float32)
    vectors.requires_grad_()
    loss(vectors, labels).backward()
    kept, names, _ = memory.read()
    assert not kept.requires_grad
    assert list(memory.parameters()) == []
    torch.testing.assert_close(kept, normalize(vectors.detach()))
    assert names.tolist() == labels.tolist()
    with torch.no_grad():
        vectors.zero_()
    assert torch.allclose(kept.norm(dim=1), torch.ones(6))


def test_evaluation_reads_the_memory_and_writes_nothing():
    loss = SemanticContrastiveLoss(memory=QueryMemory(9, 5))
    without = SemanticContrastiveLoss()
    loss(*sample(6, seed=1)[:2])
    before = copy.deepcopy(loss.state_dict())
    vectors, labels, _ = sample(6, seed=2)
    loss.eval()
    values = [loss(vectors, labels).item() for _ in range(2)]
    assert values[0] == values[1] != without(vectors, labels).item()
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("labels", [None, torch.tensor([0, 1, 2, 3])], ids=["unlabelled", "labelled"])
def test_batches_without_labels_are_remembered_as_negatives_of_all(labels):
    loss = SemanticContrastiveLoss(0.2, memory=QueryMemory(20, 5))
    earlier = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(0))
    vectors = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(1))
    loss(earlier)
    kept = (normalize(earlier.flatten(0, 1)), torch.full((8,), -1), torch.zeros(8))
    expected = loop(vectors.flatten(0, 1), torch.arange(4).repeat_interleave(2), 0.2, keys=kept)
    assert loss(vectors, labels).item() == pytest.approx(mean(expected), rel=1e-5)


def test_a_batch_larger_than_the_memory_leaves_its_last():
    memory = QueryMemory(4, 5)
    vectors, labels, _ = sample(7, dtype=torch.float32)
    SemanticContrastiveLoss(memory=memory)(vectors, labels)
    assert memory.read()[1].tolist() == labels[-4:].tolist()
    torch.testing.assert_close(memory.read()[0], normalize(vectors[-4:]))


def accumulated(loss, vectors, labels, halves=2):
    """Values of the partial batches one after the other, and the gradient of their mean."""
    leaf = vectors.clone().requires_grad_()
    values = [loss(*part) for part in zip(leaf.chunk(halves), labels.chunk(halves), strict=True)]
    (sum(values) / halves).backward()
    return [value.item() for value in values], leaf.grad


def test_partial_batches_are_batches_of_their_own():
    vectors, labels, _ = sample(12)
    values, gradient = accumulated(SemanticContrastiveLoss(0.1), vectors, labels)
    expected, its_gradient = accumulated(lambda x, y: dense_mean(x, y, 10.0), vectors, labels)
    assert values == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, its_gradient, rtol=1e-10, atol=1e-10)
    (whole,), whole_gradient = accumulated(SemanticContrastiveLoss(0.1), vectors, labels, halves=1)
    assert sum(values) / 2 != pytest.approx(whole, rel=1e-3)
    assert not torch.allclose(gradient, whole_gradient, rtol=0.1)


def test_a_memory_widens_the_later_partial_batches():
    vectors, labels, _ = sample(12)
    earlier, later = zip(vectors.chunk(2), labels.chunk(2), strict=True)
    values, _ = accumulated(SemanticContrastiveLoss(0.1, memory=QueryMemory(6, 5)), vectors, labels)
    widened = mean(loop(*later, 0.1, keys=(normalize(earlier[0]), earlier[1], torch.zeros(6))))
    assert values == pytest.approx([mean(loop(*earlier, 0.1)), widened], rel=1e-6)
    assert widened != pytest.approx(mean(loop(*later, 0.1)), rel=1e-3)


def test_a_compiled_loss_with_a_memory_gives_the_same_over_several_steps():
    torch._dynamo.reset()
    plain = SemanticContrastiveLoss(0.2, memory=QueryMemory(8, 5))
    loss = SemanticContrastiveLoss(0.2, memory=QueryMemory(8, 5))
    compiled = torch.compile(loss, backend="aot_eager")
    for seed in range(4):
        vectors, labels, _ = sample(6, seed=seed)
        vectors.requires_grad_()
        found, expected = compiled(vectors, labels), plain(vectors, labels)
        assert found.item() == pytest.approx(expected.item(), rel=1e-10)
        torch.testing.assert_close(torch.autograd.grad(found, vectors), torch.autograd.grad(expected, vectors))
    assert torch.equal(loss.memory.vectors, plain.memory.vectors)
    assert torch.equal(loss.memory.labels, plain.memory.labels)
