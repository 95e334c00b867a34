"""The algorithm as AutoRunner handles it, without AutoRunner."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from monai.apps.auto3dseg import NNIGen, bundle_gen
from monai.auto3dseg import utils

from scripts.auto3dseg import SemclAlgo, template_path
from scripts.auto3dseg.algo import MIRRORS
from scripts.auto3dseg.flat_names import config_of
from scripts.auto3dseg.generated import Generated
from scripts.bundle_folder import bundle_folder
from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from tests.auto3dseg.test_fitting import stats


@pytest.fixture
def made(phantoms, tmp_path):
    """Makes an algorithm for the phantoms, with more in AutoRunner's input."""

    def make(name="semcl", channels=1, **more) -> SemclAlgo:
        datastats = stats([128, 96, 46], [3.0, 3.0, 5.0], channels)
        datastats["stats_summary"]["label_stats"] = {"labels": list(range(14))}
        (tmp_path / "datastats.yaml").write_text(yaml.safe_dump(datastats))
        listed = json.loads((phantoms / "datalist.json").read_text())
        listed["training"][0]["fold"] = 2  # for two folds beside the first, whatever the phantoms' split
        (tmp_path / "datalist.json").write_text(json.dumps(listed))
        source = {"modality": "ct", "datalist": str(tmp_path / "datalist.json"), "dataroot": str(phantoms)}
        (tmp_path / "input.yaml").write_text(yaml.safe_dump(source | more))
        algorithm = SemclAlgo(template_path())
        algorithm.name = name
        algorithm.set_data_stats(str(tmp_path / "datastats.yaml"))
        algorithm.set_data_source(str(tmp_path / "input.yaml"))
        return algorithm

    return make


def numbers(folder: Path) -> dict:
    return yaml.safe_load((folder / "configs" / "hyper_parameters.yaml").read_text())


def test_numbers_are_fitted_and_the_inputs_own_override_them(made, tmp_path):
    own = {"common": {"spacing": [5.0, 5.0, 0.0]}, "train": {"max_epochs": 3}}
    algorithm = made("mine", mine=own, semcl={"common": {"spacing": [9.0, 9.0, 9.0]}})
    algorithm.export_to_disk(str(tmp_path), "mine_1", fold=1)
    found = numbers(tmp_path / "mine_1")
    assert found["common"] == {
        **{"window": [-80, 220], "spacing": [5.0, 5.0, 0.0]},
        **{"patch_size": 64, "segment_size": [128, 96], "coarse_size": [64, 56, 32]},
    }
    assert found["train"]["max_epochs"] == 3
    assert algorithm.fill_records["hyper_parameters.yaml"] == found
    assert found["bundle_root"] == str(tmp_path / "mine_1")
    assert {case.fold for case in datalist.load(tmp_path / "mine_1" / "cohort")} >= {None, 0}


@pytest.mark.parametrize(("more", "fixed"), [({}, True), ({"class_names": [f"organ{n}" for n in range(13)]}, False)])
def test_organs_without_names_are_never_mirrored(made, tmp_path, more, fixed):
    algorithm = made(**more)
    algorithm.export_to_disk(str(tmp_path), "semcl_1", fold=1)
    found = numbers(tmp_path / "semcl_1")
    for stage, keys in MIRRORS.items():
        assert [found[stage].get(key) for key in keys] == [[] if fixed else None] * len(keys)
    configs = bundle_folder() / "configs"
    mirrors = {path.stem for path in configs.glob("*.yaml") if "labels.flip_axes" in path.read_text()}
    assert mirrors - {"pretrain_slices"} == {config_of(stage, found)[0] for stage in MIRRORS}
    assert LabelTable.load(tmp_path / "semcl_1" / "cohort").flip_axes == [0]


def test_generating_again_leaves_no_old_files(made, tmp_path):
    algorithm = made()
    algorithm.export_to_disk(str(tmp_path), "semcl_1", fold=1)
    old = tmp_path / "semcl_1" / "cohort" / "models" / "model.pt"
    old.parent.mkdir()
    old.touch()
    algorithm.export_to_disk(str(tmp_path), "semcl_1", fold=1)
    assert not old.exists()


def test_a_foreign_folder_is_not_removed(made, tmp_path):
    (tmp_path / "semcl_1").mkdir()
    (tmp_path / "semcl_1" / "notes.txt").write_text("mine")
    with pytest.raises(SemclError, match=r"(?s)not this stage's own.*notes\.txt"):
        made().export_to_disk(str(tmp_path), "semcl_1", fold=1)
    assert (tmp_path / "semcl_1" / "notes.txt").read_text() == "mine"


