"""The command that exports an encoder, on a small cohort."""

import json

import pytest
import torch
import yaml
from monai.networks.nets.segresnet import SegResNet

from scripts.cohort.label_table import LabelTable, Organ
from scripts.commands.export_encoder import export_encoder
from scripts.errors import SemclError
from scripts.job.weights import save_weights
from scripts.networks.monai_encoders import SegResNetEncoder
from tests.stages import NO_SETTINGS, ROOT

SEEN = {"cohort": "b", "cases": "gg", "patients": "hh"}
NUMBERS = {"init_filters": 8, "blocks_down": [1, 1]}


@pytest.fixture
def pretrained(cohort, tmp_path):
    """A cohort with an encoder, and the overlay that it was made with."""
    overlay = yaml.safe_load((ROOT / "bundle" / "configs" / "encoders" / "segresnet.yaml").read_text())
    overlay["encoder"] |= NUMBERS
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(overlay | {"spacing": [5, 5, 0], "patch_size": 32}))
    encoder = SegResNetEncoder(2, 2, **NUMBERS)
    save_weights(
        cohort / "models" / "encoder.pt",
        encoder,
        {"stage": "pretrain.yaml", "cohort": "c", "cases": "aa bb cc", "patients": "dd ee", "before": [SEEN]}
        | {"meaning": "object"}
        | NO_SETTINGS,
    )
    return {"dataset_dir": str(cohort), "overlay": str(tmp_path / "mine.yaml"), "bundle_root": str(ROOT / "bundle")}


def test_weights_and_a_readme_with_what_was_measured(pretrained, tmp_path, capsys):
    out = tmp_path / "out" / "weights.pt"
    export_encoder("segresnet", str(out), **pretrained)
    assert str(out) in capsys.readouterr().out
    network = SegResNet(spatial_dims=2, in_channels=1, out_channels=7, blocks_up=(1,), **NUMBERS)
    _, unexpected = network.load_state_dict(torch.load(out, weights_only=True), strict=False)
    assert not unexpected
    note = json.loads(out.with_suffix(".json").read_text())
    assert note["export"] == "segresnet"
    assert (note["in_channels"], note["value"], note["measured_on"]) == (1, 0.0, note["scans"])
    assert note["differs"] < 1e-5
    assert (note["cohort"], note["cases"], note["patients"]) == ("c", "aa bb cc", "dd ee")  # to find leaks by
    assert note["before"] == [SEEN]
    assert note["organ_names"]
    assert "organs" not in note
    assert "pulls queries of one organ together" in " ".join(out.with_suffix(".md").read_text().split())
    assert "| voxels | [5, 5, 0] mm" in out.with_suffix(".md").read_text()
    assert "a constant mask" in " ".join(out.with_suffix(".md").read_text().split())


def test_the_mean_of_the_cohort_s_attention_is_measured_too(pretrained, tmp_path, cohort):
    (cohort / "attention").symlink_to(cohort / "labels")
    export_encoder("segresnet", str(tmp_path / "mean.pt"), mask="mean", **pretrained)
    note = json.loads((tmp_path / "mean.json").read_text())
    assert 0 < note["value"] < 0.5
    assert note["differs"] > 0  # there is no bias to take it up
    assert "convInit.conv.weight: no bias" in (tmp_path / "mean.md").read_text()


def test_a_mask_that_every_view_showed_is_not_left_empty_by_default(pretrained, tmp_path, cohort):
    (cohort / "attention").symlink_to(cohort / "labels")
    export_encoder("segresnet", str(tmp_path / "patch.pt"), pooling="patch", **pretrained)
    note = json.loads((tmp_path / "patch.json").read_text())
    assert (note["mask"], note["empty_mask_shown"]) == ("mean", False)
    assert 0 < note["value"] < 0.5


def test_the_readme_states_what_the_weights_were_made_of_not_what_the_cohort_is_now(pretrained, tmp_path):
    other = tmp_path / "other" / "encoder.pt"
    note = {"stage": "pretrain.yaml", "cohort": "theirs", "cases": "aa bb cc"}
    save_weights(other, SegResNetEncoder(2, 2, **NUMBERS), note | NO_SETTINGS)
    LabelTable((Organ("lung", 1),), ("portal",)).save(other.parent)
    export_encoder("segresnet", str(tmp_path / "weights.pt"), weights=str(other), **pretrained)
    text = (tmp_path / "weights.md").read_text()
    assert "| cohort | theirs (hash) |" in text
    assert "| organs | lung |" in text
    assert "on 3 scans" in text


def test_another_kind_is_refused(pretrained, tmp_path):
    with pytest.raises(SemclError, match="set --to segresnet"):
        export_encoder("dynunet", str(tmp_path / "weights.pt"), **pretrained)
    assert not (tmp_path / "weights.pt").exists()
