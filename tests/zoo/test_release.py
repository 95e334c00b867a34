"""The release is complete, meets the requirements of the Model Zoo, and runs without this repository."""

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError, root_cause
from tests.stages import ROOT, as_if_a_process_ended, run_here
from tests.zoo import isolated
from tools import release as tool
from tools.release import NAME, release
from tools.release_configs import CONFIGS, importable, set_scans

SCHEMA = "tests/fixtures/meta_schema_20240725.json"


@pytest.fixture(scope="module")
def site(bundle, tmp_path_factory) -> Path:
    """Only the packages the metadata requires."""
    return isolated.packages(isolated.requirements(bundle), tmp_path_factory.mktemp("site") / "packages")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """What `make bundle` writes."""
    out = tmp_path_factory.mktemp("dist")
    release(str(out))
    return out


def test_it_holds_what_the_zoo_requires(plain):
    bundle = plain / NAME
    for name in (
        "LICENSE",
        "configs/metadata.json",
        "configs/inference.json",
        "docs/README.md",
        "docs/data_license.txt",
    ):
        assert (bundle / name).is_file(), name
    assert not [path for path in bundle.rglob("*") if path.is_symlink() or path.name == "__pycache__"]
    assert not (bundle / "models").exists()
    assert (bundle / "scripts" / "contrast" / "loss.py").read_text() == Path("scripts/contrast/loss.py").read_text()
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata == json.loads(Path("bundle/configs/metadata.json").read_text())
    rooms = {path.name for path in (bundle / "scripts").iterdir() if path.is_dir()}
    assert rooms == {"cohort", "intake", "job", "queries", "networks", "coarse", "contrast", "refine", "multiclass"}
    assert not (bundle / "scripts" / "intake" / "survey.py").exists(), "of intake only what reads maps of other tools"
    with zipfile.ZipFile(plain / f"{NAME}_v{metadata['version']}.zip") as file:
        packed = {name for name in file.namelist() if not name.endswith("/")}
    assert packed == {str(path.relative_to(plain)) for path in bundle.rglob("*") if path.is_file()}
    assert max(path.stat().st_size for path in bundle.rglob("*")) < 25 * 2**20


def test_each_config_is_there_once_in_the_form_all_of_monais_callers_read(plain):
    files = {path.name for path in (plain / NAME / "configs").iterdir()}
    assert files == {*(f"{name}.json" for name in (*CONFIGS, "metadata", "properties")), "logging.conf"}
    for name, own in CONFIGS.items():
        content = json.loads((plain / NAME / "configs" / f"{name}.json").read_text())
        expected = yaml.safe_load(Path(f"bundle/configs/{own}.yaml").read_text())
        expected |= {"stage": name} if "stage" in expected else {}
        assert content == expected | (importable(expected["imports"]) if "shared" in expected else {})


def test_initialize_refuses_a_config_that_no_stage_would_run_and_reads_no_cohort(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "path", [*sys.path])
    given = {"config_file": str(plain / NAME / "configs" / "train.json"), "logging_file": False}
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        ConfigWorkflow(**given, dataset_dir=str(tmp_path / "none"), max_epoch=3).initialize()
    assert "did you mean --max_epochs?" in str(root_cause(caught.value))
    workflow = ConfigWorkflow(**given, dataset_dir=str(tmp_path / "none"), seed=7)
    workflow.initialize()
    assert torch.initial_seed() == 7
    assert workflow.bundle_root == str(plain / NAME)
    assert list(tmp_path.iterdir()) == []


def test_the_comments_of_the_configs_are_kept_as_tables(plain):
    text = (plain / NAME / "docs" / "configs.md").read_text()
    assert "| `temperature` | `0.1` | of the loss |" in text
    assert [name for name in CONFIGS if f"## {name}.json" not in text] == []


def test_the_readme_has_the_zoos_sections_and_names_what_is_there(plain):
    bundle = plain / NAME
    text = (bundle / "docs" / "README.md").read_text()
    heads = [line for line in text.splitlines() if line.startswith("#")]
    wanted = ["# Model Overview", "## Data", "### Preprocessing", "## Training configuration", "### Memory Consumption"]
    wanted += ["### Input", "### Output", "## Performance", "## MONAI Bundle Commands", "# References", "# License"]
    assert [head for head in wanted if head not in heads] == []
    words = text.replace("`", " ").replace("'", " ").replace("[", " ").replace("]", " ").replace(",", " ").split()
    named = {word for word in words if word.startswith("configs/")}
    assert named
    assert [name for name in named if not (bundle / name).is_file()] == []


@pytest.mark.parametrize("which", ["without models", "with models"])
def test_metadata_is_valid_against_the_schema(which, plain, bundle):
    root = plain / NAME if which == "without models" else bundle
    verify_metadata(meta_file=str(root / "configs" / "metadata.json"), filepath=SCHEMA)


