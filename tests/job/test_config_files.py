"""A stage's config comes before the files that change it; MONAI would let it undo them without a word."""

import json

import monai.bundle
import pytest

from scripts.errors import SemclError, root_cause
from scripts.job.config_files import given_files, out_of_order
from tests.stages import ROOT, as_if_a_process_ended, small_numbers

CONFIGS = ROOT / "bundle" / "configs"
IMPORTS = ["$import json", "$from pathlib import Path", "$import scripts.job.config_files as files"]
NOTE = "$Path(@seen).write_text(json.dumps(files.given_files()))"


@pytest.fixture
def written(tmp_path):
    """A config that notes the config files of its run, and an overlay."""
    stage, more = tmp_path / "stage.json", tmp_path / "more.json"
    stage.write_text(json.dumps({"imports": IMPORTS, "run": [NOTE], "stage": "this"}))
    more.write_text(json.dumps({"patch_size": 32}))
    return stage, more


@pytest.mark.parametrize("way", ["one", "several", "arguments in a file"])
def test_the_config_files_of_a_run_are_found(written, tmp_path, way):
    stage, more = map(str, written)
    config = stage if way == "one" else [stage, more]
    given = {"config_file": config}
    if way == "arguments in a file":
        (tmp_path / "args.json").write_text(json.dumps(given))
        given = {"args_file": str(tmp_path / "args.json")}
    seen = tmp_path / "seen.json"
    monai.bundle.run(**given, logging_file=False, meta_file=str(CONFIGS / "metadata.json"), seen=str(seen))
    assert json.loads(seen.read_text()) == ([stage] if way == "one" else [stage, more])


def test_outside_of_a_run_there_are_none():
    assert given_files() == []


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["segment"], []),
        (["segment", "self_training"], []),
        (["inference", "pseudo_labels", "inference_trt"], []),
        (["train", "validate"], []),
        (["train", "multi_gpu_train"], []),
        (["validate", "train"], ["train"]),
        (["self_training", "segment"], ["segment"]),
        (["segment", "train"], ["train"]),
        (["segment", "self_training", "segment"], ["segment"]),
    ],
)
def test_a_stage_after_another_file_is_an_error(names, wrong):
    found = [str(error) for error in out_of_order([str(CONFIGS / f"{name}.yaml") for name in names])]
    assert len(found) == len(wrong)
    for name, error in zip(wrong, found, strict=True):
        assert f"{name}.yaml after " in error


def test_an_overlay_that_names_a_stage_is_an_error(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("stage: train\npatch_size: 32\n")
    (error,) = out_of_order([str(CONFIGS / "segment.yaml"), str(overlay)])
    assert f"stage: train in {overlay}" in str(error)
    assert "stages: [train]" in str(error)


def test_a_run_with_files_in_the_wrong_order_changes_nothing(cohort):
    before = sorted(cohort.rglob("*"))
    files = [str(CONFIGS / f"{name}.yaml") for name in ("self_training", "segment")]
    given = {**small_numbers("segment"), "dataset_dir": str(cohort), "bundle_root": str(ROOT / "bundle")}
    with as_if_a_process_ended(), pytest.raises((SemclError, RuntimeError)) as raised:
        monai.bundle.run(config_file=files, logging_file=False, **given)
    cause = root_cause(raised.value)
    assert isinstance(cause, SemclError)
    assert "segment.yaml after " in str(cause)
    assert sorted(cohort.rglob("*")) == before
