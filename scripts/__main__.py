"""``python -m scripts``: what is done outside of the bundle's stages."""

from __future__ import annotations

import difflib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import fire

from .errors import SemclError


def phantom(
    out: str, cases: int = 16, seed: int = 0, folds: int = 3, test_share: float = 0.5, **unknown: object
) -> None:
    """Write a cohort of abdominal CT phantoms: images, labels, label table, datalist.

    Args:
        out: folder of the cohort.
        cases: scans; of every third patient two, in two phases.
        seed: the same seed gives the same bytes.
        folds: parts of the training patients for cross-fitting.
        test_share: share of the patients kept for testing.
    """
    _refuse(unknown, phantom)
    from .cohort import intake
    from .cohort.labels import LabelTable
    from .cohort.phantom import plan, write_phantoms

    folder = Path(str(out))
    intake.split(plan(folder, cases), folds, test_share, seed)  # refuse before anything is made
    write_phantoms(folder, cases, seed)
    table = LabelTable.load(folder)
    intake.prepare(folder / "images", folder / "labels", table, folder, folder / "cases.csv", folds, test_share, seed)


def prepare(
    images: str,
    out: str,
    table: str,
    labels: str | None = None,
    cases: str | None = None,
    folds: int = 3,
    test_share: float = 0.4,
    seed: int = 0,
    **unknown: object,
) -> None:
    """Check folders of scans and label maps and make them a cohort: datalist.json and labels.yaml.

    Args:
        images: folder of volumes; the file name without suffix is the case id.
        out: folder of the cohort.
        table: the label table, a YAML file.
        labels: folder of label maps of the same names; leave it out for scans to be segmented only.
        cases: CSV with columns case, patient, phase; without it each case is a patient of its own.
        folds: parts of the training patients for cross-fitting.
        test_share: share of the patients kept for testing.
        seed: of the split.
    """
    _refuse(unknown, prepare)
    from .cohort import intake
    from .cohort.labels import LabelTable

    source = Path(str(table))
    if not source.is_file():
        raise SemclError(
            "there is no label table", found=f"no {source}", expected="a YAML file", remedy="see docs/cohort.md"
        )
    made = intake.prepare(
        Path(str(images)),
        Path(str(labels)) if labels else None,
        LabelTable.read(source),
        Path(str(out)),
        Path(str(cases)) if cases else None,
        folds,
        test_share,
        seed,
    )
    testing = sum(case.fold is None for case in made)
    print(f"{out}: {len(made) - testing} training and {testing} testing cases")


def _refuse(unknown: Mapping[str, object], command: Callable[..., None]) -> None:
    """Refuse options a command does not have, before it does anything."""
    known = [name for name in inspect.signature(command).parameters if name != "unknown"]
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        raise SemclError(
            f"{command.__name__} has no option --{name}",
            found=f"--{name}",
            expected=", ".join(f"--{option}" for option in known),
            remedy=f"did you mean --{near[0]}?" if near else "leave it out",
        )


def main() -> None:
    """Run the command line; a SemclError ends it with its message and exit code 2."""
    os.environ.setdefault("PAGER", "cat")
    try:
        fire.Fire({"phantom": phantom, "prepare": prepare}, name="python -m scripts")
    except SemclError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
