"""The query store: built once, opened after, the same patches as cut from the volume by hand."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.cohort import datalist
from scripts.cohort.labels import LabelTable
from scripts.cohort.volume import read, read_objects
from scripts.contrast.query import QueryGrid
from scripts.contrast.store import COLUMNS, QueryDataset, QueryStore
from scripts.errors import SemclError


@pytest.fixture
def open_store(cohort: Path):
    """Opens the store of the cohort's training cases, with the truth as attention."""
    table = LabelTable.load(cohort)

    def opened(dims: int = 2, patch: int = 32) -> QueryStore:
        grid = QueryGrid(dims, patch, [3, 3, 0 if dims == 2 else 3], [-160, 240])
        cases = datalist.load(cohort, "training")
        return QueryStore(str(cohort / "store"), cases, str(cohort / "labels"), table, grid)

    return opened


@pytest.mark.parametrize("dims", [2, 3])
def test_a_sample_is_the_patch_of_its_query(open_store, cohort, dims):
    store = open_store(dims)
    cases = datalist.load(cohort, "training")
    table = LabelTable.load(cohort)
    dataset = QueryDataset(store, target=True, margin=4)
    item = len(dataset) // 2
    row = dict(zip(COLUMNS, store.index[item].tolist(), strict=True))
    case = cases[row["case"]]
    image = read(case.image, case.case)
    truth = torch.from_numpy(read_objects(case.label, image, case.case, table).astype(np.int16))
    start = [row["x"], row["y"], row["z"]]
    sample = dataset[item]
    expected = store.grid.cut(store.grid.image(image), start, 4, -1)
    mask = store.grid.cut(store.grid.objects(truth, image), start, 4) == row["object"]
    side = [40] * dims
    assert sample["image"].shape == sample["attention"].shape == sample["target"].shape == (1, *side)
    assert torch.allclose(sample["image"][0], expected, atol=1e-3)  # kept as float16
    assert torch.equal(sample["attention"][0], mask.float())
    assert torch.equal(sample["target"][0], mask.float())
    assert sample["cluster"] == table.cluster(row["object"], table.phases.index(case.phase))


def test_patients_are_told_apart(open_store, cohort):
    store = open_store()
    cases = datalist.load(cohort, "training")
    by_case = dict(store.index[:, :2].tolist())
    patients = [cases[case].patient for case in sorted(by_case)]
    assert len(set(by_case.values())) == len(set(patients))


def built(store: QueryStore) -> int:
    return os.stat(store.folder / "index.npy").st_mtime_ns


def test_it_is_built_once(open_store):
    assert built(open_store()) == built(open_store())


@pytest.mark.parametrize("change", ["patch size", "attention", "interrupted"])
def test_it_is_built_anew_when_what_it_was_made_of_changed(open_store, cohort, change):
    before = built(open_store())
    if change == "attention":
        case = datalist.load(cohort, "training")[0]
        os.utime(cohort / "labels" / f"{case.case}.nii.gz")
    if change == "interrupted":
        (cohort / "store" / "store.json").unlink()
    assert built(open_store(patch=24 if change == "patch size" else 32)) != before


def test_missing_attention_names_the_stage_to_run(cohort):
    cases = datalist.load(cohort, "training")
    grid = QueryGrid(2, 32, [3, 3, 0], [-160, 240])
    with pytest.raises(SemclError, match=r"(?s)attention maps are missing.*run coarse.yaml first"):
        QueryStore(str(cohort / "store"), cases, str(cohort / "attention"), LabelTable.load(cohort), grid)
    assert not (cohort / "store").exists()


def test_a_case_without_label_has_no_target(open_store, cohort):
    text = (cohort / "datalist.json").read_text()
    case = datalist.load(cohort, "training")[0]
    (cohort / "datalist.json").write_text(text.replace(f'"label": "labels/{case.case}.nii.gz",', ""))
    dataset = QueryDataset(open_store(), target=True)
    with pytest.raises(SemclError, match=f"case {case.case}: the query store has no target"):
        dataset[0]
    assert "target" not in QueryDataset(open_store())[0]
