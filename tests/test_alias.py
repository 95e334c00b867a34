"""Configs know the package as `scripts`, whatever it is installed as."""

import subprocess
import sys
from pathlib import Path

import pytest

import scripts
from scripts.alias import provide_scripts
from scripts.errors import SemclError

INSTALLED = """
import sys
from semcl.alias import provide_scripts
provide_scripts()
import scripts, semcl
import scripts.errors, semcl.errors
from scripts.cohort.label_table import LabelTable as one
from semcl import LabelTable as other
assert scripts is semcl and scripts.errors is semcl.errors and one is other
assert semcl.errors.__spec__.name == "semcl.errors" and one.__module__ == "semcl.cohort.label_table"
try:
    import scripts.nowhere
except ModuleNotFoundError:
    print("none of that name")
"""


def test_an_installed_package_is_found_by_both_names_as_one(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "semcl").symlink_to(Path(scripts.__file__).parent)
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}){INSTALLED}"],
                          cwd=tmp_path, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stdout == "none of that name\n", done.stderr


def test_nothing_changes_in_a_clone_and_a_strange_package_is_refused(monkeypatch):
    before = list(sys.meta_path)
    provide_scripts()
    assert sys.meta_path == before
    strange = type(sys)("scripts")
    strange.__file__ = "/mine/scripts/__init__.py"
    monkeypatch.setitem(sys.modules, "scripts", strange)
    with pytest.raises(SemclError, match=r"(?s)another package named scripts.*/mine/scripts"):
        provide_scripts()
