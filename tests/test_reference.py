"""The reference is written, and what is missing in it, or in the pages, is found."""

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
    folder, warned = written
    assert warned == []
    page = (folder / "semcl.html").read_text()
    assert [name for name in scripts.__all__ if f'id="{name}"' not in page] == []
    assert 'id="SemclAlgo"' in (folder / "semcl" / "auto3dseg.html").read_text()
    assert reference.html_links(folder) == []


def test_every_public_name_says_what_it_is():
    assert reference.undocumented(scripts) == []


def test_the_pages_link_to_what_is_there():
    assert reference.markdown_links(ROOT) == []


def test_a_missing_docstring_is_named():
    class Silent:
        def spoken(self):
            """Says something."""

        def silent(self):
            pass

        @property
        def hushed(self):
            return 1

        def _private(self):
            pass

    module = ModuleType("semcl.example")
    module.__all__ = ["Silent", "number"]
    module.Silent, module.number = Silent, 3
    told = [line.removeprefix("semcl.example.") for line in reference.undocumented(module)]
    assert told == ["Silent has no docstring", "Silent.silent has no docstring", "Silent.hushed has no docstring"]


def test_broken_links_of_a_page_are_named(tmp_path):
    (tmp_path / "a.html").write_text('<p id="here"><a href="#here">1</a><a href="#gone">2</a><a href="b.html#x">3</a>')
    (tmp_path / "b.html").write_text(
        '<a href="https://nowhere.invalid">1</a><img src="no.png"><a href="a.html#here">2</a>'
    )
    wrong = [line.rpartition("/")[2] for line in reference.html_links(tmp_path)]
    assert sorted(wrong) == ["a.html: no place #gone", "a.html: no place b.html#x", "b.html: no no.png"]


def test_broken_links_of_markdown_are_named(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(
        "# A: head, `x`\n[1](docs/one.md#two-words) [2](docs/two.md) [3](#a-head-x) [4](#b)"
    )
    (tmp_path / "docs" / "one.md").write_text("## Two words\n```\n[in code](gone.md)\n```\n[1](../README.md#two-words)")
    wrong = [line.rpartition(": ")[2] for line in reference.markdown_links(tmp_path)]
    assert wrong == ["no docs/two.md", "no place #b", "no place ../README.md#two-words"]
