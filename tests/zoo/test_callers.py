"""The release under programs that serve MONAI bundles: the real ones, where SEMCL_CALLERS names a Python that has them.

docs/zoo.md says how to make one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytestmark = pytest.mark.skipif(  # before a release is made
    not os.environ.get("SEMCL_CALLERS"),
    reason="set SEMCL_CALLERS to a Python that has monai-deploy-app-sdk and monailabel (docs/zoo.md)",
)
CALLERS = {"MONAI Deploy": ("by_deploy.py", "monai.deploy.core"), "MONAI Label": ("by_label.py", "monailabel.tasks")}


@pytest.fixture(scope="module")
def scans(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test cases' scans, away from their cohort."""
    folder = tmp_path_factory.mktemp("scans")
    for path in (trained / "predictions").glob("*.nii.gz"):
        shutil.copy(trained / "images" / path.name, folder)
    return folder


def python_with(module: str) -> str:
    """The Python of SEMCL_CALLERS; where it lacks a program's packages the test is skipped."""
    python = os.environ["SEMCL_CALLERS"]
    found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"{python} cannot import {module}: {found.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.parametrize("caller", CALLERS)
def test_a_program_gives_the_voxels_that_inference_writes(caller, bundle, scans, trained, tmp_path):
    script, module = CALLERS[caller]
    command = [python_with(module), str(Path(__file__).with_name(script)), str(bundle), str(scans), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for path in sorted(scans.iterdir()):
        expected = np.asarray(nib.load(trained / "predictions" / path.name).dataobj)
        assert np.array_equal(np.load(tmp_path / f"{path.name}.npy"), expected), path.name
    if caller == "MONAI Label":
        offered = json.loads(done.stdout.splitlines()[-1])
        assert offered["config"]["model_filename"] == ["model.pt"]
        assert {"grow", "test_views", "smallest_island"} <= set(offered["config"])
        assert offered["labels"]["left kidney"] == 3
        assert offered["used"] == offered["chosen"]


def test_monai_label_trains_the_release_on_its_datastore(bundle, trained, tmp_path):
    python = python_with("monailabel.tasks")
    studies, copy = tmp_path / "studies", Path(shutil.copytree(bundle, tmp_path / bundle.name))
    for given, place in (("images", studies), ("labels", studies / "labels" / "final")):
        place.mkdir(parents=True, exist_ok=True)
        for path in sorted((trained / given).glob("*.nii.gz")):
            shutil.copy(path, place)
    command = [python, str(Path(__file__).with_name("by_label_training.py")), str(copy), str(studies)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    folds = [entry["fold"] for entry in json.loads((copy / "datastore" / "datalist.json").read_text())["training"]]
    assert (folds.count(0), folds.count(1)) == (4, 2)  # val_split 0.4 of six
    assert (copy / "datastore" / "curves" / "train_validation.csv").read_text().count("\n") == 2
    weights, before = ((folder / "models" / "model.pt").read_bytes() for folder in (copy, bundle))
    assert weights != before
    assert json.loads(done.stdout.splitlines()[-1])["model_filename"] == ["model.pt", "model_best.pt"]


def test_monai_label_serves_the_map_of_the_lowest_expected_dice(tmp_path):
    python = python_with("monailabel.tasks")
    dice = {"good": 0.9, "labelled": 0.1, "middling": 0.6, "worst": 0.3}
    for place in (tmp_path / "studies", tmp_path / "studies" / "labels" / "final"):
        place.mkdir(parents=True)
        for name in dice if place.name == "studies" else ["labelled"]:
            nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), place / f"{name}.nii.gz")
    quality = tmp_path / "quality.json"
    quality.write_text(json.dumps({name: {"dice": value, "organs": {}} for name, value in dice.items()}))
    script, root = Path(__file__).with_name("by_label_scoring.py"), Path(__file__).parents[2]
    command = [python, str(script), str(root), str(tmp_path / "studies"), str(quality)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["served"] == "worst"
    assert printed["counts"]["executed"] == printed["counts"]["total"] == 3
    assert printed["notes"]["worst"]["expected_dice"] == 0.3
    assert "expected_dice" not in printed["notes"]["labelled"]
