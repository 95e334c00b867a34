"""The stages of plain networks, as they are run."""

import json
import shutil
from itertools import count
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from scripts.cohort.attention import made_of
from scripts.multiclass.learning import PrepareSlices
from tests.stages import ROOT, run_here

STRATEGIES = ROOT / "bundle" / "configs" / "strategies"
PATCHES = {"segment_patch": [32, 32, 16], "segment_spacing": [8, 8, 8], "batch_size": 1}


def weights(folder, file="segment.pt"):
    return torch.load(folder / "models" / file, weights_only=True)


def same(one, other, file="segment.pt"):
    return all(torch.equal(value, weights(other, file)[name]) for name, value in weights(one, file).items())


@pytest.fixture
def without_stages(tmp_path):
    """An arm's overlay without what the study reads of it."""

    def overlay(name):
        content = yaml.safe_load((STRATEGIES / f"{name}.yaml").read_text())
        assert sum(content.pop("stages").values()) == 1
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return overlay


def test_a_network_is_trained_and_segments_the_test_cases(phantoms, tmp_path):
    run_here("segment", dataset_dir=phantoms, output_dir=tmp_path)
    note = json.loads((tmp_path / "models" / "segment.json").read_text())
    assert note["stage"] == "segment.yaml"
    assert {path.name for path in (tmp_path / "models").glob("*.*")} >= {"labels.yaml", "segment.pt"}
    assert not list(tmp_path.glob("models/coarse*"))
    assert not (tmp_path / "attention").exists()
    assert len((tmp_path / "curves" / "segment.csv").read_text().splitlines()) == 3
    run_here("segment_inference", dataset_dir=phantoms, output_dir=tmp_path)
    tested = json.loads((phantoms / "datalist.json").read_text())["testing"]
    for entry in tested:
        made = nib.load(tmp_path / "predictions" / f"{entry['case']}.nii.gz")
        scan = nib.load(phantoms / entry["image"])
        assert made.shape == scan.shape
        assert np.allclose(made.affine, scan.affine)


@pytest.mark.parametrize("arm", ["dynunet", "segresnet"])
def test_networks_of_monai_learn_from_patches(arm, phantoms, tmp_path, without_stages):
    overlay = without_stages(arm)
    run_here("segment", overlay, dataset_dir=phantoms, output_dir=tmp_path / "run", **PATCHES)
    given = {key: PATCHES[key] for key in ("segment_patch", "segment_spacing")}
    run_here("segment_inference", overlay, dataset_dir=phantoms, output_dir=tmp_path / "run", **given)
    assert list((tmp_path / "run" / "predictions").glob("*.nii.gz"))


def interrupt(monkeypatch, step):
    """Make a run end before a step."""
    calls, prepare = count(1), PrepareSlices.__call__

    def stopped(self, *given, **more):
        if next(calls) == step:
            raise KeyboardInterrupt
        return prepare(self, *given, **more)

    monkeypatch.setattr(PrepareSlices, "__call__", stopped)


@pytest.mark.parametrize("consistency", [0.0, 1.0])
def test_a_resumed_run_ends_with_the_weights_it_would_have_had(consistency, phantoms, tmp_path, monkeypatch):
    given = {"consistency": consistency, "confidence": 0.1}
    run_here("segment", dataset_dir=phantoms, output_dir=tmp_path / "whole", **given)
    interrupt(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        run_here("segment", dataset_dir=phantoms, output_dir=tmp_path / "parts", **given)
    run_here("segment", dataset_dir=phantoms, output_dir=tmp_path / "parts", resume=True, **given)
    assert weights(tmp_path / "whole").keys() == weights(tmp_path / "parts").keys()
    assert same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    ("stage", "arm", "given"),
    [
        ("segment", None, {}),
        ("segment", None, {"consistency": 1.0, "confidence": 0.1}),
        ("segment", "dynunet", PATCHES),
        ("segment", "segresnet", PATCHES),
        ("coarse", None, {"labelled_maps": "cross-fitted"}),
    ],
)
def test_only_label_maps_of_the_datalist_are_read(stage, arm, given, cohort, tmp_path, without_stages):
    listed = json.loads((cohort / "datalist.json").read_text())
    hidden = listed["training"][0].pop("label")
    (cohort / "datalist.json").write_text(json.dumps(listed))
    overlays = [without_stages(arm)] if arm else []
    run_here(stage, *overlays, dataset_dir=cohort, output_dir=tmp_path / "one", **given)
    (cohort / hidden).write_text("garbage")
    shutil.rmtree(tmp_path / "one" / "jobs")
    run_here(stage, *overlays, dataset_dir=cohort, output_dir=tmp_path / "other", **given)
    networks = [path.name for path in (tmp_path / "one" / "models").glob("*.pt")]
    assert networks
    for name in networks:
        assert same(tmp_path / "one", tmp_path / "other", name)


