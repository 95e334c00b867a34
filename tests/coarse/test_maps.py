"""Attention maps written by networks that are there: up to date, and of one split of the cohort."""

import json
import os
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.coarse.inferer import CoarseInferer
from scripts.coarse.maps import write_maps
from scripts.cohort.case import digest
from scripts.cohort.leaks import require_predicted
from scripts.cohort.provenance import simulated_maps
from scripts.errors import SemclError

from .networks import one_voxel_network
from .test_cross_fitting import fit


@pytest.mark.parametrize("fits", [True, False])
def test_maps_of_an_earlier_split_go_where_those_of_another_can_be_made(fits, table, tmp_path):
    fitted = fit(tmp_path, table)
    attention, note = fitted.out / "attention", fitted.out / "attention" / "attention.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"cohort": "another"}))
    origin = {"cohort": digest(fitted.cases), "organs": table.organs_digest()}
    for path in (fitted.out / "models").glob("*.json" if fits else "coarse_fold1.json"):
        path.write_text(json.dumps(origin | ({} if fits else {"cohort": "another"})))
    (fitted.out / "models" / "coarse_fold0.json").write_text(json.dumps(origin))
    given = (fitted.cases, one_voxel_network(), CoarseInferer((2, 2, 2), [0, 1]), table, str(attention))
    more = (
        str(fitted.out / "models"),
        origin,
        {key: [value] for key, value in origin.items()},
        torch.device("cpu"),
        fitted.job,
    )
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


def again(made, table, attention):
    """Write the maps of a cohort anew from the weights that ``fit`` left."""
    origin = {"cohort": digest(made.cases), "organs": table.organs_digest()}
    write_maps(
        made.cases, one_voxel_network(), CoarseInferer((2, 2, 2), [0, 1]), table, str(attention),
        str(made.out / "models"), origin, {}, torch.device("cpu"), made.job,
    )  # fmt: skip
    return {path.name[0]: np.unique(np.asarray(nib.load(path).dataobj)).tolist() for path in attention.glob("*.gz")}


@pytest.mark.parametrize("way", ["cross-fitted", "simulated", "none"])
def test_maps_of_labelled_cases_are_made_in_the_way_noted_beside_the_weights(way, table, tmp_path):
    made = fit(tmp_path, table, labelled_maps=way)
    at_once = {
        path.name[0]: np.unique(np.asarray(nib.load(path).dataobj)).tolist()
        for path in (made.out / "attention").glob("*.gz")
    }
    attention = tmp_path / "again"
    assert again(made, table, attention) == at_once
    assert simulated_maps(attention) == (way == "simulated")
    before = {path: path.stat().st_mtime_ns for path in attention.glob("*.gz")}
    label = Path(next(case.label for case in made.cases if case.id == "a"))
    label.touch()
    again(made, table, attention)
    renewed = {path.name[0] for path, written in before.items() if path.stat().st_mtime_ns > written}
    assert renewed == ({"a"} if way == "simulated" else set())


@pytest.mark.parametrize("way", ["cross-fitted", "simulated", "none"])
def test_a_label_map_that_was_not_learnt_from_makes_no_map(way, table, tmp_path):
    made = fit(tmp_path, table, labelled_maps=way, left_out="cd")
    last = len(made.rounds) - 1
    assert made.rounds[last].seen == {"a", "b"}
    at_once = {
        path.name[0]: np.unique(np.asarray(nib.load(path).dataobj)).tolist()
        for path in (made.out / "attention").glob("*.gz")
    }
    assert {name: at_once[name] for name in "cdef"} == dict.fromkeys("cdef", [[5], [2], [9]][last])  # as unlabelled
    assert again(made, table, tmp_path / "again") == at_once


def test_maps_of_cases_that_are_learnt_from_now_do_not_stay_where_none_are_made(table, tmp_path):
    attention = tmp_path / "maps"
    assert set(again(fit(tmp_path, table, labelled_maps="none", left_out="cd"), table, attention)) == set("cdef")
    assert set(again(fit(tmp_path, table, labelled_maps="none"), table, attention)) == set("ef")


def test_maps_of_other_weights_are_made_again_though_these_are_older(table, tmp_path):
    made = fit(tmp_path, table)
    attention = tmp_path / "again"
    before = again(made, table, attention)
    weights = made.out / "models" / "coarse.pt"
    state = torch.load(weights)
    torch.save({name: value + 1 for name, value in state.items()}, weights)
    os.utime(weights, (1, 1))
    written = {path.name[0]: path.stat().st_mtime_ns for path in attention.glob("*.gz")}
    again(made, table, attention)
    renewed = {path.name[0] for path in attention.glob("*.gz") if path.stat().st_mtime_ns > written[path.name[0]]}
    assert renewed == {case.id for case in made.cases if case.label is None or case.fold is None}
    assert renewed < set(before)


def test_a_damaged_map_is_made_again(table, tmp_path):
    made = fit(tmp_path, table)
    attention = tmp_path / "again"
    before = again(made, table, attention)
    (attention / "a.nii.gz").write_bytes(b"")
    assert again(made, table, attention) == before


def test_maps_that_were_simulated_from_label_maps_are_not_measured_against_them(table, tmp_path):
    made = fit(tmp_path, table, labelled_maps="simulated")
    attention = str(made.out / "attention")
    with pytest.raises(SemclError, match=r"(?s)case a: attention maps of training cases are simulated.*cross-fitted"):
        require_predicted(made.cases, [attention])
    require_predicted([case for case in made.cases if case.label is None or case.fold is None], [attention])
    require_predicted(fit(tmp_path / "crossed", table).cases, [str(tmp_path / "crossed" / "out" / "attention")])


@pytest.mark.parametrize(("before", "after"), [("cross-fitted", "simulated"), ("simulated", "cross-fitted")])
def test_maps_made_in_another_way_are_made_again_and_noted(before, after, table, tmp_path):
    attention = tmp_path / "maps"
    again(fit(tmp_path / "before", table, labelled_maps=before), table, attention)
    made = fit(tmp_path / "after", table, labelled_maps=after)
    later = time.time() + 60
    for path in attention.glob("*.gz"):
        os.utime(path, (later, later))  # newer than the weights: only the way differs
    at_once = {
        path.name[0]: np.unique(np.asarray(nib.load(path).dataobj)).tolist()
        for path in (made.out / "attention").glob("*.gz")
    }
    assert again(made, table, attention) == at_once
    assert simulated_maps(attention) == (after == "simulated")
