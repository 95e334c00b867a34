"""Pretraining of one's own network from Python."""

import ast
import inspect
import math

import pytest
import torch
import yaml
from monai.networks.nets import SegResNet
from torch import nn

from scripts.cohort.datalist import load
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.library import pretraining
from scripts.library.pretraining import pretrain
from scripts.queries.dataset import QueryDataset
from scripts.queries.grid import QueryGrid
from scripts.queries.store import QueryStore
from tests.stages import ROOT

SHORT = {"steps": 3, "clusters_per_batch": 2, "queries_per_cluster": 2}


def made_queries(dims=2, side=16):
    """Bright and dark objects of eight patients, as mappings."""
    mask = torch.zeros(1, *[side] * dims)
    mask[(slice(None), *[slice(4, 12)] * dims)] = 1
    return [
        {"image": mask * (n % 2) - (1 - mask) + 0.1 * torch.rand(mask.shape), "attention": mask,
         "cluster": n % 2, "patient": n // 2}
        for n in range(16)
    ]  # fmt: skip


def convolutions(dims=2, channels=1):
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
    return nn.Sequential(conv(channels, 4, 3, stride=2, padding=1), nn.ReLU(), conv(4, 8, 3, stride=2, padding=1))


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before, network):
    return {name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_learns_in_place(dims):
    torch.manual_seed(0)
    network = convolutions(dims).eval()
    losses = pretrain(network, made_queries(dims), steps=30, queries_per_cluster=4)
    assert len(losses) == 30
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
    assert not network.training
    assert isinstance(network(torch.zeros(1, 1, *[16] * dims)), torch.Tensor)


def test_the_same_seed_gives_the_same_losses():
    first, second, queries = convolutions(), convolutions(), made_queries()
    second.load_state_dict(first.state_dict())
    losses = pretrain(first, queries, **SHORT, seed=3)
    assert pretrain(second, queries, **SHORT, seed=3) == losses
    assert pretrain(second, queries, **SHORT, seed=4) != losses


def test_a_network_of_monai_on_queries_of_a_cohort(phantoms, tmp_path):
    table, grid = LabelTable.load(phantoms), QueryGrid(2, 32, [5, 5, 0], [-160, 240], 0, 0.1)
    store = QueryStore(str(tmp_path / "store"), load(phantoms, "training"), str(phantoms / "labels"), table, grid)
    network = SegResNet(spatial_dims=2, in_channels=1, out_channels=14, init_filters=8, blocks_down=(1, 1))
    before = weights(network)
    losses = pretrain(network, QueryDataset(store), features=lambda image: network.encode(image)[1], **SHORT)
    assert all(loss > 0 for loss in losses)
    assert changed(before, network) == {"convInit", "down_layers"}  # the decoder waits for its own training


def test_vectors_and_masks():
    network = nn.Sequential(convolutions(channels=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = weights(network)
    assert len(pretrain(network, made_queries(), masked=True, **SHORT)) == 3
    assert changed(before, network) == {"0"}


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float64, "numpy"])
def test_masks_and_images_may_be_of_any_type(kind):
    queries = made_queries()
    for query in queries:
        if kind == "numpy":
            query |= {"attention": query["attention"].numpy().astype("uint8"), "image": query["image"].numpy()}
        else:
            query["attention"] = query["attention"].to(kind)
        query["image"] = query["image"].astype("float64") if kind == "numpy" else query["image"].double()
    assert all(map(math.isfinite, pretrain(convolutions(), queries, **SHORT)))


def test_clusters_may_be_numbers_of_torch_or_numpy():
    queries = [query | {"cluster": torch.tensor(query["cluster"])} for query in made_queries()]
    assert len(pretrain(convolutions(), queries, **SHORT)) == 3


def test_any_number_of_steps_can_be_taken():
    assert len(pretrain(convolutions(), made_queries(), **SHORT | {"steps": 5})) == 5


@pytest.mark.parametrize(
    ("network", "given", "problem"),
    [
        (convolutions(channels=2), {}, r"cannot be run on a query.*shape \(1, 1, 16, 16\).*masked=True"),
        (convolutions(), {"features": lambda image: {"map": image}}, "returns no feature maps.*found:    a dict"),
        (convolutions(), {"features": lambda image: [image, image[0]]}, r"feature maps.*16\), \(1, 16, 16\)"),
        (convolutions(), {"queries": [{"image": torch.zeros(1, 16, 16)}]}, "a query without attention, cluster"),
        (convolutions(), {"queries": []}, "a query without image"),
        (
            convolutions(),
            {"queries": [{**one, "image": 200 * one["image"]} for one in made_queries()]},
            "intensities are not those of a window.*found:    -199.*-1 to 1",
        ),
        (convolutions(), {"queries": [*made_queries(), made_queries()[0] | {"cluster": None}]}, "cluster None"),
        (convolutions(), {"queries": [*made_queries(), {"image": torch.zeros(1, 16, 16)}]}, "query without attention"),
        (convolutions(), {"queries": made_queries() + made_queries(side=12)}, r"\(1, 12, 12\) at 16, \(1, 16, 16\)"),
        (
            convolutions(),
            {"queries": [{"image": torch.zeros(1, 16, 12), "attention": torch.zeros(1, 16, 12), "cluster": 0}]},
            r"image \(1, 16, 12\)",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_pretrained_is_named(network, given, problem):
    queries = given.pop("queries", made_queries())
    with pytest.raises(SemclError, match=f"(?s){problem}"):
        pretrain(network, queries, **given)


def test_its_numbers_are_those_of_the_stage():
    stage = yaml.safe_load((ROOT / "bundle" / "configs" / "pretrain.yaml").read_text())
    given = {name: one.default for name, one in inspect.signature(pretrain).parameters.items()}
    for name in ("clusters_per_batch", "queries_per_cluster", "learning_rate", "temperature"):
        assert given[name] == stage[name], name
    assert given["steps"] == stage["max_epochs"] * stage["epoch_length"]
    assert stage["embedding"] == pretraining.EMBEDDING
    assert stage["scheduler"]["pct_start"] == pretraining.RISING
    made = pretraining._views(made_queries(), made_queries()[0])
    for name in ("area", "rotation", "contrast", "brightness", "noise"):
        value = stage["train"]["views"][name]
        assert getattr(made, name) == (tuple(value) if isinstance(value, list) else value), name
    tree = ast.parse(inspect.getsource(pretraining))
    decay = [word.value.value for call in ast.walk(tree) if isinstance(call, ast.Call) for word in call.keywords
             if word.arg == "weight_decay"]  # fmt: skip
    assert decay == [stage["weight_decay"]]
