"""Views: image and masks are transformed together, then intensities are changed."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from monai.utils import set_determinism
from scipy.ndimage import affine_transform, map_coordinates
from torch.nn import functional

from scripts.cohort.label_table import LabelTable, Organ
from scripts.errors import SemclError
from scripts.queries import intensities
from scripts.queries.views import CONTROL_POINTS, Views

from .test_intensities import changed as with_intensities

GEOMETRY = {"area": (0.4, 0.9), "shift": 0.2, "rotation": 30, "elastic": 0.4}
INTENSITY = {"contrast": 0.2, "brightness": 0.2, "gamma": 0.4, "blur": 1.5, "noise": 0.05}
PRETRAIN = Path(__file__).parents[2] / "bundle" / "configs" / "pretrain.yaml"

PAIRED = LabelTable((Organ("right", 1, "left"), Organ("left", 2, "right"), Organ("front", 3)), ("unknown",))
SINGLE = LabelTable((Organ("front", 3),), ("unknown",))


def blobs(count: int, dims: int, size: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images (count, 1, size, ...) in [-1, 1] and masks of where they are bright."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, *[4] * dims, generator=generator)
    mode = "bilinear" if dims == 2 else "trilinear"
    image = torch.nn.functional.interpolate(coarse, size=[size] * dims, mode=mode) * 2 - 1
    return image, (image > 0).float()


def still(patch_size: int, **changes) -> Views:
    """Views with only the given changes."""
    settings = {"area": (1, 1), "rotation": 0} | changes
    views = Views(patch_size, **settings)
    views.set_random_state(0)
    return views


class Given(Views):
    """Views with given random parameters."""

    def __init__(self, patch_size: int, **draws: np.ndarray) -> None:
        super().__init__(patch_size, elastic=1e-3 if "elastic" in draws else 0)
        count = len(next(iter(draws.values())))
        dims = draws["elastic"].shape[1] if "elastic" in draws else draws["centre"].shape[1]
        nothing = {"scale": np.ones(count), "centre": np.zeros((count, dims)), "angle": np.zeros(count)}
        self.last = nothing | {"flip": np.ones((count, dims))} | draws

    def randomize(self, data: tuple[int, int]) -> None:
        pass


def looked_up(draws: dict[str, np.ndarray], index: int, dims: int, patch: int, side: int) -> np.ndarray:
    """Positions of a view's voxels in the input, (dims, P, P[, P]), as the docstring defines them."""
    voxels = np.stack(np.meshgrid(*[np.arange(patch)] * dims, indexing="ij")).reshape(dims, -1)
    cos, sin = np.cos(draws["angle"][index]), np.sin(draws["angle"][index])
    turn = np.eye(dims)
    turn[:2, :2] = [[cos, -sin], [sin, cos]]
    from_centre = voxels + 0.5 - patch / 2  # in voxels of the view
    from_centre = turn @ (from_centre * draws["flip"][index][:, None])
    if "elastic" in draws:
        between = voxels / (patch - 1) * (CONTROL_POINTS - 1)
        field = [map_coordinates(points, between, order=1, mode="nearest") for points in draws["elastic"][index]]
        from_centre = from_centre + np.array(field)
    from_centre = from_centre * draws["scale"][index] + draws["centre"][index][:, None] * patch / 2
    return (from_centre + side / 2 - 0.5).reshape(dims, *[patch] * dims)


def near_a_border(where: np.ndarray) -> np.ndarray:
    """Where float32 may round to another voxel than float64 does."""
    return (np.abs(where - np.floor(where) - 0.5) < 1e-4).any(0)


@pytest.mark.parametrize("dims", [2, 3])
def test_without_changes_the_patch_comes_back(dims):
    image, masks = blobs(3, dims, 12)
    moved, shown = still(12)(image, masks)
    assert torch.allclose(moved, image, atol=1e-5)
    assert torch.equal(shown, masks)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_margin_is_cut_off(dims):
    image, masks = blobs(2, dims, 20)
    inner = (slice(None), slice(None), *[slice(4, 16)] * dims)
    moved, shown = still(12)(image, masks)
    assert torch.allclose(moved, image[inner], atol=1e-5)
    assert torch.equal(shown, masks[inner])


