"""MONAI Label's datastore and strategy with this repository's scoring method: run by a Python that has MONAI Label.

Prints what the method returned, what the datastore notes of each image, and which image the strategy serves, as JSON.
"""

from __future__ import annotations

import json
import sys

from monailabel.datastore.local import LocalDatastore
from monailabel.tasks.activelearning.epistemic import Epistemic


def main(repository: str, studies: str, quality: str) -> None:
    """Score the images of a folder and ask for the next one."""
    sys.path.insert(0, repository)
    from scripts.library.active_learning import ExpectedDiceScoring

    datastore = LocalDatastore(studies, extensions=["*.nii.gz"], auto_reload=False)
    counts = ExpectedDiceScoring(quality)({}, datastore)
    notes = {name: datastore.get_image_info(name) for name in datastore.list_images()}
    served = Epistemic(key="doubt")({"strategy": "doubt"}, datastore)
    print(json.dumps({"counts": counts, "notes": notes, "served": served["id"]}, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
