"""What a check recognises when all is well."""

import numpy as np

from scripts.intake.recognised import recognised
from scripts.intake.survey import Sources, survey
from tests.faults.inputs import TABLE, Folder


def said(folder: Folder, table=TABLE, **more) -> dict[str, str]:
    sources = Sources(folder.images, folder.labels)
    lines = recognised(survey(sources, table), sources, table, **more).splitlines()
    return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}


def test_a_check_says_what_it_recognised(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a", "b")
    folder.image("c")
    (folder.images / "notes.txt").write_text("x")
    (folder.labels / "old.zip").write_text("x")
    (folder.images / ".DS_Store").write_text("x")
    shown = said(folder)
    assert shown["layout"] == "volumes in one folder, label maps by the same names"
    assert shown["cases"] == "3 cases of 3 patients, 2 with labels"
    assert shown["voxels"].endswith("mm (left-right x back-front x feet-head)")
    assert shown["label values"].startswith(f"{TABLE.organs[0].index} {TABLE.organs[0].name}")
    assert "(" not in shown["label values"], "every labelled case has every organ"
    assert shown["left aside"] == "2 files: notes.txt, old.zip"


def test_scans_to_learn_from_without_labels_are_counted(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a", "b")
    folder.image("c")
    sources = Sources(folder.images, folder.labels, unlabelled=folder.images)
    text = recognised(survey(sources, TABLE), sources, TABLE)
    assert "3 cases of 3 patients, 2 with labels, 1 to learn from without" in text


def test_values_without_a_table_have_no_names_and_hidden_ids_no_file_names(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a")
    (folder.images / "Muster_Erika.txt").write_text("x")
    shown = said(folder, None, names=False)
    assert shown["label values"].replace(", ", "").isdecimal()
    assert shown["left aside"] == "1 file"


def test_sizes_that_differ_are_a_range(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a")
    folder.image("b", place=np.diag([2.0, 1, 1, 1]))
    assert " of 1-2 x 1 x 1 mm" in said(folder)["voxels"]
