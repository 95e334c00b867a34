"""The whole chain on a small phantom cohort, each stage in its own process, and errors for bad input."""

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from tests.stages import ROOT, refusal, run_here, run_small

COLUMNS = ["case", "patient", "organ", "phase", "method", "metric", "value"]


@pytest.fixture(scope="module")
def chain(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort after all stages, run by turns from the repository's root and from elsewhere."""
    cohort = tmp_path_factory.mktemp("chain") / "cohort"
    shutil.copytree(phantoms, cohort)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for stage, cwd in {
        "coarse": ROOT,
        "pretrain": elsewhere,
        "train": ROOT,
        "inference": elsewhere,
        "embed": elsewhere,
        "evaluate": ROOT,
    }.items():
        done = run_small(stage, cwd, dataset_dir=cohort)
        assert done.returncode == 0, f"{stage}:\n{done.stderr[-3000:]}"
        assert re.search(r"\b(\d+) of \1 (step|case|quer)", done.stderr), f"{stage} shows no progress"
    return cohort


def test_every_case_has_an_attention_map_in_its_own_geometry(chain):
    for case in datalist.load(chain):
        image, attention = nib.load(case.image), nib.load(chain / "attention" / f"{case.id}.nii.gz")
        assert attention.shape == image.shape
        assert np.allclose(attention.affine, image.affine, atol=1e-5)


def test_every_tested_case_has_a_prediction_in_its_own_geometry(chain):
    indices = {0, *(organ.index for organ in LabelTable.load(chain).organs)}
    tested = datalist.load(chain, "testing")
    assert {path.name for path in (chain / "predictions").glob("*.nii.gz")} == {f"{case.id}.nii.gz" for case in tested}
    for case in tested:
        image, prediction = nib.load(case.image), nib.load(chain / "predictions" / f"{case.id}.nii.gz")
        assert prediction.shape == image.shape
        assert np.allclose(prediction.affine, image.affine, atol=1e-5)
        assert set(np.unique(prediction.dataobj).tolist()) <= indices


def test_rows_hold_both_methods_for_every_tested_case(chain):
    with open(chain / "rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    tested = {case.id for case in datalist.load(chain, "testing")}
    for method in ("coarse", "refined", "truth"):
        assert {row["case"] for row in rows if row["method"] == method} == tested
    assert {row["metric"] for row in rows if row["method"] == "truth"} == {"volume_ml"}
    for metric in ("dice", "iou", "nsd"):
        values = [float(row["value"]) for row in rows if row["metric"] == metric]
        assert values
        assert all(0 <= value <= 1 for value in values)


def test_the_report_is_whole(chain):
    html = (chain / "report.html").read_text()
    assert html.rstrip().endswith("</html>")
    pictured = min(5, len(datalist.load(chain, "testing")))
    assert html.count('<img src="data:image/png') == pictured  # the worst opens the report, the others come later
    assert '<h2 id="training">' in html
    runs = html[html.index('<h2 id="runs">') :]
    assert [stage for stage in ("coarse", "pretrain", "train", "inference") if f">{stage}</td>" not in runs] == []


def test_the_chain_runs_in_3d(chain, tmp_path):
    given = {"dataset_dir": chain, "output_dir": tmp_path, "attention_dir": chain / "attention"}
    cubes = {"spatial_dims": 3, "patch_size": 24, "spacing": [6, 6, 6]}
    for stage in ("pretrain", "train", "inference"):
        run_here(stage, **given, **cubes)
    run_here("evaluate", **given)
    tested = datalist.load(chain, "testing")
    for case in tested:
        image, prediction = nib.load(case.image), nib.load(tmp_path / "predictions" / f"{case.id}.nii.gz")
        assert prediction.shape == image.shape
    with open(tmp_path / "rows.csv", newline="") as file:
        dice = {(row["case"], row["organ"]): float(row["value"]) for row in csv.DictReader(file)
                if row["metric"] == "dice" and row["method"] == "refined"}  # fmt: skip
    assert {case for case, _ in dice} == {case.id for case in tested}
    assert max(dice.values()) > 0.3  # something was learned


def test_no_temporary_file_is_left(chain):
    assert {path.name for path in chain.rglob(".*") if path.is_file()} == {".semcl.json"}  # of folders of their own


def test_a_new_scan_without_attention_is_segmented_by_the_coarse_network_first(chain, tmp_path):
    scan = datalist.load(chain, "testing")[0]
    (tmp_path / "scans").mkdir()
    shutil.copy(scan.image, tmp_path / "scans" / "new.nii.gz")
    done = run_small(
        "inference", dataset_dir=tmp_path / "scans", ckpt_dir=chain / "models", output_dir=tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    prediction = np.asarray(nib.load(tmp_path / "out" / "predictions" / "new.nii.gz").dataobj)
    before = np.asarray(nib.load(chain / "predictions" / f"{scan.id}.nii.gz").dataobj)
    assert np.array_equal(prediction, before)  # attention made on the way is the attention of the coarse stage


@pytest.mark.parametrize(("stage", "weights"), [("pretrain", "encoder.pt"), ("train", "model.pt")])
def test_the_same_seed_gives_the_same_weights(stage, weights, chain, tmp_path):
    def trained(name: str, seed: int) -> dict[str, torch.Tensor]:
        shutil.copytree(chain / "models", tmp_path / name)
        run_here(
            stage,
            dataset_dir=chain,
            output_dir=tmp_path,
            ckpt_dir=tmp_path / name,
            attention_dir=chain / "attention",
            seed=seed,
        )
        return torch.load(tmp_path / name / weights, weights_only=True)

    first, again, other = trained("first", 1), trained("again", 1), trained("other", 2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_a_stage_that_refuses_ends_with_its_message_alone(tmp_path):
    done = run_small("coarse", dataset_dir=tmp_path / "nowhere")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    message = done.stderr[done.stderr.rindex("error: ") :]
    for part in ("dataset_dir is not a folder", "found: ", "nowhere", "expected: a folder", "do this: "):
        assert part in message


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("pretrain", ["attention maps are missing", "run coarse.yaml first"]),
        ("train", ["attention maps are missing", "run coarse.yaml first"]),
        ("inference", ["there is no label table", "models"]),
        ("evaluate", ["no label map of method", "run coarse.yaml first", "run inference.yaml first"]),
    ],
)
def test_a_stage_whose_input_is_missing_says_which_to_run(stage, expected, cohort):
    before = sorted(cohort.rglob("*"))
    message = refusal(stage, dataset_dir=cohort)
    assert [part for part in expected if part not in message] == []
    shutil.rmtree(cohort / "jobs", ignore_errors=True)  # notes the failed run
    assert sorted(cohort.rglob("*")) == before


def test_training_without_pretraining_is_refused(cohort):
    message = refusal("train", dataset_dir=cohort, attention_dir=cohort / "labels")
    assert "weights of an earlier stage are missing" in message
    assert "run pretrain.yaml first" in message
    assert not (cohort / "models").exists()


def test_attention_and_an_encoder_of_another_cohort_are_refused(chain, cohort):
    shutil.copytree(chain / "models", cohort / "models")
    shutil.copytree(chain / "attention", cohort / "attention")
    text = (cohort / "datalist.json").read_text()
    (cohort / "datalist.json").write_text(text.replace('"patient001"', '"somebody"'))
    assert "the attention maps were made for another split" in refusal("train", dataset_dir=cohort)
    message = refusal("train", dataset_dir=cohort, attention_dir=cohort / "labels")
    assert "encoder.pt was made from another cohort" in message


def test_an_empty_dataset_dir_is_refused(tmp_path):
    shutil.copy(ROOT / "tests" / "real" / "hippocampus_labels.yaml", tmp_path / "labels.yaml")
    assert "dataset_dir holds no cases" in refusal("coarse", dataset_dir=tmp_path)


def test_images_without_any_label_map_are_refused(cohort):
    cases = datalist.load(cohort)
    datalist.save([case if case.fold is None else replace(case, label=None) for case in cases], cohort)
    first = datalist.load(cohort, "training")[0].id
    assert f"case {first}: an image without a label map" in refusal("coarse", dataset_dir=cohort)


def test_a_fold_that_holds_all_label_maps_is_refused(cohort):
    cases = datalist.load(cohort)
    datalist.save([replace(case, label=None) if case.fold == 1 else case for case in cases], cohort)
    assert "a fold holds every labelled training case" in refusal("coarse", dataset_dir=cohort)


@pytest.mark.parametrize(
    ("fault", "expected"), [("shape", "differ in shape"), ("affine", "differ in position"), ("index", "found:    77")]
)
def test_a_label_map_that_does_not_fit_is_refused(fault, expected, cohort):
    case = datalist.load(cohort, "training")[0]
    label = nib.load(case.label)
    voxels, affine = np.asarray(label.dataobj), label.affine.copy()
    if fault == "shape":
        voxels = voxels[:-1]
    if fault == "affine":
        affine[0, 3] += 1
    if fault == "index":
        voxels = np.where(voxels == 6, 77, voxels)
    nib.save(nib.Nifti1Image(voxels, affine), case.label)
    message = refusal("coarse", dataset_dir=cohort)
    assert f"case {case.id}: " in message
    assert expected in message
    assert not (cohort / "attention").exists()


def test_models_without_a_fold_are_averaged(chain, tmp_path):
    models = Path(shutil.copytree(chain / "models", tmp_path / "models"))
    for fold in (0, 1):
        run_here("train", dataset_dir=chain, output_dir=tmp_path, store_dir=chain / "store", without_fold=fold,
                 ckpt_dir=models, attention_dir=chain / "attention")  # fmt: skip
    names = ["model_fold0.pt", "model_fold1.pt"]
    made = [torch.load(models / name, weights_only=True) for name in names]
    assert any(not torch.equal(first, made[1][name]) for name, first in made[0].items())
    run_here("inference", dataset_dir=chain, output_dir=tmp_path, ckpt_dir=models, models=names, test_views=2,
             attention_dir=chain / "attention")  # fmt: skip
    assert len(list((tmp_path / "predictions").glob("*.nii.gz"))) == len(datalist.load(chain, "testing"))


def test_an_invalid_fold_is_refused(chain, tmp_path):
    message = refusal("train", dataset_dir=chain, output_dir=tmp_path, without_fold=7)
    assert "a fold cannot be left out" in message
    assert "expected: one of 0, 1" in message
