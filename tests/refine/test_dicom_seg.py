"""DICOM SEG: segments agree with the label map, on the slices of the series."""

import shutil
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import torch
from ignite.engine import Engine
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from scripts.cohort.label_table import LabelTable, Organ
from scripts.job.job import Job
from scripts.refine.dicom_seg import WriteDicomSeg
from tests.refine.made import read_scan, to_stored

SHAPE = (10, 8, 6)  # columns, rows, slices


def write_series(folder: Path, identified: bool = True, shuffled: bool = True) -> Path:
    """An axial CT series, head first, its files named against its order."""
    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for z in range(SHAPE[2]):
        slice_ = pydicom.Dataset()
        slice_.file_meta = FileMetaDataset()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_.file_meta.MediaStorageSOPClassUID = slice_.SOPClassUID = CTImageStorage
        slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID = generate_uid()
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID = (study, series) if identified else ("", "")
        slice_.FrameOfReferenceUID, slice_.Modality = frame, "CT"
        slice_.PatientID, slice_.PatientName, slice_.PatientBirthDate, slice_.PatientSex = "p1", "Doe^Jane", "", ""
        slice_.StudyDate = slice_.StudyTime = slice_.AccessionNumber = slice_.ReferringPhysicianName = ""
        slice_.StudyID, slice_.SeriesNumber, slice_.InstanceNumber = "1", 1, z + 1
        slice_.ImagePositionPatient, slice_.ImageOrientationPatient = [-30, -20, 5.0 * z], [1, 0, 0, 0, 1, 0]
        slice_.PixelSpacing, slice_.SliceThickness = [2, 3], 5
        slice_.Rows, slice_.Columns, slice_.SamplesPerPixel = SHAPE[1], SHAPE[0], 1
        slice_.BitsAllocated = slice_.BitsStored = 16
        slice_.HighBit, slice_.PixelRepresentation, slice_.PhotometricInterpretation = 15, 1, "MONOCHROME2"
        slice_.RescaleIntercept, slice_.RescaleSlope = 0, 1
        slice_.PixelData = np.full((SHAPE[1], SHAPE[0]), z, np.int16).tobytes()
        name = f"{(SHAPE[2] - z) if shuffled else z:03d}.dcm"
        slice_.save_as(folder / name, enforce_file_format=True)
    return folder


@pytest.fixture
def job(tmp_path):
    return Job("inference", "bundle", str(tmp_path / "out"), {}, 0)


def predicted(folder: Path, table, tmp_path: Path) -> dict:
    """A sample, its prediction as object numbers: the first organ in one corner of the body, the third in another."""
    sample = read_scan({"case": "a", "image": str(folder)}, table)
    objects = torch.zeros(sample["image"].shape, dtype=torch.int16)
    objects[0, 1:3, 4:7, 2:4] = 1
    objects[0, 8, 1, 5] = 3
    return sample | {"pred": objects}


def write(table, tmp_path: Path, job: Job, sample: dict, wanted: bool = True) -> None:
    """Let the handler write a sample as inference passes it on."""
    engine = Engine(lambda engine, batch: None)
    engine.state.batch, engine.state.output = [sample], [{"pred": to_stored(sample, table)}]
    WriteDicomSeg(table, str(tmp_path / "out"), job, wanted)(engine)


def test_segments_lie_where_they_were_predicted(tmp_path, table, job):
    sample = predicted(write_series(tmp_path / "series"), table, tmp_path)
    write(table, tmp_path, job, sample)
    written = highdicom.seg.segread(tmp_path / "out" / "a.dcm")
    described = [written.get_segment_description(number) for number in (1, 2)]
    assert [item.segment_label for item in described] == ["liver", "left_kidney"]
    assert [item.segmented_property_type.meaning for item in described] == ["Liver", "Kidney"]
    affine = np.asarray(sample["image"].affine)
    for segment, number in ((1, 1), (2, 3)):
        volume = written.get_volume(segment_numbers=[segment])
        written_voxels = np.argwhere(volume.array[..., 0] > 0)
        lps = (np.c_[written_voxels, np.ones(len(written_voxels))] @ volume.affine.T)[:, :3]
        voxels = np.argwhere(sample["pred"][0].numpy() == number)
        ras = (np.c_[voxels, np.ones(len(voxels))] @ affine.T)[:, :3]
        assert sorted(map(tuple, (lps * [-1, -1, 1]).round(3).tolist())) == sorted(map(tuple, ras.round(3).tolist()))


