"""Overlays and overrides of a stage's config."""

import pytest

from scripts.errors import SemclError
from scripts.job.overlays import as_meant, cut, cut_error, is_expression, merged, wrong_paths

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
