"""MONAI Label's own inference task over a release: run by a Python that has MONAI Label; arguments as in by_deploy.py.

Prints what the task offers its users, and what of their choices arrived, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from monailabel.tasks.infer.bundle import BundleInferTask


def main(bundle: str, scans: str, out: str) -> None:
    """Segment every scan of a folder."""
    task = BundleInferTask(bundle, conf={})
    for path in sorted(Path(scans).glob("*.nii.gz")):
        written, _ = task({"image": str(path), "device": "cpu", "model": Path(bundle).name})
        np.save(Path(out) / f"{path.name}.npy", np.asarray(nib.load(written).dataobj))
    chosen = {"grow": 0, "test_views": 5, "smallest_island": 0.5}
    task({"image": str(path), "device": "cpu", "model": Path(bundle).name, **chosen})
    inferer = task.bundle_config.get_parsed_content("inferer")
    used = {"grow": inferer.grow, "smallest_island": inferer.smallest_island}
    used["test_views"] = len(inferer.augmentation.views)
    offered = {"labels": task.labels, "dimension": task.dimension, "config": task.config()}
    print(json.dumps({**offered, "chosen": chosen, "used": used}, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
