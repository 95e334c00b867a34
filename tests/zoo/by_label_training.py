"""MONAI Label's own training task over a release: run by a Python that has MONAI Label, with bundle and datastore.

The datastore is a folder of scans with their label maps in labels/final/. Two fifths are kept for validation.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from monailabel.datastore.local import LocalDatastore
from monailabel.tasks.train.bundle import BundleTrainTask


def main(bundle: str, studies: str) -> None:
    """Train for an epoch; prints what the task offers its users, as JSON."""
    task = BundleTrainTask(bundle, conf={})
    datastore = LocalDatastore(studies, extensions=["*.nii.gz"], auto_reload=False)
    request = {"model": Path(bundle).name, "device": "cpu", "max_epochs": 1, "val_split": 0.4, "multi_gpu": False}
    task(request, datastore)
    print(json.dumps(task.config(), default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
