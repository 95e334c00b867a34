"""Invalid inputs, and unusual valid ones: the exact findings of the intake."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from scripts.cohort.label_table import LabelTable
from scripts.intake.findings import as_csv, as_text, hash_ids
from tests.conftest import write_nifti
from tests.faults.inputs import (
    SHAPE,
    TWO_PHASES,
    Inputs,
    affine,
    ct,
    organs,
    truncate,
    turned,
    write_dicom,
    write_forms,
    write_itk,
)  # fmt: skip
from tests.natural import write_picture

INPUTS = Inputs()
finds = INPUTS.finds
CASES = "case,patient,phase\n"


# files


@finds()
def a_clean_pair(f):
    f.pair()


@finds("zero_bytes")
def an_image_of_zero_bytes(f):
    f.pair()
    (f.images / "a.nii.gz").write_bytes(b"")


@finds("zero_bytes")
def a_label_map_of_zero_bytes(f):
    f.pair()
    (f.labels / "a.nii.gz").write_bytes(b"")


@finds("unreadable")
def an_image_of_text(f):
    f.pair()
    (f.images / "a.nii.gz").write_bytes(b"no volume at all")


@finds("unreadable")
def an_image_cut_within_its_voxels(f):
    f.pair()
    truncate(f.images / "a.nii.gz", 0.5)


@finds("unreadable")
def an_image_whose_gzip_is_cut(f):
    content = f.image().read_bytes()
    f.label()
    (f.images / "a.nii.gz").write_bytes(content[: len(content) // 2])


@finds("unreadable")
def an_image_cut_within_its_header(f):
    f.pair()
    truncate(f.images / "a.nii.gz", 0.05)


@finds("unreadable")
def a_label_map_cut_within_its_voxels(f):
    f.pair()
    truncate(f.labels / "a.nii.gz", 0.6)


@finds("unreadable")
def an_mhd_header_without_its_raw_file(f):
    write_itk(f.images / "a.mhd", ct())
    (f.images / "a.raw").unlink()
    return {"label_maps": None}


@finds("unreadable")
def a_cut_nrrd(f):
    path = write_itk(f.images / "a.nrrd", ct())
    path.write_bytes(path.read_bytes()[:300])
    return {"label_maps": None}


@finds("image_without_label")
def an_image_without_label(f):
    f.pair("a", "b")
    (f.labels / "a.nii.gz").unlink()


@finds("learnt_without_label")
def an_image_without_label_that_is_wanted(f):
    f.pair("a", "b")
    (f.labels / "a.nii.gz").unlink()
    return {"unlabelled": f.images}


@finds("label_without_image")
def a_label_without_image(f):
    f.pair("a", "b")
    (f.images / "a.nii.gz").unlink()


@finds("a:image_without_label", "b:label_without_image")
def as_many_labels_as_images_of_other_names(f):
    f.image("a")
    f.label("b")


@finds("two_files")
def an_image_in_two_formats(f):
    f.pair()
    write_itk(f.images / "a.nrrd", ct(5))


@finds("many_channels")
def a_second_channel(f):
    f.image("a_0000")
    f.image("a_0001")
    f.label("a")


@finds("missing_file")
def a_path_of_the_csv_that_is_not_there(f):
    f.pair("b")
    rows = "a,images/a.nii.gz,p\nb,images/b.nii.gz,q\n"
    return {"images": f.sheet("case,image,patient\n" + rows), "label_maps": None}


@finds("unlisted_case")
def a_scan_the_table_of_cases_does_not_list(f):
    f.pair("a", "b")
    return {"cases": f.sheet(CASES + "b,p,ct\n")}


@finds("lost:row_without_scan")
def a_row_of_the_table_of_cases_without_a_scan(f):
    f.pair("a", "b")
    return {"cases": f.sheet(CASES + "a,p,ct\nb,q,ct\nlost,r,ct\n")}


@finds("A:not_read")
def a_scan_with_a_suffix_in_capitals(f):
    f.pair("a", "b")
    (f.images / "a.nii.gz").rename(f.images / "A.NII.GZ")
    (f.labels / "a.nii.gz").unlink()


@finds("missing_file")
def a_link_to_a_scan_that_is_not_there(f):
    f.pair("a", "b")
    (f.images / "a.nii.gz").unlink()
    (f.images / "a.nii.gz").symlink_to(f.images / "gone.nii.gz")
    (f.labels / "a.nii.gz").unlink()


@finds()
def files_that_are_no_scans_beside_the_scans(f):
    f.pair()
    for name in ("notes.txt", "._a.nii.gz", ".DS_Store", "a.json"):
        (f.images / name).write_bytes(b"none of our business")


# formats and layouts


@finds()
def an_mha_with_a_nifti_label(f):
    write_itk(f.images / "a.mha", ct())
    f.label(voxels=organs()[::-1], place=np.diag([-1.0, -1, 1, 1]))


@finds()
def an_mhd_and_a_nrrd(f):
    write_itk(f.images / "a.mhd", ct())
    write_itk(f.labels / "a.nrrd", organs()[::-1])


@finds()
def uncompressed_nifti(f):
    write_nifti(f.images / "a.nii", ct())
    write_nifti(f.labels / "a.nii", organs())


@finds()
def an_nnunet_data_set(f):
    (f.root / "dataset.json").write_text('{"labels": {"background": 0, "liver": 1, "kidney_right": 2}}')
    write_nifti(f.root / "imagesTr/a_0000.nii.gz", ct())
    write_nifti(f.root / "labelsTr/a.nii.gz", organs())
    return {"images": f.root, "label_maps": None}


@finds()
def a_decathlon_data_set(f):
    f.dataset({"0": "background", "1": "liver", "2": "right kidney", "3": "left kidney"})
    write_nifti(f.root / "imagesTr/a.nii.gz", ct())
    write_nifti(f.root / "labelsTr/a.nii.gz", organs())
    return {"images": f.root, "label_maps": None}


@finds("label_names_differ", case=None)
def a_data_set_that_numbers_an_organ_otherwise(f):
    f.pair()
    f.dataset({"background": 0, "liver": 1, "left_kidney": 2})
    return {"images": f.root, "label_maps": None}


@finds("unreadable", case=None)
def a_dataset_json_that_is_none(f):
    f.pair()
    (f.root / "dataset.json").write_text("{labels")
    return {"images": f.root, "label_maps": None}


@finds()
def btcv_names(f):
    f.image("img0001")
    f.label("label0001")


@finds()
def flare_names(f):
    f.image("FLARE22_Tr_0001_0000")
    f.label("FLARE22_Tr_0001")


@finds()
def amos_names(f):
    f.pair("amos_0001", "amos_0004")


@finds()
def flare_in_one_folder(f):
    f.image("x_0000")
    write_nifti(f.images / "x.nii.gz", organs())
    return {"label_maps": f.images}


@finds("partial_labels")
def a_totalsegmentator_subject(f):
    write_nifti(f.root / "set/a/ct.nii.gz", ct())
    for name, index in {"liver": 1, "kidney_right": 2}.items():
        write_nifti(f.root / f"set/a/segmentations/{name}.nii.gz", (organs() == index).astype(np.uint8))
    return {"images": f.root / "set", "label_maps": None}


@finds("a:partial_labels", "b:image_without_label", "c:not_read")
def totalsegmentator_subjects_without_masks_or_without_a_scan(f):
    for name in "ab":
        write_nifti(f.root / f"set/{name}/ct.nii.gz", ct(ord(name)))
    (f.root / "set/b/segmentations").mkdir()
    write_nifti(f.root / "set/a/segmentations/liver.nii.gz", (organs() == 1).astype(np.uint8))
    write_nifti(f.root / "set/c/scan.nii.gz", ct(9))
    return {"images": f.root / "set", "label_maps": None}


@finds("label_empty", "partial_labels")
def a_totalsegmentator_subject_without_a_mask_of_an_organ_of_the_table(f):
    write_nifti(f.root / "set/a/ct.nii.gz", ct())
    write_nifti(f.root / "set/a/segmentations/heart.nii.gz", (organs() == 1).astype(np.uint8))
    return {"images": f.root / "set", "label_maps": None}


@finds("more:not_read")
def scans_in_a_folder_beside_the_scans(f):
    f.pair()
    write_nifti(f.images / "more/b.nii.gz", ct(5))
    write_nifti(f.images / "labels/b.nii.gz", organs())


@finds()
def folders_beside_the_scans_that_are_given(f):
    write_nifti(f.images / "a.nii.gz", ct())
    write_nifti(f.images / "truth/a.nii.gz", organs())
    write_nifti(f.images / "more/b.nii.gz", ct(5))
    return {"label_maps": f.images / "truth", "unlabelled": f.images / "more"}


@finds("masks_overlap", "partial_labels")
def masks_that_overlap(f):
    write_nifti(f.root / "set/a/ct.nii.gz", ct())
    for name, index in {"liver": 1, "kidney_right": 2}.items():
        mask = (organs() == index).astype(np.uint8)
        mask[6, 3:5, 3:5] = 1
        write_nifti(f.root / f"set/a/segmentations/{name}.nii.gz", mask)
    return {"images": f.root / "set", "label_maps": None}


def subject(f, **masks):
    write_nifti(f.root / "set/a/ct.nii.gz", ct())
    for name, mask in masks.items():
        write_nifti(f.root / f"set/a/segmentations/{name}.nii.gz", mask)
    return {"images": f.root / "set", "label_maps": None}


@finds("partial_labels")
def masks_of_0_and_255(f):
    return subject(f, liver=(organs() == 1) * np.uint8(255), kidney_right=(organs() == 2) * np.float32(1))


@finds("mask_not_binary", "partial_labels")
def a_mask_of_probabilities(f):
    mask = (organs() == 1) * np.float32(0.5)
    mask[6, 3:5, 3:5] = 0.75
    return subject(f, liver=mask, kidney_right=(organs() == 2).astype(np.uint8))


@finds("mask_not_binary", "mask_not_binary", "partial_labels")
def masks_of_several_values(f):
    return subject(f, liver=organs(), kidney_right=-(organs() == 2).astype(np.int16))


@finds("partial_labels", "origin_differs")
def masks_that_all_lie_elsewhere_are_said_once(f):
    write_nifti(f.root / "set/a/ct.nii.gz", ct())
    for name, index in {"liver": 1, "kidney_right": 2}.items():
        mask = (organs() == index).astype(np.uint8)
        write_nifti(f.root / f"set/a/segmentations/{name}.nii.gz", mask, affine(m03=4))
    return {"images": f.root / "set", "label_maps": None}


@finds()
def a_csv_of_paths(f):
    f.pair()
    rows = "one,images/a.nii.gz,labels/a.nii.gz,p\n"
    return {"images": f.sheet("case,image,label,patient\n" + rows), "label_maps": None}


@finds()
def one_volume_and_one_label_map(f):
    f.pair()
    return {"images": f.images / "a.nii.gz", "label_maps": (f.labels / "a.nii.gz").rename(f.labels / "truth.nii.gz")}


# geometry


@finds("not_3d")
def a_single_slice(f):
    f.image(voxels=ct(0, (12, 10)))
    f.label()


@finds("not_3d")
def an_image_of_three_frames(f):
    f.image(voxels=ct(0, (*SHAPE, 3)))
    f.label()


@finds("one_frame")
def an_image_of_one_frame(f):
    f.image(voxels=ct(0, (*SHAPE, 1)))
    f.label()


@finds("one_frame")
def a_label_map_of_one_frame(f):
    f.image()
    f.label(voxels=organs()[..., None])


@finds("not_3d")
def a_label_map_of_colours(f):
    f.image()
    f.label(voxels=np.stack([organs()] * 3, -1))


@finds("shape_differs")
def a_label_map_with_a_slice_less(f):
    f.image()
    f.label(voxels=organs()[..., :-1])


@finds("spacing_differs")
def a_label_map_of_other_spacing(f):
    f.image()
    f.label(place=affine(1, 1, 1.5))


@finds("origin_differs")
def a_label_map_moved_by_half_a_voxel(f):
    f.image()
    f.label(place=affine(m03=0.5))


@finds("direction_differs")
def a_label_map_turned_by_half_a_degree(f):
    f.image()
    f.label(place=turned(0.5))


@finds()
def a_label_map_off_by_less_than_the_tolerance(f):
    f.image()
    f.label(place=affine(1.0001, 1, 1, m03=0.004))


@finds()
def a_label_map_stored_in_another_orientation(f):
    f.image()
    f.label(voxels=organs()[::-1], place=affine(-1, 1, 1, m03=11))


@finds("origin_differs")
def a_label_map_flipped_without_its_origin(f):
    f.image()
    f.label(place=affine(-1, 1, 1))


@finds("bad_affine")
def an_image_with_voxels_of_no_size(f):
    write_forms(f.images / "a.nii.gz", ct(), (np.eye(4), 0), (affine(1, 1, 1, m22=0), 1))
    return {"label_maps": None}


@finds("bad_affine")
def an_affine_of_nan(f):
    write_forms(f.images / "a.nii.gz", ct(), (np.eye(4), 0), (affine(m03=np.nan), 1))
    return {"label_maps": None}


@finds("no_orientation")
def an_image_that_does_not_say_how_it_lies(f):
    write_forms(f.images / "a.nii.gz", ct(), (np.eye(4), 0), (np.eye(4), 0))
    return {"label_maps": None}


@finds("qform_sform_differ")
def a_qform_elsewhere_than_the_sform(f):
    write_forms(f.images / "a.nii.gz", ct(), (affine(m03=30), 1), (np.eye(4), 1))
    f.label()


@finds("oblique")
def an_oblique_image(f):
    f.image(place=turned(20))
    return {"label_maps": None}


@finds("sheared")
def an_image_with_gantry_tilt(f):
    f.image(place=affine(m12=0.3))
    return {"label_maps": None}


# DICOM


def dicom(f, name="a", seed=0, **more):
    return write_dicom(f.images / name, ct(seed), **more)


@finds()
def a_series(f):
    dicom(f)
    return {"label_maps": None}


@finds()
def a_series_without_a_usable_identifier(f):
    dicom(f, tags={"0020|000e": ""})
    return {"label_maps": None}


@finds()
def a_series_in_a_tree_of_folders(f):
    write_dicom(f.images / "patient" / "study", ct())
    return {"label_maps": None}


@finds()
def a_series_with_a_nifti_label(f):
    dicom(f)
    label = organs()[::-1]  # the slices run to the left
    f.label(voxels=label, place=affine(-2, -2, 3, m03=7, m13=-5))


@finds("origin_differs")
def a_series_whose_label_lies_elsewhere(f):
    dicom(f)
    f.label(voxels=organs()[::-1], place=affine(-2, -2, 3, m03=9, m13=-5))


@finds("slice_gap")
def a_series_with_a_missing_slice(f):
    dicom(f, heights=[0, 3, 6, 12, 15, 18, 21, 24])
    return {"label_maps": None}


@finds("sheared")
def a_series_of_a_tilted_gantry(f):
    dicom(f, cosines="1\\0\\0\\0\\0.9539\\0.3")
    return {"label_maps": None}


@finds("mixed_series")
def two_series_in_a_folder(f):
    dicom(f)
    write_dicom(f.images / "a", ct(2)[..., :3], tags={"0020|000e": "1.2.9"}, prefix="t")
    return {"label_maps": None}


@finds("mixed_series")
def a_scout_without_identifiers_in_the_folder(f):
    dicom(f, tags={"0020|000e": ""})
    tags = {"0020|000e": "", "0008|103e": "Topogram"}
    write_dicom(f.images / "a", ct(2)[..., :1], tags=tags, prefix="t")
    return {"label_maps": None}


@finds("doubled_slices")
def two_phases_under_one_identifier(f):
    dicom(f)
    write_dicom(f.images / "a", ct(2), prefix="t")
    return {"label_maps": None}


@finds("zero_bytes")
def a_slice_of_zero_bytes(f):
    (dicom(f) / "s003.dcm").write_bytes(b"")
    return {"label_maps": None}


@finds("unreadable")
def a_slice_cut_short(f):
    path = dicom(f) / "s003.dcm"
    path.write_bytes(path.read_bytes()[:400])
    return {"label_maps": None}


@finds("modality_differs")
def an_mr_series_among_ct(f):
    dicom(f, tags={"0008|0060": "MR"})
    return {"label_maps": None}


@finds("b:patient_by_tag")
def two_series_of_one_patient(f):
    dicom(f, "a", 0, tags={"0010|0020": "4711"})
    dicom(f, "b", 1, tags={"0010|0020": "4711"})
    dicom(f, "c", 2)
    dicom(f, "d", 3)
    return {"label_maps": None}


# intensities


@finds("not_finite")
def an_image_with_nan(f):
    voxels = ct().astype(np.float32)
    voxels[1, 2, 3] = np.nan
    f.image(voxels=voxels)
    f.label()


@finds("not_finite")
def an_image_with_infinity(f):
    voxels = ct().astype(np.float32)
    voxels[1, 2, 3] = np.inf
    f.image(voxels=voxels)
    f.label()


@finds("constant_image")
def an_image_of_air(f):
    f.image(voxels=np.full(SHAPE, -1000, np.int16))
    f.label()


@finds("hu_implausible")
def a_ct_scaled_to_one(f):
    f.image(voxels=((ct() + 1000) / 2000).astype(np.float32))
    f.label()


@finds("hu_implausible")
def a_ct_whose_intercept_was_not_applied(f):
    f.image(voxels=ct() + 1024)
    f.label()


@finds("hu_implausible")
def a_ct_padded_with_the_lowest_number(f):
    voxels = ct()
    voxels[0] = -32768
    f.image(voxels=voxels)
    f.label()


@finds()
def an_mr_without_negative_values(f):
    f.image(voxels=ct() + 1000)
    f.label()
    return {"modality": "MR"}


@finds("d:intensity_spread")
def an_mr_of_another_scale(f):
    for number, case in enumerate("abcd"):
        f.image(case, (ct(number).astype(np.float32) + 1000) * (100 if case == "d" else 1))
    return {"label_maps": None, "modality": "MR"}


@finds()
def mr_scales_within_a_factor_of_ten(f):
    for number, case in enumerate("abcd"):
        f.image(case, (ct(number).astype(np.float32) + 1000) * (number + 1))
    return {"label_maps": None, "modality": "MR"}


@finds("b:duplicate_image")
def an_image_under_two_names(f):
    f.image("a", ct())
    f.image("b", ct())
    return {"label_maps": None}


@finds("b:duplicate_image")
def an_image_twice_in_two_orientations(f):
    f.image("a", ct())
    f.image("b", ct()[::-1], affine(-1, 1, 1, m03=11))
    return {"label_maps": None}


# label maps


@finds("label_not_integer")
def a_label_map_resampled_linearly(f):
    f.image()
    f.label(voxels=organs() * np.float32(0.5))


@finds("label_not_integer")
def a_label_map_with_nan(f):
    label = organs().astype(np.float32)
    label[0, 0, 0] = np.nan
    f.image()
    f.label(voxels=label)


@finds()
def a_label_map_of_whole_floats(f):
    f.image()
    f.label(voxels=organs().astype(np.float64))


@finds("hu_implausible", "label_of_colours")
def a_label_picture_of_colours(f):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3)).astype(np.uint8)
    write_picture(f.images / "a.png", pixels[..., 0])
    write_picture(f.labels / "a.png", pixels)


@finds("label_outside_table")
def an_organ_the_table_does_not_name(f):
    f.image()
    f.label(voxels=np.where(organs() == 3, 7, organs()).astype(np.uint8))


@finds("label_outside_table")
def a_negative_label(f):
    f.image()
    f.label(voxels=np.where(organs() == 3, -1, organs()).astype(np.int16))


@finds("label_empty")
def an_empty_label_map(f):
    f.image()
    f.label(voxels=organs() * 0)


@finds("organ_absent")
def an_absent_organ(f):
    f.image()
    f.label(voxels=organs() * (organs() != 1))


@finds("partial_labels")
def an_organ_that_was_not_annotated(f):
    f.image()
    f.label(voxels=organs() * (organs() != 1))
    return {"cases": f.sheet("case,patient,phase,annotated\na,p,ct,right_kidney left_kidney\n")}


@finds("organ_small")
def a_stroke_of_the_brush(f):
    label = organs() * (organs() != 1)
    label[6, 5, 4] = 1
    f.image()
    f.label(voxels=label)


@finds("e:organ_small")
def an_organ_far_smaller_than_in_the_others(f):
    f.pair(*"abcd")
    label = np.zeros((40, 12, 12), np.uint8)
    label[2:12, 1:11, 1:11] = 3
    label[28:38, 1:11, 1:11] = 2
    for case in "abcde":
        small = label.copy()
        small[15:25, 1:11, 1:11] = 1
        if case == "e":
            small[15:25, 1:11, 1:11] = 0
            small[18:21, 4:6, 4:6] = 1
        f.image(case, ct(ord(case), label.shape))
        f.label(case, small)


@finds()
def a_small_organ_cut_off_by_the_border(f):
    label = organs() * (organs() != 1)
    label[6, 5, 0] = 1
    f.image()
    f.label(voxels=label)


@finds("organ_in_pieces")
def an_organ_in_many_pieces(f):
    label = organs() * (organs() != 1)
    label[1:11:2, 6:9:2, 1:7:2] = 1
    f.image()
    f.label(voxels=label)


@finds("sides_swapped")
def kidneys_swapped(f):
    f.image()
    f.label(voxels=np.array([0, 1, 3, 2], np.uint8)[organs()])


@finds("sides_swapped")
def kidneys_swapped_in_a_file_that_runs_to_the_left(f):
    f.image(place=affine(-1, 1, 1))
    f.label(place=affine(-1, 1, 1))


@finds("a:sides_swapped", ":partners_by_name")
def kidneys_swapped_where_nobody_names_partners(f):
    f.image()
    f.label(voxels=np.array([0, 1, 3, 2], np.uint8)[organs()])
    return {"table": LabelTable.parse({"organs": {"liver": 1, "right_kidney": 2, "left_kidney": 3}})}


@finds("partners_by_name", case=None)
def kidneys_as_they_should_be_where_nobody_names_partners(f):
    f.pair()
    return {"table": LabelTable.parse({"organs": {"liver": 1, "kidney R": 2, "l_kidney": 3}, "phases": ["ct"]})}


# names


def listed(f, case, patient="p", phase="ct"):
    """A CSV of paths that lists a scan and its patient."""
    f.image()
    row = ",".join(f'"{cell}"' for cell in (case, "images/a.nii.gz", patient, phase))
    return {"images": f.sheet(f"case,image,patient,phase\n{row}\n"), "label_maps": None}


@finds("../../evil:bad_name")
def an_id_that_is_a_path_out_of_the_cohort(f):
    return listed(f, "../../evil")


@finds("/tmp/evil:bad_name")
def an_id_that_is_an_absolute_path(f):
    return listed(f, "/tmp/evil")


@finds("..\\evil:bad_name")
def an_id_that_is_a_path_of_windows(f):
    return listed(f, "..\\evil")


@finds(".evil:bad_name")
def a_hidden_id(f):
    return listed(f, ".evil")


@finds("NUL.1:bad_name")
def an_id_that_windows_keeps_to_itself(f):
    return listed(f, "NUL.1")


@finds(f"{'x' * 171}:bad_name")
def an_overlong_id(f):
    return listed(f, "x" * 171)


@finds()
def the_longest_id(f):
    return listed(f, "x" * 170)


@finds("=cmd|'/c calc'!A0:bad_name")
def an_id_that_a_spreadsheet_runs(f):
    return listed(f, "=cmd|'/c calc'!A0")


@finds("a:bad_name")
def a_patient_that_a_spreadsheet_computes(f):
    return listed(f, "a", "@SUM(A1)")


@finds("a:bad_name")
def a_patient_that_steers_the_terminal(f):
    return listed(f, "a", "\x1b]0;owned\x07")


@finds("a:bad_name", "a:phase_not_in_table")
def a_phase_that_a_spreadsheet_computes(f):
    return listed(f, "a", "p", "-1+1")


@finds("a\x1b[2J:bad_name")
def a_file_name_that_clears_the_screen(f):
    f.image("a\x1b[2J")
    return {"label_maps": None}


@finds("A:same_name")
def ids_that_differ_in_capitals_alone(f):
    f.image("b")
    f.image("a")
    rows = "a,images/a.nii.gz,p,ct\nA,images/b.nii.gz,q,ct\n"
    return {"images": f.sheet("case,image,patient,phase\n" + rows), "label_maps": None}


@finds("e\u0301:same_name")
def ids_that_differ_in_how_an_accent_is_written(f):
    f.image("b")
    f.image("a")
    rows = "\u00e9,images/a.nii.gz,p,ct\ne\u0301,images/b.nii.gz,q,ct\n"
    return {"images": f.sheet("case,image,patient,phase\n" + rows), "label_maps": None}


@finds("b:same_patient")
def patients_that_differ_in_capitals_alone(f):
    f.image("b")
    f.image("a")
    rows = "a,images/a.nii.gz,p1,ct\nb,images/b.nii.gz,P1,ct\n"
    return {"images": f.sheet("case,image,patient,phase\n" + rows), "label_maps": None}


@finds()
def names_of_many_languages(f):
    return listed(f, "Müller, Zoë (2) - 肝臓_01.a", "123/45", "ct")


# patients and phases


@finds("a:patient_split", "b:patient_split")
def a_patient_in_two_folds(f):
    f.pair("a", "b", "c")
    return {"cases": f.sheet("case,patient,phase,fold\na,p,ct,0\nb,p,ct,1\nc,q,ct,1\n")}


@finds("a:patient_split", "b:patient_split")
def a_patient_in_training_and_testing(f):
    f.pair("a", "b")
    return {"cases": f.sheet("case,patient,phase,fold\na,p,ct,0\nb,p,ct,test\n")}


@finds("phase_not_in_table")
def a_phase_the_table_does_not_name(f):
    f.pair()
    return {"cases": f.sheet(CASES + "a,p,arterial\n")}


@finds("phase_unknown")
def a_phase_nobody_told(f):
    f.pair()
    return {"table": TWO_PHASES}


@finds()
def a_phase_in_the_file_name(f):
    f.pair("a_portal")
    return {"table": TWO_PHASES, "phase_pattern": "_(portal|noncontrast)"}


@finds()
def a_phase_in_the_series_description(f):
    dicom(f, tags={"0008|103e": "Abd PORTAL 3.0"})
    return {"label_maps": None, "table": TWO_PHASES}


@finds("phase_unknown")
def a_series_description_of_two_phases(f):
    dicom(f, tags={"0008|103e": "native + venous"})
    return {"label_maps": None, "table": TWO_PHASES}


@finds("phase_unknown")
def a_native_series_with_a_contrast_agent(f):
    dicom(f, tags={"0008|103e": "Abd nativ", "0018|0010": "Iomeron"})
    return {"label_maps": None, "table": TWO_PHASES}


@finds()
def a_table_of_cases_that_spreadsheets_write(f):
    f.pair()
    return {"cases": f.sheet("\ufeff" + CASES + "a , p , ct\n")}


@pytest.mark.parametrize("name", INPUTS)
def test_the_intake_reports_exactly_these_findings(name, tmp_path):
    INPUTS.check(name, tmp_path)


def test_a_mask_that_is_not_binary_is_named_with_its_values(tmp_path):
    [found] = [item for item in INPUTS.survey("a_mask_of_probabilities", tmp_path).findings if item.severity == "error"]
    assert found.found == f"0, 0.5, 0.75 in {tmp_path / 'set/a/segmentations/liver.nii.gz'}"
    assert found.expected == "0 and one whole number, as 0 and 1 or 0 and 255"


@pytest.mark.parametrize("name", [name for name, (_, expected) in INPUTS.items() if expected])
def test_hashed_findings_do_not_identify_the_case(name, tmp_path):
    secret = tmp_path / "Muster_Erika"
    secret.mkdir()
    found = INPUTS.survey(name, secret)
    renamed = [replace(item, case="Muster_Max") for item in found.findings]
    assert "Muster" not in as_csv(hash_ids(renamed, b"0123456789abcdef"))


@pytest.mark.parametrize("name", [name for name, (_, expected) in INPUTS.items() if expected])
def test_findings_are_escaped_for_terminals_and_spreadsheets(name, tmp_path):
    found = INPUTS.survey(name, tmp_path)
    assert as_text(found.findings).replace("\n", "").isprintable()
    cells = [cell for row in csv.reader(as_csv(found.findings).splitlines()) for cell in row]
    assert [cell for cell in cells if not cell.isprintable() or cell.startswith(("=", "+", "-", "@"))] == []
    assert all(str(item.error).replace("\n", "").isprintable() for item in found.findings)
