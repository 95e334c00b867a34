"""Options and inputs of the contrastive loss that do not fit are refused, each by its own message."""

import math

import pytest
import torch

from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.errors import SemclError

SOME, NAMES = torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
REFUSED = {
    "a temperature of 0": ({"temperature": 0}, "invalid temperature\n  found:    0\n"),
    "a negative temperature": ({"temperature": -0.1}, "found:    -0.1\n  expected: a number above 0"),
    "a temperature that is no number": ({"temperature": math.nan}, "found:    nan"),
    "an infinite temperature": ({"temperature": math.inf}, "found:    inf"),
    "a learnt temperature below its range": (
        {"temperature": 0.01, "learnable": True},
        "found:    0.01 in the range 0.02 to 1.0\n  expected: a number above 0, in a range above 0\n",
    ),
    "a learnt temperature above its range": ({"temperature": 2, "learnable": True}, "2 in the range 0.02 to 1.0"),
    "a learnt temperature that is no number": ({"temperature": math.nan, "learnable": True}, "nan in the range"),
    "a range from 0": ({"learnable": True, "temperature_range": (0, 1)}, "0.1 in the range 0 to 1"),
    "a range without end": ({"learnable": True, "temperature_range": (0.01, math.inf)}, "0.1 in the range 0.01 to inf"),
    "a summation": (
        {"summation": "both"},
        "summation has no such value\n  found:    summation both\n  expected: one of out, in\n",
    ),
    "a reduction": (
        {"reduction": "max"},
        "reduction has no such value\n  found:    reduction max\n  expected: one of mean, sum, none\n",
    ),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(SemclError) as error:
        SemanticContrastiveLoss(**options)
    assert message in str(error.value)


def test_a_range_is_ignored_when_the_temperature_is_not_learnt():
    loss = SemanticContrastiveLoss(0.1, temperature_range=(0, 0.01))
    assert loss(SOME, NAMES).item() == SemanticContrastiveLoss(0.1)(SOME, NAMES).item()


UNFIT = {
    "one vector": (SOME[0], NAMES, None, "embeddings cannot be compared\n  found:    torch.float32 of shape (2,)"),
    "an image": (
        torch.randn(4, 2, 3, 3),
        NAMES,
        None,
        "shape (4, 2, 3, 3)\n  expected: floating point, (N, D) or (B, V, D)",
    ),
    "integers": (SOME.long(), NAMES, None, "found:    torch.int64 of shape (4, 2)\n  expected: floating point"),
    "no labels": (SOME, None, None, "without labels have no positives\n  found:    labels None and embeddings (4, 2)"),
    "too few labels": (
        *(SOME, NAMES[:2], None),
        "labels do not fit the embeddings\n  found:    torch.int64 of shape (2,) for embeddings (4, 2)\n"
        "  expected: integers of shape (4,)",
    ),
    "one label per view": (SOME.view(2, 2, 2), NAMES.view(2, 2), None, "expected: integers of shape (2,)"),
    "labels that are no integers": (SOME, NAMES.float(), None, "found:    torch.float32 of shape (4,)"),
    "labels that are true or false": (SOME, NAMES.bool(), None, "found:    torch.bool of shape (4,)"),
    "too few intensities": (
        *(SOME, NAMES, torch.rand(2)),
        "intensities do not fit the embeddings\n  found:    torch.float32 of shape (2,) for embeddings (4, 2)\n"
        "  expected: floating point of shape (4,)",
    ),
    "one intensity per query only": (
        *(SOME.view(2, 2, 2), NAMES[:2], torch.rand(2)),
        "expected: floating point of shape (2, 2)",
    ),
    "intensities that are integers": (
        SOME,
        NAMES,
        torch.ones(4, dtype=torch.int64),
        "found:    torch.int64 of shape (4,)",
    ),
    "a mask stored as 0 and 255": (
        *(SOME, NAMES, torch.tensor([0.0, 255, 30, 2])),
        "intensities out of range\n  found:    0 to 255\n  expected: 0 to 1\n"
        "  do this:  scale the image window to [0, 1] and the mask to {0, 1}",
    ),
    "an intensity below 0": (SOME, NAMES, torch.tensor([0.5, -0.1, 0, 1]), "found:    -0.1 to 1\n"),
    "an intensity that is no number": (SOME, NAMES, torch.tensor([0.5, math.nan, 0, 1]), "intensities out of range"),
    "NaN": (
        SOME.clone().index_fill(0, torch.tensor([1]), math.nan),
        NAMES,
        None,
        "found:    NaN or infinity in 1 of 4\n",
    ),
    "infinity": (
        *(SOME.clone().index_fill(0, torch.tensor([0, 3]), -math.inf), NAMES, None),
        "embeddings are not finite\n  found:    NaN or infinity in 2 of 4\n",
    ),
    "infinity in float16": (torch.full((4, 2), 1e6).half(), NAMES, None, "found:    NaN or infinity in 4 of 4\n"),
}


@pytest.mark.parametrize(("vectors", "labels", "intensity", "message"), UNFIT.values(), ids=UNFIT)
def test_inputs_that_do_not_fit_are_refused(vectors, labels, intensity, message):
    with pytest.raises(SemclError) as error:
        SemanticContrastiveLoss()(vectors, labels, intensity)
    assert message in str(error.value)
