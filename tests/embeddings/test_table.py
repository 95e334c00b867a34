"""Embeddings: sampled queries, vectors against the encoder, and files."""

import csv
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from scripts.embeddings.table import EMBEDDING_COLUMNS, Embeddings, embed_queries, sample_queries
from scripts.networks.encoder import QueryEncoder
from scripts.networks.pooling import PatchPooling, Pooling, RegionPooling
from scripts.queries.dataset import QueryDataset
from scripts.queries.store import QueryStore
from tests.queries.test_store import CASES, TABLE, SmallCohort

CPU = torch.device("cpu")


def embeddings(
    vectors: object, organs: Sequence[str], patients: Sequence[str], phases: Sequence[str] = (), cases: object = ()
) -> Embeddings:
    """A table as ``embed_queries`` makes it; one phase for all and one case per patient unless given."""
    count = len(organs)
    found = torch.tensor(np.asarray(vectors, np.float32))
    return Embeddings(
        queries=np.arange(100, 100 + count),
        cases=np.array(list(cases) or [f"scan {patient}" for patient in patients]),
        patients=np.array(list(patients)),
        organs=np.array(list(organs)),
        phases=np.array(list(phases) or ["portal"] * count),
        starts=np.arange(3 * count).reshape(count, 3) - 4,
        vectors=nn.functional.normalize(found, dim=1),
    )


def random_embeddings(count: int, patients: int, organs: int = 4, width: int = 5, seed: int = 0) -> Embeddings:
    """Random directions, patients, organs and phases."""
    rng = np.random.default_rng(seed)
    return embeddings(
        rng.normal(size=(count, width)),
        [f"organ {number}" for number in rng.integers(0, organs, count)],
        [f"patient {number}" for number in rng.integers(0, patients, count)],
        [f"phase {number}" for number in rng.integers(0, 2, count)],
    )


def encoder(dims: int = 2, seed: int = 0) -> QueryEncoder:
    torch.manual_seed(seed)
    return QueryEncoder(dims, "basic", [1, 1, 1, 1], [4, 8, 8, 16])


class Means(nn.Module):
    """Gives the inputs as its first map and as its last one that is known: image and mask, each less 3."""

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        return [inputs, inputs - 3]


@pytest.fixture(scope="module", params=[2, 3], ids=["2-D", "3-D"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> QueryStore:
    spacing = [3, 3, 0 if request.param == 2 else 3]
    return SmallCohort(tmp_path_factory.mktemp("cohort")).open(spacing=spacing, spatial_dims=request.param)


def embedded(
    store: QueryStore,
    network: nn.Module,
    queries: Sequence[int] | None = None,
    batch_size: int = 5,
    pooling: Pooling | None = None,
    show_attention: bool = True,
    num_workers: int = 0,
) -> Embeddings:
    chosen = np.arange(len(store.index)) if queries is None else np.array(queries)
    _, patients, phases, _ = zip(*CASES, strict=True)
    return embed_queries(
        QueryDataset(store),
        patients,
        phases,
        network,
        chosen,
        CPU,
        batch_size,
        "embed, test",
        pooling or PatchPooling(),
        show_attention,
        num_workers,
    )


def patch(store: QueryStore, query: int) -> torch.Tensor:
    """Image and mask (2, P, P[, P]) of a query: the padded volumes of the store, sliced."""
    case, _, number, _, *start = store.index[query].tolist()
    far = 40
    where = tuple(slice(at + far, at + far + size) for at, size in zip(start, store.grid.box, strict=True))
    image = np.pad(store.volume(case, "image")[0].float().numpy(), far, constant_values=-1)[where]  # of one channel
    mask = np.pad(store.volume(case, "attention").numpy() == number, far)[where]
    both = torch.from_numpy(np.stack([image, mask.astype(np.float32)]))
    return both if store.grid.spatial_dims == 3 else both[..., 0]


# which are chosen


def indexed(*groups: tuple[int, int, int]) -> SimpleNamespace:
    """What ``sample_queries`` sees of a store: an index of groups (case, organ, how many queries)."""
    rows = [[case, 0, organ, 0, 0, 0, z] for case, organ, count in groups for z in range(count)]
    return SimpleNamespace(index=np.array(rows, np.int32))


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        pytest.param(1, [5, 11, 12, 14], id="the middle one"),
        pytest.param(2, [2, 7, 10, 11, 12, 13, 15], id="two, or the one there is"),
        pytest.param(4, [1, 3, 6, 8, 10, 11, 12, 13, 14, 15], id="all of an organ that has fewer"),
        pytest.param(99, list(range(16)), id="all of them"),
    ],
)
def test_queries_are_taken_evenly_of_each_organ_of_each_case(each: int, expected: list[int]) -> None:
    # 10 of case 0's organ 1, 2 of its organ 3, 1 of case 1's organ 3, 3 of its organ 4
    assert sample_queries(indexed((0, 1, 10), (0, 3, 2), (1, 3, 1), (1, 4, 3)), each).tolist() == expected