def test_data_for_other_algorithms_is_skipped(made):
    assert made().pre_check_skip_algo() == (False, "")
    assert made(channels=4).pre_check_skip_algo() == (False, "")
    assert made(sigmoid=True).pre_check_skip_algo()[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"modality": "xray"}, "modality has no such value"),
        ({"semcl": {"common": {"tool_maps": "maps"}}}, "no maps of another tool"),
        ({"semcl": {"train": {"max_epoch": 1}}}, "did you mean --max_epochs"),
        ({"dataroot": "nowhere"}, r"a file of the datalist is missing\n  found:    no .*nowhere"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_trained(made, tmp_path, more, message):
    with pytest.raises(SemclError, match=message):
        made(**more).export_to_disk(str(tmp_path), "semcl_1", fold=1)


class Search(NNIGen):
    """A search of one trial, without the server that proposes its numbers."""

    def get_hyperparameters(self):
        return {"num_epochs": 6, "train_encoder_rate": 0.5}

    def set_score(self, acc):
        self.score = acc


def test_a_trial_of_a_hyperparameter_search_has_its_own_numbers_and_the_fitted_ones(made, tmp_path, monkeypatch):
    algorithm = made(semcl={"pretrain": {"max_epochs": 40}})
    algorithm.export_to_disk(str(tmp_path), "semcl_1", fold=1)
    before = numbers(tmp_path / "semcl_1")
    commands = []

    def run(self, command):
        commands.append(command)
        progress = Path(self.get_output_path()) / "cohort" / "models" / "progress.yaml"
        progress.parent.mkdir(parents=True)
        progress.write_text("[{best_avg_dice_score: 0.7}]")

    monkeypatch.setattr(SemclAlgo, "_run_cmd", run)
    search = Search(algorithm, {"learning_rate": 0.02})  # which every trial of the search has
    search.run_algo(search.get_obj_filename(), str(tmp_path))
    assert search.score == 0.7
    trial = tmp_path / "semcl_1_override_num_epochs_6_train_encoder_rate_0.5"
    found = numbers(trial)
    assert (found["fold"], found["bundle_root"]) == (1, str(trial))
    assert found["common"] == before["common"]
    assert found["train"]["learning_rate"] == 0.02
    assert found["pretrain"]["max_epochs"] == 40
    assert f"{trial}/scripts/train.py" in commands[0]
    assert "--num_epochs=6" in commands[0]


def test_the_server_that_follows_losses_is_written_down(made, tmp_path):
    algorithm = made()
    algorithm.set_mlflow_tracking_uri("http://localhost:5000")
    algorithm.set_mlflow_experiment_name("organs")
    algorithm.export_to_disk(str(tmp_path), "semcl_1", fold=1)
    read = Generated.read(str(tmp_path / "semcl_1" / "configs" / "hyper_parameters.yaml"), {})
    given = {"tracking_uri": "http://localhost:5000", "experiment_name": "organs"}
    assert read.tracking == {"tracking": "mlflow", **given}


@pytest.mark.parametrize(
    ("devices", "prefix", "started"),
    [
        ("3", "", f"{sys.executable} "),
        ("3", "nice python", "nice python "),
        ("3,1", "", "torchrun --nnodes 1 --nproc_per_node 2 "),
    ],
)
def test_it_trains_on_all_devices_with_this_python(made, tmp_path, monkeypatch, devices, prefix, started):
    algorithm = made()
    algorithm.export_to_disk(str(tmp_path), "semcl_1", fold=1)
    runs = []
    for place in (bundle_gen, utils):
        monkeypatch.setattr(place, "run_cmd", lambda command, env, **more: runs.append((" ".join(command), env)))
    algorithm.train({"num_epochs": 2}, {"CUDA_VISIBLE_DEVICES": devices, "NUM_NODES": 1, "CMD_PREFIX": prefix})
    ((command, environment),) = runs
    assert command.startswith(f"{started}{tmp_path / 'semcl_1'}/scripts/train.py run ")
    assert "--num_epochs=2" in command
    assert environment["CUDA_VISIBLE_DEVICES"] == devices
    assert shutil.which("torchrun", path=environment["PATH"])


def test_its_state_survives_autorunners_pickle(made, tmp_path):
    from monai.auto3dseg import algo_from_json, algo_to_json

    algorithm = made()
    algorithm.export_to_disk(str(tmp_path), "semcl_1", fold=1)
    again, _ = algo_from_json(algo_to_json(algorithm, template_path=algorithm.template_path))
    assert type(again) is type(algorithm)
    assert again.state_dict() == algorithm.state_dict()
