"""Logits of organs that a network hardly finds: by how much they are raised, and what is found then."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.networks.nets import DynUNet, SegResNet
from torch import nn

from scripts import load_cases
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.multiclass.grid import SegmentGrid
from scripts.multiclass.inferer import SegmentInferer
from scripts.multiclass.least_volume import STEP, STEPS, LeastVolume, constants, found_when_raised, raises

VOLUMES = np.array([[100.0, 50, 10], [300, 0, 10], [200, 70, 10]])  # of three organs in three labelled scans


def curve(*volumes: float, other: float = 10) -> np.ndarray:
    """What would be found with logits raised step by step: of two organs ``volumes``, then the last; one is found."""
    rising = [*volumes, *[volumes[-1]] * (STEPS + 1 - len(volumes))]
    return np.array([rising, rising, [other] * (STEPS + 1)])


def test_an_organ_gets_the_voxels_it_would_win():
    logits = torch.tensor([[3.0, 3 - 2 * STEP, -9], [0.0, 1, 1 - STEP / 2], [0, 0, 7]]).T[None, :, :, None]
    found = found_when_raised(logits)
    assert found.shape == (2, STEPS + 1)
    assert found[0, :3].tolist() == [1, 1, 2]  # it has the second, and gains the first; the third is out of reach
    assert found[0, -1] == 2
    assert found[1, :2].tolist() == [1, 2]


@pytest.mark.parametrize("raised", [0, 1, 7, STEPS])
def test_counts_are_those_of_logits_that_are_raised(raised):
    logits = torch.randn(3, 5, 8, 6, generator=torch.Generator().manual_seed(0)) * 2
    for organ in range(1, 5):
        more = logits.clone()
        more[:, organ] += raised * STEP + 1e-4  # what is level is the organ's
        assert found_when_raised(logits)[organ - 1, raised] == (more.argmax(1) == organ).sum()


def test_volumes_that_suffice_raise_nothing():
    assert raises(VOLUMES, np.stack([curve(150)] * 4), 0.7).tolist() == [0, 0, 0]


def test_a_logit_is_raised_until_the_volume_suffices():
    low = np.stack([curve(10, 60, 139, 140, 400)] * 4)
    assert raises(VOLUMES, low, 0.7).tolist() == [
        3 * STEP,
        1 * STEP,
        0,
    ]  # 0.7 of 200 and, without the scan that lacks it, 60


def test_what_cannot_be_found_is_raised_by_the_most():
    assert raises(VOLUMES, np.stack([curve(0)] * 4), 0.7).tolist() == [STEPS * STEP] * 2 + [0]


def test_half_of_the_scans_decide():
    found = np.stack([curve(120)] * 2 + [curve(0)] * 2)
    assert raises(VOLUMES[:1], found, 0.7).tolist() == [0, 0, 0]
    assert raises(VOLUMES[:1], found[1:], 0.7).tolist() == [STEPS * STEP, 0, 0]  # one of three: on average 60, not 70


@pytest.mark.parametrize("elsewhere", [1, 9])
def test_scans_of_other_parts_of_the_body_change_nothing(elsewhere):
    own = np.stack([curve(0, 100)] * 3)
    others = np.stack([curve(0, other=0)] * elsewhere)
    assert raises(VOLUMES, np.concatenate([own, others]), 0.7).tolist() == raises(VOLUMES, own, 0.7).tolist()
    assert raises(VOLUMES, others, 0.7).tolist() == [0, 0, 0]


def test_of_a_single_organ_nothing_says_where_a_scan_is_from():
    assert raises(VOLUMES[:, :1], np.stack([curve(0)] * 4)[:, :1], 0.7).tolist() == [0]


def test_an_organ_that_some_labelled_scans_lack_is_expected_in_fewer():
    found = np.stack([curve(120)] + [curve(0)] * 3)
    rare = np.array([[100.0, 100, 10], [100, 0, 10], [100, 0, 10], [100, 0, 10]])
    assert raises(rare, found, 0.7).tolist() == [STEPS * STEP, 0, 0]


def test_what_is_annotated_nowhere_is_left():
    unknown = np.array([[100.0, np.nan, 10], [0, np.nan, 10]])
    assert raises(unknown, np.stack([curve(0)] * 4), 0.7).tolist() == [STEPS * STEP, 0, 0]
    assert raises(np.array([[100.0, 0, 10]]), np.stack([curve(0)] * 4), 0.7)[1] == 0


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1)),
        DynUNet(2, 1, 4, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 8]),
        SegResNet(2, 8, 1, 4, blocks_down=[1, 1], blocks_up=[1]),
    ],
    ids=["sequential", "dynunet", "segresnet"],
)
def test_the_constants_of_a_network_move_its_logits(network):
    image = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        before = network.eval()(image)
        constants(network, image)[2] += 1
        moved = network(image) - before
    assert moved[:, [0, 1, 3]].abs().max() < 1e-5
    assert moved[:, 2] == pytest.approx(1, abs=1e-4)


def test_a_network_may_write_its_next_output_to_the_same_place():
    class Graph(nn.Conv2d):
        """As a CUDA graph does."""

        def forward(self, inputs):
            if not hasattr(self, "output"):
                self.output = torch.empty(1, 4, 8, 8)
            return self.output.copy_(super().forward(inputs))

    network = Graph(1, 4, 1)
    assert constants(network, torch.randn(1, 1, 8, 8)) is network.bias


@pytest.mark.parametrize(
    "network",
    [
        nn.Conv2d(1, 14, 1, bias=False),
        nn.Sequential(nn.Conv2d(1, 14, 1), nn.ReLU(), nn.Conv2d(14, 14, 1, bias=False)),
    ],
    ids=["none", "of a hidden layer alone"],
)
def test_a_network_without_constants_is_refused_before_training(phantoms, network):
    handler, _ = adjusted(phantoms, network)
    with pytest.raises(SemclError, match="no layer of the network has the constants"):
        handler.attach(Engine(lambda engine, batch: None))


def adjusted(cohort, network: nn.Module, **changes) -> tuple[LeastVolume, list]:
    """The handler for a network of slices on a cohort of phantoms, and the cohort's training cases."""
    cases = [case for case in load_cases(cohort, "training") if case.label is not None]
    inferer = SegmentInferer(SegmentGrid(2, (48, 40), (8, 8, 0), [-160, 240]), 8)
    given = {"labelled": cases[:1], "unlabelled": [replace(case, label=None) for case in cases[1:]], "share": 0.7}
    return LeastVolume(network, table=LabelTable.load(cohort), inferer=inferer, **{**given, **changes}), cases


