"""Starting weights from checkpoints of other tools."""

import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.networks.nets.segresnet import SegResNet
from torch import nn

from scripts.errors import SemclError
from scripts.job.initial_weights import InitialWeights, read_checkpoint, states, take_weights
from scripts.networks.encoder import QueryEncoder
from scripts.networks.monai_encoders import SegResNetEncoder, SwinUNETREncoder
from scripts.networks.unet_encoder import UNetEncoder
from tests.cohort.test_leaks import cohort as small_cohort
from tests.cohort.test_leaks import model

NUMBERS = {"init_filters": 8, "blocks_down": [1, 1, 1]}


def started(path, module, in_channels=None):
    engine = Engine(lambda engine, batch: None)
    InitialWeights(str(path) if path else None, module, in_channels).attach(engine)


@pytest.fixture
def segresnet():
    torch.manual_seed(1)
    return SegResNet(spatial_dims=2, in_channels=1, out_channels=5, blocks_up=(1, 1), **NUMBERS).eval()


@pytest.mark.parametrize("container", ["state_dict", "nested", "module."])
def test_features_are_those_of_the_checkpoint_whatever_the_mask(container, segresnet, tmp_path, capsys):
    state = segresnet.state_dict()
    content = {
        "state_dict": {"epoch": 3, "state_dict": state, "optimizer": {}},
        "nested": {"model": {"weights": state}, "metric": np.float64(0.5)},
        "module.": {f"module.backbone.{name}": value for name, value in state.items()},
    }[container]
    torch.save(content, tmp_path / "other.pt")
    encoder = SegResNetEncoder(2, 2, **NUMBERS).eval()
    started(tmp_path / "other.pt", encoder, 2)
    image, mask = torch.randn(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        ours, theirs = encoder(torch.cat([image, mask], 1)), segresnet.encode(image)[1]
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(ours, theirs, strict=True))
    count = len(encoder.state_dict())
    said = capsys.readouterr().out
    assert f"{count} of {count} entries taken; {len(state) - count} of the file's unused" in said
    assert "1 with weights of 0 for the attention mask: convInit.conv.weight" in said


def test_a_channel_that_is_taken_for_the_mask_s_is_said(tmp_path, capsys):
    network = SegResNet(spatial_dims=2, in_channels=2, out_channels=5, blocks_up=(1, 1), **NUMBERS)
    torch.save(network.state_dict(), tmp_path / "t2_and_adc.pt")
    started(tmp_path / "t2_and_adc.pt", SegResNetEncoder(2, 2, **NUMBERS), 2)
    assert "the last of its 2 input channels is taken for that of the attention mask" in capsys.readouterr().out
    (tmp_path / "t2_and_adc.json").write_text(json.dumps({"stage": "pretrain.yaml", "cohort": "c"}))
    started(tmp_path / "t2_and_adc.pt", SegResNetEncoder(2, 2, **NUMBERS), 2)
    assert "taken for" not in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "inputs"), [(SwinUNETREncoder, 3), (UNetEncoder, 2)])
def test_every_layer_that_sees_the_image_is_widened(kind, inputs):
    numbers = {"feature_size": 12, "depths": [1, 1, 1, 1]} if kind is SwinUNETREncoder else {"num_res_units": 1}
    network = kind(2, 1, **numbers).whole(1, 3)
    taken = take_weights(network.state_dict(), kind(2, 2, **numbers), 2)
    assert len(taken.widened) == inputs
    assert not taken.missing
    assert not taken.shapes


def test_what_does_not_fit_is_named_and_stays(segresnet, tmp_path, capsys):
    state = segresnet.state_dict()
    changed = "down_layers.1.0.conv.weight"
    state[changed] = torch.zeros(3, 3)
    del state["down_layers.2.1.conv1.conv.weight"]
    torch.save(state, tmp_path / "other.pt")
    encoder = SegResNetEncoder(2, 2, **NUMBERS)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    started(tmp_path / "other.pt", encoder, 2)
    said = capsys.readouterr().out
    assert f"1 random, of another shape: {changed} ((16, 8, 3, 3) here, (3, 3) there)" in said
    assert "1 random, not in the file: down_layers.2.1.conv1.conv.weight" in said
    after = encoder.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {changed, "down_layers.2.1.conv1.conv.weight"} <= same
    assert "convInit.conv.weight" not in same


def test_a_resnet_of_monai_fits_behind_our_own_prefix():
    encoder = QueryEncoder(2, "basic", (1, 1, 1, 1), (4, 4, 8, 8))
    taken = take_weights({"state_dict": encoder.whole(1).state_dict()}, encoder, 2)
    assert taken.widened == ["body.conv1.weight"]
    assert not taken.missing
    assert not taken.shapes


