"""The phase of a scan by its objects, cross-fitted by patient."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.audit.phases import judge_phases


@pytest.fixture(scope="module")
def clean(gathered):
    return gathered[gathered.clean]


@pytest.mark.parametrize("group", ["plain", "embedding", None])
def test_a_wrong_phase_stands_out(clean, group):
    phases = clean.phases.copy()
    phases[clean.cases == "p2"] = "portal"  # it is noncontrast
    found = judge_phases(replace(clean, phases=phases), group)
    stated = [row[found.phases.index(listed)] for row, listed in zip(found.probabilities, found.listed, strict=True)]
    assert found.cases[int(np.argmin(stated))] == "p2"
    assert min(stated) < 0.3
    assert np.sort(stated)[1] > 0.5
    assert found.probabilities.sum(1) == pytest.approx(np.ones(8))


def test_phases_of_too_few_patients_are_not_told_apart(clean):
    assert judge_phases(clean[np.isin(clean.cases, ["p0", "p1", "p2", "p3"])]) is None
    assert judge_phases(clean[clean.phases == "portal"]) is None


def test_without_embeddings_there_is_no_verdict_by_them(clean):
    bare = replace(clean, vectors=np.zeros((len(clean), 0, 0), np.float32))
    assert judge_phases(bare, "embedding") is None
    assert judge_phases(bare).rests_on == "plain"
