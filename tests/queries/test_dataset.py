"""Queries of a store as samples of a DataLoader."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.cohort.volume import read, read_objects
from scripts.errors import SemclError
from scripts.queries.dataset import QueryDataset
from scripts.queries.grid import QueryGrid
from scripts.queries.index import INDEX_COLUMNS
from scripts.queries.sampler import ClusterSampler
from scripts.queries.store import QueryStore
from tests.conftest import write_nifti
from tests.queries.test_store import ORGANS, TABLE, SmallCohort, canonical


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> QueryStore:
    """The store of four small scans, of which the third has no label map."""
    return SmallCohort(tmp_path_factory.mktemp("cohort")).open(spacing=[0, 0, 0])


@pytest.mark.parametrize("dims", [2, 3])
def test_a_sample_is_the_patch_of_its_query(phantoms, tmp_path, dims):
    cases = datalist.load(phantoms, "training")
    table = LabelTable.load(phantoms)
    grid = QueryGrid(dims, 32, [3, 3, 0 if dims == 2 else 3], [-160, 240])
    store = QueryStore(str(tmp_path / "store"), cases, str(phantoms / "labels"), table, grid)
    dataset = QueryDataset(store, target=True, margin=4)
    item = len(dataset) // 2
    row = dict(zip(INDEX_COLUMNS, store.index[item].tolist(), strict=True))
    case = cases[row["case"]]
    image = read(case.image, case.id)
    truth = torch.from_numpy(read_objects(case.label, image, case.id, table))
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


@pytest.mark.parametrize("margin", [0, 3])
def test_every_sample_is_what_padding_and_slicing_the_files_gives(store, margin, tmp_path):
    cases = SmallCohort(tmp_path).cases
    labelled = [item for item in range(len(store.index)) if cases[store.index[item, 0]].label]
    dataset, far, side = QueryDataset(store, target=True, margin=margin), 20, 8 + 2 * margin
    assert len(dataset) == len(store.index)
    for item in labelled:
        number, _, organ, cluster, x, y, z = store.index[item].tolist()
        case, around = cases[number], (slice(x - margin + far, None), slice(y - margin + far, None), z)
        index = TABLE.organs[organ - 1].index
        hounsfield = np.pad(canonical(case.image), [(far, far), (far, far), (0, 0)], constant_values=-999)
        window = np.clip((hounsfield[around][:side, :side].astype(float) + 160) / 400, 0, 1) * 2 - 1
        sample = dataset[item]
        assert np.abs(sample["image"][0].numpy() - window).max() < 1e-3
        for name, path in {"attention": store.attention_dir + f"/{case.id}.nii.gz", "target": case.label}.items():
            mask = np.pad(canonical(path) == index, [(far, far), (far, far), (0, 0)])[around][:side, :side]
            assert np.array_equal(sample[name][0].numpy(), mask)
        assert cluster == sample["cluster"] == TABLE.cluster(organ, TABLE.phases.index(case.phase))


def test_samples_are_float32_and_their_own(store):
    dataset = QueryDataset(store, target=True)
    sample = dataset[0]
    assert {sample[name].dtype for name in ("image", "attention", "target")} == {torch.float32}
    sample["image"].fill_(5)
    sample["attention"].fill_(5)
    assert dataset[0]["image"].max() <= 1
    assert dataset[0]["attention"].max() <= 1


def test_a_case_without_label_has_no_target(store):
    item = int(np.flatnonzero(store.index[:, 0] == 2)[0])
    with pytest.raises(SemclError, match=r"(?s)case c: the query store has no target.*add the label map"):
        QueryDataset(store, target=True)[item]
    assert "target" not in QueryDataset(store)[item]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_samples_in_the_same_order(store, workers):
    def batches(workers: int) -> list[dict[str, torch.Tensor]]:
        sampler = ClusterSampler(store.index[:, 3], store.index[:, 1], 3, 4, batches=5)
        return list(DataLoader(QueryDataset(store, margin=2), batch_sampler=sampler, num_workers=workers))

    for here, there in zip(batches(0), batches(workers), strict=True):
        assert here.keys() == there.keys() == {"image", "attention", "query", "cluster", "object", "phase"}
        assert here["image"].shape == (12, 1, 12, 12)
        for name in here:
            assert torch.equal(here[name], there[name])


def test_a_sample_names_its_query_and_its_phase(store):
    dataset, cases = QueryDataset(store), store.index[:, 0]
    for item in range(len(dataset)):
        sample = dataset[item]
        assert sample["query"] == item
        assert sample["cluster"] == TABLE.cluster(sample["object"], sample["phase"])
    phases = [{dataset[int(item)]["phase"] for item in np.flatnonzero(cases == case)} for case in np.unique(cases)]
    assert all(len(found) == 1 for found in phases)  # of the scan, not of the query
    assert len(set.union(*phases)) > 1


def test_ignored_voxels_of_the_label_map_are_ignored_in_the_target(tmp_path):
    cohort = SmallCohort(tmp_path)
    case = cohort.cases[0]
    voxels = nib.load(case.label).get_fdata().astype(np.uint16)
    voxels[:, :4] = 65535
    write_nifti(case.label, voxels, nib.load(case.label).affine)
    dataset = QueryDataset(cohort.open(cohort.cases[:1], spacing=[0, 0, 0]), target=True)
    seen = torch.cat([dataset[item]["target"].flatten() for item in range(len(dataset))]).unique().tolist()
    assert seen == [-1, 0, 1]
    assert set(torch.cat([dataset[item]["attention"].flatten() for item in range(len(dataset))]).unique().tolist()) == {
        0,
        1,
    }


def test_ignored_voxels_of_an_attention_map_belong_to_no_object(tmp_path):
    cohort = SmallCohort(tmp_path)
    before = cohort.open(cohort.cases[:1], spacing=[0, 0, 0], extend=1).index.tolist()
    path = cohort.attention / f"{cohort.cases[0].id}.nii.gz"
    voxels = nib.load(path).get_fdata().astype(np.uint16)
    voxels[voxels == 0] = 65535
    write_nifti(path, voxels, nib.load(path).affine)
    assert cohort.open(cohort.cases[:1], spacing=[0, 0, 0], extend=1).index.tolist() == before


def test_a_dataset_holds_the_queries_of_the_cases_it_is_given(store: QueryStore) -> None:
    part = QueryDataset(store, data=[{"case": store.cases[1], "image": "elsewhere"}])
    assert part.store.cases == [store.cases[1]]
    whole = np.flatnonzero(store.index[:, 0] == 1)
    assert len(part) == len(whole) > 0
    for item, other in enumerate(whole[:3]):
        assert torch.equal(part[item]["image"], QueryDataset(store)[other]["image"])
    assert QueryDataset(store, data=[{"case": case} for case in store.cases]).store is store


def test_queries_of_an_organ_that_a_pseudo_label_lacks_have_no_target(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    case = cohort.cases[0]
    voxels = np.asarray(nib.load(case.label).dataobj).copy()
    voxels[voxels == ORGANS[1].index] = 0
    write_nifti(tmp_path / "pseudo.nii.gz", voxels, nib.load(case.label).affine)
    taught = replace(case, label=tmp_path / "pseudo.nii.gz", pseudo=True)
    objects = {
        pseudo: QueryDataset(cohort.open([replace(taught, pseudo=pseudo)]), target=True).store.index[:, 2].tolist()
        for pseudo in (True, False)
    }
    assert set(objects[False]) == {1, 2, 3}
    assert objects[True] == [number for number in objects[False] if number != 2]


def test_queries_of_an_organ_that_its_case_does_not_annotate_have_no_target(tmp_path: pytest.TempPathFactory) -> None:
    cohort = SmallCohort(tmp_path)
    whole = cohort.open(cohort.cases[:2])
    partial = cohort.open([replace(cohort.cases[0], annotated=("liver", "left_kidney")), cohort.cases[1]])
    assert partial.built == []
    learnt = QueryDataset(partial, target=True)
    index = whole.index
    unknown = (index[:, 0] == 0) & (index[:, 2] == 2)
    assert unknown.any()
    assert learnt.store.index.tolist() == index[~unknown].tolist()
    assert len(learnt) == (~unknown).sum()
    for item, query in enumerate(np.flatnonzero(~unknown)):
        assert torch.equal(learnt[item]["target"], QueryDataset(whole, target=True)[query]["target"])
    assert QueryDataset(partial).store is partial  # pretraining does without label maps
    assert QueryDataset(whole, target=True).store is whole
