"""Overlays and overrides of a stage's config."""

import pytest
import yaml

from scripts.errors import SemclError
from scripts.job.overlays import as_meant, cut, cut_error, is_expression, merged, misspelt_paths, wrong_paths
from tests.stages import ROOT

OWN = {"text": "a", "number": 3, "model": {"_target_": "Net", "width": 4}, "train": {"epochs": 1, "rate": 0.1}}


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [("text", "12", "12"), ("number", "12", 12), ("number", 12, 12), ("dataset_dir", "2024_01", "2024_01")],
)
def test_a_shells_value_is_read_as_its_key_needs_it(key, value, meant):
    assert as_meant(key, value, OWN) == meant


def test_expressions_are_recognised():
    assert [is_expression(value) for value in ("$1 + 1", "@a", "%b", "a", 1, None)] == [True] * 3 + [False] * 3


def test_files_and_overrides_are_merged_as_monai_does(tmp_path):
    for name, text in (("stage", "a: 1\nb: {c: 2, d: 3}\n"), ("over", "b#c: 5\n"), ("bad", "z#y#x: 1\n")):
        (tmp_path / f"{name}.yaml").write_text(text)
    files = [str(tmp_path / f"{name}.yaml") for name in ("stage", "over", "bad")]
    assert merged(files[:2], {"a": 9}) == {"a": 9, "b": {"c": 5, "d": 3}}
    with pytest.raises(SemclError, match=r"overlays that cannot be merged[^$]*bad\.yaml"):
        merged(files, {})


def test_paths_that_are_not_text_are_refused():
    errors = wrong_paths({"dataset_dir": 202401, "ckpt_dir": True, "store_dir": None, "output_dir": "out"})
    assert [error.problem for error in errors] == ["--ckpt_dir is not a path", "--dataset_dir is not a path"]


def test_a_section_that_lost_keys_is_cut_and_another_component_is_not():
    assert cut({"epochs": 5}, OWN["train"])
    assert cut({**OWN, "train": {"rate": 1}}, OWN)
    assert not cut({"_target_": "Other"}, OWN["model"])
    assert not cut({"epochs": 5, "rate": 1, "more": 2}, OWN["train"])
    assert cut_error("train", {"epochs": 5}, OWN["train"]).remedy.startswith("write train#epochs: ...")


@pytest.mark.parametrize(
    ("key", "meant"), [("datset_dir", "dataset_dir"), ("outptu_dir", "output_dir"), ("ckpt_dirs", "ckpt_dir")]
)
def test_a_misspelt_path_is_named_before_a_stage_looks_elsewhere(key, meant):
    (error,) = misspelt_paths({key: "x", "patch_size": 32})
    assert str(error).startswith(f"unknown key --{key}\n")
    assert f"did you mean --{meant}?" in str(error)


@pytest.mark.parametrize("path", sorted((ROOT / "bundle" / "configs").glob("**/*.yaml")), ids=lambda path: path.stem)
def test_no_key_of_a_config_is_almost_that_of_a_path(path):
    assert misspelt_paths(yaml.safe_load(path.read_text())) == []
