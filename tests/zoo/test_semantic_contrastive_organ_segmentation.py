"""Unit tests of the release in the Model Zoo's own pattern: run from a folder that holds models/<name>/.

They belong into the zoo's ci/unit_tests as they are and use nothing but the release; test_release.py runs them here.
"""

import os
import shutil
import sys
import tempfile
import unittest

from monai.bundle import ConfigWorkflow

BUNDLE_ROOT = "models/semantic_contrastive_organ_segmentation"
COARSE = {"coarse_size": [40, 36, 24], "coarse_channels": [8, 16, 32], "coarse_strides": [2, 2]}
ENCODER = {"patch_size": 32, "spacing": [5, 5, 0], "widths": [4, 8, 8, 16]}
TRAIN_CASES = [
    ("coarse", {**COARSE, "max_epochs": 1, "epoch_length": 10, "batch_size": 2}),
    ("pretrain", {**ENCODER, "max_epochs": 1, "epoch_length": 2}),
    ("train", {**ENCODER, "decoder_width": 16, "max_epochs": 1, "epoch_length": 10}),
]
INFER_CASE = {**COARSE, **ENCODER, "decoder_width": 16}


def test_order(test_name1, test_name2):
    def get_order(name):
        return next(i for i, part in enumerate(("train", "infer", "eval", "")) if part in name)

    return get_order(test_name1) - get_order(test_name2)


class PhantomTestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sys.path.insert(0, BUNDLE_ROOT)
        from scripts.commands.phantom import phantom

        cls.dataset_dir = tempfile.mkdtemp()
        phantom(cls.dataset_dir, cases=4, folds=2, test_share=0.4)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dataset_dir)
        sys.path.remove(BUNDLE_ROOT)

    def made(self, *path):
        return os.path.exists(os.path.join(self.dataset_dir, *path))


class TestSemanticContrastiveOrganSegmentation(PhantomTestCase):
    def run_workflow(self, configs, workflow_type, override):
        workflow = ConfigWorkflow(
            workflow_type=workflow_type,
            config_file=[os.path.join(BUNDLE_ROOT, "configs", name) for name in configs],
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

    def test_train_config(self):
        for stage, override in TRAIN_CASES:
            self.run_workflow([f"{stage}.yaml"], "train", override)
        assert self.made("models", "model.pt")

    def test_infer_config(self):
        self.run_workflow(["inference.yaml"], "infer", INFER_CASE)
        assert self.made("predictions")

    def test_eval_config(self):
        self.run_workflow(["train.yaml", "evaluate.yaml"], "train", {})
        assert self.made("report.html")


if __name__ == "__main__":
    loader = unittest.TestLoader()
    loader.sortTestMethodsUsing = test_order
    unittest.main(testLoader=loader)