def test_it_refers_to_the_series_and_its_patient(tmp_path, table, job):
    folder = write_series(tmp_path / "series")
    write(table, tmp_path, job, predicted(folder, table, tmp_path))
    first, written = pydicom.dcmread(folder / "001.dcm"), pydicom.dcmread(tmp_path / "out" / "a.dcm")
    assert (written.PatientID, written.StudyInstanceUID) == ("p1", first.StudyInstanceUID)
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
    assert written.SeriesInstanceUID != first.SeriesInstanceUID
    assert written.Modality == "SEG"


def test_organs_over_255_are_refused_not_written_as_background(tmp_path, job, capsys):
    many = LabelTable(tuple(Organ(f"organ{number}", number) for number in range(1, 301)), ("ct",))
    sample = predicted(write_series(tmp_path / "series"), many, tmp_path)
    objects = torch.zeros_like(sample["pred"])
    objects.view(-1)[:300] = torch.arange(1, 301)
    write(many, tmp_path, job, sample | {"pred": objects})
    assert job.failed == ["a"]
    assert "a DICOM SEG cannot hold that many organs\n  found:    300 organs" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.dcm"))


@pytest.mark.parametrize(
    "name",
    [
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
        *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
    ],
)
def test_a_series_without_its_patient_s_data_gets_a_segmentation(name, tmp_path, table, job):
    folder = write_series(tmp_path / "series")
    for path in folder.iterdir():
        slice_ = pydicom.dcmread(path)
        delattr(slice_, name)
        slice_.save_as(path)
    write(table, tmp_path, job, predicted(folder, table, tmp_path))
    assert job.failed == []
    assert not getattr(highdicom.seg.segread(tmp_path / "out" / "a.dcm"), name)


def test_one_slice_without_its_frame_of_reference_is_named_and_left(tmp_path, table, job, capsys):
    folder = write_series(tmp_path / "series")
    path = sorted(folder.iterdir())[2]
    slice_ = pydicom.dcmread(path)
    del slice_.FrameOfReferenceUID
    slice_.save_as(path)
    write(table, tmp_path, job, predicted(folder, table, tmp_path))
    assert job.failed == ["a"]
    assert (
        "case a: a DICOM SEG cannot refer to this series\n  found:    no FrameOfReferenceUID" in capsys.readouterr().err
    )


def test_what_highdicom_refuses_is_named_and_left(tmp_path, table, job, capsys, monkeypatch):
    def refuse(**_):
        raise AttributeError("no attribute like that")

    monkeypatch.setattr(highdicom.seg, "Segmentation", refuse)
    write(table, tmp_path, job, predicted(write_series(tmp_path / "series"), table, tmp_path))
    assert job.failed == ["a"]
    assert "no attribute like that" in capsys.readouterr().err


def test_a_series_without_identifiers_is_named_and_left(tmp_path, table, job, capsys):
    folder = write_series(tmp_path / "series", identified=False)
    write(table, tmp_path, job, predicted(folder, table, tmp_path))
    assert job.failed == ["a"]
    error = capsys.readouterr().err
    assert "case a: a DICOM SEG cannot refer to this series" in error
    assert "no StudyInstanceUID, SeriesInstanceUID" in error
    assert not (tmp_path / "out" / "a.dcm").exists()


@pytest.mark.parametrize("reason", ["not wanted", "a file", "nothing predicted", "failed"])
def test_no_file_is_written_where_none_is_wanted(reason, tmp_path, table, job):
    sample = predicted(write_series(tmp_path / "series"), table, tmp_path)
    if reason == "a file":
        sample["source"] = str(tmp_path / "a.nii.gz")
    if reason == "nothing predicted":
        sample["pred"] = torch.zeros_like(sample["pred"])
    if reason == "failed":
        sample["failed"] = "cannot be read"
    write(table, tmp_path, job, sample, wanted=reason != "not wanted")
    assert not (tmp_path / "out" / "a.dcm").exists()
    assert job.failed == []


def test_a_series_that_has_disappeared_is_named(tmp_path, table, job, capsys):
    sample = predicted(write_series(tmp_path / "series"), table, tmp_path)
    shutil.rmtree(tmp_path / "series")
    write(table, tmp_path, job, sample)
    assert job.failed == ["a"]
    error = capsys.readouterr().err
    assert (
        f"case a: a.dcm cannot be written: its series cannot be read again\n  found:    {tmp_path / 'series'}: "
        in error
    )
    assert not (tmp_path / "out" / "a.dcm").exists()
