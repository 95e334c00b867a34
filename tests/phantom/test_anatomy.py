"""The shapes a phantom is made of, against distances known from geometry."""

import numpy as np
import pytest
import yaml

from scripts.phantom.anatomy import ORGANS, PARTNERS, Patient, ellipsoid, smooth_noise, tube
from scripts.phantom.phantom import NUMBERS


def grid(reach=40.0, count=17):
    """Points (3, X, Y, Z) of a cube about the origin; one of them is the origin."""
    axis = np.linspace(-reach, reach, count, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))


def at(*point):
    return np.asarray(point, np.float32).reshape(3, 1, 1, 1)


def of(patient, field=((-190, 190), (-150, 130), (0, 225)), step=8.0):
    """Signed distances of a patient's structures on a coarse grid, and its points."""
    axes = [np.arange(*ends, step, dtype=np.float32) for ends in field]
    xyz = np.stack(np.meshgrid(*axes, indexing="ij"))
    return patient.structures(xyz.copy()), xyz


@pytest.fixture(scope="module")
def numbers():
    return yaml.safe_load(NUMBERS.read_text())["patient"]


def test_the_distance_to_a_sphere_is_exact():
    centre = np.array([5.0, -10, 3])
    oracle = np.linalg.norm(grid() - centre.reshape(3, 1, 1, 1), axis=0) - 12
    np.testing.assert_allclose(ellipsoid(grid(), centre, (12, 12, 12)), oracle, atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_ellipsoid_ends_at_its_radii(axis):
    centre, radii = np.array([1.0, 2, 3]), (10.0, 20.0, 30.0)
    along = np.eye(3)[axis] * radii[axis]
    for share, sign in ((0.0, -1), (0.9, -1), (1.1, 1), (3.0, 1)):
        for side in (1, -1):
            assert np.sign(ellipsoid(at(*(centre + side * share * along)), centre, radii)) == sign
    assert abs(ellipsoid(at(*(centre + along)), centre, radii).item()) < 1e-4


def test_the_distance_to_an_ellipsoid_is_exact_along_its_shortest_axis():
    radii = (30.0, 10.0, 20.0)
    distances = [ellipsoid(at(0, y, 0), (0, 0, 0), radii).item() for y in (0, 4, 10, 25)]
    np.testing.assert_allclose(distances, [-10, -6, 0, 15], atol=1e-4)


def test_the_volume_of_an_ellipsoid_is_the_known_one():
    inside = (ellipsoid(grid(40, 81), (0.3, -0.2, 0.1), (15, 20, 25)) < 0).sum()
    np.testing.assert_allclose(inside, 4 / 3 * np.pi * 15 * 20 * 25, rtol=0.01)


def test_a_rotation_rotates_the_axes_of_an_ellipsoid():
    quarter = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)
    turned = ellipsoid(grid(), (0, 0, 0), (10, 20, 30), quarter)
    np.testing.assert_allclose(turned, ellipsoid(grid(), (0, 0, 0), (20, 10, 30)), atol=1e-4)


def test_the_distance_to_a_tube_is_that_to_the_nearest_ball_along_it():
    points = [(-20, -10, 0), (5, 10, 10), (20, 0, -25)]
    balls = [
        start + share * (end - start)
        for start, end in zip(np.array(points[:-1], float), np.array(points[1:], float), strict=True)
        for share in np.linspace(0, 1, 301)
    ]
    oracle = np.min([np.linalg.norm(grid() - ball.reshape(3, 1, 1, 1), axis=0) for ball in balls], axis=0) - 6
    np.testing.assert_allclose(tube(grid(), points, [6, 6, 6]), oracle, atol=0.01)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_tube_tapers_between_its_points(share):
    points, radii = [(0, 0, -20), (0, 0, 20)], (4.0, 12.0)
    radius = 4 + share * 8
    z = -20 + share * 40
    distances = [tube(at(x, 0, z), points, radii).item() for x in (0, radius, radius + 5)]
    np.testing.assert_allclose(distances, [-radius, 0, 5], atol=1e-4)


