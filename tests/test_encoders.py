"""Every encoder that ships, through the whole chain, in 2-D and in 3-D."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from tests.stages import ROOT, run_here

SMALLER = {  # than the overlay's numbers, which are for use
    "segresnet": {"init_filters": 8, "blocks_down": [1, 1, 1, 1]},
    "segresnetds": {"init_filters": 4, "blocks_down": [1, 1, 1, 1]},
    "dynunet": {"filters": [4, 8, 8, 16]},
    "swinunetr": {"feature_size": 12, "depths": [1, 1, 1, 1]},
    "flexibleunet": {"backbone": "resnet10"},
    "unet": {"channels": [4, 8, 8, 16]},
}
COARSER = {
    "encoder": {"_target_": f"{__name__}.Coarser", "spatial_dims": "@spatial_dims", "in_channels": 2},
    "skips": [0],
    "decoder_width": 16,
}
SQUARES = {"patch_size": 64, "spacing": [5, 5, 0]}
CUBES = {"spatial_dims": 3, "patch_size": 40, "spacing": [12, 12, 12]}
SHOWN = 2  # organs in the attention maps
SHORT = {
    "pretrain": {"max_epochs": 2, "epoch_length": 1, "clusters_per_batch": 2, "queries_per_cluster": 1},
    "train": {
        **{"max_epochs": 2, "epoch_length": 1, "clusters_per_batch": 2, "queries_per_cluster": 1},
        "calibration_batches": 1,
    },
}


@pytest.fixture(scope="module")
def attention(phantoms, tmp_path_factory):
    """Attention maps of a few organs, and a store that all encoders share."""
    folder = tmp_path_factory.mktemp("attention")
    kept = [organ.index for organ in LabelTable.load(phantoms).organs[:SHOWN]]
    for case in datalist.load(phantoms):
        label = nib.load(case.label)
        voxels = np.asarray(label.dataobj)
        nib.save(nib.Nifti1Image(voxels * np.isin(voxels, kept), label.affine), folder / f"{case.id}.nii.gz")
    return folder


@pytest.fixture
def overlay(tmp_path):
    """The overlay of an encoder with smaller numbers."""

    def written(name: str) -> Path:
        path = tmp_path / f"{name}.yaml"
        if name == "coarser":
            path.write_text(yaml.safe_dump(COARSER))
            return path
        content = yaml.safe_load((ROOT / "bundle" / "configs" / "encoders" / f"{name}.yaml").read_text())
        for key in ("encoder", "slice_encoder"):
            content[key] |= SMALLER[name]
        path.write_text(yaml.safe_dump(content | {"decoder_width": 16}))
        return path

    return written


class Coarser(torch.nn.Module):
    """An encoder of a user's own: its finest map is 1/4 of the patch."""

    def __init__(self, spatial_dims: int, in_channels: int) -> None:
        super().__init__()
        conv = torch.nn.Conv3d if spatial_dims == 3 else torch.nn.Conv2d
        self.spatial_dims, self.channels, self.strides = spatial_dims, [4, 8], [4, 8]
        self.stem, self.last = conv(in_channels, 4, 4, stride=4), conv(4, 8, 2, stride=2)

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        finest = self.stem(inputs)
        return [finest, self.last(finest.relu())]


@pytest.mark.parametrize("numbers", [SQUARES, CUBES], ids=["2d", "3d"])
@pytest.mark.parametrize("name", [*SMALLER, "coarser"])
def test_an_encoder_runs_through_every_stage(name, numbers, phantoms, attention, tmp_path, overlay):
    folders = {"attention_dir": attention, "store_dir": attention.parent / f"store{len(numbers)}"}
    given = {"dataset_dir": phantoms, "output_dir": tmp_path / "out", **folders, **numbers}
    for stage in ("pretrain", "train"):
        run_here(stage, overlay(name), **given, **SHORT[stage])
    encoder, model = (torch.load(tmp_path / "out" / "models" / f"{part}.pt", weights_only=True)
                      for part in ("encoder", "model"))  # fmt: skip
    assert {f"encoder.{name}" for name in encoder} <= set(model)
    scans = tmp_path / "scans"
    scans.mkdir()
    case = datalist.load(phantoms, "testing")[0]
    (scans / Path(case.image).name).symlink_to(case.image)
    run_here("inference", overlay(name), **given | {"dataset_dir": scans}, batch_size=4)
    assert nib.load(tmp_path / "out" / "predictions" / f"{case.id}.nii.gz").shape == nib.load(case.image).shape
