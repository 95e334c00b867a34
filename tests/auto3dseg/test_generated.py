"""The folder of a fold, as its files and the command line give it."""

import json
from pathlib import Path

import yaml

from scripts.auto3dseg.generated import Generated

CONTENT = {"fold": 2, "common": {"patch_size": 32}, "train": {"max_epochs": 3}}


def config(folder: Path) -> str:
    path = folder / "configs" / "hyper_parameters.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(CONTENT))
    (folder / "configs" / "notes.txt").write_text("anything")
    return str(path)


def test_paths_are_relative_to_the_config_file(tmp_path):
    read = Generated.read(config(tmp_path / "moved"), {})
    assert (read.folder, read.fold) == (tmp_path / "moved", 2)
    assert read.models == tmp_path / "moved" / "cohort" / "models"
    assert Path(read.config("coarse")).name == "segment.yaml"
    assert Path(read.config("train")) == tmp_path / "moved" / "bundle" / "configs" / "train.yaml"


def test_numbers_of_a_stage_override_shared_ones_and_overrides_both(tmp_path):
    read = Generated.read(config(tmp_path), {"train#max_epochs": 5, "train#train#views#rotation": 1.0, "quick": True})
    given = read.overrides("train")
    assert (given["patch_size"], given["max_epochs"], given["train#views#rotation"]) == (32, 5, 1.0)
    assert read.ignored == ("quick",)
    assert "max_epochs" not in read.overrides("coarse")
    assert (read.overrides("coarse")["coarse_dims"], "coarse_dims" in given) == (2, False)


def test_a_server_is_told_apart_from_numbers(tmp_path):
    read = Generated.read(config(tmp_path), {"mlflow_tracking_uri": "sqlite:///runs.db"})
    assert (read.tracking, read.ignored) == ({"tracking": "mlflow", "tracking_uri": "sqlite:///runs.db"}, ())
    assert Generated.read(config(tmp_path / "again"), {}).tracking == {}


def test_other_files_of_the_folder_are_not_read(tmp_path):
    path = config(tmp_path)
    everything = [path, str(tmp_path / "configs" / "notes.txt")]
    assert Generated.read(everything, {}) == Generated.read(path, {})


def test_the_numbers_of_its_training_are_those_of_inference(tmp_path):
    path = config(tmp_path)
    trained = Generated.read(path, {"inference#test_views": 5, "common#patch_size": 64})
    trained.note.parent.mkdir(parents=True)
    trained.note.write_text(json.dumps({"numbers": trained.numbers, "done": []}))
    read = Generated.read(path, {}, trained=True)
    assert read.numbers == trained.numbers != Generated.read(path, {}).numbers
    assert Generated.read(path, {"inference#test_views": 1}, trained=True).overrides("inference")["test_views"] == 1
