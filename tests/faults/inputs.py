"""Small scans for fault injection: a CT of noise with a label map of three organs, in any format."""

from __future__ import annotations

import gzip
import json
import locale
from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np

from scripts.cohort.label_table import LabelTable, Organ
from scripts.intake.survey import Sources, Survey, survey
from tests.conftest import write_nifti

SHAPE = (12, 10, 8)
TABLE = LabelTable(
    (Organ("liver", 1), Organ("right_kidney", 2, "left_kidney"), Organ("left_kidney", 3, "right_kidney")), ("ct",)
)
TWO_PHASES = LabelTable(TABLE.organs, ("noncontrast", "portal"))


def ct(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """HU (X, Y, Z) that no other seed has."""
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)


def organs() -> np.ndarray:
    """A label map (X, Y, Z): the liver in the middle, a kidney to each side of it, in RAS."""
    label = np.zeros(SHAPE, np.uint8)
    label[5:7, 2:8, 2:6] = 1
    label[8:11, 2:5, 2:5] = 2
    label[1:4, 2:5, 2:5] = 3
    return label


def affine(*sizes: float, **entries: float) -> np.ndarray:
    """A diagonal affine of voxel sizes (mm), with entries such as m03=5 changed."""
    made = np.diag([*(sizes or (1.0, 1.0, 1.0)), 1.0])
    for name, value in entries.items():
        made[int(name[1]), int(name[2])] = value
    return made


def turned(degrees: float) -> np.ndarray:
    """An affine turned about z."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    made = np.eye(4)
    made[:2, :2] = [[cosine, -sine], [sine, cosine]]
    return made


class Folder:
    """images/ and labels/ in a folder, and what to put there."""

    def __init__(self, root: Path) -> None:
        self.root, self.images, self.labels = root, root / "images", root / "labels"
        self.images.mkdir(parents=True)
        self.labels.mkdir()

    def image(self, case: str = "a", voxels: np.ndarray | None = None, place: np.ndarray | None = None) -> Path:
        seed = sum(case.encode()) * len(case)
        return write_nifti(self.images / f"{case}.nii.gz", ct(seed) if voxels is None else voxels, place)

    def label(self, case: str = "a", voxels: np.ndarray | None = None, place: np.ndarray | None = None) -> Path:
        return write_nifti(self.labels / f"{case}.nii.gz", organs() if voxels is None else voxels, place)

    def pair(self, *cases: str) -> None:
        for case in cases or ("a",):
            self.image(case)
            self.label(case)

    def sheet(self, text: str, name: str = "cases.csv") -> Path:
        (self.root / name).write_text(text, encoding="utf-8")
        return self.root / name

    def dataset(self, labels: dict[str, object]) -> None:
        (self.root / "dataset.json").write_text(json.dumps({"labels": labels}))


Build = Callable[[Folder], Any]


class Inputs(dict[str, tuple[Build, list[tuple[str | None, str]]]]):
    """A table of inputs: what builds each, and the findings that the intake must have of it, and no others."""

    def finds(self, *expected: str, case: str | None = "a") -> Callable[[Build], Build]:
        """Put an input into the table: a function that builds it and may return what to survey but both folders."""

        def register(build: Build) -> Build:
            entries = [
                (entry.rpartition(":")[0] or None, entry.rpartition(":")[2]) if ":" in entry else (case, entry)
                for entry in expected
            ]
            self[build.__name__] = (build, entries)
            return build

        return register

    def survey(self, name: str, folder: Path) -> Survey:
        """The survey of an input built in a folder."""
        asked = self[name][0](Folder(folder)) or {}
        given = {"images": folder / "images", "label_maps": folder / "labels"} | asked
        table = given.pop("table", TABLE)
        return survey(Sources(**given, workers=1), table)

    def check(self, name: str, folder: Path) -> None:
        """Compare what the survey of an input finds with what it should."""
        found = self.survey(name, folder).findings
        assert sorted((item.case or "", item.name) for item in found) == sorted(
            (case or "", kind) for case, kind in self[name][1]
        )


def write_itk(path: Path, voxels: np.ndarray, spacing: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Path:
    """Voxels (X, Y, Z) in LPS as NRRD, MHA or MHD."""
    image = itk.image_from_array(np.ascontiguousarray(voxels.T))
    image.SetSpacing(list(spacing))
    itk.imwrite(image, str(path))
    return path


def write_forms(path: Path, voxels: np.ndarray, qform: tuple[np.ndarray, int], sform: tuple[np.ndarray, int]) -> None:
    """NIfTI with the given qform and sform and their codes."""
    image = nib.Nifti1Image(voxels, None)
    image.set_qform(*qform)
    image.set_sform(*sform)
    nib.save(image, path)


def truncate(path: Path, keep: float) -> None:
    """Cut the content of a NIfTI file, not the gzip around it."""
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[: int(len(content) * keep)]))


def write_dicom(
    folder: Path,
    voxels: np.ndarray,
    heights: list[float] | None = None,
    tags: dict[str, str] | None = None,
    prefix: str = "s",
    cosines: str = "1\\0\\0\\0\\1\\0",
    along: tuple[int, int, int] = (0, 0, 1),
) -> Path:
    """Slices of voxels (X, Y, Z) at heights (mm) along LPS, a file each in shuffled order; an empty tag stays empty."""
    folder.mkdir(parents=True, exist_ok=True)
    heights = [3.0 * number for number in range(voxels.shape[2])] if heights is None else heights
    given = {"0020|000e": "1.2.3", "0008|0060": "CT", "0020|000d": "1.2"} | (tags or {})
    names = np.random.default_rng(1).permutation(len(heights))
    before = locale.setlocale(locale.LC_ALL)  # GDCM's writer sets "C", and text files would be ASCII from then on
    for number, height in enumerate(heights):
        image = itk.image_from_array(np.ascontiguousarray(voxels[:, :, number].T)[None])
        image.SetSpacing([2.0, 2.0, 3.0])
        place = [float(start + height * part) for start, part in zip((-7, 5, 0), along, strict=True)]
        image.SetOrigin(place)
        content = image.GetMetaDataDictionary()
        entries = given | {"0020|0032": "\\".join(map(str, place)), "0020|0037": cosines, "0020|0013": str(number)}
        for tag, value in entries.items():
            content[tag] = value
        writer = itk.GDCMImageIO.New()
        writer.KeepOriginalUIDOn()
        itk.imwrite(image, str(folder / f"{prefix}{names[number]:03d}.dcm"), imageio=writer)
    locale.setlocale(locale.LC_ALL, before)
    return folder
