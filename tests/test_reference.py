"""The reference is written, and missing docstrings and broken links are found."""

from types import ModuleType

import pytest

import scripts
from docs import reference
from tests.stages import ROOT


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    return folder, reference.write(folder)


def test_the_reference_shows_every_public_name(written):
    folder, warnings = written
    assert warnings == []
    page = (folder / "semcl.html").read_text()
    assert [name for name in scripts.__all__ if f'id="{name}"' not in page] == []
    assert 'id="SemclAlgo"' in (folder / "semcl" / "auto3dseg.html").read_text()
    assert reference.html_links(folder) == []


def test_every_public_name_is_documented():
    assert reference.undocumented(scripts) == []


def test_the_pages_have_no_broken_links():
    assert reference.markdown_links(ROOT) == []


def test_a_missing_docstring_is_named():
    class Partly:
        def documented(self):
            """Return nothing."""

        def bare(self):
            pass

        @property
        def number(self):
            return 1

        def _private(self):
            pass

    module = ModuleType("semcl.example")
    module.__all__ = ["Partly", "number"]
    module.Partly, module.number = Partly, 3
    found = [line.removeprefix("semcl.example.") for line in reference.undocumented(module)]
    assert found == ["Partly has no docstring", "Partly.bare has no docstring", "Partly.number has no docstring"]


def test_broken_links_of_a_page_are_named(tmp_path):
    (tmp_path / "a.html").write_text('<p id="here"><a href="#here">1</a><a href="#gone">2</a><a href="b.html#x">3</a>')
    (tmp_path / "b.html").write_text(
        '<a href="https://nowhere.invalid">1</a><img src="no.png"><a href="a.html#here">2</a>'
    )
    problems = [line.rpartition("/")[2] for line in reference.html_links(tmp_path)]
    assert sorted(problems) == ["a.html: no anchor #gone", "a.html: no anchor b.html#x", "b.html: no no.png"]


def test_broken_links_of_markdown_are_named(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(
        "# A: head, `x`\n[1](docs/one.md#two-words) [2](docs/two.md) [3](#a-head-x) [4](#b)"
    )
    (tmp_path / "docs" / "one.md").write_text("## Two words\n```\n[in code](gone.md)\n```\n[1](../README.md#two-words)")
    problems = [line.rpartition(": ")[2] for line in reference.markdown_links(tmp_path)]
    assert problems == ["no docs/two.md", "no anchor #b", "no anchor ../README.md#two-words"]