def test_a_teacher_learns_from_scans_without_labels(cohort, tmp_path):
    given = {"consistency": 1.0, "confidence": 0.1}
    listed = json.loads((cohort / "datalist.json").read_text())
    del listed["training"][0]["label"]
    (cohort / "datalist.json").write_text(json.dumps(listed))
    run_here("segment", dataset_dir=cohort, output_dir=tmp_path / "with", **given)
    image = cohort / listed["training"][0]["image"]
    scan = nib.load(image)
    nib.save(nib.Nifti1Image(np.full(scan.shape, -500, np.int16), scan.affine), image)
    run_here("segment", dataset_dir=cohort, output_dir=tmp_path / "other", **given)
    assert not same(tmp_path / "with", tmp_path / "other")
    run_here("segment", dataset_dir=cohort, output_dir=tmp_path / "off", least_volume=0)
    nib.save(nib.Nifti1Image(np.full(scan.shape, 400, np.int16), scan.affine), image)
    run_here("segment", dataset_dir=cohort, output_dir=tmp_path / "off again", least_volume=0)
    assert same(tmp_path / "off", tmp_path / "off again")


@pytest.mark.parametrize("meaning", ["slice", "phase"])
def test_training_goes_on_from_a_pretrained_encoder(meaning, phantoms, tmp_path):
    run_here("pretrain_slices", dataset_dir=phantoms, output_dir=tmp_path, meaning=meaning)
    encoder = torch.load(tmp_path / "models" / "encoder.pt", weights_only=True)
    assert json.loads((tmp_path / "models" / "encoder.json").read_text())["stage"] == "pretrain_slices.yaml"
    given = {"learning_rate": 1e-12, "encoder_weights": str(tmp_path / "models" / "encoder.pt")}
    run_here("segment", dataset_dir=phantoms, output_dir=tmp_path, **given)
    learnt = weights(tmp_path)
    name = "body.conv1.weight"
    torch.testing.assert_close(learnt[f"encoder.{name}"], encoder[name], atol=1e-6, rtol=0)
    whole = tmp_path / "whole.pt"
    torch.save({key: torch.zeros_like(value) for key, value in learnt.items()}, whole)
    run_here("segment", dataset_dir=phantoms, output_dir=tmp_path, initial_weights=str(whole), **given)
    assert not weights(tmp_path)[f"encoder.{name}"].any()
    assert not torch.equal(encoder[name], torch.zeros_like(encoder[name]))


def test_label_maps_outside_the_share_make_no_maps(phantoms, tmp_path):
    run_here("segment", dataset_dir=phantoms, output_dir=tmp_path, coarse_dims=2, labelled=0.01, least_volume=0)
    makers = {}
    for entry in json.loads((phantoms / "datalist.json").read_text())["training"]:
        case = Path(entry["image"]).name.removesuffix(".nii.gz")
        makers.setdefault(made_of(tmp_path / "attention" / f"{case}.nii.gz")[1], []).append(entry["patient"])
    tested = json.loads((phantoms / "datalist.json").read_text())["testing"][0]
    network = made_of(tmp_path / "attention" / Path(tested["image"]).name)[1]
    assert len(set(makers.pop(network))) > 1  # patients, as those without label maps
    assert len({patient for own in makers.values() for patient in own}) == 1  # simulated: the only one learnt from


def test_pretraining_reads_no_label_maps(cohort, tmp_path):
    run_here("pretrain_slices", dataset_dir=cohort, output_dir=tmp_path / "one")
    for path in (cohort / "labels").iterdir():
        path.write_text("garbage")
    run_here("pretrain_slices", dataset_dir=cohort, output_dir=tmp_path / "other")
    one, other = (torch.load(tmp_path / run / "models" / "encoder.pt", weights_only=True) for run in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)
