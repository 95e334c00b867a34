"""Scans that inference reads and predictions it writes."""

import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor, decollate_batch, list_data_collate

from scripts.errors import SemclError
from scripts.job.job import Job
from scripts.refine.volumes import (
    CheckedLoadImaged,
    PrepareVolume,
    VolumeDataset,
    WriteLabelMap,
    one_volume,
)
from tests.conftest import write_nifti
from tests.refine.made import preprocessing, read_scan, to_stored

STORED = np.array([[0, -2.0, 0, 30], [-1.5, 0, 0, 12], [0, 0, 3.0, -7], [0, 0, 0, 1]])  # axes P, L, S


@pytest.fixture
def job(tmp_path):
    return Job("inference", "bundle", str(tmp_path / "out"), {}, 0)


def stepped(sample: dict) -> Engine:
    """An evaluator after a step over one sample, whose prediction is its attention."""
    engine = Engine(lambda engine, batch: None)
    engine.state.batch, engine.state.output = [sample], [{"pred": sample["attention"]}]
    return engine


def test_a_prediction_lies_where_its_image_lies(tmp_path, table, job):
    image = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    label = np.random.default_rng(1).choice([0, 2, 5, 9], size=(6, 5, 4)).astype(np.uint8)
    path = write_nifti(tmp_path / "images" / "a.nii.gz", image, STORED)
    write_nifti(tmp_path / "attention" / "a.nii.gz", label, STORED)
    sample = read_scan({"image": str(path)}, table, tmp_path / "attention")
    predicted = to_stored({**sample, "pred": sample["attention"]}, table)
    assert np.array_equal(predicted, label[None])
    engine = stepped(sample)
    engine.state.output = [{"pred": predicted}]
    WriteLabelMap(str(tmp_path / "out"), job)(engine)
    written = nib.load(tmp_path / "out" / "a.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), label)
    assert np.allclose(written.affine, STORED)
    assert job.failed == []


def test_without_an_attention_map_none_is_passed_on(tmp_path, table):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((6, 5, 4), np.float32))
    sample = read_scan({"image": str(path)}, table, tmp_path / "attention")
    assert "attention" not in sample
    image, target, _, given = PrepareVolume()({"image": torch.zeros(1, 1, 6, 5, 4)}, torch.device("cpu"))
    assert image.shape == (1, 1, 6, 5, 4)
    assert (target, given) == (None, {})


def test_a_scan_is_named_by_its_file_and_keeps_other_entries(tmp_path, table):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((6, 5, 4), np.float32))
    sample = read_scan({"image": str(path), "model": "semcl"}, table)
    assert (sample["case"], sample["source"], sample["model"]) == ("a", str(path), "semcl")
    assert read_scan({"image": str(path), "case": "b"}, table)["case"] == "b"


def test_an_error_that_is_not_the_cases_is_raised():
    with pytest.raises(RuntimeError, match="applying transform") as caught:
        VolumeDataset([{"case": "a"}], CheckedLoadImaged("image"))[0]
    assert isinstance(caught.value.__cause__, KeyError)


def test_what_stands_for_a_scan_that_cannot_be_read_has_as_many_channels(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    data = [{"case": "a", "image": str(tmp_path / "a.png")}]
    sample = VolumeDataset(data, CheckedLoadImaged("image", channels=3), channels=3)[0]
    assert sample["image"].shape == (3, 1, 1, 1)
    assert "case a" in sample["failed"]


def no_volume(path: Path) -> None:
    path.write_bytes(b"no volume")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def of_another_shape(path: Path) -> None:
    write_nifti(path, np.zeros((3, 3, 3), np.uint8))


def of_an_organ_unknown(path: Path) -> None:
    write_nifti(path, np.full((6, 5, 4), 77, np.uint8))


FAULTS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "an image that is no volume": ("a.nii.gz", no_volume, "case a: a volume cannot be read"),
    "an image that was cut short": ("a.nii.gz", cut_short, "case a: a volume cannot be read"),
    "an image that is gone": ("a.nii.gz", os.remove, "case a: a file of the datalist is missing"),
    "attention that is no volume": ("attention/a.nii.gz", no_volume, "case a: a volume cannot be read"),
    "attention of another shape": ("attention/a.nii.gz", of_another_shape, "case a: image and label map differ in"),
    "attention of an organ unknown": ("attention/a.nii.gz", of_an_organ_unknown, "case a: label values outside"),
}


@pytest.mark.parametrize(("name", "harm", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_case_that_cannot_be_read_is_reported_and_nothing_is_written(
    name, harm, message, tmp_path, table, job, capsys
):
    noise = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    path = write_nifti(tmp_path / "a.nii.gz", noise)
    write_nifti(tmp_path / "attention" / "a.nii.gz", np.zeros((6, 5, 4), np.uint8))
    harm(tmp_path / name)
    with pytest.raises(SemclError, match=f"^{message}"):
        read_scan({"case": "a", "image": str(path)}, table, tmp_path / "attention")
    sample = VolumeDataset([{"case": "a", "image": str(path)}], preprocessing(table, tmp_path / "attention"))[0]
    assert sample["failed"].startswith(message)
    assert sample["image"].shape == sample["attention"].shape == (1, 1, 1, 1)
    WriteLabelMap(str(tmp_path / "out"), job)(stepped(sample))
    assert list((tmp_path / "out").glob("*.nii.gz")) == []
    assert job.failed == ["a"]
    assert f"error: {message}" in capsys.readouterr().err


def test_the_last_volume_is_let_go_before_the_next_is_read(tmp_path, job):
    kept = []

    def read():
        for _ in range(2):
            kept.append((engine.state.batch, engine.state.output))
            yield [{"case": "a", "failed": "no scan"}]

    engine = Engine(lambda engine, batch: [{}])
    WriteLabelMap(str(tmp_path), job).attach(engine)
    engine.run(read(), epoch_length=2)
    assert kept == [(None, None)] * 2
    assert job.failed == ["a", "a"]


def test_a_batch_of_one_volume_is_monais_without_a_copy():
    image = MetaTensor(torch.randn(1, 4, 5, 6), affine=torch.diag(torch.tensor([1.0, 2, 3, 1])))
    image.meta |= {"original_affine": torch.eye(4), "filename_or_obj": "x"}
    image.applied_operations = [{"class": "a", "id": 1}]
    sample = {"case": "a", "image": image, "attention": torch.ones(1, 4, 5, 6, dtype=torch.int16)}
    ours, usual = one_volume([sample]), list_data_collate([sample])
    assert ours.keys() == usual.keys()
    assert ours["case"] == usual["case"]
    for key in ("image", "attention"):
        assert torch.equal(ours[key], usual[key])
        assert ours[key].data_ptr() == sample[key].data_ptr()
    assert ours["image"].is_batch
    assert ours["image"].applied_operations == usual["image"].applied_operations
    assert torch.equal(ours["image"].affine, usual["image"].affine)
    (single,) = decollate_batch(ours)
    assert single["image"].meta["filename_or_obj"] == "x"
    assert torch.equal(single["image"], image)
