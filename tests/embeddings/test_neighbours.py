"""Neighbours: against brute force, only of other patients, and measures calculated by hand."""

import warnings

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from scripts.embeddings import neighbours as module
from scripts.embeddings.neighbours import Neighbours, chance, findable, nearest
from scripts.embeddings.table import Embeddings
from tests.embeddings.test_table import embeddings, random_embeddings

# organ, patient, phase of six queries; their neighbours are set by hand below
SIX = [
    ("liver", "ann", "portal"),
    ("liver", "bob", "arterial"),
    ("liver", "cid", "portal"),
    ("spleen", "ann", "portal"),
    ("spleen", "bob", "arterial"),
    ("duct", "cid", "arterial"),
]
INDEX = [[1, 2, 4], [0, 3, -1], [4, 1, 0], [5, 4, 2], [2, 5, -1], [-1, -1, -1]]


def six(index: list[list[int]] = INDEX) -> Neighbours:
    organs, patients, phases = zip(*SIX, strict=True)
    return Neighbours(embeddings(np.eye(6), organs, patients, phases), np.array(index), np.zeros((6, 3), np.float32))


def by_hand(of: Embeddings, count: int) -> tuple[list[list[int]], list[list[float]]]:
    """Neighbours and cosines of each query by a loop over all others."""
    vectors = of.vectors.double().numpy()
    index, cosines = [], []
    for query in range(len(of)):
        others = [other for other in range(len(of)) if of.patients[other] != of.patients[query]]
        found = sorted(others, key=lambda other: -float(vectors[query] @ vectors[other]))[:count]
        index.append(found + [-1] * (count - len(found)))
        cosines.append([float(vectors[query] @ vectors[other]) for other in found])
    return index, cosines


# nearest


@pytest.mark.parametrize("block", [1, 7, 64, 1024], ids=lambda block: f"{block} at once")
@pytest.mark.parametrize(("queries", "patients", "count"), [(64, 5, 10), (40, 2, 3), (15, 15, 14)])
def test_neighbours_agree_with_a_loop(
    queries: int, patients: int, count: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    table = random_embeddings(queries, patients)
    found = nearest(table, count)
    index, cosines = by_hand(table, count)
    assert found.embeddings is table
    assert found.index.tolist() == index
    for line, expected in zip(found.similarity, cosines, strict=True):
        assert line[: len(expected)] == pytest.approx(expected, abs=1e-5)


def test_neighbours_agree_with_scikit_learn() -> None:
    table = random_embeddings(120, 4, width=8)
    found = nearest(table, 9)
    vectors = table.vectors.numpy()
    for patient in np.unique(table.patients):
        own, others = np.flatnonzero(table.patients == patient), np.flatnonzero(table.patients != patient)
        searched = NearestNeighbors(n_neighbors=9, metric="cosine").fit(vectors[others])
        distances, index = searched.kneighbors(vectors[own])
        assert np.array_equal(found.index[own], others[index])
        assert np.allclose(found.similarity[own], 1 - distances, atol=1e-5)


def test_no_neighbour_is_of_the_same_patient_however_alike() -> None:
    patients = ["ann", "bob", "ann", "cid", "bob", "ann"]
    table = embeddings(np.ones((6, 3)), ["liver"] * 6, patients, cases=[f"scan {number}" for number in range(6)])
    found = nearest(table, 5)
    for query, line in enumerate(found.index):
        others = [number for number in range(6) if patients[number] != patients[query]]
        assert sorted(line[line >= 0].tolist()) == others


def test_where_other_patients_have_fewer_queries_the_rest_is_empty() -> None:
    # eight of ann, two of bob: ann's have two neighbours, bob's eight
    table = embeddings(np.random.default_rng(0).normal(size=(10, 4)), ["liver"] * 10, ["ann"] * 8 + ["bob"] * 2)
    found = nearest(table, 5)
    index, _ = by_hand(table, 5)
    assert found.index.tolist() == index
    assert (found.index[:8, 2:] == -1).all()
    assert (found.index[8:] >= 0).all()
    assert np.isfinite(found.similarity[found.index >= 0]).all()
    assert not np.isfinite(found.similarity[found.index < 0]).any()


def test_the_number_of_neighbours_is_limited_to_that_of_queries() -> None:
    assert nearest(random_embeddings(6, 3), 50).index.shape == (6, 6)


def test_a_single_patient_has_no_neighbours() -> None:
    found = nearest(random_embeddings(6, 1), 3)
    assert (found.index == -1).all()
    for label in ("organ", "phase", "cluster"):
        assert not found.same(label).any()
        assert not findable(found.embeddings, label).any()


# shares, by hand: the neighbours of SIX


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        pytest.param("organ", [[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]], id="organ"),
        pytest.param("phase", [[0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0]], id="phase"),
        pytest.param("cluster", [[0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]], id="cluster"),
    ],
)
def test_same_compares_a_neighbours_label_with_the_querys(label: str, expected: list[list[int]]) -> None:
    assert six().same(label).astype(int).tolist() == expected


