"""Cells: every protocol with every share of labels, and what is refused."""

import pytest

from scripts.errors import SemclError
from scripts.study.cells import Cell, parse_cells


def test_cells_are_every_protocol_of_every_share_of_labels():
    found = parse_cells(["frozen", "tuned"], ["10%", "0.5", 1.0])
    assert found == tuple(Cell(protocol, share) for share in (0.1, 0.5, 1.0) for protocol in ("frozen", "tuned"))
    assert [cell.name for cell in found[::2]] == ["frozen-10%", "frozen-50%", "frozen-100%"]
    assert [cell.name for cell in parse_cells(["tuned"], ["7%", "12.5%"])] == ["tuned-7%", "tuned-12.5%"]


@pytest.mark.parametrize(
    ("protocols", "labels", "message"),
    [
        (["thawed"], ["1"], r"--protocols has no such value.*thawed.*one of frozen, tuned"),
        ([], ["1"], r"must each be given"),
        (["frozen"], [], r"must each be given"),
        (["frozen", "frozen"], ["1"], r"only once.*protocols frozen, frozen.*without repeats"),
        (["frozen"], ["50%", "0.5"], r"only once.*labels 50%, 0\.5"),
        (["frozen"], ["0%"], r"not a share of labels.*0%.*above 0"),
        (["frozen"], ["101%"], r"not a share of labels.*101%"),
        (["frozen"], ["50"], r"not a share of labels.*50.*set --labels, for example 10%,100%"),
        (["frozen"], ["half"], r"not a share of labels.*half"),
        (["frozen"], ["nan"], r"not a share of labels.*nan"),
    ],
)
def test_invalid_cells_are_refused(protocols, labels, message):
    with pytest.raises(SemclError, match=f"(?s){message}"):
        parse_cells(protocols, labels)