@pytest.mark.parametrize("dims", [2, 3])
def test_one_interpolation_equals_scipy_with_the_recorded_parameters(dims):
    image, masks = blobs(4, dims, 24)
    views = still(24, area=(0.3, 0.7), rotation=30, flip_axes=[0])
    moved, _ = views(image, masks)
    for index in range(4):
        draws = {name: values[index] for name, values in views.last.items()}
        cos, sin = np.cos(draws["angle"]), np.sin(draws["angle"])
        matrix = np.eye(dims)
        matrix[:2, :2] = [[cos, -sin], [sin, cos]]
        matrix = matrix * draws["scale"] * draws["flip"][None]
        centre = np.full(dims, 11.5)
        offset = centre + draws["centre"] * 12 - matrix @ centre
        expected = affine_transform(image[index, 0].numpy() + 1, matrix, offset, order=1, mode="constant") - 1
        inside = affine_transform(np.ones([24] * dims), matrix, offset, order=1, mode="constant") > 0.999
        assert np.abs(moved[index, 0].numpy() - expected)[inside].max() < 1e-4


SETTINGS = {
    "shifted": {"shift": 0.6},
    "scaled": {"area": (0.3, 1.6)},
    "rotated": {"rotation": 80},
    "flipped": {"flip_axes": [0, 1]},
    "elastic": {"elastic": 0.5},
    "elastic and scaled": {"area": (0.3, 0.4), "elastic": 0.5},
    "all": {"area": (0.3, 1.6), "shift": 0.3, "rotation": 80, "flip_axes": [0], "elastic": 0.5},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize(("dims", "patch", "side"), [(2, 24, 24), (2, 17, 25), (3, 16, 16), (3, 15, 21)])
def test_each_voxel_is_sampled_where_the_parameters_place_it(settings, dims, patch, side):
    image, _ = blobs(3, dims, side)
    masks = (torch.rand(3, 2, *[side] * dims, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    views = still(patch, **settings)
    moved, shown = views(image, masks)
    for index in range(3):
        where = looked_up(views.last, index, dims, patch, side)
        by_scipy = map_coordinates(image[index, 0].double().numpy(), where, order=1, mode="grid-constant", cval=-1)
        assert np.abs(moved[index, 0].numpy() - by_scipy).max() < 1e-4
        voxel = np.floor(where + 0.5).astype(int)
        inside = ((voxel >= 0) & (voxel < side)).all(0)
        for mask, seen in zip(masks[index].numpy(), shown[index].numpy(), strict=True):
            nearest = np.where(inside, mask[tuple(voxel.clip(0, side - 1))], 0)
            sure = ~near_a_border(where)
            assert sure.mean() > 0.5
            assert np.array_equal(seen[sure], nearest[sure])


@pytest.mark.parametrize(("dims", "patch", "side"), [(2, 24, 24), (2, 16, 24), (3, 16, 16), (3, 12, 18)])
def test_views_without_elastic_deformation_agree_with_torchs_affine_grid(dims, patch, side):
    image, _ = blobs(3, dims, side)
    masks = (torch.rand(3, 2, *[side] * dims, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    views = still(patch, area=(0.3, 1.6), shift=0.3, rotation=80, flip_axes=[0, 1])
    moved, shown = views(image, masks)
    theta = torch.from_numpy(views.matrices(dims, patch / side)).float()
    grid = functional.affine_grid(theta, [3, 1, *[patch] * dims], align_corners=False)
    assert torch.allclose(moved, functional.grid_sample(image + 1, grid, align_corners=False) - 1, atol=1e-5)
    nearest = functional.grid_sample(masks, grid, mode="nearest", align_corners=False)
    assert (shown == nearest).float().mean() > 0.999  # but for voxels halfway between two


@pytest.mark.parametrize(("side", "patch"), [(8, 8), (14, 8)])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_same_displacement_of_all_control_points_is_a_shift(dims, side, patch):
    image, masks = blobs(2, dims, side)
    by = [2, -1, 1][:dims]  # voxels along X, Y, Z
    elastic = np.zeros((2, dims, *[CONTROL_POINTS] * dims))
    elastic[1] = np.array(by).reshape(dims, *[1] * dims)
    moved, shown = Given(patch, elastic=elastic)(image, masks)
    first = (side - patch) // 2
    around = functional.pad(image, [3] * 2 * dims, value=-1)
    around_masks = functional.pad(masks, [3] * 2 * dims)
    for index, shift in enumerate([[0] * dims, by]):
        there = tuple(slice(first + 3 + more, first + 3 + more + patch) for more in shift)
        assert torch.allclose(moved[index, 0], around[index, 0][there], atol=1e-5)
        assert torch.equal(shown[index, 0], around_masks[index, 0][there])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_control_point_moves_along_its_own_axis_alone(axis):
    side, middle = 9, CONTROL_POINTS // 2
    ramps = np.stack(np.meshgrid(*[np.linspace(-0.8, 0.8, side)] * 3, indexing="ij"))
    elastic = np.zeros((3, 3, *[CONTROL_POINTS] * 3))
    elastic[:, axis, middle, middle, middle] = 0.5
    image = torch.from_numpy(ramps).float()[:, None]  # image i rises along axis i by 0.2 a voxel
    moved, _ = Given(side, elastic=elastic)(image, image)
    change = (moved - image)[:, 0, 4, 4, 4]
    assert change[axis].item() == pytest.approx(0.1, abs=1e-5)
    assert change[[other for other in range(3) if other != axis]].abs().max() < 1e-6
    assert (moved - image)[:, 0, [0, -1]].abs().max() < 1e-6  # the other control points have not moved


def largest_elastic(patch_size: int) -> float:
    """The largest elastic displacement that is not refused."""
    low, high = 0.0, float(patch_size)
    for _ in range(40):
        middle = (low + high) / 2
        try:
            Views(patch_size, elastic=middle)
            low = middle
        except SemclError:
            high = middle
    return low


@pytest.mark.parametrize("area", [1.0, 0.3], ids=["whole patch", "a third of it"])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_largest_elastic_deformation_does_not_fold_the_image(dims, area):
    patch, side = 33, 49  # eight voxels between control points, and room around
    towards = (-1.0) ** np.indices([CONTROL_POINTS] * dims).sum(0)  # neighbours come to meet each other
    elastic = np.broadcast_to(towards, (dims, dims, *towards.shape)) * largest_elastic(patch) * 0.99
    views = Given(patch, elastic=elastic, scale=np.full(dims, area ** (1 / dims)))
    image = (torch.from_numpy(np.indices([side] * dims)) / 30 - 0.8).float()[:, None]  # each rises along an axis
    where = views(image, image)[0][:, 0].double().numpy()
    steps = [np.diff(where, axis=axis + 1)[(slice(None), *[slice(patch - 1)] * dims)] for axis in range(dims)]
    mapped = np.moveaxis(np.stack(steps), [0, 1], [-1, -2]) * 30  # Jacobian at each voxel, (..., dims, dims)
    assert np.linalg.det(mapped).min() > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_image_and_mask_move_together(dims):
    side = 32 if dims == 2 else 20
    image, masks = blobs(8, dims, side)
    interior = functional.pad(torch.ones(8, 1, *[side - 4] * dims), [2] * 2 * dims)
    views = still(side - 4, flip_axes=[0], **GEOMETRY)
    moved, shown = views(image, torch.cat([masks, interior], dim=1))
    sure = (moved.abs() > 0.3) & (shown[:, 1:] > 0)  # away from the mask's edge and from air
    assert sure.float().mean() > 0.3
    assert torch.equal((moved > 0)[sure], shown[:, :1].bool()[sure])


@pytest.mark.parametrize("dims", [2, 3])
def test_masks_stay_masks(dims):
    side = 24 if dims == 2 else 14
    image, _ = blobs(6, dims, side)
    masks = (torch.rand(6, 3, *[side] * dims, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    views = still(side, flip_axes=[0], **GEOMETRY, **INTENSITY)
    for _ in range(5):
        moved, shown = views(image, masks)
        assert shown.unique().tolist() == [0, 1]
        assert moved.abs().max() <= 1
        assert moved.isfinite().all()


def test_inputs_are_not_modified():
    image, masks = blobs(4, 2, 16)
    before = image.clone(), masks.clone()
    still(16, **GEOMETRY, **INTENSITY)(image, masks)
    assert torch.equal(image, before[0])
    assert torch.equal(masks, before[1])


def test_paired_organs_keep_their_side(table):
    image = torch.full((64, 1, 32, 32), -1.0)
    right = torch.zeros(64, 1, 32, 32)
    right[:, :, 22:26] = 1  # an organ at large x: the patient's right

    def sides(flip_axes):
        _, shown = still(32, area=(0.8, 0.9), flip_axes=flip_axes)(image, right)
        x = torch.arange(32.0).view(-1, 1)
        return ((shown[:, 0] * x).sum((1, 2)) / shown[:, 0].sum((1, 2))) > 15.5

    assert table.flip_axes == []
    assert sides(table.flip_axes).all()
    assert 10 < sides([0]).sum() < 54  # had we flipped, half of them would have changed sides


def organs(dims: int, side: int) -> torch.Tensor:
    """Masks (1, dims + 1, side, ...): one organ in the middle, one at the right, one in front, one above."""
    masks = torch.zeros(1, dims + 1, *[side] * dims)
    middle = side // 2
    for organ in range(dims + 1):
        centre = [middle + (side // 4 if organ == axis + 1 else 0) for axis in range(dims)]
        masks[(0, organ, *(slice(at - 2, at + 2) for at in centre))] = 1
    return masks


def centres(masks: torch.Tensor) -> np.ndarray:
    """Centre of gravity of each mask, (B, M, dims)."""
    dims = masks.ndim - 2
    voxels = torch.stack(torch.meshgrid(*[torch.arange(masks.shape[-1]).float()] * dims, indexing="ij"))
    weights = masks.flatten(2)
    return (weights @ voxels.flatten(1).T / weights.sum(2, keepdim=True)).double().numpy()


@pytest.mark.parametrize("rotation", [30, 90])
@pytest.mark.parametrize("dims", [2, 3])
def test_no_view_of_a_cohort_with_paired_organs_is_mirrored(dims, rotation):
    side = 40 if dims == 2 else 24
    masks = organs(dims, side).expand(64, -1, *[-1] * dims)
    settings = GEOMETRY | {"area": (1.2, 2.0), "shift": 0.05, "rotation": rotation}

    def mirrored(flip_axes, table):
        views = still(side, **settings, flip_axes=flip_axes, table=table)
        _, shown = views(torch.zeros(64, 1, *[side] * dims), masks)
        found = centres(shown)
        assert np.isfinite(found).all()  # each organ is seen
        to_the_others = found[:, 1:] - found[:, :1]
        if rotation < 45:
            left_of_the_middle = to_the_others[:, 0, 0] < 0  # the organ at the right
            assert np.array_equal(left_of_the_middle, views.last["flip"][:, 0] < 0)
        return np.linalg.det(to_the_others) < 0  # right, front, above as a left hand has them

    assert not mirrored(PAIRED.flip_axes, PAIRED).any()
    assert 16 < mirrored([0], None).sum() < 48  # had we flipped, half of them would have been
    assert SINGLE.flip_axes == [0]
    assert 16 < mirrored(SINGLE.flip_axes, SINGLE).sum() < 48  # as they may where no organ is paired


@pytest.mark.parametrize("flip_axes", [[0], [1], [2], [0, 1]])
def test_flips_of_a_cohort_with_paired_organs_are_refused(flip_axes):
    with pytest.raises(SemclError, match=r"(?s)into its left-right partner.*flips along \[\] only"):
        Views(32, flip_axes=flip_axes, table=PAIRED)


def test_a_flip_no_cohort_allows_is_refused_for_its_own_reason():
    with pytest.raises(SemclError, match=r"flips along \[0\] only") as refusal:
        Views(32, flip_axes=[1], table=SINGLE)
    assert "paired organs" not in str(refusal.value)


def test_flips_a_cohort_allows_are_not_refused():
    assert Views(32, flip_axes=SINGLE.flip_axes, table=SINGLE).flip_axes == (0,)
    assert Views(32, flip_axes=PAIRED.flip_axes, table=PAIRED).flip_axes == ()
    assert Views(32, flip_axes=[0, 1]).flip_axes == (0, 1)  # without a table nobody knows


NAN, INFINITE = float("nan"), float("inf")
REFUSED = {
    "an area of nothing": ({"area": (0, 0.5)}, "area", "two numbers above 0"),
    "a negative area": ({"area": (-0.1, 0.5)}, "area", "two numbers above 0"),
    "one area": ({"area": (0.5,)}, "area", "two numbers above 0"),
    "three areas": ({"area": (0.3, 0.5, 0.7)}, "area", "two numbers above 0"),
    "no area": ({"area": ()}, "area", "two numbers above 0"),
    "an infinite area": ({"area": (0.5, INFINITE)}, "area", "two numbers above 0"),
    "an area that is no number": ({"area": (NAN, 0.5)}, "area", "two numbers above 0"),
    "a second area that is no number": ({"area": (0.5, NAN)}, "area", "two numbers above 0"),
    "a negative rotation": ({"rotation": -1}, "rotation", "0 to 90 degrees"),
    "a rotation beyond a quarter turn": ({"rotation": 90.5}, "rotation", "0 to 90 degrees"),
    "a rotation that is no number": ({"rotation": NAN}, "rotation", "0 to 90 degrees"),
    "a negative displacement": ({"elastic": -0.1}, "elastic", "more would fold the image"),
    "a displacement beyond the next control point": ({"elastic": 8}, "elastic", "more would fold the image"),
    "a contrast of nothing": ({"contrast": 1}, "contrast", "0 to below 1"),
    "a negative contrast": ({"contrast": -0.1}, "contrast", "0 to below 1"),
    "a negative shift": ({"shift": -0.1}, "shift", "0 or more"),
    "a negative brightness": ({"brightness": -0.1}, "brightness", "0 or more"),
    "a negative gamma": ({"gamma": -0.1}, "gamma", "0 or more"),
    "a negative blur": ({"blur": -0.1}, "blur", "0 or more"),
    "a negative noise": ({"noise": -0.1}, "noise", "0 or more"),
    "a noise that is no number": ({"noise": NAN}, "noise", "0 or more"),
    "an infinite noise": ({"noise": INFINITE}, "noise", "0 or more"),
    "an infinite shift": ({"shift": INFINITE}, "shift", "0 or more"),
}


@pytest.mark.parametrize(("settings", "name", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_numbers_out_of_range_are_refused(settings, name, expected):
    with pytest.raises(SemclError, match=f"(?s)views cannot be made with this {name}\n.*{expected}.*change {name}"):
        Views(32, **settings)


def test_a_refusal_reports_what_was_found():
    with pytest.raises(SemclError, match="found:    95\n"):
        Views(32, rotation=95)


ALLOWED = {
    "the defaults": {},
    "everything at 0": dict.fromkeys(["shift", "rotation", "elastic", *INTENSITY], 0),
    "everything at once": GEOMETRY | INTENSITY,
    "a quarter turn": {"rotation": 90},
    "more than the patch": {"area": (0.5, 4)},
    "one area": {"area": [0.5, 0.5]},
}


@pytest.mark.parametrize("settings", ALLOWED.values(), ids=ALLOWED.keys())
def test_numbers_in_range_are_accepted(settings):
    moved, shown = Views(32, **settings)(*blobs(2, 2, 32))
    assert moved.shape == shown.shape == (2, 1, 32, 32)
    assert moved.isfinite().all()


@pytest.mark.parametrize("table", [PAIRED, SINGLE], ids=["paired", "single"])
@pytest.mark.parametrize("patch_size", [32, 128])
def test_the_settings_of_the_pretraining_stage_are_fine(table, patch_size):
    settings = yaml.safe_load(PRETRAIN.read_text())["train"]["views"]
    numbers = {name: value for name, value in settings.items() if not isinstance(value, str)}
    assert set(numbers) >= {"area", "rotation", "contrast", "brightness", "noise"}
    Views(patch_size, flip_axes=table.flip_axes, table=table, **numbers)


@pytest.mark.parametrize("dims", [2, 3])
def test_parameters_fill_their_ranges_and_stay_in_them(dims):
    views = still(32, flip_axes=[1], **GEOMETRY, **INTENSITY)
    views.randomize((2000, dims))
    last = views.last
    ranges = {
        "area": (last["scale"] ** dims, 0.4, 0.9),
        "angle": (np.rad2deg(last["angle"]), -30, 30),
        "gain": (last["gain"], 0.8, 1.2),
        "offset": (last["offset"], -0.2, 0.2),
        "gamma": (np.log(last["gamma"]), -0.4, 0.4),
        "blur": (last["blur"], 0, 1.5),
        "elastic": (last["elastic"], -0.4, 0.4),
        "centre": (last["centre"] / np.maximum(1 - last["scale"], 0.2)[:, None], -1, 1),
    }
    for name, (values, low, high) in ranges.items():
        assert low <= values.min() < low + 0.05 * (high - low), name
        assert high - 0.05 * (high - low) < values.max() <= high, name
    assert last["elastic"].shape == (2000, dims, *[CONTROL_POINTS] * dims)
    assert set(np.delete(last["flip"], 1, axis=1).ravel()) == {1}
    assert set(last["flip"][:, 1]) == {-1, 1}
    assert abs(last["flip"][:, 1].mean()) < 0.1
    assert set(last["noise"]) == {0.05}


@pytest.mark.parametrize(("shift", "furthest"), [(0, 0.5), (0.3, 0.5), (0.8, 0.8)])
def test_a_view_goes_as_far_as_the_edge_of_its_patch_or_the_shift(shift, furthest):
    views = still(16, area=(0.25, 0.25), shift=shift)  # half as wide as the patch
    views.randomize((500, 2))
    assert 0.95 * furthest < views.last["centre"].max(0).min() <= views.last["centre"].max() <= furthest
    assert -0.95 * furthest > views.last["centre"].min(0).max() >= views.last["centre"].min() >= -furthest


def test_disabled_changes_are_not_sampled():
    views = still(16)
    views(*blobs(4, 2, 16))
    assert set(views.last) == {"scale", "centre", "angle", "flip", "gain", "offset"}


def test_the_same_seed_gives_the_same_views():
    image, masks = blobs(4, 2, 16)

    def draw(seed):
        views = Views(16, flip_axes=[0], elastic=0.4, **INTENSITY)
        views.set_random_state(seed)
        return [views(image, masks)[0] for _ in range(2)]

    first, again, other = draw(0), draw(0), draw(1)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


def test_the_seed_of_a_run_is_the_seed_of_its_views():
    def draw():
        views = Views(16)
        views.randomize((3, 2))
        return views.last["scale"].tolist()

    try:
        set_determinism(5)
        first, again = draw(), draw()
        set_determinism(6)
        other = draw()
    finally:
        set_determinism(None)
    assert first == again
    assert first != other


def test_parameters_depend_only_on_the_batch_size():
    def draws(image, masks):
        views = still(16, **GEOMETRY, **INTENSITY)
        views(image, masks)
        views(image, masks)
        return views.last

    one, other = draws(*blobs(3, 2, 16)), draws(torch.ones(3, 1, 20, 20), torch.zeros(3, 2, 20, 20))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_intensity_changes_do_not_affect_the_geometry():
    image, masks = blobs(3, 2, 16)
    _, plain = still(16, **GEOMETRY)(image, masks)
    _, changed = still(16, **GEOMETRY, **INTENSITY)(image, masks)
    assert torch.equal(plain, changed)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_recorded_parameters_reproduce_the_image(dims):
    image, masks = blobs(3, dims, 16)
    plain, _ = still(16, **GEOMETRY)(image, masks)
    views = still(16, **GEOMETRY, **INTENSITY)
    moved, _ = views(image, masks)
    assert set(views.last) >= {"gamma", "blur", "noise", "noise_seed"}
    assert torch.equal(with_intensities(plain.clone(), views.last), moved)
    other = views.last | {"noise_seed": views.last["noise_seed"] + 1}
    assert not torch.equal(with_intensities(plain.clone(), other), moved)


@pytest.mark.parametrize(("name", "most"), {**INTENSITY, "blur": 5}.items(), ids=INTENSITY.keys())
def test_each_view_has_its_own_intensity_change(name, most):
    image, masks = blobs(1, 2, 16)
    image, masks = image.expand(4, -1, -1, -1), masks.expand(4, -1, -1, -1)
    views = still(16, **{name: most})
    moved, shown = views(image, masks)
    again, _ = views(image, masks)
    assert all((one - other).abs().max() > 1e-6 for one, other in itertools.combinations([*moved, *again], 2))
    assert torch.equal(shown, masks)  # masks have no intensities


def test_intensities_change_within_their_bounds():
    image, masks = blobs(16, 2, 16)
    moved, _ = still(16, contrast=0.2, brightness=0.1)(image, masks)
    assert (moved - image).abs().max() <= 0.3 + 1e-5
    assert (moved - image).abs().max() > 0.05
    assert moved.abs().max() <= 1


def test_outside_of_the_patch_is_air():
    image = torch.ones(8, 1, 16, 16)
    moved, _ = still(16, area=(4, 4))(image, image)
    assert (moved[:, :, 0] == -1).all()
    assert (moved[:, :, 8, 8] == 1).all()


def test_a_view_stays_in_its_patch_unless_a_shift_is_requested():
    image = torch.ones(32, 1, 16, 16)
    _, inside = still(16, area=(0.3, 0.7))(image, image)
    _, shifted = still(16, area=(0.3, 0.7), shift=1.0)(image, image)
    assert inside.all()
    assert not shifted.all()


@pytest.mark.parametrize(("dims", "elastic"), [(2, 0), (3, 0), (3, 0.3)])
@pytest.mark.parametrize("channels", [1, 2])
def test_views_do_not_depend_on_the_slab_size(dims, elastic, channels, monkeypatch):
    image, masks = blobs(5, dims, 12)
    image = torch.cat([image, image.flip(2)], dim=1)[:, :channels]
    masks = torch.cat([masks, masks.flip(3), masks.flip(2)], dim=1)
    settings = {**GEOMETRY, **INTENSITY, "elastic": elastic}
    whole = still(10, **settings)(image, masks)
    for slab in (1, 2 * channels * 12**dims):  # two volumes at once leave one for the last
        monkeypatch.setattr(intensities, "THREAD_VOXELS", slab)
        moved, shown = still(10, **settings)(image, masks)
        assert torch.allclose(moved, whole[0], atol=1e-5)
        assert torch.equal(shown, whole[1])


@pytest.mark.parametrize("dims", [2, 3])
def test_all_channels_are_transformed_alike(dims):
    image, masks = blobs(3, dims, 12)
    both = torch.cat([image, image.flip(2)], dim=1)
    settings = {**GEOMETRY, "elastic": 0, "gamma": 0.4, "blur": 1.5, "contrast": 0.2, "brightness": 0.2}
    moved, _ = still(10, **settings)(both, masks)
    for channel in range(2):
        alone, _ = still(10, **settings)(both[:, channel, None], masks)
        assert torch.allclose(moved[:, channel, None], alone, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("names", [(), ("gamma",), ("blur",), ("noise",), tuple(INTENSITY)], ids=str)
def test_the_recorded_parameters_reproduce_a_volume_without_elastic_deformation(names, channels):
    image, masks = blobs(3, 3, 14)
    image = torch.cat([image, image.flip(2)], dim=1)[:, :channels]
    settings = {**GEOMETRY, "elastic": 0, "area": (0.4, 1.6)}  # with air around
    plain, _ = still(14, **settings)(image, masks)
    views = still(14, **settings, **{name: INTENSITY[name] for name in names})
    moved, _ = views(image, masks)
    assert torch.allclose(with_intensities(plain.clone(), views.last), moved, atol=2e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_an_empty_batch_gives_an_empty_batch(dims):
    image = torch.zeros(0, 1, *[8] * dims)
    moved, shown = still(8, **INTENSITY)(image, image)
    assert moved.shape == shown.shape == image.shape


@pytest.mark.parametrize("dims", [2, 3])
def test_a_compiled_step_breaks_once_around_views(dims):
    views = Views(8, gamma=0.1, blur=1, contrast=0.1, brightness=0.1, noise=0.05)
    patches = torch.rand(2, 1, *[12] * dims)

    def step(image, masks):
        image, masks = views(image * 2 - 1, masks)
        return image * masks

    torch._dynamo.reset()
    found = torch._dynamo.explain(step)(patches, patches.round())
    assert (found.graph_count, found.graph_break_count) == (2, 1)
    assert "views" in found.break_reasons[0].user_stack[-1].line
