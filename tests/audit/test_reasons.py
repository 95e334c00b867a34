"""Reasons in words."""

from dataclasses import replace

import numpy as np

from scripts.audit import reasons
from scripts.audit.comparison import compare_with
from scripts.audit.measures import MEASURES
from scripts.audit.reasons import DEVIATIONS, reason


def test_every_measure_has_words():
    assert set(DEVIATIONS) == {*MEASURES, "contact"}


def test_the_most_unusual_is_said_first(gathered):
    reference = gathered[gathered.clean]
    measures = reference.measures.copy()
    measures[0, MEASURES.index("log_volume")] -= 3
    measures[0, MEASURES.index("mean")] += 0.4
    measures[0, -4] = 0.1  # agreement
    odd = replace(reference, measures=measures)
    said = reason(odd, compare_with(odd, reference), 0, ["plain", "agreement"])
    assert said.startswith("agrees little with the attention map (Dice 0.10); ")
    assert "smaller by 12.0 SD" in said
    assert said.count(" SD") == 3


def test_what_it_looks_like_is_said(gathered):
    reference = gathered[gathered.clean]
    liver, kidney = (
        np.flatnonzero((reference.organs == name) & (reference.phases == "portal"))[0]
        for name in ("liver", "left_kidney")
    )
    vectors = reference.vectors.copy()
    vectors[liver] = vectors[kidney]
    odd = replace(reference, vectors=vectors)
    said = reason(odd, compare_with(odd, reference), int(liver), ["plain", "embedding"])
    assert "looks more like" in said
    assert "kidney of other patients" in said


def test_what_is_usual_is_called_so(gathered, monkeypatch):
    reference = gathered[gathered.clean]
    compared = compare_with(reference, reference)
    quiet = int(np.argmin(np.abs(compared.values[:, : len(MEASURES) + 1]).max(1)))
    monkeypatch.setattr(reasons, "LEAST_SHOWN", 4.0)
    assert reason(reference, compared, quiet, ["plain"]) == "as in other patients"
