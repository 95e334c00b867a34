"""A plain network of axial slices in the coarse network's place: attention, later stages, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor

from scripts.coarse.inferer import CoarseInferer
from scripts.coarse.slices import SlicesInferer, coarse_inferer, require_volumes, slices_weights
from scripts.cohort import datalist
from scripts.errors import SemclError
from scripts.multiclass.grid import SegmentGrid
from scripts.multiclass.inferer import SegmentInferer
from scripts.networks.encoder import QueryEncoder
from tests.stages import ROOT, as_if_a_process_ended, refusal, run_here, workflow_of

GRID = SegmentGrid(2, [16, 8], [1.4, 1.2, 0], [-100, 100])
NUMBERS: dict[str, Any] = {"coarse_dims": 2, "coarse_spacing": [5, 5, 0], "coarse_size": [40, 36, 24]}
FEW = {"max_epochs": 1, "epoch_length": 2, "calibration_batches": 1, "calibration_share": 0, "val_interval": 0}


def by_threshold(image: torch.Tensor) -> torch.Tensor:
    """Logits of background, object 1 above 0 and object 2 above 1/2."""
    number = (image > 0).long() + (image > 0.5).long()
    return torch.nn.functional.one_hot(number[:, 0], 3).movedim(-1, 1).float()


def run_bare(stage: str, **given: Any) -> None:
    """A stage whose numbers come from common.yaml and the notes of weights alone."""
    with as_if_a_process_ended():
        config = str(ROOT / "bundle" / "configs" / f"{stage}.yaml")
        workflow = ConfigWorkflow(config, logging_file=False, bundle_root=str(ROOT / "bundle"), **given)
        workflow.initialize()
        workflow.run()


def maps(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(nib.load(path).dataobj) for path in folder.glob("*.nii.gz")}


@pytest.fixture(scope="module")
def made(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort after a plain network of slices has made its attention maps; never write into it."""
    cohort = Path(shutil.copytree(phantoms, tmp_path_factory.mktemp("slices") / "cohort"))
    run_here("segment", dataset_dir=cohort, max_epochs=4, epoch_length=10, **NUMBERS)
    return cohort


def test_slices_are_segmented_as_by_a_plain_network() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(1, 1, 22, 15, 11, generator=generator) * 300 - 150
    image = MetaTensor(values, affine=torch.diag(torch.tensor([1.0, 1.5, 3.0, 1.0])))
    inferer = coarse_inferer(2, GRID, [8, 8, 8], [-100, 100], 1)
    found = inferer(image, by_threshold)
    assert torch.equal(found, SegmentInferer(GRID, 3)(image, by_threshold))
    assert set(found.unique().tolist()) == {0, 1, 2}
    assert (inferer.size, inferer.objects) == ((8, 8, 8), None)  # simulated maps need both


def test_the_dimensions_decide_which_inferer_it_is() -> None:
    whole = coarse_inferer(3, GRID, [8, 8, 8], [-100, 100], 2, [4])
    assert type(whole) is CoarseInferer
    assert (whole.size, whole.window, whole.channels, whole.objects) == ((8, 8, 8), [-100, 100], 2, [4])
    assert isinstance(coarse_inferer(2, GRID, [8, 8, 8], [-100, 100], 1), SlicesInferer)
    with pytest.raises(SemclError, match=r"(?s)coarse_dims has no such value.*coarse_dims 1.*2, 3"):
        coarse_inferer(1, GRID, [8, 8, 8], [-100, 100], 1)


@pytest.mark.parametrize(("given", "seen"), [({}, (80, 64)), ({"coarse_slice": [40, 32]}, (40, 32))])
def test_coarse_slices_may_have_a_size_of_their_own(given: dict[str, Any], seen: tuple[int, int], made: Path) -> None:
    workflow = workflow_of("segment", dataset_dir=str(made), **NUMBERS, **given)
    workflow.initialize()
    shared = workflow.parser.get_parsed_content("shared")
    assert (shared.coarse_grid.size, shared.segment_grid.size) == (seen, (80, 64))


