"""The probe of pretraining: what it is shown, and its accuracy against scikit-learn's classifier."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from scripts.contrast.probe import NeighbourAccuracy, PrepareProbe
from scripts.networks.pooling import RegionPooling
from tests.contrast.test_positives import CPU, batch


def test_queries_are_shown_as_they_are():
    given = batch(3)
    inputs, rows = PrepareProbe()(given, CPU)
    assert torch.equal(inputs, torch.cat([given["image"], given["attention"]], dim=1))
    assert rows.tolist() == [[70, 4], [3, 5], [8, 6]]


def test_surroundings_are_classes_of_their_own():
    inputs, rows = PrepareProbe(RegionPooling())(batch(2), CPU)
    assert inputs.shape[1] == 4
    assert rows.tolist() == [[70, 4], [3, 5], [70, -5], [3, -6]]


def test_attention_that_pretraining_hides_is_hidden():
    shown, hidden = (PrepareProbe(RegionPooling(), show)(batch(2), CPU)[0] for show in (True, False))
    assert shown[:, 1].any()
    assert not hidden[:, 1].any()
    assert torch.equal(shown[:, [0, 2, 3]], hidden[:, [0, 2, 3]])


def test_surroundings_neither_count_nor_vote():
    vectors = torch.tensor([[1, 0], [1, 0.2], [1, 0.1], [1, 0.1]])
    rows = torch.tensor([[0, 1], [1, 1], [0, -2], [1, -2]])
    metric = NeighbourAccuracy([0, 1], neighbours=1)
    metric(vectors, rows)
    assert metric.aggregate().item() == 1


def test_the_accuracy_is_that_of_a_nearest_neighbour_classifier_of_the_other_patients():
    random = np.random.default_rng(0)
    cluster, patients = np.arange(90) % 3, np.arange(90) // 9
    vectors = random.normal(size=(90, 6)) + 2.0 * np.eye(6)[cluster]
    metric = NeighbourAccuracy(patients, neighbours=1)
    for part in np.array_split(np.arange(90), 4):
        rows = torch.from_numpy(np.stack([part, cluster[part]], axis=1))
        metric(torch.from_numpy(vectors[part]), rows)
    right = []
    for patient in range(10):
        own = patients == patient
        oracle = KNeighborsClassifier(1, metric="cosine").fit(vectors[~own], cluster[~own])
        right.extend(oracle.predict(vectors[own]) == cluster[own])
    assert 0.5 < np.mean(right) < 0.95
    assert metric.aggregate().item() == pytest.approx(np.mean(right), abs=1e-6)


def test_the_network_may_write_its_next_output_to_the_same_place():
    output, metric = torch.eye(2), NeighbourAccuracy([0, 1])
    metric(output, torch.tensor([[0, 1], [1, 2]]))
    output.fill_(1)
    metric(output, torch.tensor([[0, 1], [1, 2]]))
    assert metric.get_buffer()[0].tolist() == [[1, 0], [0, 1], [1, 1], [1, 1]]


def test_the_majority_of_the_neighbours_decides():
    vectors = torch.tensor([[1, 0], [1, 0.1], [1, 0.2], [1, 0.05]])
    rows = torch.tensor([[0, 1], [1, 1], [2, 1], [3, 2]])  # the nearest to the first is of another cluster
    values = []
    for neighbours in (1, 3):
        metric = NeighbourAccuracy([0, 1, 2, 3], neighbours)
        metric(vectors[:1], rows[:1]), metric(vectors[1:], rows[1:])
        values.append(metric.aggregate().item())
    assert values == pytest.approx([1 / 3, 1])  # alone, the third finds the second; the fourth has no other


def test_places_without_a_neighbour_of_another_patient_do_not_vote():
    metric = NeighbourAccuracy([0, 1], 5)
    metric(torch.eye(2)[[0, 0, 0, 0, 1, 1, 0]], torch.tensor([[0, 1]] * 4 + [[0, 2]] * 2 + [[1, 1]]))
    assert metric.aggregate().item() == 1  # one vote each, of the other patient's only query, and four for the last


def test_without_other_patients_there_is_no_neighbour():
    metric = NeighbourAccuracy([0, 0])
    metric(torch.eye(2), torch.tensor([[0, 1], [1, 1]]))
    assert metric.aggregate().item() == 0
