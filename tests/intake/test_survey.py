"""The survey: all checks of a cohort together; each finding has an input in tests/faults."""

import numpy as np
import pytest

from scripts.errors import SemclError
from scripts.intake.survey import Sources, refuse_organs, survey
from tests.faults.inputs import TABLE, Folder, organs


def test_a_sound_cohort_has_cases_and_no_findings(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a", "b")
    found = survey(Sources(folder.images, folder.labels, workers=1), TABLE)
    assert ([case.id for case in found.cases], found.findings) == (["a", "b"], [])
    assert found.usable() == found.cases


def test_unusable_cases_are_left_out_and_findings_are_in_the_order_of_cases(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a", "b", "c")
    (folder.images / "b.nii.gz").write_bytes(b"")
    folder.label("a", np.zeros_like(organs()))
    found = survey(Sources(folder.images, folder.labels), TABLE)
    assert [(item.case, item.name) for item in found.findings] == [("a", "label_empty"), ("b", "zero_bytes")]
    assert [case.id for case in found.usable()] == ["a", "c"]


def test_an_unknown_modality_is_refused(tmp_path):
    with pytest.raises(SemclError, match=r"modality has no such value[^$]*one of CT, MR, RGB"):
        survey(Sources(tmp_path, modality="PET"), TABLE)


def test_annotated_organs_must_be_in_the_table():
    refuse_organs({"liver"}, TABLE)
    refuse_organs({"anything"}, None)
    with pytest.raises(SemclError, match="found:    lever"):
        refuse_organs({"liver", "lever"}, TABLE)
