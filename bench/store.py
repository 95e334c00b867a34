"""The query store compared with MONAI's cached datasets and a crop, and its memory as cohorts grow."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.data import CacheDataset, Dataset, PersistentDataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd, ScaleIntensityRanged, SpatialCrop

from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.queries.dataset import QueryDataset
from scripts.queries.grid import QueryGrid
from scripts.queries.store import QueryStore

from .timing import compare, forget_peak, in_new_process, table
from .timing import memory as peak

LARGE = (512, 512, 60)  # of the volumes read
SMALL = (160, 160, 40)  # of those a large cohort is made of
COHORTS = (10, 100, 500)
READS = 2000
TABLE = LabelTable(tuple(Organ(f"organ_{number}", number) for number in range(1, 5)), ("portal",))


def volumes(folder: Path, count: int, shape: Sequence[int]) -> list[Case]:
    """Volumes of noise over a ramp with four blocks as organs."""
    rng, cases = np.random.default_rng(0), []
    for number in range(count):
        image = (np.linspace(-200, 300, shape[0])[:, None, None] + rng.normal(0, 20, shape)).astype(np.int16)
        label = np.zeros(shape, np.uint8)
        for organ in range(1, 5):
            first = rng.integers(0, np.array(shape) * 3 // 4)
            label[tuple(slice(a, a + size // 4) for a, size in zip(first, shape, strict=True))] = organ
        paths = [folder / kind / f"case{number:03d}.nii.gz" for kind in ("images", "labels")]
        for path, voxels in zip(paths, (image, label), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(voxels, np.diag([0.8, 0.8, 5, 1])), path)
        cases.append(Case(f"case{number:03d}", f"patient{number:03d}", "portal", *paths, fold=0))
    return cases


def opened(folder: Path, cases: Sequence[Case], patch: int = 128) -> QueryStore:
    """The store of these cases, their labels as attention."""
    grid = QueryGrid(2, patch, [0, 0, 0], [-160, 240])
    return QueryStore(str(folder / "store"), cases, str(folder / "labels"), TABLE, grid)


def reading(folder: Path, count: int = 6, shape: Sequence[int] = LARGE, rounds: int = 9) -> str:
    """Random patches from the store and from full volumes that MONAI's datasets cache."""
    cases = volumes(folder, count, shape)
    store = opened(folder, cases)
    dataset, rng = QueryDataset(store), np.random.default_rng(0)
    both = ["image", "label"]
    files = [{"image": case.image, "label": case.label} for case in cases]
    read = Compose(
        [
            LoadImaged(both),
            EnsureChannelFirstd(both),
            Orientationd(both, "RAS", labels=None),
            ScaleIntensityRanged("image", -160, 240, -1, 1, clip=True),
        ]
    )
    on_disk, in_memory = PersistentDataset(files, read, folder / "kept"), CacheDataset(files, read, progress=False)

    def ours() -> None:
        for item in rng.integers(len(dataset), size=4):
            dataset[int(item)]

    def monais(kept: Dataset) -> None:
        for item in rng.integers(len(dataset), size=4):
            case, _, number, _, *start = store.index[int(item)].tolist()
            end = [first + size for first, size in zip(start, (128, 128, 1), strict=True)]
            crop = SpatialCrop(roi_start=start, roi_end=end)
            sample = kept[case]
            crop(sample["image"]), crop(sample["label"]) == number

    for item in range(count):
        on_disk[item]  # fills its cache
    found = compare(
        {
            "QueryStore": ours,
            "PersistentDataset and crop": lambda: monais(on_disk),
            "CacheDataset, all volumes in memory, and crop": lambda: monais(in_memory),
        },
        rounds,
    )
    rows = [[name, f"{4 / seconds:,.0f}", f"{ratio:.1f}"] for name, (seconds, ratio) in found.items()]
    head = ["", "patches a second", "time over QueryStore's"]
    size = " x ".join(map(str, shape))
    text = (
        f"Random 128 x 128 queries of {count} volumes of {size}, caches filled; medians of {rounds} interleaved rounds."
    )
    return f"{text}\n\n{table(head, rows)}"


def memory(folder: Path, cohorts: Sequence[int] = COHORTS, shape: Sequence[int] = SMALL) -> str:
    """Resident memory after many random reads, each cohort in a process of its own."""
    cases = volumes(folder, max(cohorts), shape)
    opened(folder, cases, 64)
    (folder / "cases.json").write_text(json.dumps([[case.id, str(case.image), str(case.label)] for case in cases]))
    found = [in_new_process("bench.store", folder, count)[0] for count in cohorts]
    rows = [[count, f"{grown:.1f}"] for count, grown in zip(cohorts, found, strict=True)]
    size = " x ".join(map(str, shape))
    text = f"Peak resident memory that {READS:,} random reads add, by volumes ({size}) in the store, MiB; one run each."
    return f"{text}\n\n{table(['volumes', 'MiB'], rows)}"


def report() -> str:
    """The section of the results."""
    parts = []
    for part in (reading, memory):
        with tempfile.TemporaryDirectory() as folder:
            parts.append(part(Path(folder)))
    return "## Query store\n\n" + "\n\n".join(parts)


def main(folder: str, count: int) -> None:
    """Print the memory that reading from the first ``count`` cases of a store adds."""
    listed = json.loads((Path(folder) / "cases.json").read_text())[:count]
    cases = [Case(case, case, "portal", Path(image), Path(label), fold=0) for case, image, label in listed]
    dataset, rng = QueryDataset(opened(Path(folder), cases, 64)), np.random.default_rng(0)
    dataset[0]
    forget_peak()
    before = peak("VmRSS")
    for item in rng.integers(len(dataset), size=READS):
        dataset[int(item)]
    print(peak("VmHWM") - before)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
