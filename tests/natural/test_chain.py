"""Pictures in PASCAL VOC's layout through every stage: the same configs, with the numbers of natural.yaml."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts.__main__ import prepare
from scripts.cohort import datalist
from scripts.cohort.pictures import read_photo
from scripts.cohort.volume_files import volumes
from scripts.commands.evaluate import evaluate
from scripts.errors import SemclError
from scripts.intake.layouts import find_layout
from tests.conftest import write_nifti
from tests.natural import BORDER, CLASSES, write_picture, write_voc
from tests.stages import ROOT, refusal, run_here

NATURAL = ROOT / "bundle" / "configs" / "natural.yaml"
SMALL = {
    "spacing": [2, 2, 0], "patch_size": 64, "widths": [4, 8, 8, 16], "decoder_width": 16, "coarse_size": [48, 48, 1],
    "coarse_channels": [8, 16, 32], "coarse_strides": [[2, 2, 1], [2, 2, 1]], "translation": [4, 4, 0],
    "clusters_per_batch": 2, "queries_per_cluster": 6,
    "max_epochs": "${'coarse': 3, 'pretrain': 2, 'train': 6}.get(@stage)", "epoch_length": 12,
    "batch_size": "${'coarse': 4, 'inference': 16, 'embed': 16}.get(@stage)", "calibration_batches": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voc(tmp_path_factory.mktemp("voc") / "VOC2012")


@pytest.fixture(scope="module")
def cohort(voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of pictures after every stage."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "table.yaml").write_text(yaml.safe_dump({"organs": CLASSES, "phases": ["picture"], "ignore": BORDER}))
    small = folder / "small.yaml"
    small.write_text(yaml.safe_dump(SMALL))
    out = folder / "cohort"
    prepare(images=str(voc), out=str(out), table=str(folder / "table.yaml"), modality="RGB")
    for stage in ("coarse", "pretrain", "train", "inference", "embed", "evaluate"):
        run_here(stage, NATURAL, small, dataset_dir=out)
    return out


def test_the_lists_name_training_and_testing_pictures(voc, cohort):
    lists = voc / "ImageSets" / "Segmentation"
    for section, name in (("training", "train"), ("testing", "val")):
        assert {case.id for case in datalist.load(cohort, section)} == set((lists / f"{name}.txt").read_text().split())
    assert [case.id for case in datalist.load(cohort, "unlabelled")] == ["2026_000002"]


def test_predictions_are_png_files_of_the_picture_s_size(cohort):
    for case in datalist.load(cohort, "testing"):
        predicted = read_photo(cohort / "predictions" / f"{case.id}.png", indices=True)
        assert predicted.shape[1:] == read_photo(case.image).shape[1:]
        assert set(np.unique(predicted.numpy()).tolist()) <= {0, *CLASSES.values()}


def iou_by_hand(cohort: Path) -> list[float]:
    """IoU of background and each class over all testing pictures together, by a confusion matrix of known pixels."""
    confusion = np.zeros((3, 3), int)
    for case in datalist.load(cohort, "testing"):
        truth, predicted = (
            read_photo(path, indices=True)[0].numpy().astype(int).ravel()
            for path in (case.label, cohort / "predictions" / f"{case.id}.png")
        )
        np.add.at(confusion, (truth[truth != BORDER], predicted[truth != BORDER]), 1)
    hits = np.diag(confusion)
    return (hits / (confusion.sum(0) + confusion.sum(1) - hits)).tolist()


def test_miou_is_over_all_known_pixels_including_background(cohort):
    coarse, refined = json.loads((cohort / "summary.json").read_text())["over_all"]
    assert (coarse["method"], refined["method"]) == ("coarse", "refined")
    by_hand = iou_by_hand(cohort)
    assert [refined["iou"][name] for name in ("background", *CLASSES)] == pytest.approx(by_hand, abs=1e-9)
    assert refined["mean"] == pytest.approx(np.mean(by_hand), abs=1e-9)
    assert refined["mean"] > 0.6


def test_a_picture_shows_the_worst_cases_in_colour(cohort):
    assert list((cohort / "pictures").glob("*.png"))
    assert "background included" in (cohort / "report.html").read_text()


def test_without_the_numbers_for_pictures_a_stage_names_the_overlay(cohort, tmp_path):
    message = refusal("coarse", dataset_dir=cohort, output_dir=tmp_path)
    assert "a picture has other channels than it should" in message
    assert "natural.yaml" in message


def test_label_maps_that_are_jpegs_are_refused(voc, tmp_path, capsys):
    shutil.copytree(voc / "JPEGImages", tmp_path / "masks")
    table = str(ROOT / "scripts" / "intake" / "layouts" / "voc.yaml")
    with pytest.raises(SemclError, match=r"19 findings that are errors"):
        prepare(
            images=str(voc / "JPEGImages"), labels=str(tmp_path / "masks"), out=str(tmp_path / "cohort"), table=table,
            modality="RGB",
        )  # fmt: skip
    assert "a label map with lossy compression" in capsys.readouterr().out


def test_folders_of_pictures_and_index_masks_work_alike(voc, tmp_path):
    found = {}
    for kind in ("JPEGImages", "SegmentationClass"):
        found[kind] = {path.stem for path in (voc / kind).iterdir()}
    (tmp_path / "images").mkdir()
    for name in found["SegmentationClass"]:
        shutil.copy(voc / "JPEGImages" / f"{name}.jpg", tmp_path / "images")
    table = str(ROOT / "scripts" / "intake" / "layouts" / "voc.yaml")
    given = {"images": str(tmp_path / "images"), "labels": str(voc / "SegmentationClass"), "modality": "RGB"}
    prepare(**given, out=str(tmp_path / "cohort"), table=table)
    assert {case.id for case in datalist.load(tmp_path / "cohort", need_label=True)} == found["SegmentationClass"]


def test_pictures_beside_scans_are_previews_not_cases(tmp_path):
    for kind in ("images", "labels"):
        for case in "abc":
            write_nifti(tmp_path / kind / f"{case}.nii.gz", np.ones((4, 4, 4), np.int16) * (ord(case) - 96))
            write_picture(tmp_path / kind / f"{case}.png", np.zeros((4, 4), np.uint8))
    write_picture(tmp_path / "logo.png", np.zeros((4, 4, 3), np.uint8))
    scans, findings = find_layout(tmp_path, None)[1]
    assert findings == []
    assert [(scan.image.name, scan.label.name) for scan in scans] == [(f"{case}.nii.gz",) * 2 for case in "abc"]
    assert set(volumes(tmp_path / "images")) == {"a", "b", "c"}


def test_predictions_of_pictures_are_measured_by_the_command_line_too(voc, cohort, tmp_path):
    truth = tmp_path / "truth"
    truth.mkdir()
    for case in datalist.load(cohort, "testing"):
        shutil.copy(case.label, truth)
    table = str(cohort / "labels.yaml")
    evaluate(pred=str(cohort / "predictions"), truth=str(truth), out=str(tmp_path / "out"), table=table)
    (line,) = json.loads((tmp_path / "out" / "summary.json").read_text())["over_all"]
    assert line["mean"] == pytest.approx(np.mean(iou_by_hand(cohort)), abs=1e-9)


def test_pictures_without_masks_are_segmented_and_used_for_pretraining(cohort, tmp_path):
    overlays = NATURAL, cohort.parent / "small.yaml"
    given = {"dataset_dir": cohort, "ckpt_dir": cohort / "models", "attention_dir": cohort / "attention"}
    run_here("inference", *overlays, **given, output_dir=tmp_path / "first", section="unlabelled", certain=0.8)
    maps = tmp_path / "first" / "predictions"
    assert [path.name for path in maps.glob("*.png")] == ["2026_000002.png"]
    shutil.copytree(cohort / "models", tmp_path / "models")
    given["ckpt_dir"] = tmp_path / "models"
    run_here("train", *overlays, **given, output_dir=tmp_path, pseudo_dir=maps, max_epochs=1, epoch_length=2)
    assert (tmp_path / "store" / "2026_000002" / "target.npy").is_file()
