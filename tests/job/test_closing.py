"""What a stage says at its end."""

import ast
import os
import shlex
import time

import pytest

from scripts.job.closing import CHAINED, closing_lines, go_on, key_figures, pace, some_failed


@pytest.fixture
def folder(tmp_path):
    """A cohort in which pretraining has just ended, with a model of yesterday."""
    for name in ("models/encoder.pt", "models/model.pt", "store/a", "curves/pretrain.csv", "bundle/configs/train.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    os.utime(tmp_path / "models" / "model.pt", (1, 1))
    rows = "pretrain,1,1,9\npretrain,2,1,4.5,0.25\npretrain,2,2,3.25,0.5\n"
    (tmp_path / "curves" / "pretrain.csv").write_text("stage,run,epoch,loss,knn_purity\n" + rows)
    return tmp_path


def test_a_stage_ends_with_what_it_wrote_its_figures_and_the_next_command(folder, monkeypatch):
    monkeypatch.chdir(folder)
    made = closing_lines("pretrain", folder, ".", folder / "bundle" / "configs", time.monotonic() - 10)
    assert made.splitlines() == [
        f"pretrain: completed in 10 s; wrote {folder}/store/ (1), {folder}/models/encoder.pt",
        "pretrain: loss 4.500 in the first epoch, 3.250 in epoch 2, knn purity 0.500",
        "next: python -m monai.bundle run --config_file bundle/configs/train.yaml --dataset_dir .",
    ]


def test_the_next_command_has_the_folders_and_overlays_of_this_one(folder, monkeypatch):
    for name, text in {
        "for all": "patch_size: 32",
        "for train": "stages: [train]",
        "else": "stages: [pretrain]",
    }.items():
        (folder / f"{name}.yaml").write_text(text)
    files = ["pretrain.yaml", *(str(folder / f"{name}.yaml") for name in ("for all", "for train", "else"))]
    monkeypatch.setattr("scripts.job.config_files.given_files", lambda: files)
    made = closing_lines("pretrain", folder, "my cohort", folder / "configs", time.monotonic() - 10)
    words = shlex.split(made.splitlines()[-1])
    assert words[:6] == ["next:", "python", "-m", "monai.bundle", "run", "--config_file"]
    assert ast.literal_eval(words[6]) == [str(folder / "configs" / "train.yaml"), *files[1:3]]
    assert words[7:] == ["--dataset_dir", "my cohort", "--output_dir", str(folder)]


def test_after_the_segmentation_of_a_folder_of_scans_nothing_can_be_measured(folder):
    made = [closing_lines("inference", folder, str(folder), folder, time.monotonic() - 10)]
    (folder / "datalist.json").write_text("{}")
    made.append(closing_lines("inference", folder, str(folder), folder, time.monotonic() - 10))
    assert ["evaluate.yaml" in lines for lines in made] == [False, True]


@pytest.mark.parametrize(("wrote", "following"), [("coarse.pt", "pretrain"), ("segment.pt", "segment_inference")])
def test_after_a_plain_network_comes_its_inference_or_pretraining_on_its_maps(wrote, following, folder):
    (folder / "models" / "encoder.pt").unlink()
    (folder / "models" / wrote).write_text("x")
    made = closing_lines("segment", folder, "cohort", folder, time.monotonic() - 10)
    assert f"/{following}.yaml " in made.splitlines()[-1]


def test_after_self_training_comes_inference(folder):
    (folder / "pseudo").mkdir()
    (folder / "pseudo" / "a.nii.gz").write_text("x")
    made = closing_lines("inference", folder, "cohort", folder, time.monotonic() - 10)
    assert f"wrote {folder}/store/ (1), {folder}/pseudo/ (1)" in made
    assert "next:" not in made  # self_training.yaml over segment.yaml, which no file names alone
    os.utime(folder / "pseudo" / "a.nii.gz", (1, 1))
    (folder / "models" / "encoder.pt").unlink()
    (folder / "models" / "coarse.pt").write_text("x")
    made = closing_lines("segment", folder, "cohort", folder, time.monotonic() - 10)
    assert "/inference.yaml " in made.splitlines()[-1]


def test_inference_says_how_long_a_scan_took(folder):
    (folder / "predictions").mkdir()
    for name in ("a.nii.gz", "b.nii.gz", "predictions.json"):
        (folder / "predictions" / name).write_text("x")
    made = closing_lines("inference", folder, "cohort", folder, time.monotonic() - 5)
    assert made.splitlines()[1] == "inference: 2 scans, 2.5 s each"
    assert pace(["a.png"], 1) == "1 scan, 1.0 s each"
    assert pace(["predictions.json"], 1) == ""


def test_the_next_stage_of_a_release_is_named_by_its_own_file(folder):
    configs = folder / "bundle" / "configs"
    (configs / "common.json").write_text("{}")
    assert "configs/train.json" in closing_lines("pretrain", folder, "cohort", configs, time.monotonic())
    assert "next:" not in closing_lines("inference", folder, "cohort", configs, time.monotonic())


def test_in_a_chain_no_following_command_is_named(folder):
    token = CHAINED.set("semcl run --dataset_dir cohort")
    try:
        assert "next:" not in closing_lines("pretrain", folder, "cohort", folder, time.monotonic() - 10)
        assert go_on(folder / "nothing.pt") == "go on with semcl run --dataset_dir cohort"
    finally:
        CHAINED.reset(token)
    assert go_on(folder / "nothing.pt").startswith("run it again")
    assert go_on(folder / "models" / "model.pt") == "go on with --resume True"


def test_a_curve_of_an_earlier_run_says_nothing(folder):
    assert key_figures(folder / "curves" / "pretrain.csv", time.time() + 10) == ""
    assert key_figures(folder / "curves" / "coarse.csv", 0) == ""


@pytest.mark.parametrize(("cases", "text"), [(["a"], "1 case failed"), (["a", "b"], "2 cases failed")])
def test_failed_cases_are_counted_and_named(cases, text):
    assert some_failed(cases) == f"{text}, the others are done: {', '.join(cases)}"
