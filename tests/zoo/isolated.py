"""The release in isolation: with the packages its metadata requires, without this repository and ``semcl``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

from tools.release import NAME

UNIT_TESTS = [Path(__file__).with_name(f"test_{NAME}{ending}.py") for ending in ("", "_dist")]


def requirements(bundle: Path) -> list[str]:
    """The pinned packages the zoo installs before it tests a bundle."""
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    named = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    versions = {name: metadata[key] for name, key in named.items()} | metadata["required_packages_version"]
    return [f"{name}=={version}" for name, version in versions.items()]


def unpack(archive: Path, folder: Path) -> Path:
    """Make a folder like the zoo's: models/<name>/ and ci/unit_tests/; that of an earlier run is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder / "models")
    (folder / "ci" / "unit_tests").mkdir(parents=True)
    for path in UNIT_TESTS:
        shutil.copy(path, folder / "ci" / "unit_tests")
    return folder


def packages(required: Iterable[str], folder: Path) -> Path:
    """A folder that links to the installed packages of that name, in whatever version, and what these require."""
    folder.mkdir()
    waiting, seen = [Requirement(line).name for line in required], set()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():  # packages may share a folder
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
        for line in found.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return folder


def run(site: Path, zoo: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with only the packages of a folder (-S: no site-packages, no .pth files), from the zoo's folder."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONNOUSERSITE": "1"}
    command = [sys.executable, "-S", *words]
    return subprocess.run(command, cwd=zoo, env=environment, capture_output=True, text=True, check=False)


def main(python: str) -> None:
    """Install the release's pinned requirements into an empty environment of a Python, and run its unit tests there."""
    (archive,) = Path("dist").glob(f"{NAME}_v*.zip")
    with tempfile.TemporaryDirectory() as name:
        zoo = unpack(archive, Path(name) / "zoo")
        subprocess.run([python, "-m", "venv", Path(name) / "venv"], check=True)
        own = Path(name) / "venv" / "bin" / "python"
        install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *requirements(zoo / "models" / NAME)], check=True)
        for path in UNIT_TESTS:
            subprocess.run([own, f"ci/unit_tests/{path.name}"], cwd=zoo, check=True)


if __name__ == "__main__":
    main(sys.argv[1])
