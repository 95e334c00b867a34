"""Some organs come from maps of another tool, the others from the coarse network: from coarse to new scans."""

import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.library.segmenting import segment
from tests.stages import run_here

LEFT = ("liver", "spleen")  # that the tool does not know
COARSE = {"coarse_size": [24, 20, 16], "coarse_channels": [8, 16], "coarse_strides": [2]}
BRIEF = {"max_epochs": 1, "epoch_length": 1}
TOOL = """
import shutil, sys
image, out = sys.argv[1:3]
name = image.rsplit("/", 1)[1]
open({log!r}, "a").write(name + chr(10))
if name.startswith("broken"):
    sys.exit("out of memory")
shutil.copy({maps!r} + "/" + name, out)
"""


@pytest.fixture(scope="module")
def tool(phantoms, tmp_path_factory):
    """Maps of a tool that knows all organs but two, with other numbers; its names, and a program that makes them."""
    folder, table = tmp_path_factory.mktemp("tool"), LabelTable.load(phantoms)
    (folder / "maps").mkdir()
    for case in datalist.load(phantoms):
        label = nib.load(case.label)
        voxels = np.asarray(label.dataobj)
        kept = voxels * ~np.isin(voxels, [organ.index for organ in table.organs if organ.name in LEFT])
        other = nib.Nifti1Image((kept + 100 * (kept > 0)).astype(np.uint8), label.affine)
        nib.save(other, folder / "maps" / f"{case.id}.nii.gz")
    names = {100 + organ.index: organ.name for organ in table.organs if organ.name not in LEFT}
    (folder / "names.yaml").write_text(yaml.safe_dump(names))
    (folder / "tool.py").write_text(TOOL.format(log=str(folder / "calls"), maps=str(folder / "maps")))
    return {
        "maps": folder / "maps", "names": str(folder / "names.yaml"), "calls": folder / "calls",
        "command": f"'{sys.executable}' '{folder / 'tool.py'}' {{image}} {{out}}",
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained(phantoms, tool, tmp_path_factory):
    """A folder after coarse, pretrain and train, where the coarse network has learnt what the tool lacks."""
    folder = tmp_path_factory.mktemp("given")
    given = {"dataset_dir": phantoms, "output_dir": folder}
    run_here("coarse", **given, **COARSE, tool_maps=tool["maps"], tool_names=tool["names"], max_epochs=4)
    run_here("pretrain", **given, **BRIEF, clusters_per_batch=4, queries_per_cluster=2, val_interval=0)
    run_here("train", **given, **BRIEF, calibration_batches=1)
    return folder


def indices(phantoms, *names):
    return [organ.index for organ in LabelTable.load(phantoms).organs if not names or organ.name in names]


def test_attention_is_the_tools_and_what_it_lacks_is_learnt(trained, tool, phantoms):
    weights = torch.load(trained / "models" / "coarse.pt", weights_only=True)
    assert len(LEFT) + 1 in {len(value) for name, value in weights.items() if name.endswith("bias")}
    learnt = set()
    for case in datalist.load(phantoms):
        made = np.asarray(nib.load(trained / "attention" / f"{case.id}.nii.gz").dataobj)
        truth = np.asarray(nib.load(case.label).dataobj)
        given = np.isin(truth, indices(phantoms)) & ~np.isin(truth, indices(phantoms, *LEFT))
        assert np.array_equal(made[given], truth[given])
        learnt |= set(np.unique(made[~given]).tolist())
    assert learnt - {0} <= set(indices(phantoms, *LEFT))
    assert indices(phantoms, "liver")[0] in learnt


@pytest.fixture
def scans(phantoms, tmp_path):
    """A folder with two new scans, the name of one of which the tool fails on."""
    case = datalist.load(phantoms, "testing")[0]
    (tmp_path / "scans").mkdir()
    for name in (Path(case.image).name, "broken $(touch HARM).nii.gz"):
        shutil.copy(case.image, tmp_path / "scans" / name)
    return tmp_path / "scans", case.id


def test_a_tool_is_called_for_new_scans_and_its_failures_are_named(trained, tool, scans, phantoms, capsys):
    folder, case = scans
    out = folder.parent / "out"
    given = {"dataset_dir": folder, "output_dir": out, "ckpt_dir": trained / "models", **COARSE}
    called = given | {"coarse_command": tool["command"], "tool_names": tool["names"]}
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            run_here("inference", **called)
        assert ended.value.code == 3
        printed = capsys.readouterr()
        assert "case broken $(touch HARM): the command made no map" in printed.out + printed.err
        assert "exit code 1: out of memory" in printed.out + printed.err
    calls = tool["calls"].read_text().splitlines()
    assert (calls.count(f"{case}.nii.gz"), calls.count("broken $(touch HARM).nii.gz")) == (1, 2)
    assert not list(Path.cwd().glob("HARM*"))
    assert (out / "tool_maps" / f"{case}.nii.gz").is_file()
    made = np.asarray(nib.load(out / "predictions" / f"{case}.nii.gz").dataobj)
    assert {path.name for path in (out / "predictions").glob("*.nii.gz")} == {f"{case}.nii.gz"}
    own = nib.load(folder / f"{case}.nii.gz")
    labels = segment(own, trained / "models", attention=tool["maps"] / f"{case}.nii.gz", tool_names=tool["names"])
    assert np.array_equal(np.asarray(labels[0]), made)


def test_a_scan_without_a_map_is_named(trained, tool, scans, capsys):
    folder, case = scans
    (folder / "broken $(touch HARM).nii.gz").unlink()
    with pytest.raises(SystemExit):
        run_here(
            "inference", dataset_dir=folder, output_dir=folder.parent / "out", ckpt_dir=trained / "models", **COARSE
        )
    printed = capsys.readouterr()
    assert f"case {case}: a scan has no map of another tool" in printed.out + printed.err
