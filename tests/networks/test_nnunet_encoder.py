"""nnU-Net's own networks, where its package is installed."""

import json
from pathlib import Path

import pytest
import torch

from scripts.errors import SemclError
from scripts.export.export import checked_fold, write_export
from scripts.export.readme import Facts
from scripts.networks.encoder import check_encoder
from scripts.networks.nnunet_encoder import NnUNetEncoder, read_architecture, read_axes

COMMON = {
    "n_stages": 3,
    "features_per_stage": [4, 8, 8],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage_decoder": [1, 1],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
UNETS = "dynamic_network_architectures.architectures.unet."


def architecture(name):
    own = {"n_conv_per_stage": [2, 2, 2]} if name == "PlainConvUNet" else {"n_blocks_per_stage": [1, 1, 1]}
    return {
        "network_class_name": UNETS + name,
        "arch_kwargs": COMMON | own,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


@pytest.fixture
def plans(tmp_path):
    def written(name="PlainConvUNet"):
        path = tmp_path / "nnUNetPlans.json"
        found = {"3d_fullres": {"architecture": architecture(name)}, "3d_low": {"inherits_from": "3d_fullres"}}
        path.write_text(json.dumps({"configurations": found | {"old": {}}}))
        return str(path)

    return written


@pytest.mark.parametrize("name", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_weights_go_through_nnunets_own_loader(name, plans, tmp_path):
    pytest.importorskip("dynamic_network_architectures", reason="pip install dynamic-network-architectures")
    torch.manual_seed(0)
    path = plans(name)
    encoder = NnUNetEncoder(3, 2, path, "3d_low")
    check_encoder(encoder)
    assert (encoder.channels, encoder.strides) == ([4, 8, 8], [1, 2, 4])
    images = torch.randn(1, 1, 16, 16, 16)
    folded, differs, _ = checked_fold(encoder, images, 5, 0.0)
    assert differs < 1e-5
    numbers = {"window": [0, 1], "spacing": [2, 2, 2], "patch_size": 16, "pooling": "regions", "show_attention": True}
    facts = Facts("c", ("liver",), "c1", "p1", [], None, numbers, 1, 5, "zeros", 0.0, True, 1, differs, differs)
    write_export(tmp_path / "weights.pth", folded, "nnunet", facts)
    assert "-pretrained_weights weights.pth" in (tmp_path / "weights.md").read_text()
    loader = pytest.importorskip("nnunetv2.run.load_pretrained_weights", reason="pip install nnunetv2")
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    found = architecture(name)
    theirs = get_network_from_plans(
        found["network_class_name"], found["arch_kwargs"], found["_kw_requires_import"], 1, 7, deep_supervision=True
    ).eval()
    loader.load_pretrained_weights(theirs, str(tmp_path / "weights.pth"))
    with torch.no_grad():
        maps = [found.permute(0, 1, 4, 3, 2) for found in theirs.encoder(images.permute(0, 1, 4, 3, 2))]  # Z, Y, X
        ours = encoder(torch.cat([images, torch.zeros_like(images)], 1))
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(maps, ours, strict=True))


@pytest.mark.parametrize(
    ("forward", "shapes"),
    [
        ([0, 1, 2], [(32, 16, 8), (16, 8, 8), (8, 4, 4)]),  # Z is not subsampled at first, as the plans' first axis
        ([2, 0, 1], [(32, 16, 8), (32, 8, 4), (16, 4, 2)]),  # nor is X
    ],
)
def test_axes_are_those_of_nnunet_s_arrays(forward, shapes, plans):
    pytest.importorskip("dynamic_network_architectures", reason="pip install dynamic-network-architectures")
    path = Path(plans())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"transpose_forward": forward}))
    found = NnUNetEncoder(3, 2, str(path))(torch.zeros(1, 2, 32, 16, 8))
    assert [tuple(one.shape[2:]) for one in found] == shapes


def test_slices_that_are_not_axial_are_refused(tmp_path):
    path = tmp_path / "plans.json"
    path.write_text(json.dumps({"transpose_forward": [2, 0, 1]}))
    assert read_axes(path, 3) == [0, 2, 1]
    with pytest.raises(SemclError, match=r"(?s)slices that are not axial.*\[2, 0, 1\].*3-D"):
        read_axes(path, 2)
    path.write_text("{}")
    assert read_axes(path, 2) == [1, 0]


def test_a_file_that_is_no_plan_is_refused(plans, tmp_path):
    path = plans()
    with pytest.raises(SemclError, match="did you mean 3d_fullres"):
        NnUNetEncoder(3, 2, path, "3d_fulres")
    with pytest.raises(SemclError, match=r"(?s)3-D.*2-D, as spatial_dims says"):
        NnUNetEncoder(2, 2, path)
    with pytest.raises(SemclError, match="nnUNetv2_plan_experiment"):
        NnUNetEncoder(3, 2, path, "old")
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(SemclError, match="not a plans file"):
        read_architecture(tmp_path / "other.json", "2d")


def test_a_package_that_is_missing_is_named(plans, tmp_path):
    path = plans()
    content = json.loads((tmp_path / "nnUNetPlans.json").read_text())
    content["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = "nowhere.Network"
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps(content))
    with pytest.raises(SemclError, match=r"(?s)no nowhere.Network.*pip install dynamic-network-architectures"):
        NnUNetEncoder(3, 2, path)
