"""The lines of docs/takeaway.md, as they are written there."""

import json
import re
import shlex
import sys

import pytest
import torch

from scripts.__main__ import main
from scripts.networks.monai_encoders import SegResNetEncoder
from tests.networks.test_nnunet_encoder import architecture
from tests.stages import ROOT, run_here

TEXT = (ROOT / "docs" / "takeaway.md").read_text()


def test_the_lines_for_monai(tmp_path, monkeypatch):
    (code,) = re.findall("```py\n(.*?)```", TEXT, re.S)
    encoder = SegResNetEncoder(3, 1, init_filters=16, blocks_down=[1, 1, 1, 1])
    torch.save(encoder.state_dict(), tmp_path / "segresnet.pt")
    monkeypatch.chdir(tmp_path)
    made = {}
    exec(code, made)
    state = made["network"].state_dict()
    assert all(torch.equal(state[name], value) for name, value in encoder.state_dict().items())


def test_the_lines_for_nnunet(phantoms, tmp_path, monkeypatch):
    """All but the last, which nnU-Net's own loader of `-pretrained_weights` stands for."""
    loader = pytest.importorskip("nnunetv2.run.load_pretrained_weights", reason="pip install nnunetv2")
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    (block,) = re.findall("```\n(pip install dynamic-network-architectures.*?)```", TEXT, re.S)
    _, _, pretrain, export, train = map(shlex.split, block.splitlines())
    monkeypatch.chdir(tmp_path)
    found = architecture("ResidualEncoderUNet")
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps({"configurations": {"3d_fullres": {"architecture": found}}}))
    (tmp_path / "bundle").symlink_to(ROOT / "bundle")
    (tmp_path / "cohort").mkdir()
    for name in ("datalist.json", "labels.yaml", "images", "labels", "cases.csv"):
        (tmp_path / "cohort" / name).symlink_to(phantoms / name)
    (tmp_path / "cohort" / "attention").symlink_to(phantoms / "labels")
    stage, overlay = re.findall(r"'bundle/configs/(\S+?)\.yaml'", pretrain[pretrain.index("--config_file") + 1])
    small = {"spacing": [12, 12, 12], "patch_size": 32, "max_epochs": 1, "epoch_length": 1, "clusters_per_batch": 2}
    run_here(stage, ROOT / "bundle" / "configs" / f"{overlay}.yaml", dataset_dir=tmp_path / "cohort", **small)
    monkeypatch.setattr(sys, "argv", [*export, "--spacing", "[12,12,12]", "--patch_size", "32"])
    main()
    given = train[train.index("-pretrained_weights") + 1]
    theirs = get_network_from_plans(
        found["network_class_name"], found["arch_kwargs"], found["_kw_requires_import"], 1, 7, deep_supervision=True
    )
    loader.load_pretrained_weights(theirs, given)
    encoder = torch.load(tmp_path / "cohort" / "models" / "encoder.pt", weights_only=True)
    state = theirs.state_dict()
    for name, value in encoder.items():
        own = value[:, :1] if name.startswith("encoder.stem.convs.0") and value.shape[1:2] == (2,) else value
        assert torch.equal(state[name], own), name  # the first layer without the attention mask