@pytest.fixture
def anywhere(monkeypatch):
    """Scans count though the network finds no other organ in them."""
    monkeypatch.setattr("scripts.multiclass.least_volume.SAME_PART", 0.0)


def by_brightness() -> nn.Conv2d:
    """Background everywhere, but where it is bright nearly liver, the sixth organ."""
    network = nn.Conv2d(1, 14, 1)
    nn.init.constant_(network.weight, 0)
    nn.init.constant_(network.bias, -50)
    with torch.no_grad():
        network.bias[0], network.bias[6], network.weight[6] = 0, -3, 2
    return network


def run(handler: LeastVolume) -> None:
    engine = Engine(lambda engine, batch: None)
    handler.attach(engine)
    engine.run([0], max_epochs=1)


def test_an_organ_that_is_hardly_found_is_found(phantoms, anywhere, capsys):
    network = by_brightness()
    handler, cases = adjusted(phantoms, network)
    run(handler)
    assert "liver by" in capsys.readouterr().out
    assert -3 < network.bias[6] <= 2
    assert network.bias[0] == 0
    assert network.training
    found = np.array([handler._found_volumes(case)[5, 0] for case in cases[1:]])
    liver = nib.load(cases[0].label)
    usual = (np.asarray(liver.dataobj) == 6).sum() * np.prod(liver.header.get_zooms())
    most = np.sort(found)[-max(1, round(len(found) / 2)) :].mean()
    assert 0.7 * usual <= most < 0.8 * usual


def test_scans_in_which_nothing_else_is_found_raise_nothing(phantoms):
    network = by_brightness()
    run(adjusted(phantoms, network)[0])
    assert network.bias[6] == -3


@pytest.mark.parametrize("classes", [3, 14, 41, 105])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_constants_are_found_where_logits_are_rounded(classes, dtype):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, classes, 1))
    nn.init.normal_(network[2].bias, std=8)

    class Rounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.network(image).to(dtype)

    assert constants(Rounded(), torch.randn(1, 1, 8, 8)) is network[2].bias


@pytest.mark.parametrize("changes", [{"share": 0.0}, {"unlabelled": []}], ids=["share 0", "all labelled"])
def test_nothing_is_changed_where_there_is_nothing_to_do(phantoms, changes):
    network = by_brightness()
    run(adjusted(phantoms, network, **changes)[0])
    assert network.bias[6] == -3


def test_a_scan_that_cannot_be_read_is_left_out(cohort, anywhere, capsys):
    _, cases = adjusted(cohort, by_brightness())
    broken = cases[1]
    whole, without = by_brightness(), by_brightness()
    run(adjusted(cohort, whole, unlabelled=cases[2:])[0])
    broken.image.write_bytes(b"garbage")
    run(adjusted(cohort, without)[0])
    assert "left out of the volumes" in capsys.readouterr().err
    assert torch.equal(whole.bias, without.bias)
    failed = []
    run(adjusted(cohort, by_brightness(), fail=lambda case, why: failed.append((case, str(why))))[0])
    assert [case for case, why in failed if "cannot be read" in why] == [broken.id]
