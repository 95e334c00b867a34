"""Embeddings of objects: which queries, and the encoder's weights."""

import numpy as np
import pytest
import torch

from scripts.audit.vectors import embed_objects, object_queries, pretrained_encoding
from scripts.errors import SemclError
from scripts.networks.pooling import RegionPooling
from scripts.queries.grid import QueryGrid

from .made import reader

GRID = QueryGrid(2, 16, [0, 0, 0], (-160, 240))


def test_queries_are_spread_evenly_and_centred_on_the_object():
    own = np.ones((4, 6, 5), np.int16)
    found = object_queries(GRID, own, [10, 12, 2], 3)
    assert [start[2] for start, _ in found] == [2, 4, 6]
    assert [start[:2] for start, _ in found] == [[10 + 2 - 8, 12 + 3 - 8]] * 3
    assert all(mask.shape == (16, 16) and mask.sum() == 24 for _, mask in found)


def test_an_object_of_one_slice_is_embedded_as_often_as_others():
    assert len(object_queries(GRID, np.ones((2, 2, 1), np.int16), [0, 0, 0], 4)) == 4


def test_vectors_are_what_pooling_gives():
    encoding = reader().encoding
    image = torch.rand(1, 20, 20, 6) * 2 - 1
    queries = object_queries(GRID, np.ones((5, 5, 2), np.int16), [3, 3, 1], 2)
    (found,) = embed_objects(GRID, image, [queries], encoding)
    mean = float(image[0, 3:8, 3:8, 1].mean())
    expected = np.array([mean, 1, 1 - mean])
    assert found[0] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_without_weights_there_is_no_encoding_and_it_is_said(tmp_path, capsys):
    missing = str(tmp_path / "encoder.pt")
    assert pretrained_encoding(torch.nn.Linear(2, 2), missing, RegionPooling(), torch.device("cpu")) is None
    assert "no pretrained encoder" in capsys.readouterr().out


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "encoder.pt")
    with pytest.raises(SemclError, match=r"encoder\.pt does not fit"):
        pretrained_encoding(torch.nn.Linear(2, 2), str(tmp_path / "encoder.pt"), RegionPooling(), torch.device("cpu"))