@pytest.mark.parametrize("count", [1, 2, 5, 7, 40, 41])
@pytest.mark.parametrize("each", [1, 2, 3, 4, 6, 40])
def test_the_chosen_are_different_and_as_far_apart_as_they_can_be(count: int, each: int) -> None:
    chosen = sample_queries(indexed((0, 1, count)), each)
    assert len(chosen) == min(count, each)
    gaps = np.diff(chosen).tolist()
    assert min(gaps, default=1) > 0
    assert max(gaps, default=1) - min(gaps, default=1) <= 1
    assert abs(chosen[0] - (count - 1 - chosen[-1])) <= 1  # as much is left out before as after


def test_the_same_organ_of_the_next_case_is_another_group() -> None:
    assert sample_queries(indexed((0, 2, 3), (1, 2, 3), (2, 2, 3)), 1).tolist() == [1, 4, 7]


def test_no_more_queries_of_a_store_are_chosen_than_requested(store: QueryStore) -> None:
    chosen = sample_queries(store, 2)
    keys = [tuple(row) for row in store.index[chosen][:, [0, 2]].tolist()]
    of_all = [tuple(row) for row in store.index[:, [0, 2]].tolist()]
    assert {key: keys.count(key) for key in keys} == {key: min(2, of_all.count(key)) for key in of_all}


# vectors


def test_vectors_have_unit_length(store: QueryStore) -> None:
    found = embedded(store, encoder(store.grid.spatial_dims)).vectors
    assert found.dtype == torch.float32
    assert found.shape == (len(store.index), 16)
    assert torch.allclose(found.norm(dim=1), torch.ones(len(found)), atol=1e-6)


def test_a_vector_is_the_encoders_of_the_patch(store: QueryStore) -> None:
    network, queries = encoder(store.grid.spatial_dims), [7, 0, 3, 11]
    network.train()  # which would mix the patches of a batch
    found = embedded(store, network, queries)
    network.eval()
    for query, vector in zip(queries, found.vectors, strict=True):
        with torch.no_grad():
            last = network(patch(store, query)[None])[3][0]
        mean = last.reshape(16, -1).mean(1)
        assert torch.allclose(vector, mean / mean.norm(), atol=1e-5)


def test_the_last_map_is_averaged_over_the_patch(store: QueryStore) -> None:
    found = embedded(store, Means(), [4, 2])
    for query, vector in zip([4, 2], found.vectors, strict=True):
        mean = patch(store, query).flatten(1).mean(1) - 3
        assert torch.allclose(vector, mean / mean.norm(), atol=1e-5)


@pytest.mark.parametrize("show", [True, False])
def test_regions_are_those_of_the_attention_whether_the_encoder_is_shown_it_or_not(
    store: QueryStore, show: bool
) -> None:
    query = next(query for query in range(len(store.index)) if patch(store, query)[1].any())
    found = embedded(store, Means(), [query], 5, RegionPooling(), show)
    image, mask = patch(store, query)
    inside = torch.stack([image[mask > 0].mean(), torch.tensor(float(show))])
    expected = torch.cat([inside, inside - 3])
    assert torch.allclose(found.vectors[0], expected / expected.norm(), atol=1e-5)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 2), (1000, 0)])
