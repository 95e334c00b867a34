"""Scans and label maps of a datastore as the cohort that training works on, as MONAI Label starts it."""

import json
from pathlib import Path

import pytest
import torch

from scripts.job.weights import save_weights
from scripts.refine.datastore import adopt_datastore
from tests.stages import NO_SETTINGS, ROOT, as_if_a_process_ended, refusal, run_here, workflow_of

NETWORKS = {"coarse_size": [40, 36, 24], "coarse_channels": [8, 16, 32], "coarse_strides": [2, 2]}


@pytest.fixture(scope="module")
def bundle(phantoms, tmp_path_factory) -> Path:
    """A bundle with models that have learnt nothing; each test leaves them as it found them."""
    root = tmp_path_factory.mktemp("bundle")
    (root / "configs").symlink_to(ROOT / "bundle" / "configs")
    (root / "models" / "stages").mkdir(parents=True)
    (root / "models" / "labels.yaml").write_text((phantoms / "labels.yaml").read_text())
    workflow = workflow_of("inference", dataset_dir=phantoms, ckpt_dir=root / "models")
    workflow.initialize()
    for name, key in (("stages/coarse.pt", "coarse_def"), ("model.pt", "network_def")):
        origin = {"stage": "train.yaml", "cohort": "another", **NO_SETTINGS}
        save_weights(root / "models" / name, workflow.parser.get_parsed_content(key), origin)
    return root


def entries(phantoms: Path, first: int, last: int) -> list[dict[str, str]]:
    """What MONAI Label takes from its datastore."""
    names = sorted(path.name for path in (phantoms / "images").glob("*.nii.gz"))[first:last]
    return [{kind: str(phantoms / f"{kind}s" / name) for kind in ("image", "label")} for name in names]


def test_training_goes_on_from_the_bundles_model_and_validates_on_the_scans_kept_for_it(bundle, phantoms):
    before = torch.load(bundle / "models" / "model.pt", weights_only=True)
    given = {
        "bundle_root": str(bundle),
        "train#dataset#data": entries(phantoms, 0, 2),
        "validate#dataset#data": entries(phantoms, 2, 3),
        "train#trainer#max_epochs": 1,  # as it is given there
        **{"epoch_length": 2, "learning_rate": 1e-9, "calibration_batches": 1, "val_batches": 1},
    }
    run_here("train", **NETWORKS, **given)
    after = torch.load(bundle / "models" / "model.pt", weights_only=True)
    name = next(name for name, value in after.items() if name.startswith("decoder") and value.ndim == 4)
    assert torch.allclose(before[name], after[name], atol=1e-6)
    cohort = bundle / "datastore"
    listed = json.loads((cohort / "datalist.json").read_text())
    assert [entry["fold"] for entry in listed["training"]] == [0, 0, 1]
    assert len(list((cohort / "attention").glob("*.nii.gz"))) == 3
    assert (cohort / "curves" / "train_validation.csv").read_text().count("\n") == 2
    assert json.loads((bundle / "models" / "model.json").read_text())["cohort"] != "another"
    assert (bundle / "models" / "model_best.pt").is_file()


def test_a_cohorts_own_entries_stay_as_they_are(phantoms):
    with as_if_a_process_ended():
        workflow = workflow_of("train", dataset_dir=phantoms, **{"train#dataset#data": [{"case": "patient001_portal"}]})
        workflow.initialize()
        workflow.parser["adopted"] = "$scripts.components.adopt_datastore()"
        assert workflow.parser.get_parsed_content("adopted") is None
    assert workflow.parser["dataset_dir"] == str(phantoms)


def test_outside_of_a_config_nothing_is_done():
    assert adopt_datastore() is None


def test_a_scan_without_a_label_map_is_named(bundle, phantoms):
    given = [{"image": entry["image"]} for entry in entries(phantoms, 0, 1)]
    message = refusal("train", bundle_root=str(bundle), **{"train#dataset#data": given})
    assert "case patient001_portal: a scan of the datastore without a label map" in message
