"""Two ranks end with the weights of one with the same batch: 20 steps of each stage that trains, within 1e-5.

Exact are: the batch, which ranks share evenly; its views and their noise, sampled for the batch of all ranks; the loss,
over gathered embeddings or a mean over queries; batch norm over all ranks. What differs is the order of sums. In
float32 such differences grow from step to step, as between one thread and two (AdamW's first steps are as long for a
gradient of 1e-9 as for one of 1), so 20 steps are run in float64. The coarse stage's augmentation is sampled by each
rank for its own volumes, and its Dice is of a rank's volumes together (`batch: true`): both are switched off here.
"""

import csv
import shutil

import pytest
import torch

from . import in_float64, logs, run_ranks

STEPS = {"max_epochs": 4, "epoch_length": 5}
FEW = {"clusters_per_batch": 6, "queries_per_cluster": 2, "val_interval": 0}
CHANGES = {"train#views#blur": 1.0, "train#views#gamma": 0.2, "train#views#elastic": 1.0}
COARSE = {
    "batch_size": 2,
    "maps": False,
    "segmentation_loss#batch": False,
    "train#preprocessing#transforms": [
        {"_target_": "scripts.components.ReadCoarse", "table": "@labels", "size": "@coarse_size", "window": "@window"}
    ],
}


@pytest.fixture(scope="module")
def run(phantoms, tmp_path_factory):
    """Runs a stage on some ranks into its own folder; the same run only once."""
    shared, made = tmp_path_factory.mktemp("equality"), {}

    def run_once(stage, ranks, harm=in_float64, **given):
        key = stage, ranks, harm, repr(given)
        if key in made:
            return made[key]
        out = shared / str(len(made))
        if stage == "train":
            shutil.copytree(run_once("pretrain", 1) / "models", out / "models")
        folders = {"dataset_dir": phantoms, "attention_dir": phantoms / "labels", "store_dir": shared / "store"}
        if stage == "coarse":
            del folders["store_dir"]
        numbers = COARSE if stage == "coarse" else FEW
        if stage == "train":
            numbers = numbers | {"calibration_batches": 2}
        codes = run_ranks(stage, ranks, out, harm, **(folders | STEPS | numbers | given))
        assert codes == [0] * ranks, logs(out)
        made[key] = out
        return out

    return run_once


def losses(out):
    with open(next((out / "curves").glob("*.csv")), newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def apart(one, other, name):
    """The largest difference of any weight or statistic of a file of two runs."""
    first, second = (torch.load(out / "models" / name, weights_only=True) for out in (one, other))
    assert list(first) == list(second)
    return max((first[key].double() - second[key].double()).abs().max().item() for key in first)


@pytest.mark.parametrize(
    ("stage", "given", "files"),
    [
        ("pretrain", {}, ["encoder.pt"]),
        ("pretrain", {"meaning": "query", "intensity_weights": True, **CHANGES}, ["encoder.pt"]),
        ("train", {}, ["model.pt"]),
        ("train", {"freeze_encoder": True}, ["model.pt"]),
        ("coarse", {}, ["coarse_fold0.pt", "coarse_fold1.pt", "coarse.pt"]),
    ],
    ids=["pretrain", "pretrain, each query its own class", "train", "train, encoder frozen", "coarse"],
)
def test_two_ranks_end_with_the_weights_of_one(run, stage, given, files):
    one, two = run(stage, 1, **given), run(stage, 2, **given)
    assert losses(two) == pytest.approx(losses(one), abs=2e-6)  # as written, to six digits
    assert max(apart(one, two, name) for name in files) < 1e-5


def test_in_float32_the_first_step_is_the_same(run):
    one, two = (run("pretrain", ranks, None, max_epochs=1, epoch_length=1) for ranks in (1, 2))
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)


def test_training_moves_the_weights_much_further_than_ranks_differ(run):
    longer = run("pretrain", 1, max_epochs=5)
    assert apart(run("pretrain", 1), longer, "encoder.pt") > 1e-3


def test_without_synchronised_batch_norm_results_differ(run):
    alone = run("pretrain", 2, sync_batchnorm=False)
    assert apart(run("pretrain", 1), alone, "encoder.pt") > 1e-3


def test_two_ranks_calibrate_as_one(run):
    one, two = ((run("train", ranks) / "models" / "model.calibration.json").read_text() for ranks in (1, 2))
    scales = [text.partition('"scales"')[2] for text in (one, two)]
    assert scales[0] == scales[1]
