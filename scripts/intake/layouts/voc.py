"""PASCAL VOC's layout: pictures, index masks of some of them, and lists of training and testing pictures."""

from __future__ import annotations

from pathlib import Path

from ...cohort.pictures import PICTURE_SUFFIXES
from ...errors import SemclError
from ...plain import LARGE_BYTES, read_text
from .. import case_table
from .scan import Found, Scan, refuse_label_maps

IMAGES, MASKS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"
TRAINING, TESTING = "train", "val"
FOLDS = 3  # of the training pictures, in rotation


def find(images: Path, label_maps: Path | None) -> Found | None:
    """The pictures that ImageSets/Segmentation lists in train.txt and val.txt; None when there are no such lists.

    Those of train.txt are for training, in three folds, those of val.txt for testing. A listed picture without a mask
    in SegmentationClass/ is unlabelled.

    Raises:
        SemclError: when a list or a listed picture is missing, and for ``label_maps``.
    """
    root = images
    if not (root / IMAGES).is_dir() or not (root / LISTS).is_dir():
        return None
    refuse_label_maps(label_maps, f"in {MASKS}/")
    found = []
    for name in (TRAINING, TESTING):
        path = root / LISTS / f"{name}.txt"
        if not path.is_file():
            raise SemclError(
                "a list of pictures is missing",
                found=f"no {path}",
                expected=f"{TRAINING}.txt and {TESTING}.txt, one name per line",
                remedy="write it, or give the pictures' folder to --images and the masks' to --labels",
            )
        for number, case in enumerate(read_text(path, LARGE_BYTES).split()):
            fold = case_table.TEST if name == TESTING else str(number % FOLDS)
            mask = root / MASKS / f"{case}.png"
            row = case_table.CaseRow(case, case, fold=fold)
            found.append(Scan(case, _picture(root, case, path), mask if mask.is_file() else None, (), row))
    return found, []


def _picture(root: Path, case: str, listed: Path) -> Path:
    for suffix in PICTURE_SUFFIXES:
        path = root / IMAGES / f"{case}{suffix}"
        if path.is_file():
            return path
    raise SemclError(
        "a listed picture is missing",
        case=case,
        found=f"no {case}.jpg in {root / IMAGES}",
        expected=f"each picture of {listed}",
        remedy="add it, or remove its name from the list",
    )
