"""``python -m scripts``: what is done outside of the bundle's stages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import fire

from .errors import SemclError


def phantom(out: str, cases: int = 16, seed: int = 0, folds: int = 3, test_share: float = 0.5) -> None:
    """Write a cohort of abdominal CT phantoms: images, labels, label table, datalist.

    Args:
        out: folder of the cohort.
        cases: scans; of every third patient two, in two phases.
        seed: the same seed gives the same bytes.
        folds: parts of the training patients for cross-fitting.
        test_share: share of the patients kept for testing.
    """
    from .cohort.intake import prepare as check_and_split
    from .cohort.labels import LabelTable
    from .cohort.phantom import write_phantoms

    folder = Path(str(out))
    write_phantoms(folder, cases, seed)
    table = LabelTable.load(folder)
    check_and_split(folder / "images", folder / "labels", table, folder, folder / "cases.csv", folds, test_share, seed)


def prepare(
    images: str,
    out: str,
    table: str,
    labels: str | None = None,
    cases: str | None = None,
    folds: int = 3,
    test_share: float = 0.4,
    seed: int = 0,
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
    import yaml

    from .cohort.intake import prepare as check_and_split
    from .cohort.labels import LabelTable

    source = Path(str(table))
    if not source.is_file():
        raise SemclError(
            "there is no label table", found=f"no {source}", expected="a YAML file", remedy="see docs/cohort.md"
        )
    label_table = LabelTable.parse(yaml.safe_load(source.read_text()), str(source))
    made = check_and_split(
        Path(str(images)),
        Path(str(labels)) if labels else None,
        label_table,
        Path(str(out)),
        Path(str(cases)) if cases else None,
        folds,
        test_share,
        seed,
    )
    testing = sum(case.fold is None for case in made)
    print(f"{out}: {len(made) - testing} training and {testing} testing cases")


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
