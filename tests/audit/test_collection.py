"""Gathering: case by case, kept, and gathered again where a source has changed."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.audit import collection
from scripts.audit.collection import Collector
from scripts.audit.kinds import OTHER_SCAN
from scripts.audit.scan import BLURRED, INJECTED, MAP, OPINION
from scripts.cohort.attention import attention_path

from .made import reader


def test_every_kind_of_object_is_gathered(toys, tmp_path):
    attention_path(tmp_path, "p0").parent.mkdir(exist_ok=True)
    shutil.copy(toys[0].label, attention_path(tmp_path, "p0"))
    collector = Collector(
        reader(tmp_path, encoded=False), tmp_path / "examples", [], blur=lambda objects, case: objects
    )
    found = collector.gather(toys[:2], {"p1": toys[1].label})
    kinds = {*INJECTED, OTHER_SCAN, BLURRED, ""}
    assert set(found.kinds) == kinds
    assert set(found.sources[found.cases == "p0"]) == {"label", OPINION}
    assert set(found.sources[found.cases == "p1"]) == {"label", MAP}


def test_the_map_of_another_scan_is_another_patients(toys, tmp_path):
    twins = [replace(toys[0], patient="same"), replace(toys[1], patient="same")]
    found = Collector(reader(encoded=False), tmp_path, []).gather(twins, {})
    assert OTHER_SCAN not in set(found.kinds)


def test_what_was_gathered_is_kept_until_a_source_changes(toys, tmp_path, monkeypatch):
    examined = []
    real = Collector.examine

    def counted(self, case, given, donor):
        examined.append(case.id)
        return real(self, case, given, donor)

    monkeypatch.setattr(collection.Collector, "examine", counted)
    cases = [replace(case, label=Path(shutil.copy(case.label, tmp_path))) for case in toys[:3]]

    def gather(**changes):
        examined.clear()
        made = Collector(reader(encoded=False), tmp_path / "examples", ["encoder"])
        replace(made, **changes).gather(cases, {})
        return sorted(examined)

    assert gather() == ["p0", "p1", "p2"]
    assert gather() == []
    (tmp_path / "examples" / "p1.npz").unlink()
    assert gather() == ["p1"]
    shutil.copy(toys[4].label, cases[0].label)
    assert gather() == ["p0", "p2"]  # p0 is the donor of p2
    assert gather(seed=1) == ["p0", "p1", "p2"]
    assert gather(seed=1, made_with=["another encoder"]) == ["p0", "p1", "p2"]


def test_a_seed_repeats_the_errors(toys, gathered, tmp_path):
    again = Collector(reader(), tmp_path, []).examine(toys[0], None, toys[1])
    assert np.array_equal(again.measures, gathered[gathered.cases == "p0"].measures, equal_nan=True)
    assert again.dice == pytest.approx(gathered[gathered.cases == "p0"].dice)