def test_metadata_describes_the_models(bundle, trained, numbers):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    network = metadata["network_data_format"]
    organs = network["outputs"]["pred"]["channel_def"]
    assert network["post_processed_outputs"] == network["outputs"]
    assert len(network["inputs"]["image"]["spatial_shape"]) == 3  # viewers take it for the dimension of the scans
    assert organs == {"0": "background"} | {
        str(organ.index): organ.name.replace("_", " ") for organ in LabelTable.load(trained).organs
    }
    assert metadata["query_data_format"]["inputs"]["image"]["spatial_shape"] == [numbers["patch_size"]] * 2
    of = {"metric": "dice", "organ": "all organs", "method": "refined"}
    (dice,) = [
        line["mean"]
        for line in json.loads((trained / "summary.json").read_text())["means"]
        if of.items() <= line.items()
    ]
    assert metadata["eval_metrics"]["mean_dice"] == pytest.approx(dice, abs=1e-3)
    assert metadata["data_source"] == "Abdominal CT phantoms the bundle makes itself, no scans of people"
    assert "of no use on patients" in metadata["intended_use"]


def test_network_and_weights_pass_the_zoos_checks(bundle, tmp_path):
    given = {"net_id": "network_def", "meta_file": str(bundle / "configs" / "metadata.json"),
             "config_file": str(bundle / "configs" / "inference.json"), "bundle_root": str(bundle)}  # fmt: skip
    query = json.loads((bundle / "configs" / "metadata.json").read_text())["query_data_format"]
    verify_net_in_out(**given, **{"_meta_#network_data_format": query})
    ckpt_export(ckpt_file=str(bundle / "models" / "model.pt"), filepath=str(tmp_path / "model.ts"), **given)
    torch.jit.load(tmp_path / "model.ts")


def test_numbers_are_replaced(bundle, numbers):
    common = yaml.safe_load(Path("bundle/configs/common.yaml").read_text()) | numbers
    assert json.loads((bundle / "configs" / "common.json").read_text()) == common


@pytest.mark.parametrize(("modality", "window"), [("CT", [-160, 240]), ("CT", "percentile"), ("MR", "percentile")])
def test_the_metadata_say_what_scans_the_models_are_of(modality, window, tmp_path):
    metadata = json.loads((ROOT / "bundle" / "configs" / "metadata.json").read_text())
    set_scans(metadata, modality, window)
    image = metadata["network_data_format"]["inputs"]["image"]
    in_hu = modality == "CT" and window != "percentile"
    assert (image["modality"], image["format"]) == (modality, "hounsfield" if in_hu else "magnitude")
    assert bool(image["value_range"]) == in_hu
    assert metadata["query_data_format"]["inputs"]["image"]["modality"] == modality
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=SCHEMA)


def test_numbers_of_a_release_that_are_no_section_are_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("- 1\n")
    with pytest.raises(SemclError, match="an overlay is no section of keys"):
        release(str(tmp_path / "dist"), overlay=str(tmp_path / "mine.yaml"))
    with pytest.raises(SemclError, match="there is no such file"):
        release(str(tmp_path / "dist"), overlay=str(tmp_path / "nowhere.yaml"))
    (tmp_path / "mine.yaml").write_text("# nothing yet\n")
    release(str(tmp_path / "dist"), overlay=str(tmp_path / "mine.yaml"))


def test_a_release_has_a_network_of_slices_where_that_made_the_maps(phantoms, numbers, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    cohort = Path(shutil.copytree(phantoms, tmp_path / "cohort"))
    numbers = {**numbers, "coarse_dims": 2, "coarse_spacing": [5, 5, 0]}
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(yaml.safe_dump(numbers))
    few = {"dataset_dir": cohort, "max_epochs": 1, "epoch_length": 1, "val_interval": 0}
    run_here("segment", overlay, dataset_dir=cohort, max_epochs=1, epoch_length=1)
    run_here("pretrain", overlay, **few)
    run_here("train", overlay, **few, calibration_batches=1, calibration_share=0)
    release(str(tmp_path / "dist"), cohort=str(cohort), overlay=str(overlay))  # which loads it as inference does
    bundle = tmp_path / "dist" / NAME
    common = json.loads((bundle / "configs" / "common.json").read_text())
    assert (common["coarse_dims"], common["segment_size"]) == (2, [80, 64])
    assert {"segment.json", "segment_inference.json"} <= {path.name for path in (bundle / "configs").iterdir()}
    given = {"config_file": str(bundle / "configs" / "inference.json"), "logging_file": False}
    workflow = ConfigWorkflow(**given, dataset_dir=str(cohort), output_dir=str(tmp_path / "out"))
    with as_if_a_process_ended():
        workflow.initialize()
        workflow.run()
    assert list((tmp_path / "out" / "predictions").glob("*.nii.gz"))


def test_only_models_lie_where_programs_look_for_models(bundle):
    models = bundle / "models"
    assert [path.name for path in models.glob("*.pt")] == ["model.pt"]
    assert {path.name for path in (models / "stages").glob("*.pt")} == {"coarse.pt", "encoder.pt"}
    assert {path.name for path in models.glob("model.*")} == {
        "model.pt", "model.json", "model.calibration.json"
    }  # fmt: skip


def test_models_that_do_not_fit_the_configs_are_refused(trained, tmp_path):
    with pytest.raises(SemclError, match=r"(?s)coarse.pt was made with other settings.*OVERLAY"):
        release(str(tmp_path), cohort=str(trained))


def test_missing_models_are_refused(tmp_path):
    (tmp_path / "cohort" / "models").mkdir(parents=True)
    with pytest.raises(
        SemclError, match=r"(?s)the cohort has no models.*no coarse.pt, encoder.pt, model.pt, labels.yaml"
    ):
        release(str(tmp_path / "dist"), cohort=str(tmp_path / "cohort"))


def test_models_of_scans_need_a_data_license(trained, numbers, tmp_path):
    cohort = Path(shutil.copytree(trained, tmp_path / "cohort", ignore=shutil.ignore_patterns("store", "predictions")))
    listed = (cohort / "datalist.json").read_text()
    (cohort / "datalist.json").write_text(listed.replace('"case": "patient001', '"case": "somebody'))
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(numbers))
    given = {"out": str(tmp_path / "dist"), "cohort": str(cohort), "overlay": str(tmp_path / "small.yaml")}
    with pytest.raises(SemclError, match=r"(?s)without a data license.*somebody\w* is not a phantom.*--data_license"):
        release(**given)
    (tmp_path / "terms.txt").write_text("CT of a hospital\nwith leave of its ethics committee\n")
    release(**given, data_license=str(tmp_path / "terms.txt"))
    bundle = tmp_path / "dist" / NAME
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["data_source"] == "CT of a hospital"
    assert "phantom" not in metadata["intended_use"]
    assert "ethics" in (bundle / "docs" / "data_license.txt").read_text()


