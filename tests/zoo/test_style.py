"""The release in the Model Zoo's style: its black, isort and flake8 with the plugins it installs, where they are there.

``pip install black isort flake8 flake8-bugbear flake8-comprehensions flake8-executable pep8-naming`` in this Python, or
in another that SEMCL_STYLE names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.zoo import isolated
from tools.release_configs import copy_scripts

SETTINGS = """[flake8]
select = B,C,E,F,N,P,T4,W,B9
max_line_length = 120
ignore = E203,E501,E741,W503,W504,C408,N812,B023
per_file_ignores = __init__.py: F401, __main__.py: F401

[isort]
known_first_party = models
profile = black
line_length = 120
"""  # the zoo's
COMMANDS = {
    "black": ["--check", "--skip-magic-trailing-comma", "--line-length=120", "--target-version=py310"],
    "isort": ["--check", "--settings-path=setup.cfg"],
    "flake8": ["--config=setup.cfg"],
}
PLUGINS = "bugbear, flake8_comprehensions, flake8_executable, pep8ext_naming"


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """The Python files of a release, and its unit tests."""
    folder = tmp_path_factory.mktemp("style")
    (folder / "setup.cfg").write_text(SETTINGS)
    copy_scripts(folder / "scripts")
    (folder / "ci" / "unit_tests").mkdir(parents=True)
    for path in isolated.UNIT_TESTS:
        shutil.copy(path, folder / "ci" / "unit_tests")
    return folder


@pytest.mark.parametrize("tool", COMMANDS)
def test_a_tool_of_the_zoo_has_nothing_to_say(tool, released):
    python = os.environ.get("SEMCL_STYLE", sys.executable)
    modules = f"{tool}, {PLUGINS}" if tool == "flake8" else tool
    found = subprocess.run([python, "-c", f"import {modules}"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"{python}: {found.stderr.strip().splitlines()[-1]}")
    command = [python, "-m", tool, *COMMANDS[tool], "."]
    done = subprocess.run(command, cwd=released, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
