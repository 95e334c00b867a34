"""The tests of the longest files come first."""

from types import SimpleNamespace

from tests.conftest import LONGEST, pytest_collection_modifyitems
from tests.stages import ROOT


def test_the_longest_files_come_first_and_all_others_stay_in_order():
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
    names = ["audit/test_audit.py", LONGEST[1], "test_alias.py", LONGEST[0], "contrast/test_loss.py"]
    items = [SimpleNamespace(path=ROOT / "tests" / name) for name in names]
    pytest_collection_modifyitems(items)
    assert [item.path for item in items] == [ROOT / "tests" / names[place] for place in (3, 1, 0, 2, 4)]
