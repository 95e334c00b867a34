"""Unit tests of the release on several ranks, in the Model Zoo's own pattern; without GPUs two ranks share the CPU.

They belong into the zoo's ci/unit_tests beside those of one rank.
"""

import json
import os
import subprocess
import sys
import unittest

import torch
from test_semantic_contrastive_organ_segmentation import BUNDLE_ROOT, REFINER, TRAIN_CASES, SyntheticTestCase


class TestSemanticContrastiveOrganSegmentationDist(SyntheticTestCase):
    def run_ranks(self, stages, override):
        numbers = os.path.join(self.dataset_dir, f"{stages[-1]}_override.json")
        with open(numbers, "w") as file:
            json.dump(override, file)
        configs = [os.path.join(BUNDLE_ROOT, "configs", f"{name}.json") for name in (*stages, "multi_gpu_train")]
        files = [*configs, numbers]
        ranks = max(torch.cuda.device_count(), 2)
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
        run = ["-m", "monai.bundle", "run", "--config_file", str(files), "--dataset_dir", self.dataset_dir]
        checked = ["--meta_file", os.path.join(BUNDLE_ROOT, "configs/metadata.json"), "--bundle_root", BUNDLE_ROOT]
        subprocess.run([*launch, *run, *checked], check=True)

    def test_train_mgpu_config(self):
        *earlier, (last, override) = TRAIN_CASES
        for stage, numbers in earlier:  # one rank each: what the others share, they share in the same way
            self.run_workflow([stage], "train", numbers)
        self.run_ranks([last], override)
        assert self.made("models", "model.pt")
        self.run_ranks(["train", "evaluate"], REFINER)


if __name__ == "__main__":
    unittest.main()