def test_a_tube_ends_round():
    distances = [tube(at(0, 0, z), [(0, 0, -20), (0, 0, 20)], (4, 12)).item() for z in (-30, -24, 32, 40)]
    np.testing.assert_allclose(distances, [6, 0, 0, 8], atol=1e-4)


@pytest.mark.parametrize("shape", [(20, 30, 40), (7, 5, 9), (132, 99, 51)])
@pytest.mark.parametrize("cells", [(3, 3, 3), (9, 8, 7)])
def test_smooth_noise_has_the_requested_shape_and_about_unit_range(shape, cells):
    noise = smooth_noise(np.random.default_rng(0), shape, cells)
    assert noise.shape == shape
    assert noise.dtype == np.float32
    assert 0.5 < np.ptp(noise) / 2 < 2.5


def test_smooth_noise_is_reproducible():
    one, same, other = (smooth_noise(np.random.default_rng(seed), (8, 9, 10), (3, 3, 3)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


def test_smooth_noise_varies_over_its_cells_and_not_from_voxel_to_voxel():
    noise = smooth_noise(np.random.default_rng(0), (80, 80, 80), (4, 4, 4))
    for axis in range(3):
        assert np.abs(np.diff(noise, axis=axis)).max() < 0.2 * np.ptp(noise)


def test_a_patient_is_reproducible(numbers):
    one, same, other = (of(Patient(np.random.default_rng(seed), numbers))[0] for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.allclose(one["liver"], other["liver"])


def test_a_patient_is_the_same_in_every_scan(numbers):
    patient = Patient(np.random.default_rng(1), numbers)
    first, again = of(patient)[0], of(patient)[0]
    assert all(np.array_equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("removed", [0.0, 1.0])
def test_only_the_gallbladder_may_have_been_removed(numbers, removed):
    parts, _ = of(Patient(np.random.default_rng(0), numbers | {"no_gallbladder": removed}))
    assert set(ORGANS) - set(parts) == ({"gallbladder"} if removed else set())
    tissues = {"skin", "fat", "wall", "cavity", "lung", "muscle", "ribs", "cortex", "bone", "disc", "bowel", "colon"}
    assert set(parts) - set(ORGANS) == tissues


@pytest.mark.parametrize("seed", range(5))
def test_right_organs_are_on_the_right_and_the_spine_is_behind(numbers, seed):
    parts, (x, y, _) = of(Patient(np.random.default_rng(seed), numbers))
    middle = {name: (x[distance < 0].mean(), y[distance < 0].mean()) for name, distance in parts.items()}
    for right, left in [*PARTNERS.items(), ("liver", "spleen")]:
        assert middle[right][0] > 0 > middle[left][0]
    assert middle["inferior_vena_cava"][0] > middle["aorta"][0]
    assert middle["bone"][1] < middle["aorta"][1] < middle["stomach"][1]


@pytest.mark.parametrize("seed", range(3))
def test_skin_fat_wall_and_cavity_lie_in_one_another(numbers, seed):
    parts, _ = of(Patient(np.random.default_rng(seed), numbers))
    for outer, inner in (("skin", "fat"), ("fat", "wall"), ("wall", "cavity"), ("cavity", "lung")):
        assert (parts[outer][parts[inner] < 0] < 0).all()
        assert (parts[outer] < 0).sum() > (parts[inner] < 0).sum() > 0


@pytest.mark.parametrize(("name", "side", "y", "z"), [("right_kidney", 1, -46, 92), ("left_kidney", -1, -44, 108)])
def test_a_kidney_is_open_towards_the_middle(numbers, name, side, y, z):
    spread = ("place_sd_mm", "scale_sd", "turn_sd_deg", "warp_mm", "surface_mm")
    average = Patient(np.random.default_rng(0), numbers | dict.fromkeys(spread, 0.0) | {"size": [1.0, 1.0]})
    inside = {x: (average.structures(at(side * x, y + 4, z))[name] < 0).item() for x in (30, 43, 64, 85, 98)}
    assert inside == {30: False, 43: False, 64: True, 85: True, 98: False}


def test_rotations_of_organs_are_orthonormal(numbers):
    for turn in Patient(np.random.default_rng(0), numbers).rotation.values():
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
        np.testing.assert_allclose(np.linalg.det(turn), 1, atol=1e-6)