def test_large_models_are_left_out_of_the_zip_and_named(trained, numbers, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "SMALL", (trained / "models" / "coarse.pt").stat().st_size - 1)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(numbers))
    given = {"out": str(tmp_path), "cohort": str(trained), "overlay": str(tmp_path / "small.yaml")}
    with pytest.raises(SemclError, match=r"(?s)models too large for the zoo.*coarse.pt.*--url"):
        release(**given)
    release(**given, url="https://example.org/models/")
    (listed,) = yaml.safe_load((tmp_path / NAME / "large_files.yml").read_text())["large_files"]
    assert listed["path"] == "models/stages/coarse.pt"
    assert listed["url"] == "https://example.org/models/coarse.pt"
    assert (listed["hash_type"], len(listed["hash_val"])) == ("sha256", 64)
    with zipfile.ZipFile(next(tmp_path.glob("*.zip"))) as file:
        assert f"{NAME}/models/model.pt" in file.namelist()
        assert f"{NAME}/models/stages/coarse.pt" not in file.namelist()


@pytest.mark.parametrize(("path", "count"), list(zip(isolated.UNIT_TESTS, ("3 tests", "1 test"), strict=True)))
def test_the_zoos_unit_tests_pass(path, count, zoo, site):
    done = isolated.run(site, zoo, f"ci/unit_tests/{path.name}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Ran {count} in" in done.stderr


def test_the_release_is_all_that_python_needs(bundle, site, trained, tmp_path):
    scan = next((trained / "predictions").glob("*.nii.gz"))
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / scan.name).symlink_to(trained / "images" / scan.name)
    (served,) = re.findall(r"```\n(import torch\n.*?)```", Path("docs/serving.md").read_text(), re.S)
    code = f"""
import importlib.util, os, sys
assert [importlib.util.find_spec(name) for name in ("semcl", "tests", "kornia")] == [None] * 3
import monai.bundle, torch
weights = torch.load("{bundle}/models/model.pt", weights_only=True)
for kind in ("train", "inference"):
    network = monai.bundle.load("{NAME}", bundle_dir="{bundle.parent}", workflow_type=kind)
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
assert sys.modules["scripts"].__file__.endswith("zoo/models/{NAME}/scripts/__init__.py")
monai.bundle.run(config_file="{bundle}/configs/inference.json", dataset_dir="{tmp_path}/scans")
os.chdir("{bundle}")
{served.replace("scan.nii.gz", str(trained / "images" / scan.name))}
import nibabel
assert (labels == nibabel.load("{scan}").get_fdata()).all()
"""
    done = isolated.run(site, tmp_path, "-W", "ignore", "-c", code)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [path.name for path in (tmp_path / "scans").iterdir()] == [scan.name], "nothing is written among the scans"
    predicted, before = (nib.load(bundle / "eval" / "scans" / "predictions" / scan.name), nib.load(scan))
    assert np.array_equal(predicted.dataobj, before.dataobj)
    assert np.array_equal(predicted.affine, before.affine)


def test_every_requirement_is_pinned(bundle):
    lines = isolated.requirements(bundle)
    assert all("==" in line for line in lines)
    assert {"monai", "torch", "numpy", "nibabel", "pytorch-ignite"} <= {line.partition("==")[0] for line in lines}
