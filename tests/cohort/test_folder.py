"""A cohort's folder: files that may be replaced, and the mark of a cohort that is being written."""

from contextlib import suppress

import pytest

from scripts.cohort.folder import UNFINISHED, as_written, check_cohort, refuse_unfinished, unfinished
from scripts.errors import SemclError


def test_only_tables_and_datalists_of_prepare_are_replaced(table, tmp_path):
    check_cohort(tmp_path, table, "datalist.json")
    (tmp_path / "labels.yaml").write_text("# by hand\n" + as_written(table))
    check_cohort(tmp_path, table, "datalist.json")  # the same table
    (tmp_path / "labels.yaml").write_text("# by hand\norgans: {liver: 7}\n")
    with pytest.raises(SemclError, match="a label table of the same content"):
        check_cohort(tmp_path, table, "datalist.json")
    (tmp_path / "labels.yaml").unlink()
    (tmp_path / "datalist.json").write_text('{"training": [{"image": "a.nii.gz"}]}')
    with pytest.raises(SemclError, match="a datalist that SemCL wrote"):
        check_cohort(tmp_path, table, "datalist.json")


def test_a_cohort_is_marked_while_it_is_written(tmp_path):
    out = tmp_path / "cohort"
    with unfinished(out, "datalist.json", "labels"):
        with pytest.raises(SemclError, match="the cohort is unfinished"):
            refuse_unfinished(out)
        (out / "datalist.json").write_text("{}")
    refuse_unfinished(out)


def test_the_mark_stays_only_when_something_was_written(tmp_path):
    for name, content in (("untouched", None), ("changed", "{}")):
        out = tmp_path / name
        with suppress(KeyError), unfinished(out, "datalist.json", "labels"):
            if content:
                (out / "datalist.json").write_text(content)
            raise KeyError
        assert (out / UNFINISHED).exists() == bool(content)
    assert not (tmp_path / "untouched").exists()
