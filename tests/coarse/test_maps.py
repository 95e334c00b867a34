"""Attention maps written by networks that are there: up to date, and of one split of the cohort."""

import json

import pytest
import torch

from scripts.coarse.inferer import CoarseInferer
from scripts.coarse.maps import write_maps
from scripts.cohort.case import digest
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
