"""What makes an attention map: each part of it changes the hash that the map carries."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from scripts.coarse.makers import label_checksum, maker_of, network_checksum
from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable
from scripts.intake.given_maps import ToolMaps
from tests.conftest import write_nifti

TABLE = LabelTable.parse({"organs": {"liver": 1, "spleen": 2}, "phases": ["portal"]})
CASE = Case("a", "a", "portal", Path("a.nii.gz"))


def tool(folder: Path, names: str, voxel: int = 1) -> ToolMaps:
    (folder / "names.yaml").write_text(names)
    write_nifti(folder / "maps" / "a.nii.gz", np.full((2, 2, 2), voxel, np.uint8))
    return ToolMaps(str(folder / "maps"), str(folder / "names.yaml"), TABLE, None, str(folder / "made"))


def test_a_network_s_checksum_is_that_of_its_weights():
    network = nn.BatchNorm2d(3)
    first = network_checksum(network)
    assert network_checksum(nn.BatchNorm2d(3)) == first
    with torch.no_grad():
        network.running_mean[1] += 1e-6
    assert network_checksum(network) != first


def test_simulated_maps_are_made_of_a_label_map_and_the_size_of_errors(tmp_path):
    case = Case("a", "a", "portal", tmp_path / "x", write_nifti(tmp_path / "a.nii.gz", np.zeros((2, 2, 2), np.uint8)))
    first = label_checksum(case, 0.6)
    assert label_checksum(case, 0.6) == first != label_checksum(case, 0.3)
    write_nifti(tmp_path / "a.nii.gz", np.ones((2, 2, 2), np.uint8))
    assert label_checksum(case, 0.6) != first


def test_a_tool_s_map_and_what_its_numbers_mean_are_part_of_it(tmp_path):
    made = {maker_of(CASE, 1, None), maker_of(CASE, 2, None)}
    made |= {maker_of(CASE, 1, tool(tmp_path, names)) for names in ("1: liver\n2: spleen\n", "1: spleen\n2: liver\n")}
    made.add(maker_of(CASE, 1, tool(tmp_path, "1: liver\n2: spleen\n", voxel=2)))
    assert len(made) == 5
    assert maker_of(CASE, 1, ToolMaps(None, "totalsegmentator", TABLE, None, "made")) == maker_of(CASE, 1, None)
