"""The coarse stage: its samples, its predictions, and that no training case is predicted by a network that saw it."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.ndimage import zoom
from torch import nn

from scripts.coarse.cross_fitting import (
    CoarseInferer,
    CoarseModel,
    FoldSampler,
    ReadCoarse,
    cross_fit,
    write_maps,
)
from scripts.cohort.attention import attention_path
from scripts.cohort.case import Case, digest
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.job.checkpoint import Checkpoint
from scripts.job.job import Job
from scripts.job.weights import save_weights
from scripts.outputs import Output, visible
from tests.conftest import write_nifti

FOLDS = [0, 1, 2, 0, 1, 2, 0]


def by_threshold(image):
    """Scores (B, 3, X, Y, Z) of background, object 1 above -0.5 and object 2 above 0.5."""
    number = (image > -0.5).long() + (image > 0.5).long()
    return nn.functional.one_hot(number[:, 0], 3).movedim(-1, 1).float()


def test_a_sample_is_the_whole_volume_on_the_coarse_grid(table, tmp_path):
    rng = np.random.default_rng(0)
    voxels = rng.integers(-200, 300, size=(8, 8, 4)).astype(np.int16)
    indices = rng.choice([0, 2, 5, 9], size=(8, 8, 4)).astype(np.uint8)
    image, label = write_nifti(tmp_path / "a.nii", voxels), write_nifti(tmp_path / "a_label.nii", indices)
    sample = ReadCoarse(table, (4, 4, 2), [-160, 240])({"case": Case("a", "a", "portal", image, label)})
    assert sample["image"].shape == sample["label"].shape == (1, 4, 4, 2)
    means = np.interp(voxels, [-160, 240], [-1, 1]).reshape(4, 2, 4, 2, 2, 2).mean((1, 3, 5))
    np.testing.assert_allclose(sample["image"][0].numpy(), means, atol=1e-5)
    np.testing.assert_array_equal(sample["label"][0].numpy(), table.encode(indices, "a")[1::2, 1::2, 1::2])


def test_a_sample_is_turned_to_ras(table, tmp_path):
    voxels = np.arange(64, dtype=np.int16).reshape(4, 4, 4)
    affine = np.diag([-1.0, -1, 1, 1])
    image = write_nifti(tmp_path / "a.nii", voxels, affine)
    label = write_nifti(tmp_path / "a_label.nii", (voxels > 31).astype(np.uint8) * 5, affine)
    sample = ReadCoarse(table, (4, 4, 4), [0, 63])({"case": Case("a", "a", "portal", image, label)})
    np.testing.assert_allclose(sample["image"][0].numpy(), voxels[::-1, ::-1] / 31.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(sample["label"][0].numpy(), voxels[::-1, ::-1] > 31)


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_a_fold_held_out_is_never_drawn(fold):
    sampler = FoldSampler(FOLDS, 20)
    sampler.hold_out(fold)
    drawn = [index for _ in range(5) for index in sampler]
    assert {FOLDS[index] for index in drawn} == {0, 1, 2} - {fold}


def test_without_a_fold_held_out_all_cases_are_drawn():
    assert set(FoldSampler(FOLDS, 7)) == set(range(7))


@pytest.mark.parametrize("length", [1, 4, 5, 24])
@pytest.mark.parametrize("fold", [None, 0, 1])
def test_an_epoch_is_as_long_as_asked_and_takes_the_cases_in_turns(length, fold):
    sampler = FoldSampler(FOLDS, length)
    sampler.hold_out(fold)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == length
    used = [index for index, its_fold in enumerate(FOLDS) if its_fold != fold]
    counts = [drawn.count(index) for index in used]
    assert sum(counts) == length
    assert max(counts) - min(counts) <= 1


def test_the_order_is_that_of_the_seed_and_the_epoch():
    one, same, other = FoldSampler(FOLDS, 14, seed=1), FoldSampler(FOLDS, 14, seed=1), FoldSampler(FOLDS, 14, seed=2)
    epochs = [list(one) for _ in range(3)]
    assert [list(same) for _ in range(3)] == epochs
    assert epochs[0] != epochs[1] != epochs[2]
    assert list(other) != epochs[0]


def test_holding_out_counts_epochs_anew():
    sampler = FoldSampler(FOLDS, 14)
    sampler.hold_out(1)
    epochs = [list(sampler) for _ in range(2)]
    sampler.hold_out(0)
    assert list(sampler) != epochs[0]
    sampler.hold_out(1)
    assert [list(sampler) for _ in range(2)] == epochs


def test_the_inferer_windows_the_image_before_the_network():
    image = torch.from_numpy(np.random.default_rng(0).uniform(-100, 300, size=(1, 1, 4, 5, 6))).float()
    objects = CoarseInferer((4, 5, 6), [0, 200])(image, by_threshold)
    assert objects.shape == image.shape
    np.testing.assert_array_equal(objects.numpy(), (image.numpy() > 50).astype(int) + (image.numpy() > 150))


def test_the_inferer_interpolates_scores_and_then_decides():
    image = np.random.default_rng(0).uniform(-1, 1, size=(8, 6, 4)).astype(np.float32)
    objects = CoarseInferer((4, 3, 2), [-1, 1])(torch.from_numpy(image)[None, None], by_threshold_of_tenths)
    small = image.reshape(4, 2, 3, 2, 2, 2).mean((1, 3, 5))
    scores = by_threshold_of_tenths(torch.from_numpy(small)[None, None])[0].numpy()
    full = [zoom(score, 2, order=1, mode="nearest", grid_mode=True) for score in scores]
    np.testing.assert_array_equal(objects[0, 0].numpy(), np.argmax(full, 0))
    assert set(np.unique(objects)) == {0, 1, 2}


@pytest.mark.parametrize("what", [float("nan"), float("inf")])
def test_a_coarse_network_that_gives_no_numbers_is_an_error_and_no_empty_map(what):
    image = MetaTensor(torch.zeros(1, 1, 4, 5, 6), meta={"case": ["case007"]})
    with pytest.raises(SemclError, match=r"(?s)case case007: the coarse network gives no numbers.*the whole volume"):
        CoarseInferer((4, 5, 6), [0, 200])(image, lambda inputs: by_threshold(inputs) * what)


def by_threshold_of_tenths(image):
    return by_threshold(image * 5)


def one_voxel_network(objects=3):
    """A network that answers with the bias of its only layer, at each voxel."""
    network = nn.Conv3d(1, objects + 1, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    return network


def test_a_model_loads_its_weights_when_it_is_first_needed(tmp_path):
    trained = one_voxel_network()
    trained.bias.data[2] = 1
    network = one_voxel_network().train()
    model = CoarseModel(network, str(tmp_path / "coarse.pt"), CoarseInferer((2, 2, 2), [0, 1]))
    save_weights(tmp_path / "coarse.pt", trained, {})
    assert (model(torch.zeros(1, 1, 4, 5, 6)) == 2).all()
    assert not network.training
    (tmp_path / "coarse.pt").unlink()
    assert model(torch.zeros(1, 1, 3, 2, 1)).shape == (1, 1, 3, 2, 1)


def test_a_model_without_weights_says_which_stage_makes_them(tmp_path):
    model = CoarseModel(one_voxel_network(), str(tmp_path / "coarse.pt"), CoarseInferer((2, 2, 2), [0, 1]))
    match = r"(?s)weights of an earlier stage are missing.*no \S+/coarse\.pt.*expected: coarse\.pt.*run coarse\.yaml"
    with pytest.raises(SemclError, match=match):
        model(torch.zeros(1, 1, 4, 4, 4))


def test_a_model_refuses_weights_of_another_network(tmp_path):
    save_weights(tmp_path / "coarse.pt", one_voxel_network(objects=5), {})
    model = CoarseModel(one_voxel_network(), str(tmp_path / "coarse.pt"), CoarseInferer((2, 2, 2), [0, 1]))
    match = r"(?s)coarse\.pt does not fit.*2 entries.*first weight.*the same architecture.*coarse\.yaml was run with"
    with pytest.raises(SemclError, match=match):
        model(torch.zeros(1, 1, 4, 4, 4))


def fit(folder, table, stop_after=3, harm=lambda images: None):
    """Cross-fit six cases with a trainer that makes its network answer with the number of the round: 1, 2, 3."""
    folds = {"a": 0, "b": 1, "c": 0, "d": 1, "e": None, "f": None}
    cases = [
        Case(name, name, "portal", write_nifti(folder / f"{name}.nii", np.zeros((4, 3, 2), np.int16)), None, fold)
        for name, fold in folds.items()
    ]
    trained = [case for case in cases if case.fold is not None]
    sampler = FoldSampler([case.fold for case in trained], 8)
    network = one_voxel_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, momentum=0.9)
    resets = {"network": network, "optimizer": optimizer}
    inferer, out = CoarseInferer((2, 2, 2), [0, 1]), folder / "out"
    job = Job("coarse", "bundle", str(out), {}, 0)
    checkpoint = Checkpoint(job, resets, sampler)
    rounds = []

    def run():
        if len(rounds) == stop_after:
            raise KeyboardInterrupt
        seen = {trained[index].id for epoch in range(2) for index in sampler}
        start = (network.bias.detach().clone(), len(optimizer.state))
        rounds.append(SimpleNamespace(seen=seen, start=start, number=checkpoint.round))
        network.train()
        network.bias.grad = torch.zeros(4)
        network.bias.grad[len(rounds)] = -1
        optimizer.step()

    harm({case.id: case.image for case in cases})
    trainer = SimpleNamespace(run=run, network=network, state=SimpleNamespace(device=torch.device("cpu")))
    folders = (str(out / "attention"), str(out / "models"))
    cross_fit(trainer, resets, sampler, inferer, cases, table, *folders, {"stage": "coarse.yaml"}, checkpoint)
    return SimpleNamespace(cases=cases, rounds=rounds, out=out, job=job)


@pytest.fixture
def fitted(table, tmp_path):
    return fit(tmp_path, table)


def test_no_training_case_is_predicted_by_a_network_that_saw_it(fitted):
    answers = {5: 0, 2: 1, 9: 2}  # the index a round writes -> its number
    predicted_in = {}
    for case in fitted.cases:
        (index,) = np.unique(np.asarray(nib.load(attention_path(fitted.out / "attention", case.id)).dataobj))
        predicted_in[case.id] = answers[index]
        assert case.id not in fitted.rounds[answers[index]].seen
    assert predicted_in == {"a": 0, "b": 1, "c": 0, "d": 1, "e": 2, "f": 2}


def test_a_round_sees_all_folds_but_its_own_and_the_last_sees_all(fitted):
    assert [turn.seen for turn in fitted.rounds] == [{"b", "d"}, {"a", "c"}, {"a", "b", "c", "d"}]


def test_each_round_starts_from_the_same_state(fitted):
    for turn in fitted.rounds:
        bias, remembered = turn.start
        assert bias.tolist() == [0, 0, 0, 0]
        assert remembered == 0


def test_a_checkpoint_is_told_the_round(fitted):
    assert [turn.number for turn in fitted.rounds] == [0, 1, 2]


def test_weights_of_every_round_the_label_table_and_a_map_a_case_are_written(fitted, table):
    models = {path.name for path in (fitted.out / "models").iterdir()}
    weights = ["coarse_fold0.pt", "coarse_fold1.pt", "coarse.pt"]
    assert models == {"labels.yaml", *weights, "coarse_fold0.json", "coarse_fold1.json", "coarse.json"}
    assert LabelTable.load(fitted.out / "models") == table
    for number, name in enumerate(weights, start=1):
        state = torch.load(fitted.out / "models" / name, weights_only=True)
        assert state["bias"].tolist() == [float(entry == number) for entry in range(4)]
    maps = {path.name for path in visible(fitted.out / "attention")}
    assert maps == {"attention.json", *(f"{name}.nii.gz" for name in "abcdef")}
    note = json.loads((fitted.out / "attention" / "attention.json").read_text())
    assert note == json.loads((fitted.out / "models" / "coarse.json").read_text())
    assert note["cohort"] == digest(fitted.cases)
    assert note["organs"] == table.organs_digest()
    assert {path.name for path in fitted.out.iterdir()} == {"models", "attention"}


def test_an_interrupted_run_leaves_earlier_maps_as_they_were_and_the_next_replaces_them(table, tmp_path):
    Output(tmp_path / "out" / "attention", "attention maps", "--attention_dir").claim()
    earlier = write_nifti(attention_path(tmp_path / "out" / "attention", "a"), np.full((4, 3, 2), 9, np.uint8))
    before = earlier.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, table, stop_after=2)
    assert {path.name for path in visible(earlier.parent)} == {"a.nii.gz"}
    assert earlier.read_bytes() == before
    fit(tmp_path, table)
    assert (np.asarray(nib.load(earlier).dataobj) == 5).all()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"models", "attention"}


def test_a_case_that_cannot_be_read_is_named_and_the_others_are_done(table, tmp_path, capsys):
    made = fit(tmp_path, table, harm=lambda images: images["e"].write_bytes(b"no volume"))
    assert made.job.failed == ["e"]
    assert "error: case e: a volume cannot be read" in capsys.readouterr().err
    assert {path.name for path in (made.out / "attention").glob("*.nii.gz")} == {f"{name}.nii.gz" for name in "abcdf"}
    assert not (made.out / "attention.partial").exists()


def test_a_case_that_can_no_longer_be_read_has_no_map_of_an_earlier_run(table, tmp_path):
    Output(tmp_path / "out" / "attention", "attention maps", "--attention_dir").claim()
    write_nifti(attention_path(tmp_path / "out" / "attention", "e"), np.full((4, 3, 2), 9, np.uint8))
    made = fit(tmp_path, table, harm=lambda images: images["e"].write_bytes(b"no volume"))
    assert {path.name for path in (made.out / "attention").glob("*.nii.gz")} == {f"{name}.nii.gz" for name in "abcdf"}


def test_maps_of_an_earlier_version_are_taken_up_and_others_are_not(table, tmp_path):
    made = fit(tmp_path, table)
    (made.out / "attention" / ".semcl.json").unlink()
    with pytest.raises(SemclError, match=r"(?s)not this stage's own.*a\.nii\.gz.*--attention_dir at a new folder"):
        fit(tmp_path, table)  # nothing says that a run ended
    (made.out / "jobs").mkdir(exist_ok=True)
    (made.out / "jobs" / "maps.json").write_text("{}")
    fit(tmp_path, table)
    (made.out / "attention" / ".semcl.json").unlink()
    write_nifti(attention_path(made.out / "attention", "a"), np.full((4, 3, 2), 9, np.uint8))
    with pytest.raises(SemclError, match="a folder holds what is not this stage's own"):
        fit(tmp_path, table)  # one is younger than the run


def test_a_folder_that_happens_to_be_called_partial_is_not_emptied(table, tmp_path):
    mine = write_nifti(tmp_path / "out" / "attention.partial" / "a.nii.gz", np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(SemclError, match=r"(?s)not this stage's own.*attention\.partial with 1 files"):
        fit(tmp_path, table)
    assert mine.exists()


@pytest.mark.parametrize("fits", [True, False])
def test_maps_of_an_earlier_split_go_where_those_of_another_can_be_made(fits, table, fitted):
    attention, note = fitted.out / "attention", fitted.out / "attention" / "attention.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"cohort": "another"}))
    origin = {"cohort": digest(fitted.cases), "labels": table.digest()}
    for path in (fitted.out / "models").glob("*.json" if fits else "coarse_fold1.json"):
        path.write_text(json.dumps(origin | ({} if fits else {"cohort": "another"})))
    (fitted.out / "models" / "coarse_fold0.json").write_text(json.dumps(origin))
    given = (fitted.cases, one_voxel_network(), CoarseInferer((2, 2, 2), [0, 1]), table, str(attention))
    more = (str(fitted.out / "models"), origin, torch.device("cpu"), fitted.job)
    before = {path: path.stat().st_mtime_ns for path in attention.glob("*.nii.gz")}
    if fits:
        write_maps(*given, *more)
        assert all(path.stat().st_mtime_ns > made for path, made in before.items())
        assert json.loads(note.read_text())["cohort"] == digest(fitted.cases)
    else:
        with pytest.raises(SemclError, match=r"coarse_fold1\.pt was made from another cohort"):
            write_maps(*given, *more)
        assert {path: path.stat().st_mtime_ns for path in attention.glob("*.nii.gz")} == before
        assert json.loads(note.read_text())["cohort"] == "another"