def test_coarse_yaml_trains_networks_of_whole_volumes_alone(phantoms: Path, tmp_path: Path) -> None:
    require_volumes(3)
    message = refusal("coarse", dataset_dir=phantoms, output_dir=tmp_path, coarse_dims=2)
    assert "coarse.yaml trains a network of whole volumes" in message
    assert "run segment.yaml with the same numbers" in message
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"segment_dims": 3}, r"segment_dims 3, coarse_dims 2"),
        ({"network_def": {"_target_": "torch.nn.Identity"}}, r"network_def {'_target_': 'torch.nn.Identity'}"),
        ({"tool_maps": "maps"}, r"tool_maps maps"),
        ({"coarse_command": "tool {image} {out}"}, r"coarse_command tool {image} {out}"),
        ({"coarse_organs": ["liver"]}, r"coarse_organs ['liver']"),
        ({"labelled_maps": "cross-fitted"}, "labelled_maps cross-fitted"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_what_a_plain_network_cannot_be_is_refused_before_training(
    given: dict[str, Any], wrong: str, phantoms: Path, tmp_path: Path
) -> None:
    message = refusal("segment", dataset_dir=phantoms, output_dir=tmp_path, **NUMBERS, **given)
    assert f"found:    {wrong}" in message
    assert {path.name for path in tmp_path.iterdir()} == {"jobs"}


@pytest.mark.parametrize("key", ["attention_dir", "ckpt_dir"])
def test_somebodys_folder_is_refused_before_training(key: str, phantoms: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "coarse.pt").write_text("mine")
    message = refusal("segment", dataset_dir=phantoms, output_dir=tmp_path / "out", **NUMBERS, **{key: str(mine)})
    assert "not this stage's own" in message or "files that are not its own" in message
    assert [path.read_text() for path in mine.iterdir()] == ["mine"]
    assert not (tmp_path / "out" / "curves").exists()


def test_a_plain_network_leaves_what_the_coarse_stage_does(made: Path) -> None:
    note = json.loads((made / "models" / "coarse.json").read_text())
    assert note["stage"] == "segment.yaml"
    assert note["labelled_maps"] == "simulated"
    wanted = {**NUMBERS, "segment_size": [80, 64], "widths": [4, 8, 8, 16], "decoder_width": 16, "segment_dims": 2}
    assert wanted.items() <= note["settings"].items()
    assert not {"coarse_channels", "patch_size", "spacing"} & set(note["settings"])
    assert not (made / "models" / "segment.pt").exists()
    assert json.loads((made / "attention" / "attention.json").read_text())["labelled_maps"] == "simulated"
    found = maps(made / "attention")
    assert set(found) == {f"{case.id}.nii.gz" for case in datalist.load(made)}
    for case in datalist.load(made):
        own = found[f"{case.id}.nii.gz"]
        assert own.shape == nib.load(case.image).shape
        assert own.any()
        if case.fold is not None:  # with errors
            label = np.asarray(nib.load(case.label).dataobj)
            assert 0.5 < 2 * ((own > 0) & (label > 0)).sum() / ((own > 0).sum() + (label > 0).sum()) < 1


def test_the_maps_are_made_again_from_the_note(made: Path, tmp_path: Path) -> None:
    run_bare("maps", dataset_dir=str(made), output_dir=str(tmp_path), ckpt_dir=str(made / "models"))
    before, again = maps(made / "attention"), maps(tmp_path / "attention")
    assert before.keys() == again.keys()
    assert all(np.array_equal(before[name], again[name]) for name in before)


def test_later_stages_go_on_from_it(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = Path(shutil.copytree(made, tmp_path / "cohort"))
    given = {"encoder_weights": None, "learning_rate": 1e-12, "coarse_dims": 2, **FEW}
    run_here("train", dataset_dir=cohort, **given)
    coarse, model = (torch.load(cohort / "models" / name, weights_only=True) for name in ("coarse.pt", "model.pt"))
    learnt = model["encoder.body.conv1.weight"]
    torch.testing.assert_close(learnt[:, :1], coarse["encoder.body.conv1.weight"], atol=1e-6, rtol=0)
    torch.testing.assert_close(learnt[:, 1:], torch.zeros_like(learnt[:, 1:]), atol=1e-6, rtol=0)
    capsys.readouterr()
    out = tmp_path / "out"
    folders = {"dataset_dir": str(cohort), "output_dir": str(out), "ckpt_dir": str(cohort / "models")}
    run_bare("inference", **folders)  # out has no attention maps
    assert "coarse_dims 2" in capsys.readouterr().out
    tested = [case for case in datalist.load(cohort) if case.fold is None]
    assert {path.name for path in (out / "predictions").glob("*.nii.gz")} == {f"{case.id}.nii.gz" for case in tested}


def test_pretraining_begins_with_its_encoder(made: Path, tmp_path: Path) -> None:
    few = {"max_epochs": 1, "epoch_length": 1, "learning_rate": 1e-12, "val_interval": 0}
    shutil.copytree(made / "models", tmp_path / "models")
    folders = {"dataset_dir": made, "output_dir": tmp_path, "attention_dir": made / "attention"}
    run_here("pretrain", **folders, coarse_dims=2, **few)
    coarse, encoder = (
        torch.load(tmp_path / "models" / name, weights_only=True) for name in ("coarse.pt", "encoder.pt")
    )
    learnt = encoder["body.conv1.weight"]
    torch.testing.assert_close(learnt[:, :1], coarse["encoder.body.conv1.weight"], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("change", "begins"),
    [
        ({}, True),
        ({"widths": [8, 8, 8, 16]}, False),
        ({"spatial_dims": 3}, False),
        ({"encoder": torch.nn.Identity()}, False),
    ],
)
def test_later_stages_begin_with_it_where_their_encoder_is_the_same(
    change: dict[str, Any], begins: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {"block": "basic", "layers": [1, 1, 1, 1], "widths": [4, 4, 4, 8], "image_channels": 1}
    (tmp_path / "coarse.pt").write_bytes(b"weights")
    noted = {"parts": ["segmenter"], "settings": numbers | {"coarse_dims": 2}}
    (tmp_path / "coarse.json").write_text(json.dumps(noted))
    encoder = QueryEncoder(2, layers=(1, 1, 1, 1), widths=(4, 4, 4, 8))
    shared = SimpleNamespace(**{"ckpt_dir": tmp_path, "spatial_dims": 2, "encoder": encoder, **numbers, **change})
    assert slices_weights(shared) == (str(tmp_path / "coarse.pt") if begins else None)
    assert ("not begun with the encoder" in capsys.readouterr().out) != begins
