"""The toy cohort and its objects, gathered once a session."""

from __future__ import annotations

import pytest

from scripts.audit import suspicion
from scripts.audit.collection import Collector
from scripts.audit.examples import Examples
from scripts.cohort.case import Case

from .made import reader, toy_cohort


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forests that are made in no time."""
    monkeypatch.setattr(suspicion, "TREES", 40)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """The cases of the toy cohort; never write into their folders."""
    return toy_cohort(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="session")
def gathered(toys: list[Case], tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Their objects, as found and with injected errors."""
    return Collector(reader(), tmp_path_factory.mktemp("examples"), []).gather(toys, {})
