"""The tutorial, run as it is written: AutoRunner trains, scores and ensembles, alone and beside another algorithm."""

import re
import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from monai.apps.auto3dseg import BundleGen, EnsembleRunner, import_bundle_algo_history
from monai.utils.enums import AlgoKeys

from scripts.auto3dseg import InferClass
from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from tests.distributed import run_program
from tests.stages import ROOT

PAGE = (ROOT / "docs" / "auto3dseg.md").read_text(encoding="utf-8")


def shell(command: str, folder: Path) -> None:
    """A command as a user types it."""
    python, *words = shlex.split(command)
    assert python == "python"
    run_program(words, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the page's commands have run, but for pip."""
    folder = tmp_path_factory.mktemp("auto3dseg")
    commands = re.search(r"```\n(.*?)```", PAGE, re.S)[1].splitlines()
    (folder / "auto.py").write_text(re.search(r"```python\n(.*?)```", PAGE, re.S)[1])
    assert commands[0].startswith("pip install '.[report]'")
    for command in commands[1:]:
        shell(command, folder)
    return folder


def fold_of(folder: Path, fold: int) -> Path:
    return folder / "work" / f"semcl_{fold}"


@pytest.fixture
def scans(folder):
    """Testing scans of the phantoms: name without suffix -> file."""
    return {case.id: case.image for case in datalist.load(folder / "phantoms", "testing")}


def masks(output: Path, scans: dict[str, Path]) -> dict[str, np.ndarray]:
    """The ensemble's label maps, each on the voxels of its scan."""
    found = {}
    for path in output.rglob("*.nii.gz"):
        case = path.name.removesuffix("_ensemble.nii.gz")
        mask, scan = nib.load(path), nib.load(scans[case])
        assert mask.shape == scan.shape
        assert np.allclose(mask.affine, scan.affine, atol=1e-4)
        found[case] = np.asarray(mask.dataobj)
    return found


def test_every_testing_scan_gets_a_mask_on_its_own_voxels(folder, scans):
    found = masks(folder / "work" / "ensemble_output", scans)
    assert found.keys() == scans.keys()
    for case, mask in found.items():
        truth = np.asarray(nib.load(folder / "phantoms" / "labels" / f"{case}.nii.gz").dataobj)
        liver = 2 * ((mask == 6) & (truth == 6)).sum() / ((mask == 6).sum() + (truth == 6).sum())
        assert liver > 0.25, case  # two epochs of a tiny network, but in the right place


@pytest.mark.parametrize("fold", [0, 1])
def test_each_fold_has_a_score_of_its_own_validation_cases(folder, fold):
    scored = yaml.safe_load((fold_of(folder, fold) / "cohort" / "models" / "progress.yaml").read_text())[-1]
    assert 0 < scored["best_avg_dice_score"] < 1
    assert scored["best_avg_dice_score"] == pytest.approx(np.mean(list(scored["organs"].values())))
    listed = datalist.load(folder / "phantoms", "training")
    cohort = datalist.load(fold_of(folder, fold) / "cohort")
    held_out = {case.id for case in listed if case.fold == fold}
    assert {case.id for case in cohort if case.fold is None} == held_out
    predicted = {
        path.name.removesuffix(".nii.gz") for path in (fold_of(folder, fold) / "cohort" / "predictions").glob("*.gz")
    }
    assert predicted == held_out


def test_a_plain_network_of_slices_makes_the_attention_maps(folder):
    cohort = fold_of(folder, 0) / "cohort"
    assert {path.name for path in (cohort / "models").glob("coarse*.pt")} == {"coarse.pt"}
    assert (cohort / "jobs" / "segment.json").is_file()
    listed = {f"{case.id}.nii.gz" for case in datalist.load(cohort)}
    assert {path.name for path in (cohort / "attention").glob("*.gz")} == listed


def test_inference_predicts_what_the_bundle_predicts(folder):
    algorithm = fold_of(folder, 1)
    infer = InferClass([str(path) for path in (algorithm / "configs").iterdir()])
    table = LabelTable.load(algorithm / "cohort")
    for case in datalist.load(algorithm / "cohort", "testing"):
        probabilities = infer.infer({"image": str(case.image)})
        assert probabilities.shape == (len(table) + 1, *nib.load(case.image).shape)
        assert torch.allclose(probabilities.sum(0), torch.ones(()), atol=1e-4)
        assert np.allclose(probabilities.affine, nib.load(case.image).affine, atol=1e-4)
        written = nib.load(algorithm / "cohort" / "predictions" / f"{case.id}.nii.gz").get_fdata()
        assert np.array_equal(probabilities.argmax(0).numpy(), written)


def test_the_stages_of_a_fold_can_be_run_by_hand(folder):
    (command,) = re.findall(r"^python -m monai.bundle run .*$", PAGE, re.M)
    shell(command, folder)
    assert (fold_of(folder, 0) / "cohort" / "report.html").is_file()


def test_it_ensembles_beside_another_algorithm(folder, scans, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)  # the page's input names the phantoms from here
    work = folder / "work"
    target = f"{__name__.rpartition('.')[0]}.other.OtherAlgo"
    generator = BundleGen(
        algo_path=str(work),
        algos={"other": {"_target_": target, "template_path": str(Path(__file__).parent)}},
        data_stats_filename=str(work / "datastats.yaml"),
        data_src_cfg_name=str(work / "input.yaml"),
    )
    generator.generate(str(work), num_fold=2)
    for entry in generator.get_history():
        entry[AlgoKeys.ALGO].train()
    trained = {entry[AlgoKeys.ID]: entry[AlgoKeys.SCORE] for entry in import_bundle_algo_history(str(work))}
    assert trained.keys() == {"other_0", "other_1", "semcl_0", "semcl_1"}
    first = {"output_dir": str(tmp_path), "files_slices": slice(0, 1)}
    EnsembleRunner(str(work / "input.yaml"), str(work), 2, "AlgoEnsembleBestN", mgpu=False, n_best=4, **first).run()
    together = masks(tmp_path, scans)
    assert len(together) == 1
    alone = masks(work / "ensemble_output", scans)
    for case, mask in together.items():
        dense = nib.load(scans[case]).get_fdata() > 300
        assert (mask == 1)[dense].mean() > (alone[case] == 1)[dense].mean(), (
            "the other algorithm is sure that class 1 is everywhere dense"
        )
        liver = (mask == 6) & (alone[case] == 6)
        assert liver.any(), "SemCL's liver stays where the other does not speak against it"
