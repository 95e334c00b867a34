"""Abdominal CT phantoms as NIfTI files with labels: a cohort to start with, the same bytes for the same seed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from ..bars import bar
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..errors import SemclError
from ..files import write_text, write_volume
from ..outputs import Output
from .anatomy import ORGANS, PARTNERS, Array, Patient, smooth_noise

NUMBERS = Path(__file__).with_name("phantom.yaml")


@dataclass(frozen=True)
class PhantomScan:
    """One scan to make: its patient, its number among the patient's scans, and its contrast phase."""

    patient: int
    phase: str
    repeat: int

    @property
    def case(self) -> str:
        """Case id."""
        return f"patient{self.patient:03d}_{self.phase}"


def scans(cases: int, numbers: Mapping[str, Any]) -> list[PhantomScan]:
    """The first ``cases`` scans of an endless cohort in which every third patient has both phases."""
    phases, every = numbers["phases"], numbers["scan"]["second_phase_every"]
    listed: list[PhantomScan] = []
    patient = 0
    while len(listed) < cases:
        patient += 1
        if patient % every == 0:
            listed += [PhantomScan(patient, phase, repeat) for repeat, phase in enumerate(phases)]
        else:
            listed.append(PhantomScan(patient, phases[(patient - patient // every) % len(phases)], 0))
    return listed[:cases]


def plan(out: Path, cases: int) -> list[Case]:
    """The cases ``write_phantoms`` would write.

    Raises:
        SemclError: when ``cases`` is not a whole number from 1.
    """
    if not isinstance(cases, int) or cases < 1:
        raise SemclError(
            "a cohort needs scans", found=f"{cases} cases", expected="a whole number from 1", remedy="change --cases"
        )
    numbers = yaml.safe_load(NUMBERS.read_text())
    listed = scans(cases, numbers)
    return [
        Case(scan.case, f"patient{scan.patient:03d}", scan.phase, out / "images" / f"{scan.case}.nii.gz")
        for scan in listed
    ]


def write_phantoms(out: Path, cases: int, seed: int) -> None:
    """Write ``out``/{images,labels}/<case>.nii.gz, cases.csv (case, patient, phase) and labels.yaml.

    A case depends only on the seed and its own number: a larger cohort begins with the smaller one.

    Raises:
        SemclError: when ``out`` holds anything but a cohort of phantoms.
    """
    phantom_output(out).claim()
    numbers = yaml.safe_load(NUMBERS.read_text())
    planned = plan(out, cases)
    listed = scans(cases, numbers)
    for scan in bar(listed, total=len(listed), title="phantom", unit="scan"):
        image, label, affine = render(scan, seed, numbers)
        write_volume(out / "images" / f"{scan.case}.nii.gz", image, affine)
        write_volume(out / "labels" / f"{scan.case}.nii.gz", label, affine)
    write_text(out / "cases.csv", case_table(planned))
    LabelTable.parse(phantom_labels(numbers)).save(out)


def case_table(cases: Sequence[Case]) -> str:
    """The content of cases.csv."""
    text = io.StringIO()
    rows = [[case.id, case.patient, case.phase] for case in cases]
    csv.writer(text, lineterminator="\n").writerows([["case", "patient", "phase"], *rows])
    return text.getvalue()


def phantom_output(out: Path) -> Output:
    """The folder of a cohort of phantoms, as an output of its own."""
    return Output(out, "a cohort of phantoms", "--out")


def phantom_labels(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the phantom's labels.yaml."""
    organs: dict[str, dict[str, Any]] = {name: {"index": index} for name, index in ORGANS.items()}
    for one, other in PARTNERS.items():
        organs[one]["partner"] = other
        organs[other]["partner"] = one
    return {"phases": list(numbers["phases"]), "organs": organs}


def render(
    scan: PhantomScan, seed: int, numbers: Mapping[str, Any]
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.float64]]:
    """Image (HU), label map and affine of one scan, in a random orientation."""
    patient = Patient(np.random.default_rng([seed, scan.patient]), numbers["patient"])
    rng = np.random.default_rng([seed, scan.patient, 1 + scan.repeat])
    xyz, affine = grid(rng, numbers["scan"])
    xyz[2] += rng.normal(0, numbers["patient"]["breath_mm"] / 2)
    hounsfield, label = paint(patient, xyz, numbers, scan.phase)
    image = acquire(hounsfield, rng, numbers["scan"])
    codes = rng.choice(numbers["scan"]["orientations"])
    transform = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    stored = affine @ inv_ornt_aff(transform, label.shape)
    return nib.apply_orientation(image, transform), nib.apply_orientation(label, transform), stored


def grid(rng: np.random.Generator, scan: Mapping[str, Any]) -> tuple[Array, NDArray[np.float64]]:
    """RAS points (3, X, Y, Z) in mm of a scan with a random voxel size, and its affine."""
    pixel = round(float(rng.uniform(*scan["pixel_mm"])), 2)
    size = np.array([pixel, pixel, round(float(rng.uniform(*scan["slice_mm"])), 1)])
    field = np.asarray(scan["field_mm"])
    shape = np.round(field / size).astype(int)
    start = np.array([-field[0] / 2, -field[1] / 2 - 12, 0.0])
    axes = [start[axis] + size[axis] * np.arange(shape[axis]) for axis in range(3)]
    affine = np.diag([*size, 1.0])
    affine[:3, 3] = start
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32), affine


def paint(patient: Patient, xyz: Array, numbers: Mapping[str, Any], phase: str) -> tuple[Array, NDArray[np.uint8]]:
    """Noise-free attenuation (HU) and label map (X, Y, Z) of a patient in a phase."""
    column = numbers["phases"].index(phase)
    table = {name: float(values[0]) for name, values in numbers["hounsfield"].items()}
    for name, values in numbers["hounsfield"].items():
        table[name] += patient.enhancement * (values[column] - values[0]) + patient.hounsfield.get(name, 0.0)
    tissue = {"skin": "muscle", "wall": "muscle", "cavity": "fat", "ribs": "cortex", "colon": "bowel"}
    parts = patient.structures(xyz)
    inside = parts["cavity"]
    bones = ("ribs", "cortex", "bone", "disc")
    order = [name for name in parts if name not in bones] + list(bones)  # nothing grows into bone
    hounsfield = np.full(xyz.shape[1:], table["air"], np.float32)
    label = np.zeros(xyz.shape[1:], np.uint8)
    for name in order:
        distance = parts[name]
        if name in ORGANS or name in ("bowel", "colon"):
            distance = np.maximum(distance, inside + 1.5)
        where = distance < 0
        hounsfield[where] = table[tissue.get(name, name)]
        label[where] = ORGANS.get(name, 0)
        if name in ("stomach", "colon"):
            _fill(hounsfield, distance, xyz, table)
    return hounsfield, label


def _fill(hounsfield: Array, distance: Array, xyz: Array, table: Mapping[str, float]) -> None:
    """Fill a hollow organ with fluid, and with gas towards the front, as the patient lies supine."""
    lumen = distance < -5
    if lumen.any():
        level = np.quantile(xyz[1][lumen], 0.75)
        hounsfield[lumen] = table["content"]
        hounsfield[lumen & (xyz[1] > level) & (distance < -7)] = table["gas"]


def acquire(hounsfield: Array, rng: np.random.Generator, scan: Mapping[str, Any]) -> NDArray[np.int16]:
    """The acquired image in whole HU: texture, blur of point spread and slice thickness, correlated noise."""
    shape = hounsfield.shape
    texture = smooth_noise(rng, shape, [max(2, size // 5) for size in shape]) * scan["texture_hu"]
    image = hounsfield + texture * (hounsfield > -300)
    image = gaussian_filter(image, [scan["blur_px"], scan["blur_px"], 0.35])
    noise = gaussian_filter1d(rng.standard_normal(shape).astype(np.float32), 0.6, axis=0)
    noise = gaussian_filter1d(noise, 0.6, axis=1)
    noise *= rng.uniform(*scan["noise_hu"]) / noise.std()
    whole: NDArray[np.int16] = np.clip(np.round(image + noise), -1024, 3071).astype(np.int16)
    return whole
