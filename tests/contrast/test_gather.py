"""A batch spread over ranks: value and gradient are those of one process with the whole batch."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from scripts.contrast import partition
from scripts.contrast.gather import Communicator
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.contrast.memory import QueryMemory
from tests.stages import FORKED

from .oracles import at, loop, mean, sample

KNOWN = at(0, 25, 80, 100, 170, 260, 300, 330), torch.tensor([0, 0, 1, 1, 2, 2, 3, 4])
FEATURES, EMBEDDING = 6, 5
SPLITS = {
    1: {"all": (9,)},
    2: {"equal": (5, 5), "unequal": (7, 2)},
    3: {"equal": (3, 3, 3), "unequal": (4, 1, 5), "one without any": (4, 0, 5)},
}
SCENARIOS = {
    "plain": {},
    "shifted": {"temperature": 0.01},
    "sum over anchors": {"reduction": "sum"},
    "one value an anchor": {"reduction": "none"},
    "sum inside the log": {"summation": "in"},
    "learnt temperature": {"learnable": True},
    "intensities": {"weighed": True},
    "memory, two steps": {"memory": 8, "steps": 2},
    "views without labels": {"views": 2},
    "views with labels": {"views": 3, "labelled": True},
    "memory of views without labels, two steps": {"memory": 30, "steps": 2, "views": 2},
    "all at once": {"learnable": True, "weighed": True, "memory": 8, "steps": 2, "summation": "in"},
    "float32": {"learnable": True, "dtype": torch.float32},
    "ranks apart": {"gather": False},
}


class Network(nn.Module):
    """A linear layer with the loss on top."""

    def __init__(self, loss, dtype):
        super().__init__()
        self.layer, self.loss = nn.Linear(FEATURES, EMBEDDING, dtype=dtype), loss
        with torch.no_grad():
            for weight in self.layer.parameters():
                weight.copy_(torch.linspace(-1, 1, weight.numel()).sin().view_as(weight))

    def forward(self, images, labels, intensity):
        return self.loss(self.layer(images), labels, intensity)


def batch(count, step, dtype=torch.float64, weighed=False, views=0, labelled=False, **_):
    """Images (B, F) or (B, V, F), labels or None, intensities or None."""
    images, _, intensity = sample(count * max(views, 1), FEATURES, seed=step, dtype=dtype)
    labels = sample(count, classes=4, seed=step)[1]
    if views:
        images, intensity = images.view(count, views, FEATURES), intensity.view(count, views)
    return images, labels if labelled or not views else None, intensity if weighed else None


def run(options, sizes, rank, wrap=None):
    """The results of one rank: values, gradients of its images and of the network, and the anchors left out."""
    known = ("temperature", "learnable", "summation", "reduction")
    dtype, kept = options.get("dtype", torch.float64), options.get("memory", 0)
    loss = SemanticContrastiveLoss(
        **{name: options[name] for name in known if name in options},
        memory=QueryMemory(kept, EMBEDDING) if kept else None,
        gather=options.get("gather", True),
    )
    network = Network(loss, dtype)
    model = network if wrap is None else wrap(network)
    seen = []
    for step in range(options.get("steps", 1)):
        images, labels, intensity = (
            None if part is None else part.split(list(sizes))[rank] for part in batch(sum(sizes), step, **options)
        )
        images = images.clone().requires_grad_()
        network.zero_grad()
        value = model(images, labels, intensity)
        weights = torch.linspace(-1, 2, max(value.numel(), 1)).view_as(value) if value.ndim else 1
        (value * weights).sum().backward()
        gradients = {"images": images.grad, "weights": [weight.grad.clone() for weight in network.layer.parameters()]}
        scale = None if loss.log_scale is None else loss.log_scale.grad.clone()
        seen.append({"value": value.detach(), "left out": loss.left_out, "scale": scale, **gradients})
    return seen


def work(rank, world, folder):
    """One rank: every scenario of every split, alone and through DistributedDataParallel, into a file."""
    torch.set_num_threads(1)
    partition.SIDE["cpu"] = 3  # many tiles, also across ranks
    meet, patience = f"file://{folder}/meet", timedelta(minutes=5)
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=world, timeout=patience)
    found = {}
    for split, sizes in SPLITS[world].items():
        for name, options in SCENARIOS.items():
            found[split, name, "bare"] = run(options, sizes, rank)
            found[split, name, "wrapped"] = run(options, sizes, rank, DistributedDataParallel)
    if world == 2:
        vectors, labels = (whole.chunk(2)[rank] for whole in KNOWN)
        found["known"] = SemanticContrastiveLoss(0.1, gather=True)(vectors, labels).item()
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each rank of each number of ranks found."""
    found = {}
    for world in SPLITS:
        folder = tmp_path_factory.mktemp(f"ranks{world}")
        processes = [FORKED.Process(target=work, args=(rank, world, str(folder))) for rank in range(world)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * world
        found[world] = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]
    return found


