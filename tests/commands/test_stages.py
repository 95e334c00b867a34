"""Overlays that stay with a cohort, and checks of several stages' configs at once."""

from pathlib import Path

import pytest

from scripts.commands.stages import MARK, OVERLAY_FILE, PREVIOUS, check_configs, keep_overlay, overlay_of, stage_files
from scripts.errors import SemclError

BUNDLE = Path(__file__).parents[2] / "bundle"


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("patch_size: 32\n")
    return path


def test_an_overlay_is_kept_with_the_cohort_and_used_from_then_on(mine, tmp_path, capsys):
    cohort = tmp_path / "cohort"
    cohort.mkdir()
    assert overlay_of(cohort, None, BUNDLE) is None
    kept = keep_overlay(overlay_of(cohort, str(mine), BUNDLE), cohort)
    assert kept.read_text() == MARK + "patch_size: 32\n"
    assert overlay_of(cohort, None, BUNDLE) == kept == cohort / OVERLAY_FILE
    assert overlay_of(cohort, "standard", BUNDLE) == BUNDLE / "configs" / "standard.yaml"
    keep_overlay(kept, cohort)
    assert not (cohort / PREVIOUS).exists()
    mine.write_text("patch_size: 48\n")
    keep_overlay(mine, cohort)
    assert (cohort / PREVIOUS).read_text() == MARK + "patch_size: 32\n"
    assert "is replaced" in capsys.readouterr().out


def test_a_file_of_the_user_s_of_that_name_stays(mine, tmp_path):
    (tmp_path / OVERLAY_FILE).write_text("mine: 1\n")
    with pytest.raises(SemclError, match="exists and is not ours"):
        keep_overlay(mine, tmp_path)
    assert (tmp_path / OVERLAY_FILE).read_text() == "mine: 1\n"


@pytest.mark.parametrize(
    ("name", "problem"), [("nowhere", "there is no such overlay"), ("coarse", "config of a stage")]
)
def test_what_is_no_overlay_is_refused(name, problem, tmp_path):
    with pytest.raises(SemclError, match=problem):
        overlay_of(tmp_path, name, BUNDLE)


def test_the_errors_of_all_stages_are_found_at_once_and_each_is_named_once(mine):
    mine.write_text("patch_size: -1\nlearning_rat: 1\n")
    with pytest.raises(SemclError) as raised:
        check_configs(BUNDLE, {"pretrain": {}, "train": {}}, mine)
    assert str(raised.value).startswith("2 problems in the config")
    assert "did you mean --learning_rate?" in str(raised.value)
    mine.write_text("patch_size: 32\n")
    check_configs(BUNDLE, {"coarse": {"dataset_dir": "x"}, "pretrain": {}}, mine)


def test_an_overlay_for_some_stages_is_left_out_in_the_others(mine):
    mine.write_text("stages: [train]\nsegmentation_loss: {_target_: DiceLoss, sigmoid: true}\n")
    assert stage_files(BUNDLE, "train", mine) == [str(BUNDLE / "configs" / "train.yaml"), str(mine)]
    assert stage_files(BUNDLE, "coarse", mine) == [str(BUNDLE / "configs" / "coarse.yaml")]
    check_configs(BUNDLE, {"coarse": {"dataset_dir": "x"}, "train": {}}, mine)


def test_a_stage_of_no_bundle_is_refused(tmp_path):
    with pytest.raises(SemclError, match="the bundle is missing"):
        stage_files(tmp_path, "coarse", None)
