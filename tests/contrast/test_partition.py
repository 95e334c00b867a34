"""Tiles of the similarity matrix: every pair once, the log-sum-exp, its gradient, and its memory."""

import math
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scripts.contrast import partition
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.contrast.memory import QueryMemory

from .oracles import sample

SIDES = [1, 3, 5, 384]
KINDS = {"all pairs": (False, False), "pairs of a group": (True, False), "weighed by intensity": (False, True)}


@pytest.fixture(params=SIDES, ids="tiles of {}".format)
def side(request, monkeypatch):
    monkeypatch.setitem(partition.SIDE, "cpu", request.param)
    return request.param


def unit_vectors(count, seed=0):
    vectors, labels, intensity = sample(count, seed=seed)
    return vectors / vectors.norm(dim=1, keepdim=True), labels, intensity


def expected(z, scale, rows, groups, intensity):
    """Log-sum-exp of each of the first rows to all others, by one matrix."""
    logits = z[:rows] @ z.T * scale
    if intensity is not None:
        logits = scale + (1 - (intensity[:rows, None] - intensity).abs()) * (logits - scale)
    left_out = torch.eye(rows, len(z), dtype=torch.bool)
    if groups is not None:
        left_out = left_out | (groups[:rows, None] != groups)
    return logits.masked_fill(left_out, -math.inf).logsumexp(1)


@pytest.mark.parametrize(("rows", "keys"), [(1, 1), (7, 7), (6, 6), (7, 12), (3, 20), (0, 4)])
def test_tiles_cover_each_pair_exactly_once(rows, keys):
    met = Counter()
    for tile in partition._tiles(rows, 0, keys, 3):
        assert tile.b - tile.a <= 3
        assert tile.d - tile.c <= 3
        for i in range(tile.a, tile.b):
            for j in range(tile.c, tile.d):
                met[i, j] += 1
                if tile.mirrored(rows):
                    met[j, i] += 1
    assert met == Counter((i, j) for i in range(rows) for j in range(keys))


@pytest.mark.parametrize("start", [4, 6])
def test_tiles_of_the_keys_alone_have_neither_a_mirrored_tile_nor_a_diagonal(start):
    tiles = list(partition._tiles(4, start, 11, 3))
    pairs = Counter((i, j) for tile in tiles for i in range(tile.a, tile.b) for j in range(tile.c, tile.d))
    assert pairs == Counter((i, j) for i in range(4) for j in range(start, 11))
    assert not any(tile.mirrored(4) or tile.diagonal for tile in tiles)


