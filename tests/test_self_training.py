"""Scans without label maps: attention, pretraining, and a second model trained on pseudo-labels."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.cohort.label_table_checks import IGNORED_INDEX
from scripts.commands.phantom import phantom
from tests.stages import run_here


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
    shutil.copytree(cohort / "models", tmp_path / "models")
    given = {"dataset_dir": cohort, "output_dir": tmp_path, "attention_dir": cohort / "attention"}
    run_here("train", **given, pseudo_dir=tmp_path / "first" / "predictions", calibration_batches=2)
    for case in pseudo_labels:
        store = tmp_path / "store" / case / "target.npy"
        assert set(np.unique(np.load(store)).tolist()) >= {-1, 0}
    assert (tmp_path / "models" / "model.pt").read_bytes() != (cohort / "models" / "model.pt").read_bytes()