ALL = [(world, split, name) for world, splits in SPLITS.items() for split in splits for name in SCENARIOS]
TOGETHER = [case for case in ALL if case[2] != "ranks apart"]


def close(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 1e-9, "atol": 1e-10}


@pytest.mark.parametrize(("world", "split", "name"), TOGETHER)
def test_ranks_together_are_one_process_with_the_whole_batch(ranks, world, split, name):
    sizes, options = SPLITS[world][split], SCENARIOS[name]
    whole = run({**options, "gather": False}, (sum(sizes),), 0)
    tolerance = close(options.get("dtype"))
    for step, expected in enumerate(whole):
        bare = [found[split, name, "bare"][step] for found in ranks[world]]
        wrapped = [found[split, name, "wrapped"][step] for found in ranks[world]]
        for rank in bare + wrapped:
            torch.testing.assert_close(rank["value"], expected["value"], **tolerance)
            assert rank["left out"] == expected["left out"]
        together = torch.cat([rank["images"] for rank in bare])
        torch.testing.assert_close(together / world, expected["images"], **tolerance)
        for rank in wrapped:
            torch.testing.assert_close(rank["weights"], expected["weights"], **tolerance)
        for rank in bare + wrapped:  # float32, whatever the embeddings are
            torch.testing.assert_close(rank["scale"], expected["scale"], **close(torch.float32))


def test_two_ranks_have_the_known_value_of_one_batch(ranks):
    for found in ranks[2]:
        assert found["known"] == pytest.approx(1.96367584814697, rel=1e-12)


@pytest.mark.parametrize(("world", "split"), [(world, split) for world, split, name in ALL if name == "plain"])
def test_without_gathering_each_rank_is_on_its_own(ranks, world, split):
    sizes = SPLITS[world][split]
    for rank, found in enumerate(ranks[world]):
        torch.testing.assert_close(found[split, "ranks apart", "bare"], run({"gather": False}, sizes, rank))


@pytest.mark.parametrize(("world", "split"), [(2, "equal"), (2, "unequal"), (3, "equal"), (3, "unequal")])
def test_the_mean_over_separate_ranks_is_not_that_of_the_whole_batch(ranks, world, split):
    apart = [found[split, "ranks apart", "wrapped"][0] for found in ranks[world]]
    (whole,) = run({"gather": False}, (sum(SPLITS[world][split]),), 0)
    average = sum(rank["value"] for rank in apart) / world
    assert average.item() != pytest.approx(whole["value"].item(), rel=0.05)
    for found, expected in zip(apart[0]["weights"], whole["weights"], strict=True):
        assert not torch.allclose(found, expected, rtol=0.05)


def test_the_mean_of_known_rank_means_differs():
    losses = loop(*KNOWN, 0.1)
    assert (mean(losses[:4]) + mean(losses[4:])) / 2 == pytest.approx(2.86762, rel=1e-5)
    own = [
        SemanticContrastiveLoss(0.1)(*part).item() for part in zip(*(whole.chunk(2) for whole in KNOWN), strict=True)
    ]
    assert sum(own) / 2 == pytest.approx(1.92727, rel=1e-5)
    assert SemanticContrastiveLoss(0.1)(*KNOWN).item() == pytest.approx(1.96367584814697, rel=1e-12)


def test_one_process_holds_all_rows():
    ranks, rows = Communicator.of_group(4, torch.device("cpu")), torch.arange(4)
    assert ranks == Communicator.alone(4) == Communicator((4,), 0)
    assert (ranks.start, ranks.rows) == (0, 4)
    assert torch.equal(ranks.gather(rows), rows)
    assert torch.equal(ranks.in_order(rows), rows)
    assert torch.equal(ranks.sum(rows), rows)


def test_a_rank_knows_which_rows_are_its_own():
    ranks = Communicator((3, 0, 2, 4), 2)
    assert (ranks.start, ranks.rows) == (3, 9)
    own_first = torch.tensor([3, 4, 5, 6, 7, 8, 0, 1, 2])
    assert ranks.in_order(own_first).tolist() == list(range(9))


def test_gathering_without_a_process_group_changes_nothing():
    vectors, labels, _ = sample(9)
    together, alone = SemanticContrastiveLoss(gather=True), SemanticContrastiveLoss()
    assert torch.equal(together(vectors, labels), alone(vectors, labels))
