"""Scans stored in each of the 48 orientations give the patches and maps of the scan in RAS."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

from scripts.auto3dseg.infer import InferClass
from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.queries.grid import QueryGrid
from scripts.queries.store import QueryStore
from scripts.refine.inferer import QueryInferer
from scripts.refine.volumes import PrepareVolume, VolumeDataset
from tests.refine.made import preprocessing, read_scan, to_stored

SHAPE, AFFINE = (14, 11, 6), np.diag([1.0, 1.5, 3.0, 1.0])
TABLE = LabelTable((Organ("liver", 1), Organ("spleen", 2)), ("ct",))
WINDOW = [-160, 240]
GRIDS = {
    "native": QueryGrid(2, 8, [1.0, 1.5, 0], WINDOW),
    "resampled": QueryGrid(3, 8, [1.3, 2.0, 4.0], WINDOW),
}
ORIENTATIONS = [
    "".join(sides[axis] for axis in order)
    for sides in itertools.product("RL", "AP", "SI")
    for order in itertools.permutations(range(3))
]
Caller = Callable[[QueryGrid, Path, Path], tuple[NDArray, list[NDArray]]]


def turned(voxels: NDArray, codes: str) -> nib.Nifti1Image:
    """Voxels (X, Y, Z) in RAS, stored otherwise."""
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    stored = nib.orientations.apply_orientation(voxels, turn)
    return nib.Nifti1Image(np.ascontiguousarray(stored), AFFINE @ inv_ornt_aff(turn, SHAPE))


@cache
def scan() -> tuple[NDArray, NDArray]:
    """Noise in HU, and two objects, one larger than a patch."""
    objects = np.zeros(SHAPE, np.uint8)
    objects[1:12, 2:6, 1:5], objects[6:12, 7:10, :3] = 1, 2
    return np.random.default_rng(0).integers(-300, 400, SHAPE).astype(np.int16), objects


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Writes a case in an orientation: its scan, and the folder of its attention map, which is its label map too."""
    root = tmp_path_factory.mktemp("scans")

    @cache
    def write(codes: str) -> tuple[Path, Path]:
        image, folder = root / codes / "a.nii", root / codes / "attention"
        folder.mkdir(parents=True)
        nib.save(turned(scan()[0], codes), image)
        nib.save(turned(scan()[1], codes), folder / "a.nii.gz")
        return image, folder

    return write


class Watched:
    """A refiner that goes by image and mask alike, and keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[NDArray] = []

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        self.seen.append(patches.numpy())
        return (patches[:, 1:] - 0.4) * 3 + patches[:, :1]


def inferer_of(grid: QueryGrid) -> QueryInferer:
    def coarse(inputs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(scan()[1].astype(np.int16))[None, None]

    return QueryInferer(grid, 5, coarse)


def served(grid: QueryGrid, image: Path, attention: Path) -> tuple[NDArray, list[NDArray]]:
    """As in docs/serving.md: the volume as it is read, with the coarse network."""
    network, data = Watched(), read_scan({"image": str(image)}, TABLE)
    data["pred"] = inferer_of(grid)(data["image"][None], network)[0]
    return to_stored(data, TABLE)[0], network.seen


def in_memory(grid: QueryGrid, image: Path, attention: Path) -> tuple[NDArray, list[NDArray]]:
    """As MONAI Deploy passes volumes: voxels without a channel and their metadata, to all transforms but the first."""
    scanned, network = nib.load(image), Watched()
    meta = {"original_affine": scanned.affine, "affine": scanned.affine, "original_channel_dim": "no_channel"}
    data = {"image": MetaTensor.ensure_torch_and_prune_meta(np.asarray(scanned.dataobj), meta)}
    for transform in preprocessing(TABLE, attention).transforms[1:]:
        data = transform(data)
    predicted = inferer_of(grid)(data["image"][None], network)
    return to_stored({"pred": predicted[0], **data}, TABLE)[0], network.seen


def by_the_command_line(grid: QueryGrid, image: Path, attention: Path) -> tuple[NDArray, list[NDArray]]:
    """inference.yaml's way, where batches are collated."""
    network, read = Watched(), preprocessing(TABLE, attention)
    (batch,) = DataLoader(VolumeDataset([{"case": "a", "image": str(image)}], read), batch_size=1)
    given, _, _, more = PrepareVolume()(batch, torch.device("cpu"))
    predicted = inferer_of(grid)(given, network, **more)
    return to_stored({"pred": predicted[0], "image": batch["image"][0]}, TABLE)[0], network.seen


def by_auto3dseg(grid: QueryGrid, image: Path, attention: Path) -> tuple[NDArray, list[NDArray]]:
    """Auto3DSeg's inference, with this refiner instead of a trained one."""
    network, algorithm = Watched(), InferClass.__new__(InferClass)
    algorithm.device, algorithm.labels = torch.device("cpu"), TABLE
    algorithm.network, algorithm.inferer, algorithm.channels = network, inferer_of(grid), 1
    return algorithm.infer(str(image)).argmax(0).numpy(), network.seen


CALLERS: dict[str, Caller] = {
    "served": served,
    "in memory": in_memory,
    "command line": by_the_command_line,
    "Auto3DSeg": by_auto3dseg,
}


@pytest.fixture(scope="module")
def in_ras(stored: Callable[[str], tuple[Path, Path]]) -> Callable[[str, str], tuple[NDArray, list[NDArray]]]:
    """What a caller makes of the scan stored in RAS."""
    return cache(lambda caller, grid: CALLERS[caller](GRIDS[grid], *stored("RAS")))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_patches_and_map_are_those_of_the_scan_in_ras(codes, caller, grid, stored, in_ras):
    predicted, seen = CALLERS[caller](GRIDS[grid], *stored(codes))
    expected, patches = in_ras(caller, grid)
    assert all(np.array_equal(one, other) for one, other in zip(seen, patches, strict=True))
    assert np.array_equal(predicted, turned(np.asarray(expected, np.uint8), codes).get_fdata())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("caller", CALLERS)
def test_in_ras_they_are_what_the_grid_cuts(caller, grid, stored, in_ras):
    """So that all are right, not only alike: the first batch, before patches are added."""
    image = read_scan({"image": str(stored("RAS")[0])}, TABLE)["image"]
    objects = GRIDS[grid].attention(torch.from_numpy(scan()[1].astype(np.int16)), image)
    rows = GRIDS[grid].queries(objects.numpy()).tolist()
    whole = GRIDS[grid].image(image)[0].contiguous()
    for row, (cut, mask) in zip(rows, in_ras(caller, grid)[1][0], strict=False):
        np.testing.assert_allclose(cut, GRIDS[grid].cut(whole, row[1:], outside=-1.0), atol=1e-6)
        assert np.array_equal(mask, GRIDS[grid].cut(objects, row[1:]) == row[0])


@pytest.fixture(scope="module")
def store(stored: Callable[[str], tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Builds the query store of the scan stored in an orientation."""
    root = tmp_path_factory.mktemp("stores")

    @cache
    def build(codes: str, grid: str) -> QueryStore:
        image, attention = stored(codes)
        case = Case("a", "p", "ct", image, attention / "a.nii.gz", 0)
        return QueryStore(str(root / f"{codes} {grid}"), [case], str(attention), TABLE, GRIDS[grid], workers=1)

    return build


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_query_store_is_that_of_the_scan_in_ras(codes, grid, store):
    one, other = store(codes, grid), store("RAS", grid)
    assert np.array_equal(one.index, other.index)
    for name in ("image", "attention", "target"):
        assert torch.equal(one.volume(0, name), other.volume(0, name))
