"""The manifest: what is recorded when a run starts and ends."""

import os
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from scripts.job import manifest
from scripts.version import __version__


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    return tmp_path


def test_the_opening_records_versions_machine_and_commit(tmp_path: Path) -> None:
    note = manifest.opening("pretrain", str(tmp_path))
    assert (note["stage"], note["status"]) == ("pretrain", "running")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", note["started"])
    assert note["versions"]["semcl"] == __version__
    assert note["versions"]["torch"] == version("torch")
    assert set(note["versions"]) == {"semcl", "python", *manifest.PACKAGES}
    assert all(note["versions"].values())
    assert note["machine"]["cores"] == os.cpu_count()
    assert len(note["machine"]["gpus"]) == torch.cuda.device_count()


def test_a_missing_package_has_no_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(manifest, "PACKAGES", ("torch", "no-such-package"))
    assert manifest.opening("train", str(tmp_path))["versions"]["no-such-package"] is None


def test_the_closing_records_duration_and_peak_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 112.34)
    note = manifest.closing("completed", 100.0)
    assert (note["status"], note["seconds"]) == ("completed", 12.3)
    assert 50 < note["peak_memory"]["resident_mib"] < 1_000_000
    assert ("gpu_mib" in note["peak_memory"]) == torch.cuda.is_available()


def test_the_state_of_the_code_is_its_commit(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD").strip()
    assert manifest.git_state(str(repository)) == {"commit": commit, "changed": False}
    (repository / "folder").mkdir()
    assert manifest.git_state(str(repository / "folder")) == {"commit": commit, "changed": False}


@pytest.mark.parametrize("name", ["code.py", "new.py"], ids=["changed", "added"])
def test_uncommitted_changes_are_recorded(repository: Path, name: str) -> None:
    (repository / name).write_text("2")
    state = manifest.git_state(str(repository))
    assert state == {"commit": git(repository, "rev-parse", "HEAD").strip(), "changed": True}


def test_outside_of_a_repository_there_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert manifest.git_state(str(tmp_path)) is None


def test_a_repository_without_a_commit_has_no_state(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert manifest.git_state(str(tmp_path)) is None


def test_without_git_there_is_no_state(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert manifest.git_state(str(repository)) is None
