"""All pairs in one matrix: when it is used, and that it gives what tiles give."""

import pytest
import torch

from scripts.contrast import loss as loss_module
from scripts.contrast import matrix
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.contrast.matrix import MatrixTerms, fits_matrix
from scripts.contrast.memory import QueryMemory
from scripts.contrast.terms import unit_vectors

from .oracles import sample


@pytest.mark.parametrize(("rows", "device", "fits"), [(384, "cpu", True), (385, "cpu", False), (1024, "meta", True)])
def test_small_batches_fit_one_matrix(rows, device, fits):
    assert fits_matrix(torch.empty(rows, 2, device=device)) is fits


@pytest.mark.parametrize("inside", [False, True], ids=["mean of logs", "log of the mean"])
@pytest.mark.parametrize("weighed", [False, True], ids=["", "intensities"])
def test_gradients_agree_with_finite_differences(inside, weighed):
    vectors, labels, intensity = sample(9, classes=4)
    positives = (labels[:, None] == labels).fill_diagonal_(False)
    some = positives.any(1)

    def terms(embeddings, scale):
        given = (*unit_vectors(embeddings), positives, positives.sum(1), intensity if weighed else None, inside)
        return tuple(term[some] for term in MatrixTerms.apply(embeddings, scale, *given))

    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    assert 1 < some.sum() < 9
    assert torch.autograd.gradcheck(terms, (vectors.requires_grad_(), scale))


@pytest.mark.parametrize("case", ["small", "large", "with a memory"])
def test_the_loss_uses_it_for_small_batches_without_a_memory_alone(monkeypatch, case):
    used = []

    class Watched(MatrixTerms):
        @staticmethod
        def forward(*arguments):
            used.append(1)
            return MatrixTerms.forward(*arguments)

    monkeypatch.setattr(loss_module, "MatrixTerms", Watched)
    monkeypatch.setitem(matrix.MOST_ROWS, "cpu", 8)
    vectors, labels, _ = sample(9 if case == "large" else 8)
    memory = QueryMemory(4, vectors.shape[1]) if case == "with a memory" else None
    SemanticContrastiveLoss(memory=memory)(vectors, labels)
    assert used == [1] * (case == "small")
