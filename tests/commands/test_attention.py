"""The command that makes attention maps of another tool's label maps."""

import shutil

import nibabel as nib
import numpy as np
import pytest
import yaml

from scripts.cohort import datalist
from scripts.cohort.attention import read_attention
from scripts.cohort.label_table import LabelTable
from scripts.cohort.volume import read, read_label
from scripts.commands.attention import attention
from scripts.errors import SemclError
from tests.stages import run_here


@pytest.fixture
def maps(phantoms, tmp_path):
    """The phantoms' label maps as another tool would number and store them, and its names."""
    table = LabelTable.load(phantoms)
    for case in datalist.load(phantoms):
        label = nib.load(case.label)
        voxels = np.asarray(label.dataobj).astype(np.uint8)
        other = nib.Nifti1Image((voxels + 100 * (voxels > 0)).astype(np.uint8), label.affine)
        other = other.as_reoriented(nib.orientations.axcodes2ornt("PIR"))
        (tmp_path / "maps").mkdir(exist_ok=True)
        nib.save(other, tmp_path / "maps" / f"{case.id}.nii.gz")
    names = {100 + organ.index: " ".join(reversed(organ.name.split("_"))) for organ in table.organs}
    (tmp_path / "names.yaml").write_text(yaml.safe_dump(names))
    return {"maps": str(tmp_path / "maps"), "names": str(tmp_path / "names.yaml"), "dataset_dir": str(phantoms),
            "out": str(tmp_path / "attention")}  # fmt: skip


def test_stages_run_without_a_coarse_network(maps, phantoms, tmp_path, capsys):
    attention(**maps, allow=["sides_swapped"])
    assert "maps of 6 of 6 cases" in capsys.readouterr().out
    table = LabelTable.load(phantoms)
    for case in datalist.load(phantoms):
        image = read(case.image, case.id)
        made = read_attention(tmp_path / "attention" / f"{case.id}.nii.gz", image, case.id, table)
        assert np.array_equal(made.numpy(), read_label(case, image, table))
    attention(**maps)  # again, into its own folder
    run_here("pretrain", dataset_dir=phantoms, output_dir=tmp_path / "run", attention_dir=maps["out"], epoch_length=1)
    assert (tmp_path / "run" / "models" / "encoder.pt").is_file()


def test_cases_and_organs_without_a_map_are_named_or_left_out(maps, tmp_path, capsys):
    first = sorted((tmp_path / "maps").iterdir())[0]
    case = first.name.removesuffix(".nii.gz")
    names = yaml.safe_load((tmp_path / "names.yaml").read_text())
    lost = names.popitem()[1]
    (tmp_path / "names.yaml").write_text(yaml.safe_dump(names))
    with pytest.raises(SemclError, match=r"(?s)organs of the label table are in no map.*--missing leave"):
        attention(**maps)
    first.unlink()
    shutil.rmtree(tmp_path / "attention")
    with pytest.raises(SemclError, match=rf"(?s)case {case}: a case has no map.*1 case without one"):
        attention(**maps)
    assert not (tmp_path / "attention").exists()
    attention(**maps, missing="leave")
    said = capsys.readouterr().out
    assert "maps of 5 of 6 cases" in said
    assert set(lost.split()) <= set(said.rsplit("without a map: ", 1)[1].replace("_", " ").replace(";", " ").split())


def test_a_command_makes_the_maps_that_are_missing_and_its_failures_are_named(maps, tmp_path, capsys):
    folder = tmp_path / "cohort"
    shutil.copytree(maps["dataset_dir"], folder)
    made = sorted((tmp_path / "maps").iterdir())
    (tmp_path / "hidden").mkdir()
    for path in made[:3]:
        path.rename(tmp_path / "hidden" / path.name)
    spoiled = tmp_path / "hidden" / made[0].name
    spoiled.rename(tmp_path / "spoiled")
    script = tmp_path / "tool.sh"
    script.write_text(f'cp "{tmp_path}/hidden/$(basename "$2")" "$2"')
    given = maps | {"dataset_dir": str(folder), "coarse_command": f"sh '{script}' {{image}} {{out}}"}
    with pytest.raises(SemclError, match=rf"(?s)case {made[0].name[:-7]}: the command made no map.*exit code 1"):
        attention(**given, allow=["sides_swapped"])
    assert "maps of 5 of 6 cases" in capsys.readouterr().out
    (tmp_path / "spoiled").rename(spoiled)
    attention(**given, allow=["sides_swapped"])
    assert "maps of 6 of 6 cases" in capsys.readouterr().out
    assert {path.name for path in (folder / "tool_maps").glob("*.nii.gz")} == {path.name for path in made[:3]}


def test_maps_or_a_command_must_be_given(maps):
    with pytest.raises(SemclError, match="neither --maps nor --coarse_command"):
        attention(maps["dataset_dir"], maps["names"])
