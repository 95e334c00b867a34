"""Exports of the network by MONAI's own commands compute what the network does, on patches of real queries."""

import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from monai.bundle import ckpt_export, load_bundle_config, onnx_export

from tests.stages import ROOT
from tests.test_configs import parser

CONFIGS = ROOT / "bundle" / "configs"
EXPORT = {
    "net_id": "network_def",
    "meta_file": str(CONFIGS / "metadata.json"),
    "config_file": str(CONFIGS / "inference.yaml"),
}


DYNAMIC = {  # of onnx_export: any number of patches of any size
    "input_names": ["inputs"],
    "output_names": ["logit"],
    "dynamic_axes": {"inputs": {0: "batch", 2: "height", 3: "width"}},
}


@pytest.fixture(scope="module")
def queries(phantoms, tmp_path_factory) -> torch.Tensor:
    """Patches (B, 2, P, P) of every organ of a cohort, as training reads them."""
    folder = tmp_path_factory.mktemp("export")
    config = parser(
        "train", dataset_dir=str(phantoms), attention_dir=str(phantoms / "labels"), store_dir=str(folder), margin=0
    )
    dataset = config.get_parsed_content("train#dataset")
    chosen = [dataset[item] for item in range(0, len(dataset), len(dataset) // 30)]
    return torch.stack([torch.cat([sample["image"], sample["attention"]]) for sample in chosen])


@pytest.fixture(scope="module")
def network(queries, tmp_path_factory) -> tuple[torch.nn.Module, Path]:
    """A refiner with running statistics of these queries and logits as large as trained ones, and its file."""
    torch.manual_seed(0)
    network = parser("inference").get_parsed_content("network_def")
    with torch.no_grad():
        network.train()(queries)
        network.decoder.logit.conv.weight.mul_(100)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(network.state_dict(), path)
    return network.eval(), path


def test_torchscript_computes_what_the_network_does(queries, network, tmp_path):
    path = tmp_path / "model.ts"
    ckpt_export(ckpt_file=str(network[1]), filepath=str(path), **EXPORT)
    exported = torch.jit.load(path)
    with torch.no_grad():
        expected = network[0](queries)
        assert expected.std() > 0.5
        torch.testing.assert_close(exported(queries), expected, rtol=1e-4, atol=1e-5)
    assert load_bundle_config(str(path), "inference.json").get("network_def") == "$@shared.refiner"


def test_onnx_computes_what_the_network_does(queries, network, tmp_path):
    path = tmp_path / "model.onnx"
    shape = [2, 2, 64, 48]  # unequal sides, or the exporter takes them for one
    onnx_export(ckpt_file=str(network[1]), filepath=str(path), input_shape=shape, converter_kwargs=DYNAMIC, **EXPORT)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (name,) = [given.name for given in session.get_inputs()]
    (got,) = session.run(None, {name: queries.numpy()})  # another batch and patch than it was exported with
    with torch.no_grad():
        expected = network[0](queries).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_torch_export_computes_what_the_network_does_for_patches_of_any_size(network):
    (code,) = re.findall(r"```\n(from torch.export import .*?)```", (ROOT / "docs" / "serving.md").read_text(), re.S)
    known = {"network": network[0], "torch": torch}
    exec(code, known)
    for shape in ((1, 2, 64, 64), (3, 2, 96, 32), (5, 2, 128, 64)):
        patches = torch.rand(shape)
        with torch.no_grad():
            assert torch.equal(known["exported"].module()(patches), network[0](patches))
