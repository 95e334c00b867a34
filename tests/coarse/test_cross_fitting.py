"""Cross-fitting: no training case is predicted by a network that saw it, and what a run leaves behind."""

import json
from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.coarse.cross_fitting import _require_maps, cross_fit, require_rounds
from scripts.coarse.fold_sampler import FoldSampler
from scripts.coarse.inferer import CoarseInferer
from scripts.cohort.attention import attention_path
from scripts.cohort.case import Case, digest
from scripts.cohort.label_table import LabelTable
from scripts.cohort.provenance import note_attention
from scripts.cohort.selection import labels_of
from scripts.errors import SemclError
from scripts.job.checkpoint import Checkpoint
from scripts.job.job import Job
from scripts.outputs import Output, visible
from tests.conftest import write_nifti

from .networks import one_voxel_network


def fit(folder, table, stop_after=3, harm=lambda images: None, left_out=(), **more):
    """Cross-fit six cases with a trainer that makes its network answer with the number of the round: 1, 2, 3.

    One is tested, and one of those to train on has no label map. Label maps of cases ``left_out`` are not learnt from.
    """
    folds = {"a": 0, "b": 1, "c": 0, "d": 1, "e": None, "f": 1}
    cases = []
    for name, fold in folds.items():
        image = write_nifti(folder / f"{name}.nii", np.zeros((4, 3, 2), np.int16))
        label = write_nifti(folder / f"{name}_label.nii", np.zeros((4, 3, 2), np.uint8)) if name in "abcd" else None
        cases.append(Case(name, name, "portal", image, label, fold))
    trained = [case for case in cases if case.label is not None and case.id not in left_out]
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
    origin, known = {"stage": "coarse.yaml"}, labels_of(cases, trained)
    cross_fit(trainer, resets, sampler, inferer, known, table, *folders, origin, checkpoint, **more)
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


@pytest.mark.parametrize(("labelled_maps", "mapped"), [("none", "ef"), ("simulated", "abcdef")])
def test_without_cross_fitting_one_round_sees_all_and_maps_nobody_it_saw(labelled_maps, mapped, table, tmp_path):
    made = fit(tmp_path, table, labelled_maps=labelled_maps)
    assert [turn.seen for turn in made.rounds] == [{"a", "b", "c", "d"}]
    assert {path.name for path in (made.out / "models").glob("*.pt")} == {"coarse.pt"}
    maps = {
        path.name[0]: np.unique(np.asarray(nib.load(path).dataobj))
        for path in visible(made.out / "attention")
        if path.suffix == ".gz"
    }
    assert set(maps) == set(mapped)
    assert all(maps[name].tolist() == [5] for name in "ef")  # by the only round's network
    assert all(maps[name].tolist() == [0] for name in set(mapped) - set("ef"))  # of label maps without an organ


def test_without_maps_of_labelled_cases_none_of_an_earlier_run_stays(table, tmp_path):
    fit(tmp_path, table, labelled_maps="simulated")
    made = fit(tmp_path, table, labelled_maps="none")
    assert {path.name[0] for path in visible(made.out / "attention") if path.suffix == ".gz"} == set("ef")


def test_an_organ_is_annotated_in_every_round():
    organs = ("liver", "spleen")
    cases = [
        Case(name, name, "portal", f"{name}.nii", f"{name}_label.nii", fold, annotated)
        for name, fold, annotated in (("a", 0, organs), ("b", 0, organs), ("c", 1, ("liver",)), ("d", 2, organs))
    ]
    require_rounds(cases, organs, None, "cross-fitted")
    require_rounds(cases[:2], organs, None, "cross-fitted")  # of one fold: refused by the sampler
    partial = [*cases[:3], replace(cases[3], annotated=("liver",))]
    require_rounds(partial, organs, None, "simulated")
    require_rounds(partial, organs, [1], "cross-fitted")
    with pytest.raises(SemclError, match=r"(?s)^spleen: .*2 cases .* outside fold 0, and .*labelled_maps to simulated"):
        require_rounds(partial, organs, None, "cross-fitted")


def test_other_maps_of_labelled_cases_are_refused(table, tmp_path):
    with pytest.raises(SemclError, match=r"(?s)labelled_maps.*maybe.*cross-fitted, simulated"):
        fit(tmp_path, table, labelled_maps="maybe")


def test_each_round_starts_from_the_same_state(fitted):
    for turn in fitted.rounds:
        bias, remembered = turn.start
        assert bias.tolist() == [0, 0, 0, 0]
        assert remembered == 0


def test_a_checkpoint_knows_the_round(fitted):
    assert [turn.number for turn in fitted.rounds] == [0, 1, 2]


def test_weights_of_every_round_the_label_table_and_one_map_per_case_are_written(fitted, table):
    models = {path.name for path in visible(fitted.out / "models")}
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


def test_maps_of_earlier_rounds_that_lie_elsewhere_are_missed(tmp_path):
    """As after a resume with another attention_dir, whatever maps lie there."""
    cases = [Case(name, name, "portal", tmp_path / name, None, 0) for name in "ab"]
    partial, folder, note = tmp_path / "partial", tmp_path / "maps", {"cohort": "c", "made": (1, 2)}
    for place, name in ((partial, "b"), (folder, "a")):
        write_nifti(attention_path(place, name), np.zeros((4, 3, 2), np.uint8))
    note_attention(folder, {"cohort": "c", "made": (1, 3)})
    with pytest.raises(SemclError, match=r"(?s)case a: the maps of rounds that were done before are missing.*1 case"):
        _require_maps(cases, partial, folder, note, ())
    _require_maps(cases, partial, folder, note, {"a"})
    note_attention(folder, note)
    _require_maps(cases, partial, folder, note, ())  # it was moved when the run was stopped


def test_a_case_that_cannot_be_read_is_reported_and_the_rest_is_done(table, tmp_path, capsys):
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


def test_a_folder_of_maps_without_a_marker_is_refused(table, tmp_path):
    made = fit(tmp_path, table)
    (made.out / "attention" / ".semcl.json").unlink()
    with pytest.raises(SemclError, match=r"(?s)not this stage's own.*a\.nii\.gz.*--attention_dir at a new folder"):
        fit(tmp_path, table)


def test_a_folder_that_happens_to_be_called_partial_is_not_emptied(table, tmp_path):
    mine = write_nifti(tmp_path / "out" / "attention.partial" / "a.nii.gz", np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(SemclError, match=r"(?s)not this stage's own.*attention\.partial with 1 files"):
        fit(tmp_path, table)
    assert mine.exists()
