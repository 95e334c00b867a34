"""Damaged or unusual volumes and pictures: the findings of the intake, and that stages agree with it."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from scripts.auto3dseg.score import validation_dice
from scripts.coarse.inferer import CoarseInferer
from scripts.coarse.maps import predict
from scripts.coarse.samples import ReadCoarse
from scripts.cohort.case import Case
from scripts.cohort.volume import read
from scripts.cohort.volume_errors import ERROR
from scripts.errors import SemclError
from scripts.evaluate.rows import measure_case
from scripts.evaluate.worst_cases import case_picture
from scripts.intake.finding_kinds import FINDINGS
from scripts.intake.findings import as_csv, hash_ids
from scripts.job.job import Job
from scripts.queries.grid import QueryGrid
from scripts.queries.store import QueryStore
from scripts.refine.predictions import Predictions
from scripts.refine.volumes import CheckedLoadImaged
from tests.conftest import write_nifti
from tests.faults.inputs import (
    SHAPE,
    TABLE,
    Folder,
    Inputs,
    affine,
    ct,
    organs,
    write_dicom,
    write_forms,
    write_itk,
)
from tests.faults.test_inputs import INPUTS as OTHERS
from tests.natural import write_picture

VOLUMES = Inputs()
finds = VOLUMES.finds
ALONE: dict[str, Any] = {"label_maps": None}
PIXELS = np.random.default_rng(0).integers(0, 256, (10, 12, 3)).astype(np.uint8)


def nifti(f, change: Callable[[bytes], bytes] = lambda content: content, voxels: np.ndarray | None = None) -> None:
    """An image whose content, within the gzip, was changed."""
    path = f.image(voxels=voxels)
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


def set_field(place: int, form: str, *values: float) -> Callable[[bytes], bytes]:
    """Set a field of the header."""
    return lambda content: content[:place] + struct.pack(form, *values) + content[place + struct.calcsize(form) :]


def edit(folder: Path, old: bytes, new: bytes, number: int | None = None) -> dict[str, Any]:
    """Change bytes in a DICOM file of a folder, or in all."""
    for path in [path for place, path in enumerate(sorted(folder.iterdir())) if number in (None, place)]:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))
    return ALONE


# NIfTI


@finds("damaged_gzip")
def a_gzip_with_a_wrong_checksum(f):
    path = f.image()
    path.write_bytes(path.read_bytes()[:-8] + b"\0\1\2\3" + path.read_bytes()[-4:])
    return ALONE


@finds("damaged_gzip")
def a_gzip_with_a_wrong_checksum_that_is_not_small(f):
    path = f.image(voxels=np.random.default_rng(0).normal(0, 500, (80, 80, 40)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:-8] + b"\0\1\2\3" + path.read_bytes()[-4:])
    return ALONE


@finds("damaged_gzip")
def a_gzip_with_garbage_after_its_end(f):
    path = f.image()
    path.write_bytes(path.read_bytes() + b"garbage")
    return ALONE


@finds()
def a_gzip_with_zeros_after_its_end(f):  # as tapes and some file systems pad; gzip takes them
    path = f.image()
    path.write_bytes(path.read_bytes() + bytes(512))
    return ALONE


@finds()
def a_gzip_of_several_members(f):  # as bgzip writes it
    path = f.image()
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:500]) + gzip.compress(content[500:]))
    return ALONE


@finds("damaged_gzip")
def a_gzip_of_far_more_than_its_header_tells(f):
    nifti(f, lambda content: content + bytes(3 << 20))
    return ALONE


@finds("too_large")
def a_bomb_with_a_consistent_header(f):
    path = f.image()
    header = set_field(40, "<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1)(gzip.decompress(path.read_bytes())[:352])
    path.write_bytes(gzip.compress(header))  # the voxels, had they been written, would be 50 TB
    return ALONE


@finds("too_large")
def a_volume_over_the_limit_that_was_set(f):
    f.image()
    return ALONE | {"most": 959}


@finds()
def a_volume_at_the_limit_that_was_set(f):
    f.image()
    return ALONE | {"most": 960}


@finds("voxel_size")
def voxels_of_a_picometre(f):
    f.image(place=affine(1e-9, 1e-9, 1e-9))
    return ALONE


@finds("voxel_size")
def voxels_of_a_thousand_kilometres(f):
    f.image(place=affine(1e9, 1e9, 1e9))
    return ALONE


@finds("voxel_type")
def complex_voxels(f):
    f.image(voxels=(ct() + 1j * ct(1)).astype(np.complex64))
    return ALONE


@finds("voxel_type")
def voxels_of_colours(f):
    f.image(voxels=np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]))
    return ALONE


@finds()
def a_slope_of_zero(f):  # the standard: not scaled
    nifti(f, set_field(112, "<2f", 0.0, 7.0))
    return ALONE


@finds()
def a_slope_of_infinity(f):  # no number to scale by, as NaN, which nibabel writes into files of integers
    nifti(f, set_field(112, "<2f", np.inf, 0.0))
    return ALONE


@finds("bad_affine")
def an_affine_with_infinity(f):
    write_forms(f.images / "a.nii.gz", ct(), (np.eye(4), 0), (affine(m12=np.inf), 1))
    return ALONE


# files


@finds("not_a_file")
def a_named_pipe(f):
    os.mkfifo(f.images / "a.nii.gz")
    return ALONE | {"images": f.sheet("case,image,patient\na,images/a.nii.gz,p\n")}


@finds("not_a_file")
def an_mhd_header_that_names_a_pipe(f):
    write_itk(f.images / "a.mhd", ct())
    (f.images / "a.raw").unlink()
    os.mkfifo(f.images / "a.raw")
    return ALONE


@finds("data_elsewhere")
def an_mhd_header_that_names_a_file_elsewhere(f):
    write_itk(f.images / "a.mhd", ct())
    (f.images / "a.raw").rename(f.root / "b.raw")
    text = (f.images / "a.mhd").read_text()
    (f.images / "a.mhd").write_text(text.replace("= a.raw", f"= {f.root / 'b.raw'}"))
    return ALONE


@finds("data_elsewhere")
def an_mhd_header_that_lists_files_elsewhere(f):
    write_itk(f.images / "a.mhd", ct())
    text = (f.images / "a.mhd").read_text()
    (f.images / "a.mhd").write_text(text.replace("= a.raw", "= LIST\n../b.raw"))
    return ALONE


NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 12 10 8\nspacings: 1 1 1\nendian: little\nencoding: raw\n"


@finds("data_elsewhere")
def a_nrrd_header_that_names_a_file_elsewhere(f):
    (f.root / "b.raw").write_bytes(ct().T.tobytes())
    (f.images / "a.nrrd").write_text(NRRD + "data file: ../b.raw\n\n")
    return ALONE


@finds()
def a_nrrd_header_that_names_a_file_beside_it(f):
    (f.images / "a.raw").write_bytes(ct().T.tobytes())
    (f.images / "a.nrrd").write_text(NRRD + "data file: ./a.raw\n\n")
    return ALONE


def write_compressed(f) -> Path:
    path = f.images / "a.mha"
    itk.imwrite(itk.image_from_array(np.ascontiguousarray(ct().T)), str(path), compression=True)
    return path


@finds()
def a_compressed_mha(f):
    write_compressed(f)
    return ALONE


@finds("damaged_gzip")
def a_compressed_mha_with_a_wrong_checksum(f):
    path = write_compressed(f)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")
    return ALONE


@finds("voxel_size")
def an_mha_of_large_voxels(f):
    write_itk(f.images / "a.mha", ct(), (1.0, 1.0, 5000.0))
    return ALONE


@finds("too_large")
def an_mha_over_the_limit(f):
    write_itk(f.images / "a.mha", ct())
    return ALONE | {"most": 10}


# DICOM


@finds("pixels_missing")
def a_slice_without_half_of_its_pixels(f):
    folder = write_dicom(f.images / "a", ct())
    path = sorted(folder.iterdir())[3]
    content = path.read_bytes()
    head, pixels = content[: -12 * 10 * 2], content[-12 * 10 * 2 :]
    path.write_bytes(head[:-4] + struct.pack("<I", len(pixels) // 2) + pixels[: len(pixels) // 2])
    return ALONE


@finds("unplaced_slices")
def a_series_without_pixel_spacing(f):
    return edit(write_dicom(f.images / "a", ct()), b"\x28\0\x30\0", b"\x28\0\x31\0")


@finds("unplaced_slices")
def a_series_without_orientation(f):
    return edit(write_dicom(f.images / "a", ct()), b"\x20\0\x37\0", b"\x20\0\x38\0")


@finds("unplaced_slices")
def a_series_without_position(f):
    return edit(write_dicom(f.images / "a", ct()), b"\x20\0\x32\0", b"\x20\0\x33\0")


@finds("unplaced_slices")
def a_series_whose_axes_are_one(f):
    return edit(write_dicom(f.images / "a", ct()), b"1\\0\\0\\0\\1\\0", b"1\\0\\0\\1\\0\\0")


@finds("unplaced_slices")
def a_series_whose_axes_are_no_numbers(f):
    return edit(write_dicom(f.images / "a", ct()), b"1\\0\\0\\0\\1\\0", b"1\\0\\0\\0\\x\\0")


@finds("mixed_slices")
def a_slice_of_another_patient(f):
    return edit(write_dicom(f.images / "a", ct(), tags={"0010|0020": "4711"}), b"4711", b"4712", number=3)


@finds("mixed_slices")
def a_slice_of_another_modality(f):
    return edit(write_dicom(f.images / "a", ct()), b"\x08\0\x60\0\x02\0\0\0CT", b"\x08\0\x60\0\x02\0\0\0PT", number=3)


@finds()
def a_slice_of_another_rescale(f):
    write_dicom(f.images / "a", ct(), tags={"0028|1053": "1 ", "0028|1052": "0 "})
    return edit(f.images / "a", b"\x28\0\x53\x10\x02\0\0\x001 ", b"\x28\0\x53\x10\x02\0\0\0.5", number=3)


@finds("too_large")
def a_series_over_the_limit(f):
    write_dicom(f.images / "a", ct())
    return ALONE | {"most": 10}


# pictures


def write_png(path: Path, header: tuple[int, ...], lines: bytes, more: bytes = b"") -> Path:
    """A PNG of rows as they are stored."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", *header)), chunk(b"IDAT", zlib.compress(lines))]
    if more:
        parts.insert(1, chunk(b"eXIf", more))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))
    return path


