"""Metrics: against loops, MONAI's metrics, DeepMind's distances, and calculations by hand."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import surface_distance
import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric

from scripts.evaluate.metrics import BY_NAME, METRICS, measure_organ
from scripts.evaluate.surfaces import surface_metrics

SPACINGS = {"cubes": (1.0, 1.0, 1.0), "thick slices": (0.8, 0.8, 2.5), "three sizes": (3.0, 1.5, 0.7)}
DIAGONAL = 500.0
Voxel = tuple[int, ...]
each_spacing = pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS.keys())


def test_volumes_are_those_of_sheared_voxels():
    masks = np.ones((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert measure_organ(*masks, (1, 1, 5), 1, DIAGONAL)["volume_ml"] == pytest.approx(0.04)
    assert measure_organ(*masks, (1, 1, 5), 1, DIAGONAL, voxel=4.5)["volume_ml"] == pytest.approx(0.036)


def ellipsoid(spacing: Sequence[float], centre: Sequence[float], radii: Sequence[float]) -> np.ndarray:
    """A body (mm) in a field of 42 x 36 x 35 mm."""
    shape = [round(size / voxel) for size, voxel in zip((42, 36, 35), spacing, strict=True)]
    axes = np.meshgrid(*[np.arange(count) * size for count, size in zip(shape, spacing, strict=True)], indexing="ij")
    parts = zip(axes, centre, radii, strict=True)
    return sum(((axis - middle) / radius) ** 2 for axis, middle, radius in parts) <= 1


def bodies(spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A predicted body and the true one: two lobes, elsewhere and of other sizes."""
    truth = ellipsoid(spacing, (20, 18, 17), (13, 10, 9)) | ellipsoid(spacing, (27, 24, 20), (8, 9, 8))
    prediction = ellipsoid(spacing, (22, 17, 19), (12, 11, 9)) | ellipsoid(spacing, (14, 24, 16), (7, 7, 6))
    return prediction, truth


def scattered(seed: int, shape: Sequence[int] = (6, 5, 4)) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of voxels thrown at random."""
    rng = np.random.default_rng(seed)
    return rng.random(shape) < 0.5, rng.random(shape) < 0.4


def box(shape: Sequence[int], start: Sequence[int], size: int = 6) -> np.ndarray:
    """A cube of voxels."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(first, first + size) for first in start)] = True
    return mask


def edge(mask: np.ndarray) -> list[Voxel]:
    """Voxels one of whose neighbours across a face is outside."""
    inside = set(map(tuple, np.argwhere(mask).tolist()))
    steps = [tuple(sign * (axis == each) for each in range(mask.ndim)) for axis in range(mask.ndim) for sign in (1, -1)]
    return [
        voxel
        for voxel in sorted(inside)
        if any(tuple(place + move for place, move in zip(voxel, step, strict=True)) not in inside for step in steps)
    ]


def nearest(some: list[Voxel], others: list[Voxel], spacing: Sequence[float]) -> list[float]:
    """Distance (mm) of each voxel to the nearest of the others."""
    scaled = [[[place * size for place, size in zip(voxel, spacing, strict=True)] for voxel in part]
              for part in (some, others)]  # fmt: skip
    return [min(math.dist(one, other) for other in scaled[1]) for one in scaled[0]]


def quantile(values: Sequence[float], share: float) -> float:
    """Between the two values next to it, linearly."""
    ordered, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def by_all_pairs(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float], tolerance: float
) -> dict[str, float]:
    """NSD, HD95 and ASSD by the distance of every surface voxel to every other one."""
    there, back = (nearest(*pair, spacing) for pair in itertools.permutations([edge(prediction), edge(truth)]))
    return {
        "nsd": sum(value <= tolerance for value in there + back) / len(there + back),
        "hd95": max(quantile(there, 0.95), quantile(back, 0.95)),
        "assd": sum(there + back) / len(there + back),
    }


def by_monai(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float], tolerance: float, nsd: str = "edges"
) -> dict[str, float]:
    """The same by MONAI's three metrics."""
    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, truth)]
    metrics = {
        "nsd": SurfaceDiceMetric([tolerance], include_background=True, use_subvoxels=nsd == "area"),
        "hd95": HausdorffDistanceMetric(percentile=95, include_background=True),
        "assd": SurfaceDistanceMetric(symmetric=True, include_background=True),
    }
    return {name: float(metric(*pair, spacing=list(spacing))) for name, metric in metrics.items()}