def test_a_missing_neighbour_never_has_the_same_label() -> None:
    # -1 would be the last query by numpy's counting, a duct of cid
    assert not six([[-1] * 3] * 6).same("organ").any()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        pytest.param("organ", (2 / 3 + 1 / 2 + 2 / 3 + 1 / 3 + 0) / 5, id="organ"),
        pytest.param("phase", (1 / 3 + 0 + 1 / 3 + 1 / 3 + 1 / 2) / 5, id="phase"),
        pytest.param("cluster", (1 / 3 + 0 + 1 / 3 + 0 + 0) / 5, id="organ x phase"),
    ],
)
def test_purity_is_the_share_of_the_neighbours_there_are(label: str, expected: float) -> None:
    assert six().purity(label) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "count", "expected"),
    [
        # the duct, and as clusters bob's liver and spleen and all but the portal livers, are of one patient each
        pytest.param("organ", 1, 2 / 5, id="organ, the nearest"),
        pytest.param("organ", 2, 4 / 5, id="organ, two"),
        pytest.param("organ", 3, 4 / 5, id="organ, three"),
        pytest.param("organ", 99, 4 / 5, id="organ, more than there are"),
        pytest.param("phase", 1, 0 / 6, id="phase, the nearest"),
        pytest.param("phase", 3, 4 / 6, id="phase, three"),
        pytest.param("cluster", 2, 1 / 2, id="organ x phase, two"),
        pytest.param("cluster", 3, 2 / 2, id="organ x phase, three"),
    ],
)
def test_recall_is_over_queries_whose_label_another_patient_has(label: str, count: int, expected: float) -> None:
    assert six().recall(label, count) == pytest.approx(expected)


def test_a_label_is_findable_if_another_patient_has_it() -> None:
    table = six().embeddings
    assert findable(table, "organ").tolist() == [True, True, True, True, True, False]
    assert findable(table, "phase").tolist() == [True] * 6
    assert findable(table, "cluster").tolist() == [True, False, True, False, False, False]


def test_two_scans_of_one_patient_do_not_make_an_organ_findable() -> None:
    table = embeddings(np.eye(3), ["duct", "duct", "liver"], ["ann", "ann", "bob"], cases=["a", "b", "c"])
    assert findable(table, "organ").tolist() == [False, False, False]


# chance


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        # of each query: how many of the four queries of other patients are the same
        pytest.param("organ", (2 / 4 + 2 / 4 + 2 / 4 + 1 / 4 + 1 / 4 + 0) / 6, id="organ"),
        pytest.param("phase", (1 / 4 + 1 / 4 + 2 / 4 + 1 / 4 + 1 / 4 + 2 / 4) / 6, id="phase"),
        pytest.param("cluster", (1 / 4 + 0 + 1 / 4 + 0 + 0 + 0) / 6, id="organ x phase"),
    ],
)
def test_chance_by_hand(label: str, expected: float) -> None:
    assert chance(six().embeddings, label) == pytest.approx(expected)


@pytest.mark.parametrize("label", ["organ", "phase", "cluster"])
def test_chance_is_the_purity_of_random_neighbours(label: str) -> None:
    rng = np.random.default_rng(0)
    patients = ["ann"] * 14 + ["bob"] * 5 + ["cid"] * 2  # of uneven numbers, or patients would not matter
    organs = ["liver"] * 9 + ["spleen"] * 5 + ["liver"] + ["spleen"] * 3 + ["duct"] * 3
    table = embeddings(rng.normal(size=(21, 3)), organs, patients, rng.choice(["portal", "arterial"], 21).tolist())
    others = [np.flatnonzero(table.patients != patient) for patient in patients]
    sampled = np.stack([rng.choice(of, 20000) for of in others])
    found = Neighbours(table, sampled, np.zeros(sampled.shape, np.float32)).purity(label)
    assert chance(table, label) == pytest.approx(found, abs=0.004)
    share = [np.mean(table.label(label) == name) for name in table.label(label)]
    if label == "organ":
        assert abs(chance(table, label) - np.mean(share)) > 0.05  # what it would be with one's own patient


def test_purity_of_one_organ_is_one_and_so_is_chance() -> None:
    table = embeddings(np.random.default_rng(0).normal(size=(9, 3)), ["liver"] * 9, list("aaabbbccc"))
    found = nearest(table, 4)
    assert (found.purity("organ"), found.recall("organ", 1), chance(table, "organ")) == (1, 1, 1)


@pytest.mark.parametrize(
    "patients",
    [pytest.param(["ann"] * 6, id="a single patient"), pytest.param(list("abcdef"), id="each patient another organ")],
)
def test_shares_of_no_queries_are_none(patients: list[str]) -> None:
    table = embeddings(np.eye(6), [f"organ of {number}" for number in range(6)], patients)
    found = nearest(table, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy's "mean of empty slice"
        shares = [found.purity("organ"), found.recall("organ", 1), chance(table, "organ")]
    assert not [share for share in shares if share is not None and np.isnan(share)]
