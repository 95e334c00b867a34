"""The rooms of scripts/ import downwards only, and files and functions stay short."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools.structure import (
    ROOMS,
    Module,
    annotated,
    backwards,
    circle,
    functions,
    length,
    modules,
    mutual_rooms,
    shared_names,
    structure,
    undocumented,
    untested,
)

ROOT = Path(__file__).parents[1]
SHARED_NAMES = {  # public names that several modules define, and why
    "find": "what every layout defines, so that the list of layouts needs nothing else",
    "main": "what `python -m` runs",
}
UNTESTED = {  # modules without a test file of their name, and why
    "auto3dseg.infer": "needs a trained fold: auto3dseg/test_tutorial.py",
    "coarse.attention_folder": "tested with the rounds that write into it: coarse/test_cross_fitting.py",
    "commands.evaluate": "commands are run as users do: test_main.py",
    "commands.intake": "as above",
    "commands.phantom": "as above",
    "commands.study": "as above, and study/test_study.py",
    "components": "a table, compared with the configs: test_package.py",
    "intake.finding_kinds": "a table, each entry of which has an input: faults/test_volumes.py",
}


@pytest.fixture(scope="module")
def known() -> dict[str, Module]:
    return modules(ROOT)


def test_every_room_is_listed(known):
    assert {module.room for module in known.values()} == set(ROOMS)


def test_rooms_import_downwards_only(known):
    assert backwards(known) == []
    assert mutual_rooms(known) == []


def test_no_module_imports_itself_through_others(known):
    assert circle(known) == []


def test_files_and_functions_are_short(known):
    assert {name for name, module in known.items() if module.text.count("\n") > 250} == set()
    assert {
        f"{module.name}.{one.name}" for module in known.values() for one in functions(module) if length(one) > 50
    } == set()


def test_all_is_annotated_and_what_is_public_documented(known):
    assert {one.name for module in known.values() for one in functions(module) if not annotated(one)} == set()
    assert [name for module in known.values() for name in undocumented(module)] == []


def test_public_names_are_unique(known):
    assert set(shared_names(known)) == set(SHARED_NAMES)


def test_modules_have_a_test_file_of_their_name(known):
    assert set(untested(ROOT, known)) == set(UNTESTED)


def module(name: str, text: str) -> Module:
    return Module(name, text, ast.parse(text))


def test_violations_are_found():
    tree = {
        "cohort.volume": module("cohort.volume", "from ..job import job\n"),
        "job.job": module("job.job", "def run():\n    from ..cohort.volume import read\n"),
    }
    one, other = (
        module("one", "A = B = 1\n_C = 1\nD: int = 1\n"),
        module("other", "def A(): ...\n_C = 1\nD, E = 1, 2\n"),
    )
    assert shared_names({"one": one, "other": other}) == {"A": ["one", "other"], "D": ["one", "other"]}
    assert backwards(tree) == ["cohort.volume imports job.job"]
    assert mutual_rooms(tree) == ["cohort and job"]
    assert set(circle(tree)) == {"cohort.volume", "job.job"}
    assert untested(ROOT, {"job.nowhere": module("job.nowhere", "\n" * 41)}) == ["job.nowhere"]
    (run,) = functions(tree["job.job"])
    assert not annotated(run)
    assert undocumented(tree["job.job"]) == ["job.job.run"]


def test_the_numbers_are_printed(capsys):
    structure()
    assert "modules in a circle" in capsys.readouterr().out