@each_spacing
@pytest.mark.parametrize("tolerance", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("nsd", ["area", "edges"])
def test_surface_metrics_agree_with_monai(spacing: Sequence[float], tolerance: float, nsd: str) -> None:
    masks = bodies(spacing)
    found = surface_metrics(*masks, spacing, tolerance, nsd=nsd)
    assert found == pytest.approx(by_monai(*masks, spacing, tolerance, nsd), abs=1e-5)


@each_spacing
@pytest.mark.parametrize("seed", range(5))
def test_surface_metrics_of_small_masks_agree_with_all_pairs(spacing: Sequence[float], seed: int) -> None:
    masks = scattered(seed)
    found = surface_metrics(*masks, spacing, 1.2, nsd="edges")
    assert found == pytest.approx(by_all_pairs(*masks, spacing, 1.2), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_surface_metrics_of_an_image_agree_with_all_pairs(seed: int) -> None:
    masks = scattered(seed, (9, 8))
    found = surface_metrics(*masks, (0.5, 2.0), 1.2, nsd="edges")
    assert found == pytest.approx(by_all_pairs(*masks, (0.5, 2.0), 1.2), abs=1e-5)


@each_spacing
@pytest.mark.parametrize("tolerance", [1.0, 3.0])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nsd_is_deepminds_and_distances_nearly(spacing: Sequence[float], tolerance: float) -> None:
    """Their distances lie at the corners of voxels and weigh by area: a voxel apart at most, half of one on average."""
    prediction, truth = bodies(spacing)
    theirs = surface_distance.compute_surface_distances(truth, prediction, spacing)
    found = surface_metrics(prediction, truth, spacing, tolerance)
    voxel = max(spacing)
    assert found["hd95"] == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95), abs=voxel)
    average = np.mean(surface_distance.compute_average_surface_distance(theirs))
    assert found["assd"] == pytest.approx(average, abs=voxel / 2)
    share = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance)
    assert found["nsd"] == pytest.approx(share, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_overlap_agrees_with_a_loop_over_voxels(seed: int) -> None:
    prediction, truth = scattered(seed)
    both = either = sizes = 0
    for one, other in zip(prediction.ravel().tolist(), truth.ravel().tolist(), strict=True):
        both += one and other
        either += one or other
        sizes += one + other
    found = measure_organ(prediction, truth, (1, 1, 1), 1.0, DIAGONAL)
    assert found["dice"] == pytest.approx(2 * both / sizes, abs=1e-12)
    assert found["iou"] == pytest.approx(both / either, abs=1e-12)
    assert found["dice"] == pytest.approx(2 * found["iou"] / (1 + found["iou"]), abs=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
@each_spacing
def test_hd95_of_a_shifted_box_is_the_shift(spacing: Sequence[float], axis: int) -> None:
    start = [4, 4, 4]
    start[axis] += 2
    found = surface_metrics(box((16, 16, 16), start), box((16, 16, 16), (4, 4, 4)), spacing, 1.0)
    assert found["hd95"] == pytest.approx(2 * spacing[axis], abs=1e-5)


@pytest.mark.parametrize(("tolerance", "within"), [(0.0, 80), (1.0, 112), (2.0, 152)])
def test_metrics_of_a_shifted_box_agree_with_a_calculation_by_hand(tolerance: float, within: int) -> None:
    """Of 152 surface voxels 36 are 2 mm off, 20 are 1 mm; on the far side 12 are 1 mm and 4 are 2 mm deep inside."""
    found = surface_metrics(box((12, 8, 8), (3, 1, 1)), box((12, 8, 8), (1, 1, 1)), (1, 1, 1), tolerance, nsd="edges")
    assert found["assd"] == pytest.approx((36 * 2 + 20 + 12 + 4 * 2) / 152, abs=1e-6)
    assert found["nsd"] == pytest.approx(within / 152, abs=1e-12)


@pytest.mark.parametrize(("tolerance", "nsd"), [(4.9, 0), (5.0, 1)])
def test_two_voxels_3_and_4_mm_apart(tolerance: float, nsd: float) -> None:
    masks = box((6, 6, 3), (1, 1, 1), 1), box((6, 6, 3), (2, 3, 1), 1)
    found = surface_metrics(*masks, (3.0, 2.0, 7.0), tolerance, nsd="edges")
    assert found == pytest.approx({"nsd": nsd, "hd95": 5, "assd": 5}, abs=1e-6)


@pytest.mark.parametrize("voxel", [0.7, 1.0, 1.1, 1.3, 2.2])
def test_a_surface_off_by_just_the_tolerance_lies_within_it(voxel: float) -> None:
    masks = box((14, 8, 8), (2, 1, 1)), box((14, 8, 8), (1, 1, 1))
    assert by_monai(*masks, [voxel] * 3, voxel)["nsd"] == 1
    assert surface_metrics(*masks, [voxel] * 3, voxel, nsd="edges")["nsd"] == 1
    assert surface_metrics(*masks, [voxel] * 3, voxel)["nsd"] == 1


def test_the_same_mask_twice_is_perfect() -> None:
    _, truth = bodies((1, 1, 1))
    found = measure_organ(truth, truth, (1, 1, 1), 1e-9, DIAGONAL)
    perfect = {"dice": 1, "iou": 1, "nsd": 1, "hd95": 0, "assd": 0, "missed": 0}
    volumes = dict.fromkeys(("volume_ml", "intersection_ml", "union_ml"), pytest.approx(truth.sum() / 1000))
    assert found == perfect | volumes


def test_metrics_are_symmetric() -> None:
    prediction, truth = bodies((0.8, 0.8, 2.5))
    assert surface_metrics(prediction, truth, (0.8, 0.8, 2.5), 2.0) == pytest.approx(
        surface_metrics(truth, prediction, (0.8, 0.8, 2.5), 2.0)
    )


def grown(mask: np.ndarray) -> np.ndarray:
    return np.pad(mask, ((3, 5), (1, 0), (2, 7)))


def shrunk(mask: np.ndarray) -> np.ndarray:
    return mask[2:-3, 1:-1, 2:-1]


@pytest.mark.parametrize(
    ("masks", "change"),
    [
        pytest.param(bodies((1, 1, 1)), shrunk, id="to a smaller box"),
        pytest.param(bodies((1, 1, 1)), grown, id="to a larger volume"),
        pytest.param((box((9, 9, 9), (0, 0, 0)), box((9, 9, 9), (3, 2, 3))), grown, id="off the border"),
        pytest.param((np.ones((5, 5, 5), bool), box((5, 5, 5), (1, 1, 1), 3)), grown, id="off every border"),
    ],
)
def test_the_field_of_view_around_the_organ_changes_nothing(
    masks: tuple[np.ndarray, np.ndarray], change: Callable[[np.ndarray], np.ndarray]
) -> None:
    changed = [change(mask) for mask in masks]
    assert [mask.sum() for mask in changed] == [mask.sum() for mask in masks]
    before, after = (measure_organ(*pair, (0.8, 1.2, 2.0), 2.0, DIAGONAL) for pair in (masks, changed))
    assert after == pytest.approx(before, abs=1e-12)


def test_voxels_at_the_border_of_the_volume_are_surface() -> None:
    whole = np.ones((6, 6, 6), bool)
    assert surface_metrics(whole, box((6, 6, 6), (1, 0, 0), 6), (1, 1, 1), 0.5)["hd95"] == pytest.approx(1)


def test_a_missed_organ_gets_the_worst_value_of_each_metric() -> None:
    found = measure_organ(np.zeros((9, 9, 9), bool), box((9, 9, 9), (1, 1, 1)), (1, 1, 1), 2.0, 123.4)
    worst = {"dice": 0, "iou": 0, "nsd": 0, "hd95": 123.4, "assd": 123.4, "missed": 1}
    assert found == worst | {"volume_ml": 0, "intersection_ml": 0, "union_ml": pytest.approx(0.216)}


def test_a_false_positive_is_reported_as_its_volume_alone() -> None:
    found = measure_organ(box((9, 9, 9), (1, 1, 1)), np.zeros((9, 9, 9), bool), (2.0, 1.0, 0.5), 2.0, DIAGONAL)
    volume = pytest.approx(0.216)
    assert found == {"volume_ml": volume, "false_positive_ml": volume, "intersection_ml": 0, "union_ml": volume}


@pytest.mark.parametrize("shape", [(4, 4, 4), (0, 0, 0)], ids=["a box", "an empty box"])
def test_an_organ_in_neither_mask_has_volumes_of_0(shape: Sequence[int]) -> None:
    nothing = np.zeros(shape, bool)
    names = ("volume_ml", "false_positive_ml", "intersection_ml", "union_ml")
    assert measure_organ(nothing, nothing, (1, 1, 1), 2.0, DIAGONAL) == dict.fromkeys(names, 0)


def test_the_volume_is_that_of_the_prediction() -> None:
    found = measure_organ(box((9, 9, 9), (1, 1, 1), 4), box((9, 9, 9), (1, 1, 1)), (2.5, 2.0, 10.0), 2.0, DIAGONAL)
    assert found["volume_ml"] == pytest.approx(64 * 50 / 1000)


@pytest.mark.parametrize(
    ("name", "label", "sign", "worst"),
    [
        ("dice", "Dice", 1, 0),
        ("iou", "IoU", 1, 0),
        ("nsd", "NSD", 1, 0),
        ("hd95", "HD95 (mm)", -1, None),
        ("assd", "ASSD (mm)", -1, None),
    ],
)
def test_metrics_state_their_unit_and_direction(name: str, label: str, sign: int, worst: float | None) -> None:
    metric = BY_NAME[name]
    assert (metric.label, metric.sign, metric.worst) == (label, sign, worst)
    assert [metric.name for metric in METRICS] == ["dice", "iou", "nsd", "hd95", "assd"]