def test_of_two_sets_that_fit_alike_the_first_is_taken_and_both_are_named(segresnet, tmp_path, capsys):
    first, second = (
        {f"module.{name}.{key}": value + shift for key, value in segresnet.state_dict().items()}
        for name, shift in (("encoder_q", 0), ("encoder_k", 1))
    )
    torch.save({"state_dict": first | second}, tmp_path / "moco.pt")
    started(tmp_path / "moco.pt", SegResNetEncoder(2, 2, **NUMBERS), 2)
    said = capsys.readouterr().out
    keys = [f"state_dict:module.encoder_{one}.convInit.conv.weight" for one in "kq"]
    assert f"from {keys[0]} on; {keys[1]} and what belongs to it would fit as well" in said
    mean = {name: value + 1 for name, value in segresnet.state_dict().items()}
    torch.save({"ema": mean, "state_dict": segresnet.state_dict()}, tmp_path / "ema.pt")
    started(tmp_path / "ema.pt", SegResNetEncoder(2, 2, **NUMBERS), 2)
    assert "from ema:convInit.conv.weight on; state_dict:convInit.conv.weight and what" in capsys.readouterr().out
    torch.save({"a": mean, "b": mean}, tmp_path / "twice.pt")
    started(tmp_path / "twice.pt", SegResNetEncoder(2, 2, **NUMBERS), 2)
    assert "would fit as well" not in capsys.readouterr().out
    torch.save(segresnet.state_dict(), tmp_path / "one.pt")
    started(tmp_path / "one.pt", SegResNetEncoder(2, 2, **NUMBERS), 2)
    assert "would fit as well" not in capsys.readouterr().out


def test_a_checkpoint_does_not_replace_weights_that_are_learnt_on_from(tmp_path, capsys):
    module = nn.Linear(1, 1)
    before = module.weight.item()
    torch.save({"weight": torch.full((1, 1), before + 1)}, tmp_path / "other.pt")
    InitialWeights(str(tmp_path / "other.pt"), module, instead="models/encoder.pt").attach(None)
    assert module.weight.item() == before
    assert "other.pt are left out: models/encoder.pt is what is learnt on from" in capsys.readouterr().out


def test_weights_of_a_part_are_left_out_where_the_checkpoint_has_the_whole(tmp_path, capsys):
    module = nn.Linear(1, 1)
    torch.save({"weight": torch.full((1, 1), 7.0)}, tmp_path / "other.pt")
    InitialWeights(str(tmp_path / "other.pt"), module, over="models/encoder.pt").attach(None)
    assert module.weight.item() == 7
    assert "models/encoder.pt is left out: initial weights from" in capsys.readouterr().out


def test_only_our_own_pretraining_leaves_out_the_mask(segresnet, tmp_path, capsys):
    encoder = SegResNetEncoder(2, 2, **NUMBERS)
    torch.save(encoder.state_dict(), tmp_path / "encoder.pt")
    started(tmp_path / "encoder.pt", segresnet)
    assert "random, of another shape: convInit.conv.weight" in capsys.readouterr().out
    (tmp_path / "encoder.json").write_text(json.dumps({"stage": "pretrain.yaml", "cohort": "c"}))
    started(tmp_path / "encoder.pt", segresnet)
    assert "1 without their weights for the attention mask: convInit.conv.weight" in capsys.readouterr().out
    assert torch.equal(segresnet.convInit.conv.weight, encoder.convInit.conv.weight[:, :1])


class Code:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.weight": torch.zeros(2)}, r"(?s)nothing in other.pt fits.*a.weight.*convInit"),
        ({"layers.0.0.norm1.weight": torch.zeros(8)}, r"(?s)nothing in other.pt fits"),
        ({"epoch": 3}, "(?s)nothing in other.pt fits.*none"),
        ({"code": Code()}, "(?s)cannot be read as weights.*weights_only=False"),
        ({"convInit.conv.weight": torch.full((8, 2, 3, 3), torch.nan)}, "holds weights that are not finite"),
    ],
)
def test_a_file_of_no_use_is_refused(content, message, tmp_path, capsys):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(SemclError, match=message):
        started(tmp_path / "other.pt", SegResNetEncoder(2, 2, **NUMBERS), 2)
    assert "run" not in capsys.readouterr().out.split()


def test_a_missing_file_is_named_and_none_changes_nothing(tmp_path):
    with pytest.raises(SemclError, match=r"no .*gone.pt"):
        read_checkpoint(tmp_path / "gone.pt")
    started(None, torch.nn.Linear(1, 1))
    assert list(states({"a": 1})) == []


def test_weights_that_have_seen_a_tested_patient_are_not_begun_with(tmp_path):
    weights = model(tmp_path, small_cohort(tmp_path, "ab"))
    small_cohort(tmp_path, "bc")
    InitialWeights(weights, nn.Linear(1, 1)).attach(None)
    with pytest.raises(SemclError, match="case scan_c: a patient who is tested is one that was learnt from"):
        InitialWeights(weights, nn.Linear(1, 1), dataset_dir=str(tmp_path)).attach(None)