def test_vectors_are_the_same_for_any_batch_size_and_number_of_loader_processes(
    store: QueryStore, batch_size: int, workers: int
) -> None:
    network = encoder(store.grid.spatial_dims)
    queries = range(0, len(store.index), 3)
    expected = embedded(store, network, queries)
    found = embedded(store, network, queries, batch_size, num_workers=workers)
    assert torch.allclose(found.vectors, expected.vectors, atol=1e-6)
    assert np.array_equal(found.queries, expected.queries)


def test_the_encoder_is_moved_to_the_device_and_put_to_evaluation(store: QueryStore) -> None:
    class Moved(Means):
        def to(self, device: torch.device) -> nn.Module:
            moves.append((device, len(moves)))
            return Other()

    class Other(Means):
        def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
            moves.append((inputs.device, self.training))
            return super().forward(inputs)

    moves: list[tuple[torch.device, int]] = []
    embedded(store, Moved(), [0])
    assert moves == [(CPU, 0), (CPU, False)]


def test_no_gradient_is_kept(store: QueryStore) -> None:
    assert not embedded(store, encoder(store.grid.spatial_dims), [0]).vectors.requires_grad


def test_queries_have_the_names_of_their_case_and_organ(store: QueryStore) -> None:
    queries = [11, 2, 5, 8, 0]
    found = embedded(store, Means(), queries)
    assert len(found) == 5
    assert found.queries.tolist() == queries
    for at, query in enumerate(queries):
        case, _, organ, cluster, *start = store.index[query].tolist()
        assert (found.cases[at], found.patients[at], found.phases[at]) == CASES[case][:3]
        assert found.organs[at] == TABLE.names[organ - 1]
        assert found.starts[at].tolist() == start
        assert cluster == TABLE.cluster(organ, TABLE.phases.index(found.phases[at]))
    assert len(set(found.cases)) > 1
    assert len(set(found.organs)) > 1


# the table


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("organ", ["liver", "spleen"]),
        ("phase", ["portal", "arterial"]),
        ("cluster", ["liver x portal", "spleen x arterial"]),
    ],
)
def test_labels_are_organ_phase_or_both(label: str, expected: list[str]) -> None:
    table = embeddings(np.eye(2), ["liver", "spleen"], ["ann", "bob"], ["portal", "arterial"])
    assert table.label(label).tolist() == expected


def test_indexing_selects_all_columns_of_the_queries() -> None:
    table, chosen = random_embeddings(9, 3), np.array([7, 0, 4])
    some = table[chosen]
    assert len(some) == 3
    for name in ("queries", "cases", "patients", "organs", "phases", "starts", "vectors"):
        assert np.array_equal(np.asarray(getattr(some, name)), np.asarray(getattr(table, name))[chosen])


def test_written_embeddings_can_be_read_again(tmp_path: Path) -> None:
    table = embeddings(
        np.random.default_rng(0).normal(size=(3, 4)),
        ["left_kidney", 'so-called "duct", left', "vena cava"],
        ["ann", "bob, jr", "ann"],
        ["portal", "arterial", "späte"],
    )
    table.write(tmp_path / "embeddings", "before")
    assert sorted(path.name for path in (tmp_path / "embeddings").iterdir()) == ["before.npy", "queries.csv"]
    vectors = np.load(tmp_path / "embeddings" / "before.npy", allow_pickle=False)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, table.vectors.numpy())
    with open(tmp_path / "embeddings" / "queries.csv", newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    assert tuple(head) == EMBEDDING_COLUMNS == ("query", "case", "patient", "organ", "phase", "x", "y", "z")
    columns = list(zip(*lines, strict=True))
    assert [int(row) for row in columns[0]] == table.queries.tolist()
    for column, name in zip(columns[1:5], ("cases", "patients", "organs", "phases"), strict=True):
        assert list(column) == getattr(table, name).tolist()
    assert np.array_equal(np.array(columns[5:], int).T, table.starts)


def test_several_encoders_share_a_table_of_queries(tmp_path: Path) -> None:
    table = random_embeddings(6, 2)
    for name in ("before", "after"):
        table.write(tmp_path, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after.npy", "before.npy", "queries.csv"]