@pytest.mark.parametrize("sharp", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize(("grouped", "weighed"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("rows", "keys"), [(11, 11), (7, 12), (4, 4)])
def test_the_log_sum_is_that_of_the_whole_matrix(side, sharp, grouped, weighed, rows, keys):
    z, labels, intensity = unit_vectors(keys)
    groups, intensity = labels if grouped else None, intensity if weighed else None
    scale = torch.tensor(9.0, dtype=torch.float64)
    found = partition.log_partition(z, scale, rows, groups, intensity, sharp)
    torch.testing.assert_close(found, expected(z, scale, rows, groups, intensity), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("sharp", [False, True], ids=["plain", "shifted"])
def test_an_anchor_alone_in_its_group_has_a_log_sum_of_minus_infinity(side, sharp):
    z, scale = unit_vectors(5)[0], torch.tensor(9.0, dtype=torch.float64)
    found = partition.log_partition(z, scale, 5, torch.tensor([0, 1, 1, 2, 0]), None, sharp)
    assert (found == -math.inf).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("sharp", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize(("grouped", "weighed"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("sizes", [(11,), (4, 7), (5, 1, 6)], ids="ranks of {}".format)
@pytest.mark.parametrize("memory", [0, 4], ids=["no memory", "memory of 4"])
def test_the_gradients_of_all_processes_make_up_that_of_the_whole_matrix(side, sharp, grouped, weighed, sizes, memory):
    live = sum(sizes)
    z, _, intensity = unit_vectors(live + memory)
    groups, intensity = torch.arange(len(z)) % 4 if grouped else None, intensity if weighed else None
    upstream = torch.linspace(-1, 2, live, dtype=torch.float64)

    scale = torch.tensor(9.0, dtype=torch.float64, requires_grad=True)
    anchors = z[:live].clone().requires_grad_()
    log_sums = expected(torch.cat([anchors, z[live:]]), scale, live, groups, intensity)
    (upstream * log_sums).sum().backward()

    parts, share, start = [], 0.0, 0
    for rows in sizes:
        own_first = torch.cat([torch.arange(live).roll(-start), torch.arange(live, len(z))])
        own, rest = own_first[:live], [None if x is None else x[own_first] for x in (groups, intensity)]
        part, to_scale = partition.log_partition_backward(
            z[own_first], scale.detach(), rows, live, *rest, sharp, log_sums.detach()[own], upstream[own]
        )
        parts.append(part)
        share += to_scale
        start += rows
    torch.testing.assert_close(torch.cat(parts), anchors.grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(share, scale.grad, rtol=1e-12, atol=1e-12)


def test_plain_sums_hold_up_to_the_sharpness_they_are_used_for():
    z = torch.nn.functional.normalize(torch.randn(600, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    z[1::2] = -z[::2]  # from -1 to 1
    for angles in (z, z[:1].expand(600, 3), torch.stack([z[0], -z[0]])):
        scale = torch.tensor(partition.SHARP)
        plain = partition.log_partition(angles.contiguous(), scale, len(angles), None, None, sharp=False)
        exact = expected(angles.double(), partition.SHARP, len(angles), None, None)
        torch.testing.assert_close(plain.double(), exact, rtol=0, atol=2e-5)


@pytest.mark.parametrize("sharp", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize(("grouped", "weighed"), KINDS.values(), ids=KINDS)
def test_the_custom_operators_match_their_schema(sharp, grouped, weighed):
    z, labels, intensity = unit_vectors(8)
    rest = (labels if grouped else None, intensity if weighed else None, sharp)
    scale, upstream = torch.tensor(9.0, dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    torch.library.opcheck(partition.compiled_log_partition, (z, scale, 6, *rest))
    log_sums = partition.log_partition(z, scale, 6, *rest)
    torch.library.opcheck(
        partition.compiled_log_partition_backward, (z, scale, 4, 6, *rest, log_sums, upstream), rtol=1e-12, atol=1e-12
    )


class Largest(TorchDispatchMode):
    """The most elements any tensor made inside it has."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                self.elements = max(self.elements, leaf.numel())
        return made


LINEAR = {
    "one label a query, plain": {},
    "shifted": {"temperature": 0.01},
    "sum inside the log": {"summation": "in"},
    "learnt temperature": {"learnable": True},
    "with a memory": {"memory": 500},
}


@pytest.mark.parametrize("weighed", [False, True], ids=["", "intensities"])
@pytest.mark.parametrize("options", LINEAR.values(), ids=LINEAR)
def test_no_tensor_is_as_large_as_the_matrix_of_all_pairs(options, weighed):
    count, embedding = 2000, 64
    vectors, labels, intensity = sample(count, embedding, classes=50, dtype=torch.float32)
    vectors.requires_grad_()
    kept = options.get("memory", 0)
    if kept:
        memory = QueryMemory(kept, embedding)
        memory.write(*sample(kept, embedding, classes=50, seed=1, dtype=torch.float32))
        options = {**options, "memory": memory}
    loss = SemanticContrastiveLoss(**options)
    with Largest() as largest:
        loss(vectors, labels, intensity if weighed else None).backward()
    assert vectors.grad is not None
    linear = max((count + kept) * embedding, partition.SIDE["cpu"] ** 2)
    assert largest.elements <= linear < count**2 / 10


@pytest.mark.parametrize("vectors", [2000, 1 << 14, 1 << 16, 1 << 20])
def test_a_tile_on_a_gpu_is_wide_and_its_memory_linear_in_the_batch(vectors):
    side = partition.tile_side(torch.device("cuda"), vectors)
    assert side >= partition.WIDE_SIDE
    assert side**2 <= max(partition.ROWS_A_TILE * vectors, partition.WIDE_SIDE**2)
    assert vectors / side <= vectors**0.5 / 14
    assert partition.tile_side(torch.device("cpu"), vectors) == partition.SIDE["cpu"]


def test_both_names_of_the_package_can_be_imported_in_one_process():
    code = """
    import scripts, semcl, torch

    for package in (scripts, semcl):
        loss = package.SemanticContrastiveLoss(0.07)(torch.eye(4), torch.tensor([0, 0, 1, 1]))
        operator = getattr(torch.ops, package.__name__).log_partition
        log_sums = operator(torch.eye(4), torch.tensor(1.0), 4, None, None, False)
        print(package.__name__, round(loss.item(), 4), round(log_sums[0].item(), 4))
    print(scripts.SemanticContrastiveLoss is semcl.SemanticContrastiveLoss)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.stdout.splitlines() == ["scripts 1.0986 1.0986", "semcl 1.0986 1.0986", "False"], done.stderr
