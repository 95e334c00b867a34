"""Unit tests of the release in the Model Zoo's own pattern: run from a folder that holds models/<name>/.

They belong into the zoo's ci/unit_tests as they are and use nothing but the release; test_release.py runs them here.
"""

import json
import os
import shutil
import sys
import tempfile
import unittest

import nibabel as nib
import numpy as np
from monai.bundle import ConfigWorkflow

BUNDLE_ROOT = "models/semantic_contrastive_organ_segmentation"
COARSE = {"coarse_size": [40, 36, 24], "coarse_channels": [8, 16, 32], "coarse_strides": [2, 2]}
ENCODER = {"patch_size": 32, "spacing": [0, 0, 0], "widths": [4, 8, 8, 16]}
REFINER = {**ENCODER, "decoder_width": 16}
TRAIN_CASES = [
    ("coarse", {**COARSE, "max_epochs": 1, "epoch_length": 20, "batch_size": 2}),
    ("pretrain", {**ENCODER, "max_epochs": 1, "epoch_length": 2}),
    ("train", {**REFINER, "max_epochs": 1, "epoch_length": 10, "val_interval": 1}),
]
INFER_CASE = {**COARSE, **REFINER}
LABELS = "phases: [portal]\norgans:\n  liver: {index: 1}\n  spleen: {index: 2}\n"


def test_order(test_name1, test_name2):
    def get_order(name):
        return next(i for i, part in enumerate(("train", "infer", "eval", "")) if part in name)

    return get_order(test_name1) - get_order(test_name2)


def write_cohort(folder):
    """Six patients, each scanned once, with two organs that are cubes: folds 0 and 1, and two to test on."""
    sections = {"training": [], "testing": []}
    for number in range(6):
        random = np.random.default_rng(number)
        image, label = random.normal(-80, 15, (40, 36, 24)), np.zeros((40, 36, 24), np.uint8)
        for index, value in ((1, 60), (2, 180)):
            x, y, z = random.integers([0, 4, 4], [6, 14, 8])
            x += 18 * index - 16
            image[x : x + 12, y : y + 14, z : z + 8] += value
            label[x : x + 12, y : y + 14, z : z + 8] = index
        entry = {"case": f"scan{number}", "patient": f"patient{number}", "phase": "portal"}
        for kind, voxels in (("image", image.astype(np.float32)), ("label", label)):
            entry[kind] = f"{kind}s/scan{number}.nii.gz"
            os.makedirs(os.path.join(folder, f"{kind}s"), exist_ok=True)
            nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 3.0, 1.0])), os.path.join(folder, entry[kind]))
        sections["testing" if number > 3 else "training"].append(
            {**entry, **({} if number > 3 else {"fold": number % 2})}
        )
    with open(os.path.join(folder, "datalist.json"), "w") as file:
        json.dump(sections, file)
    with open(os.path.join(folder, "labels.yaml"), "w") as file:
        file.write(LABELS)


class SyntheticTestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sys.path.insert(0, BUNDLE_ROOT)
        cls.dataset_dir = tempfile.mkdtemp()
        write_cohort(cls.dataset_dir)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dataset_dir)
        sys.path.remove(BUNDLE_ROOT)

    def made(self, *path):
        return os.path.exists(os.path.join(self.dataset_dir, *path))

    def run_workflow(self, configs, workflow_type, override):
        workflow = ConfigWorkflow(
            workflow_type=workflow_type,
            config_file=[os.path.join(BUNDLE_ROOT, "configs", f"{name}.json") for name in configs],
            logging_file=os.path.join(BUNDLE_ROOT, "configs/logging.conf"),
            meta_file=os.path.join(BUNDLE_ROOT, "configs/metadata.json"),
            bundle_root=BUNDLE_ROOT,
            dataset_dir=self.dataset_dir,
            **override,
        )
        workflow.initialize()
        wrong = workflow.check_properties()
        if wrong:
            raise ValueError(f"check properties for {configs} failed: {wrong}")
        workflow.run()
        workflow.finalize()
        return workflow


class TestSemanticContrastiveOrganSegmentation(SyntheticTestCase):
    def test_train_config(self):
        for stage, override in TRAIN_CASES:
            self.run_workflow([stage], "train", override)
        assert self.made("models", "model.pt")
        assert self.made("models", "model_best.pt")

    def test_infer_config(self):
        self.run_workflow(["inference"], "infer", INFER_CASE)
        assert self.made("predictions", "scan5.nii.gz")

    def test_eval_config(self):
        workflow = self.run_workflow(["train", "evaluate"], "train", REFINER)
        assert 0 <= workflow.evaluator.state.metrics["val_mean_dice"] <= 1


if __name__ == "__main__":
    loader = unittest.TestLoader()
    loader.sortTestMethodsUsing = test_order
    unittest.main(testLoader=loader)
