"""Phantoms: the same bytes for a seed, and what a reader of abdominal CT would look for."""

import copy
import csv
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import yaml
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as connected

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.phantom.anatomy import ORGANS, PARTNERS
from scripts.phantom.phantom import NUMBERS, PhantomScan, plan, render, scans, write_phantoms

CASES = [
    "patient001_portal",
    "patient002_noncontrast",
    "patient003_noncontrast",
    "patient003_portal",
    "patient004_portal",
    "patient005_noncontrast",
]
each_scan = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def loaded(phantoms):
    """Of each case of the cohort the image and label files, and their voxels."""

    def load(case):
        image, label = (nib.load(phantoms / kind / f"{case}.nii.gz") for kind in ("images", "labels"))
        return SimpleNamespace(
            image=image, label=label, hounsfield=np.asarray(image.dataobj), organs=np.asarray(label.dataobj)
        )

    return {case: load(case) for case in CASES}


@pytest.fixture
def numbers():
    """The phantom's numbers with voxels of about a centimetre, which take no time."""
    given = copy.deepcopy(yaml.safe_load(NUMBERS.read_text()))
    given["scan"] |= {"pixel_mm": [9.0, 9.0], "slice_mm": [9.0, 9.0]}
    return given


def place(scan, name):
    """Centroid of an organ in RAS mm."""
    return apply_affine(scan.label.affine, np.argwhere(scan.organs == ORGANS[name])).mean(0)


def voxel_places(image):
    """RAS mm (X, Y, Z, 3) of an image's voxels."""
    return apply_affine(image.affine, np.moveaxis(np.indices(image.shape), 0, -1))


def depth(scan):
    """Distance (mm) of voxels from the air around the body, 0 there."""
    pieces, _ = connected(scan.hounsfield < -900)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return distance_transform_edt(sizes[pieces] < 500, scan.image.header.get_zooms())