def grey_with_alpha(path: Path) -> Path:
    pixels = PIXELS[..., :2]
    return write_png(path, (12, 10, 8, 4, 0, 0, 0), b"".join(b"\0" + line.tobytes() for line in pixels))


def turned(orientation: int) -> bytes:
    """EXIF data with an orientation."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 274, 3, 1, orientation, 0) + bytes(4)


def write_turned_jpeg(path: Path, orientation: int) -> Path:
    write_picture(path, PIXELS)
    exif = b"Exif\0\0" + turned(orientation)
    content = path.read_bytes()
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:])
    return path


PICTURES = ALONE | {"modality": "RGB"}


@finds()
def a_grey_picture_with_alpha(f):
    grey_with_alpha(f.images / "a.png")
    return PICTURES


@finds("too_large")
def a_picture_that_inflates_to_a_billion_pixels(f):
    write_png(f.images / "a.png", (30000, 30000, 1, 0, 0, 0, 0), bytes(100))
    return PICTURES


@finds("pixels_missing")
def a_jpeg_that_was_cut(f):
    path = write_picture(f.images / "a.jpg", PIXELS)
    path.write_bytes(path.read_bytes()[:-60])
    return PICTURES


@finds("picture_turned")
def a_jpeg_turned_by_exif(f):
    write_turned_jpeg(f.images / "a.jpg", 6)
    return PICTURES


@finds()
def a_jpeg_exif_does_not_turn(f):
    write_turned_jpeg(f.images / "a.jpg", 1)
    return PICTURES


@finds("picture_turned")
def a_png_turned_by_exif(f):
    lines = b"".join(b"\0" + line.tobytes() for line in PIXELS)
    write_png(f.images / "a.png", (12, 10, 8, 2, 0, 0, 0), lines, turned(3))
    return PICTURES


@finds("label_lossy")
def a_label_map_that_is_a_jpeg(f):
    write_picture(f.images / "a.png", PIXELS)
    write_picture(f.labels / "a.jpg", PIXELS[..., 0])
    return {"modality": "RGB"}


@finds("unreadable")
def a_label_map_that_is_a_jpeg_by_another_name(f):
    write_picture(f.images / "a.png", PIXELS)
    write_picture(f.labels / "a.jpg", PIXELS[..., 0]).rename(f.labels / "a.png")
    return {"modality": "RGB"}


@pytest.mark.parametrize("name", VOLUMES)
def test_the_intake_reports_exactly_these_findings(name, tmp_path):
    VOLUMES.check(name, tmp_path)


def test_every_finding_has_an_input_that_leads_to_it():
    assert set(FINDINGS) == {
        kind for table in (OTHERS, VOLUMES) for _, expected in table.values() for _, kind in expected
    }


@pytest.mark.parametrize("name", [name for name, (_, expected) in VOLUMES.items() if expected])
def test_hashed_findings_do_not_identify_the_case(name, tmp_path):
    secret = tmp_path / "Muster_Erika"
    secret.mkdir()
    found = VOLUMES.survey(name, secret).findings
    renamed = [replace(item, case="Muster_Max") for item in found]
    assert "Muster" not in as_csv(hash_ids(renamed, b"0123456789abcdef"))


@pytest.mark.parametrize("name", [name for name, (_, expected) in VOLUMES.items() if expected])
def test_stages_refuse_what_the_intake_refuses(name, tmp_path, monkeypatch):
    """By the one function all of them read with: inference takes folders that no intake has looked at."""
    found = VOLUMES.survey(name, tmp_path)
    (case,), (finding,) = found.cases, found.findings
    if name.endswith(("over_the_limit", "over_the_limit_that_was_set")):
        monkeypatch.setenv("SEMCL_MAX_VOXELS", "10")
    kind, path = FINDINGS[finding.name], case.label or case.image
    channels = 3 if path.suffix in (".png", ".jpg") and not case.label else 1
    with pytest.raises(SemclError) as caught:
        read(path, case.id, channels, indices=case.label is not None)
    assert finding.severity == ERROR
    assert (caught.value.problem, caught.value.remedy) == (kind.problem, kind.remedy)
    assert (caught.value.case, str(path) in str(caught.value.found)) == ("a", True)


# what is read, and rightly


@pytest.mark.parametrize("name", ["a_slope_of_zero", "a_slope_of_infinity"])
def test_a_slope_of_zero_leaves_voxels_unscaled(name, tmp_path):
    VOLUMES.survey(name, tmp_path)
    voxels = np.asarray(nib.load(tmp_path / "images" / "a.nii.gz").dataobj.get_unscaled())
    np.testing.assert_array_equal(read(tmp_path / "images" / "a.nii.gz", "a")[0].numpy(), voxels)


def test_each_slice_is_scaled_by_its_own_rescale(tmp_path):
    whole = read(write_dicom(tmp_path / "a", ct()), "a")[0].numpy()
    VOLUMES.survey("a_slice_of_another_rescale", tmp_path / "b")
    mixed = read(tmp_path / "b" / "images" / "a", "a")[0].numpy()
    (changed,) = np.unique(np.argwhere(mixed != whole)[:, 2]).tolist()
    np.testing.assert_array_equal(mixed[:, :, changed], whole[:, :, changed] / 2)


def test_a_grey_picture_with_alpha_is_its_grey(tmp_path):
    volume = read(grey_with_alpha(tmp_path / "a.png"), "a")
    np.testing.assert_array_equal(np.flip(volume[0, :, :, 0].numpy(), (0, 1)), PIXELS[..., 0].T)


def test_the_affine_is_that_of_the_sform_whatever_the_voxel_sizes_say(tmp_path):
    place = affine(2, 2, 3, m03=-7)
    path = tmp_path / "a.nii.gz"
    write_forms(path, ct(), (np.eye(4), 0), (place, 1))
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(set_field(80, "<3f", 1.0, 1.0, 1.0)(content)))
    np.testing.assert_allclose(read(path, "a").affine.numpy(), place)


# a file that has gone since the datalist was read


def gone(name: str) -> Callable[[Path], Case]:
    """A case whose attention is there, without its image or its label map."""

    def make(root: Path) -> Case:
        f = Folder(root)
        case = Case("a", "p", "ct", f.image(), f.label(), 0)
        write_nifti(root / "attention" / "a.nii.gz", organs())
        (case.image if name == "image" else f.labels / "a.nii.gz").unlink()
        return case

    return make


GRID = QueryGrid(2, 8, [0, 0, 0], [-160, 240])
READERS: dict[str, tuple[str, Callable[[Case, Path], Any]]] = {
    "coarse": ("image", lambda case, root: ReadCoarse(TABLE, (8, 8, 8), [0, 1])({"case": case})),
    "coarse's label": ("label", lambda case, root: ReadCoarse(TABLE, (8, 8, 8), [0, 1])({"case": case})),
    "maps": ("image", lambda case, root: predict([case], nn.Identity(), CoarseInferer((8, 8, 8), [0, 1]), TABLE,
                                                str(root / "maps"), torch.device("cpu"), raised)),
    "store": ("image", lambda case, root: QueryStore(str(root / "s"), [case], str(root / "attention"), TABLE, GRID)),
    "inference": ("image", lambda case, root: CheckedLoadImaged("image")({"image": str(case.image)})),
    "predictions": ("image", lambda case, root: Predictions(
        str(root), [case], [], "", Job("inference", "bundle", str(root), {}, 0)).missing()),
    "measuring": ("label", lambda case, root: measure_case(case, {"coarse": root / "attention"}, TABLE, 2.0)),
    "pictures": ("image", lambda case, root: case_picture(case, 0.5, {}, "coarse", TABLE, [0, 1], root)),
    "Auto3DSeg's score": ("image", lambda case, root: validation_dice([case], TABLE, root / "attention")),
}  # fmt: skip


def raised(case: str, why: object) -> None:
    """A job that records failed cases and continues."""
    raise why if isinstance(why, SemclError) else AssertionError(why)


@pytest.mark.parametrize(("what", "ask"), READERS.values(), ids=READERS.keys())
def test_a_removed_file_is_reported_with_its_case(what, ask, tmp_path):
    with pytest.raises(SemclError, match=r"^case a: a file of the datalist is missing\n  found:    no \S+/a\.nii\.gz"):
        ask(gone(what)(tmp_path), tmp_path)
