"""``make demo``: remove the cohort of phantoms of an earlier demo, and nothing else."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from scripts.errors import SemclError
from scripts.outputs import visible
from scripts.phantom.phantom import phantom_output, plan

MADE = {  # what phantom, the stages and a study write into a cohort
    *(
        "images",
        "labels",
        "cases.csv",
        "labels.yaml",
        "datalist.json",
        "attention",
        "attention.partial",
        "store",
        "audit",
    ),
    *("models", "predictions", "embeddings", "curves", "jobs", "rows", "rows.csv", "summary.json", "report.html"),
    *("figures", "pictures", "study", "tensorboard", "mlruns.db"),
}


def remove(folder: Path) -> None:
    """Remove a cohort of phantoms, if there is one.

    Raises:
        SemclError: when the folder holds anything else.
    """
    phantom_output(folder).check()
    phantoms = {case.image.name for case in plan(folder, 10_000)}
    strange = [path for path in visible(folder) if path.name not in MADE]
    strange += [path for name in ("images", "labels") for path in visible(folder / name) if path.name not in phantoms]
    if strange:
        raise SemclError(
            "the demo's folder holds what the demo did not make",
            found=", ".join(map(str, strange[:5])),
            expected="phantoms, and what the stages make of them",
            remedy="move it away, or give another COHORT: a demo begins with an empty folder",
        )
    if folder.exists():
        shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        remove(Path(sys.argv[1]))
    except SemclError as error:
        raise SystemExit(f"error: {error}") from None