def files(folder):
    """Files by name, but for the marker."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_seed_gives_the_same_bytes_and_a_larger_cohort_begins_with_the_smaller(phantoms, tmp_path):
    write_phantoms(tmp_path, 2, seed=0)
    small, large = files(tmp_path), files(phantoms)
    volumes = {f"{kind}/{case}.nii.gz" for kind in ("images", "labels") for case in CASES[:2]}
    assert set(small) == volumes | {"cases.csv", "labels.yaml"}
    for name in volumes:
        assert small[name] == large[name]
    assert large["cases.csv"].startswith(small["cases.csv"])


def test_a_cohort_has_the_same_bytes_in_any_folder_and_others_for_another_seed(tmp_path):
    for folder, seed in (("one", 3), ("same", 3), ("other", 4)):
        write_phantoms(tmp_path / folder, 1, seed)
    one, same, other = (files(tmp_path / folder) for folder in ("one", "same", "other"))
    assert one == same
    assert set(one) == set(other)
    changed = {name for name in one if one[name] != other[name]}
    assert changed == {f"{kind}/patient001_portal.nii.gz" for kind in ("images", "labels")}


def test_compressed_files_hold_neither_a_time_nor_a_name(phantoms):
    for path in phantoms.rglob("*.nii.gz"):
        head = path.read_bytes()[:8]
        assert head[3] == 0  # no field follows the header
        assert head[4:8] == bytes(4)  # time of writing


def test_listed_scans_of_a_larger_cohort_begin_with_those_of_a_smaller(numbers):
    longest = scans(50, numbers)
    for count in range(1, 50):
        assert scans(count, numbers) == longest[:count]
    assert len({scan.case for scan in longest}) == 50


def test_every_third_patient_has_both_phases_and_the_others_alternate(numbers):
    phases = {}
    for scan in scans(40, numbers):
        phases.setdefault(scan.patient, []).append(scan.phase)
    assert list(phases) == list(range(1, 31))
    assert {patient for patient, seen in phases.items() if len(seen) == 2} == set(range(3, 31, 3))
    assert all(seen == ["noncontrast", "portal"] for patient, seen in phases.items() if patient % 3 == 0)
    alone = [seen[0] for patient, seen in phases.items() if patient % 3]
    assert alone == ["portal", "noncontrast"] * 10


def test_planned_cases_are_those_that_are_written(phantoms):
    planned = plan(phantoms, 6)
    written = sorted(datalist.load(phantoms), key=lambda case: case.id)
    assert [(case.id, case.patient, case.phase, case.image) for case in planned] == [
        (case.id, case.patient, case.phase, case.image) for case in written
    ]


@pytest.mark.parametrize("cases", [0, -1, 2.5, "six"])
def test_an_invalid_number_of_cases_is_refused(tmp_path, cases):
    match = rf"(?s)a cohort needs scans.*found: +{cases} cases.*a whole number from 1.*change --cases"
    with pytest.raises(SemclError, match=match):
        plan(tmp_path, cases)


def test_the_table_of_cases_gives_two_scans_to_a_patient_with_two_phases(phantoms):
    with open(phantoms / "cases.csv", newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [(case, *case.split("_")) for case in CASES]
    twice = [case for case in datalist.load(phantoms, need_label=True) if case.patient == "patient003"]
    assert [case.phase for case in twice] == ["noncontrast", "portal"]
    assert twice[0].fold == twice[1].fold


def test_the_label_table_names_organs_partners_and_phases(phantoms):
    table = LabelTable.load(phantoms)
    assert {organ.name: organ.index for organ in table.organs} == ORGANS
    assert table.phases == ("noncontrast", "portal")
    partners = {organ.name: organ.partner for organ in table.organs if organ.partner}
    assert partners == PARTNERS | {left: right for right, left in PARTNERS.items()}


@each_scan
def test_image_and_label_map_share_voxels_and_place(loaded, case):
    scan = loaded[case]
    assert scan.image.shape == scan.label.shape
    np.testing.assert_array_equal(scan.image.affine, scan.label.affine)
    assert scan.image.get_data_dtype() == np.int16
    assert scan.image.header.get_xyzt_units()[0] == "mm"


@each_scan
def test_slices_are_thicker_than_pixels(loaded, case):
    zooms = voxel_sizes(nib.as_closest_canonical(loaded[case].image).affine)
    assert zooms[0] == pytest.approx(zooms[1])
    assert 2.4 <= zooms[0] <= 3.0
    assert 4.0 <= zooms[2] <= 6.0


def test_voxel_sizes_and_orientations_differ_between_scans(loaded):
    assert len({nib.aff2axcodes(scan.image.affine) for scan in loaded.values()}) > 1
    assert len({tuple(np.round(scan.image.header.get_zooms(), 3)) for scan in loaded.values()}) == len(CASES)


@each_scan
def test_at_least_ten_organs_are_labelled_with_kidneys_and_adrenals_of_both_sides(loaded, case):
    present = set(np.unique(loaded[case].organs)) - {0}
    assert present <= set(ORGANS.values())
    assert len(present) >= 10
    assert {ORGANS[name] for pair in PARTNERS.items() for name in pair} <= present


@each_scan
def test_right_organs_lie_to_the_right(loaded, case):
    for right, left in [*PARTNERS.items(), ("liver", "spleen")]:
        assert place(loaded[case], right)[0] > 0 > place(loaded[case], left)[0]


@each_scan
def test_organs_lie_in_their_order_from_feet_to_head_and_from_back_to_front(loaded, case):
    scan = loaded[case]
    assert place(scan, "right_kidney")[2] < place(scan, "right_adrenal")[2]
    assert place(scan, "left_kidney")[2] < place(scan, "left_adrenal")[2]
    assert place(scan, "aorta")[1] < place(scan, "pancreas")[1]


@each_scan
def test_organs_have_volumes_of_an_adult(loaded, case):
    scan = loaded[case]
    millilitres = np.prod(scan.label.header.get_zooms()) / 1000
    for name, low, high in (("liver", 600, 2600), ("spleen", 50, 600), ("right_kidney", 60, 350), ("aorta", 20, 200)):
        assert low < (scan.organs == ORGANS[name]).sum() * millilitres < high


def test_contrast_is_seen_in_the_portal_phase_of_the_same_patient(loaded):
    plain, portal = loaded["patient003_noncontrast"], loaded["patient003_portal"]
    for name, least in (("liver", 20), ("spleen", 30), ("aorta", 50), ("right_kidney", 50), ("left_kidney", 50)):
        before, after = (scan.hounsfield[scan.organs == ORGANS[name]].mean() for scan in (plain, portal))
        assert after > before + least


def test_two_scans_of_a_patient_show_the_same_anatomy_on_grids_of_their_own(loaded):
    plain, portal = loaded["patient003_noncontrast"], loaded["patient003_portal"]
    assert plain.image.shape != portal.image.shape
    for name in ("liver", "spleen", "left_kidney", "stomach"):
        sizes = [
            (scan.organs == ORGANS[name]).sum() * np.prod(scan.label.header.get_zooms()) for scan in (plain, portal)
        ]
        np.testing.assert_allclose(*sizes, rtol=0.05)
        apart = place(plain, name) - place(portal, name)
        assert np.abs(apart[:2]).max() < 2  # breath moves organs along the body alone


@each_scan
def test_organs_have_the_attenuation_of_their_phase(loaded, case):
    scan = loaded[case]
    table = yaml.safe_load(NUMBERS.read_text())["hounsfield"]
    portal = case.endswith("portal")
    for name in ("liver", "spleen", "right_kidney", "left_kidney"):
        core = distance_transform_edt(scan.organs == ORGANS[name]) > 2
        plain, enhanced = table[name]
        low, high = (plain + 0.75 * (enhanced - plain), plain + 1.2 * (enhanced - plain)) if portal else (plain, plain)
        assert low - 30 < scan.hounsfield[core].mean() < high + 30


@each_scan
def test_the_body_has_air_around_it_fat_under_the_skin_and_lungs(loaded, case):
    scan = loaded[case]
    deep = depth(scan)
    assert (deep == 0).mean() > 0.05
    assert -130 < np.median(scan.hounsfield[(deep > 11) & (deep < 15)]) < -80
    assert ((scan.hounsfield > -900) & (scan.hounsfield < -780) & (deep > 20)).mean() > 0.01


@each_scan
def test_the_spine_is_in_the_middle_behind_and_ribs_are_at_both_sides(loaded, case):
    scan = loaded[case]
    bone = (nib.as_closest_canonical(scan.image).get_fdata() > 300) & (
        nib.as_closest_canonical(scan.label).get_fdata() == 0
    )
    x, y, _ = np.moveaxis(voxel_places(nib.as_closest_canonical(scan.image)), -1, 0)
    assert (bone & (np.abs(x) < 30) & (y < 0)).any((0, 1)).all()  # in every slice
    for side in (1, -1):
        assert (bone & (side * x > 80)).sum() > 100


@each_scan
def test_a_wall_of_muscle_lies_between_fat_and_organs(loaded, case):
    scan = loaded[case]
    muscle = (scan.hounsfield > 20) & (scan.hounsfield < 100) & (scan.organs == 0) & (depth(scan) > 15)
    muscle, organs = (apply_affine(scan.image.affine, np.argwhere(found)) for found in (muscle, scan.organs > 0))
    for axis, side in ((0, 1), (0, -1), (1, 1)):  # right, left, front
        edge = np.quantile(side * organs[:, axis], 0.99)
        assert (side * muscle[:, axis] > edge).sum() > 500


@each_scan
def test_values_are_those_a_scanner_writes(loaded, case):
    assert -1024 <= loaded[case].hounsfield.min() < -950
    assert 400 < loaded[case].hounsfield.max() <= 3071


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "RAI", "PIR"])
def test_the_orientation_a_scan_is_stored_in_does_not_move_it(numbers, codes):
    assert codes in numbers["scan"]["orientations"]

    def rendered(orientation):
        numbers["scan"]["orientations"] = [orientation]
        image, label, affine = render(PhantomScan(1, "portal", 0), 0, numbers)
        return nib.Nifti1Image(image, affine), nib.Nifti1Image(label, affine)

    for stored, plain in zip(rendered(codes), rendered("RAS"), strict=True):
        assert "".join(nib.aff2axcodes(stored.affine)) == codes
        turned = nib.as_closest_canonical(stored)
        np.testing.assert_array_equal(np.asarray(turned.dataobj), np.asarray(plain.dataobj))
        np.testing.assert_allclose(turned.affine, plain.affine, atol=1e-6)


def test_another_seed_is_another_patient_on_another_grid(numbers):
    numbers["scan"] |= {"pixel_mm": [8.0, 12.0]}
    one, other = (render(PhantomScan(1, "portal", 0), seed, numbers) for seed in (0, 1))
    assert not np.allclose(voxel_sizes(one[2]), voxel_sizes(other[2]))
    livers = [(label == ORGANS["liver"]).sum() * np.prod(voxel_sizes(affine)) for _, label, affine in (one, other)]
    assert abs(livers[0] - livers[1]) > 0.01 * livers[0]


def test_contrast_changes_the_image_and_not_the_label_map(numbers):
    plain, portal = (render(PhantomScan(1, phase, 0), 0, numbers) for phase in ("noncontrast", "portal"))
    np.testing.assert_array_equal(plain[1], portal[1])
    np.testing.assert_array_equal(plain[2], portal[2])
    liver = plain[1] == ORGANS["liver"]
    assert portal[0][liver].mean() > plain[0][liver].mean() + 20
