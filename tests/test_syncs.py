"""The host hardly reads from a device, and launches few kernels there.

Nothing is read in a training step: on the meta device a read is an error. Inference reads once a batch of queries.
"""

import contextlib
import math

import pytest
import torch
from monai.data import MetaTensor
from torch.utils._python_dispatch import TorchDispatchMode

from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.contrast.matrix import MOST_ROWS_ELSEWHERE
from scripts.contrast.partition import tile_side
from scripts.contrast.positives import PrepareViews
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.encoder import QueryEncoder
from scripts.networks.pooling import RegionPooling
from scripts.queries.grid import QueryGrid
from scripts.queries.views import Views
from scripts.refine import stitching
from scripts.refine.inferer import QueryInferer
from scripts.refine.patches import VolumePatches

MOST_KERNELS = 76  # of two objects refined in one batch
MATRIX_KERNELS = 60  # of the loss of a small batch and its gradient
STEP_KERNELS = {2: 380, 3: 502}  # of a step of pretraining, by the dimensions of queries
TILE_KERNELS = 26  # of both for each tile of a large one


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """Autocast does not know the meta device."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


def test_reading_from_the_meta_device_is_an_error():
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros(1, device="meta").item()


@pytest.mark.parametrize("rows", [40, MOST_ROWS_ELSEWHERE + 1], ids=["one matrix", "tiles"])
@pytest.mark.parametrize("options", [{}, {"summation": "in"}, {"learnable": True}, {"temperature": 0.01}])
def test_the_loss_and_its_gradient_wait_for_nothing(options, rows):
    embeddings = torch.randn(rows, 8, device="meta", requires_grad=True)
    labels, intensity = torch.zeros(rows, dtype=torch.long, device="meta"), torch.rand(rows, device="meta")
    loss = SemanticContrastiveLoss(**options).to("meta")(embeddings, labels, intensity)
    loss.backward()
    assert embeddings.grad is not None


def launched(rows):
    """Kernels of the loss of so many embeddings, and of its gradient."""
    embeddings = torch.randn(rows, 8, device="meta", requires_grad=True)
    labels = torch.zeros(rows, dtype=torch.long, device="meta")
    with Kernels() as kernels:
        SemanticContrastiveLoss()(embeddings, labels).backward()
    return kernels.count


def test_kernels_of_the_loss_grow_as_the_batch_does_not_as_its_square():
    assert launched(96) == launched(MOST_ROWS_ELSEWHERE) <= MATRIX_KERNELS
    few, many = launched(1 << 15), launched(1 << 16)
    assert many < 2.2 * few
    tiles = math.ceil((1 << 16) / tile_side(torch.device("meta"), 1 << 16))
    assert many <= TILE_KERNELS * tiles * (tiles + 1) / 2


@pytest.mark.parametrize("dims", [2, 3])
def test_views_wait_for_nothing(dims):
    views = Views(16, gamma=0.1, blur=1, contrast=0.1, brightness=0.1)
    patches = torch.zeros(3, 1, *[24] * dims, device="meta")
    image, masks = views(patches, patches)
    assert image.shape == masks.shape == (3, 1, *[16] * dims)


def test_the_network_and_its_pooling_wait_for_nothing():
    network = ContrastNet(QueryEncoder(2, "basic", [1, 1, 1, 1], [4, 8, 8, 8]), 8, RegionPooling()).to("meta")
    embeddings = network(torch.zeros(3, 4, 32, 32, device="meta"))
    embeddings.sum().backward()
    assert embeddings.shape == (6, 8)


def step(queries, dims):
    """Kernels of a step of pretraining with so many queries, without the optimizer's one."""
    torch.manual_seed(0)
    views = Views(16, gamma=0.1, blur=1, contrast=0.1, brightness=0.1, noise=0.05)
    network = ContrastNet(QueryEncoder(dims, "basic", [1, 1, 1, 1], [4, 8, 8, 8]), 8, RegionPooling()).to("meta")
    patches = torch.zeros(queries, 1, *[24] * dims, device="meta")
    batch = {"image": patches, "attention": patches, "cluster": torch.zeros(queries, dtype=torch.long, device="meta")}
    with Kernels() as kernels:
        images, labels = PrepareViews(views, pooling=RegionPooling())(batch, torch.device("meta"))
        SemanticContrastiveLoss()(network(images), labels).backward()
    return kernels.count


@pytest.mark.parametrize(("dims", "most"), STEP_KERNELS.items())
def test_a_step_of_pretraining_launches_as_many_kernels_whatever_the_batch(dims, most):
    assert step(6, dims) == step(48, dims) <= most


class OnDevice(torch.Tensor):
    """Counts how often the host reads it, or what is computed from it."""

    READS = ("__bool__", "__float__", "__int__", "__index__", "cpu", "item", "nonzero", "numpy", "tolist", "unique")
    reads = 0

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        result = super().__torch_function__(function, types, args, kwargs or {})
        if getattr(function, "__name__", "") not in cls.READS:
            return result
        OnDevice.reads += 1
        return result.as_subclass(torch.Tensor) if isinstance(result, torch.Tensor) else result


class Kernels(TorchDispatchMode):
    """Counts operators but views: on a GPU a launch each."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not function.is_view
        return function(*args, **(kwargs or {}))


def refined(slices, batch_size, grow=1, dims=2):
    """Kernels, reads and batches of refining two objects, one wider than a patch, on so many slices."""
    objects = torch.zeros(64, 48, slices, dtype=torch.int16)
    objects[4:60, 4:12] = 2
    objects[28:35, 30:37] = 1
    grid = QueryGrid(dims, 16, [0, 0, 0], [-160, 240])
    patches = VolumePatches(grid, MetaTensor(torch.zeros(1, *objects.shape)), objects, grow)
    batches = []

    def network(batch):
        batches.append(len(batch))
        return ((batch[:, 1:] - 0.5) * 20).as_subclass(OnDevice)

    OnDevice.reads = 0
    with Kernels() as kernels:
        for stitched in QueryInferer(grid, batch_size, None, grow).refine(patches, network):
            _, score = stitched.stitch()
            assert isinstance(score, OnDevice)
    return kernels.count, OnDevice.reads, batches


@pytest.mark.parametrize("grow", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("dims", [2, 3])
def test_refining_waits_once_a_batch_at_most(grow, batch_size, dims):
    _, reads, batches = refined(8, batch_size, grow, dims)
    assert reads <= (len(batches) if grow else 0)


def test_refining_launches_as_many_kernels_whatever_the_number_of_queries(monkeypatch):
    monkeypatch.setattr(stitching, "ONE_BY_ONE", ())
    refined(4, 1000)  # weights of a patch are made once
    (few, _, small), (many, _, large) = refined(4, 1000), refined(40, 1000)
    assert sum(large) == 10 * sum(small)
    assert few == many <= MOST_KERNELS
