"""File handles for loader processes: the limit is raised, or an error says what is needed."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.job.handles import require_handles
from tests.faults import start


@pytest.fixture
def limits(monkeypatch):
    """Pretended limits of this process: what was set is noted in them."""
    held = [0, 0]
    monkeypatch.setattr(resource, "getrlimit", lambda what: tuple(held))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: held.__setitem__(slice(None), limits))
    return held


@pytest.mark.parametrize(
    ("soft", "hard", "workers", "then"),
    [(64, 4096, 2, 384), (64, 64, 0, 64), (1024, 1024, 2, 1024), (64, resource.RLIM_INFINITY, 1, 320)],
)
def test_the_limit_is_raised_to_what_loader_processes_need(limits, soft, hard, workers, then):
    limits[:] = soft, hard
    require_handles(workers)
    assert limits == [then, hard]


def test_a_limit_that_cannot_be_raised_is_named(limits):
    limits[:] = 64, 100
    with pytest.raises(SemclError, match=r"(?s)too few file handles.*at most 100 open.*2 loader.*384.*--num_workers"):
        require_handles(2)


@dataclass(frozen=True)
class Few:
    """A process that may open no more than so many files."""

    count: int

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.count, self.count))


def test_a_stage_with_loader_processes_checks_the_limit_before_it_starts(phantoms: Path, tmp_path: Path):
    folders = {"dataset_dir": str(phantoms), "output_dir": str(tmp_path)}
    process = start("coarse", tmp_path / "log", Few(128), folders | {"num_workers": 2})
    process.join(120)
    assert process.exitcode not in (0, None)
    assert "too few file handles for loader processes" in (tmp_path / "log").read_text()
