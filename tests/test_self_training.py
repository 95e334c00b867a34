"""Scans without label maps: attention, pretraining, and networks that learn from pseudo-labels."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.cohort.label_table_checks import IGNORED_INDEX
from scripts.cohort.provenance import SIMULATED, note_of
from scripts.commands.phantom import phantom
from scripts.errors import root_cause
from tests.stages import run_here, workflow_of


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of which only portal-venous scans are labelled, after a first model has been trained."""
    folder = tmp_path_factory.mktemp("phases") / "cohort"
    phantom(str(folder), cases=8, seed=0, folds=2, test_share=0.2, labelled_phases="portal")
    run_here("coarse", dataset_dir=folder)
    run_here("pretrain", dataset_dir=folder)
    run_here("train", dataset_dir=folder, calibration_batches=2)
    return folder


def test_scans_without_label_maps_get_attention_and_queries(cohort):
    training = datalist.load(cohort, "training")
    unlabelled = [case.id for case in datalist.load(cohort, "unlabelled")]
    assert unlabelled == [case.id for case in training if case.phase == "noncontrast"]
    assert unlabelled
    for case in unlabelled:
        assert (cohort / "attention" / f"{case}.nii.gz").is_file()
        files = json.loads((cohort / "store" / case / "case.json").read_text())["files"]
        assert "target" not in files
        assert files["queries"]["shape"][0] > 0


def test_a_second_model_learns_from_confident_pseudo_labels(cohort, tmp_path):
    run_here(
        "inference", dataset_dir=cohort, output_dir=tmp_path / "first", ckpt_dir=cohort / "models",
        attention_dir=cohort / "attention", section="unlabelled", certain=0.8,
    )  # fmt: skip
    pseudo_labels = {
        path.name.removesuffix(".nii.gz"): path for path in (tmp_path / "first" / "predictions").glob("*.nii.gz")
    }
    assert set(pseudo_labels) == {case.id for case in datalist.load(cohort, "unlabelled")}
    indices = {0, IGNORED_INDEX, *(organ.index for organ in LabelTable.load(cohort).organs)}
    for path in pseudo_labels.values():
        found = set(np.unique(np.asarray(nib.load(path).dataobj)).tolist())
        assert IGNORED_INDEX in found
        assert found <= indices
    for case, path in pseudo_labels.items():  # so that there is one: a model that was hardly trained finds no organ
        volume, coarse = nib.load(path), np.asarray(nib.load(cohort / "attention" / f"{case}.nii.gz").dataobj)
        liver = next(organ.index for organ in LabelTable.load(cohort).organs if organ.name == "liver")
        drawn = np.where(coarse == coarse[coarse > 0][0], liver, np.asarray(volume.dataobj)).astype(
            volume.get_data_dtype()
        )
        nib.save(nib.Nifti1Image(drawn, volume.affine, volume.header), path)
    shutil.copytree(cohort / "models", tmp_path / "models")
    given = {"dataset_dir": cohort, "output_dir": tmp_path, "attention_dir": cohort / "attention"}
    run_here("train", **given, pseudo_dir=tmp_path / "first" / "predictions", calibration_batches=2)
    for case in pseudo_labels:
        store = tmp_path / "store" / case / "target.npy"
        assert set(np.unique(np.load(store)).tolist()) >= {-1, 0, 6}
    assert (tmp_path / "models" / "model.pt").read_bytes() != (cohort / "models" / "model.pt").read_bytes()


@pytest.fixture
def by_slices(cohort: Path, tmp_path: Path) -> Path:
    """The cohort, its maps by a plain network of slices, and a refiner that has been trained."""
    folder = tmp_path / "cohort"
    shutil.copytree(cohort, folder, ignore=shutil.ignore_patterns("jobs", "models", "attention", "store"))
    run_here("segment", dataset_dir=folder, coarse_dims=2, max_epochs=6, epoch_length=15)
    run_here("train", dataset_dir=folder, encoder_weights=None, calibration_share=0, epoch_length=20)
    return folder


def test_the_network_of_the_maps_learns_from_what_the_refiner_makes_of_them(by_slices):
    unlabelled = {case.id for case in datalist.load(by_slices, "unlabelled")}
    training = {case.id for case in datalist.load(by_slices, "training")}
    files = [by_slices / "models" / "coarse.pt", *sorted((by_slices / "attention").glob("*.nii.gz"))]
    before = {path: path.read_bytes() for path in files}
    with pytest.raises(RuntimeError) as caught:
        run_here("segment", "self_training", dataset_dir=by_slices, coarse_dims=2)
    assert "a scan without a label map or pseudo-label" in str(root_cause(caught.value))
    run_here("inference", "pseudo_labels", dataset_dir=by_slices)
    pseudo = by_slices / "pseudo"
    assert {path.name.removesuffix(".nii.gz") for path in pseudo.glob("*.nii.gz")} == unlabelled
    assert not (by_slices / "predictions").exists()
    given = {"dataset_dir": str(by_slices), "coarse_dims": 2}
    learnt = workflow_of("segment", "self_training", **given).parser.get_parsed_content("training_cases")
    assert {case.id for case in learnt} == training
    assert {case.id for case in learnt if case.label.parent == pseudo} == unlabelled
    run_here("segment", "self_training", **given, max_epochs=4, epoch_length=15)
    changed = {path.name.removesuffix(".nii.gz") for path in files if path.read_bytes() != before[path]}
    assert changed >= {"coarse.pt", *unlabelled}
    assert not changed & (training - unlabelled)  # simulated maps of the same label maps
    assert note_of(by_slices / "models" / "coarse.pt")["labelled_maps"] == SIMULATED
    run_here("inference", dataset_dir=by_slices)
    tested = {case.id for case in datalist.load(by_slices, "testing")}
    assert {path.name.removesuffix(".nii.gz") for path in (by_slices / "predictions").glob("*.nii.gz")} == tested
