"""The label table: what it accepts, and what it makes of label maps."""

import hashlib
import json

import numpy as np
import pytest

from scripts.cohort.label_table import IGNORED, LabelTable, Organ
from scripts.errors import SemclError

PAIR = {"index": 1, "partner": "b"}, {"index": 2, "partner": "a"}


def test_an_organ_may_be_given_by_its_index_alone():
    parsed = LabelTable.parse({"organs": {"liver": 6, "aorta": {"index": 8}}, "phases": ["portal"]})
    assert parsed == LabelTable((Organ("liver", 6), Organ("aorta", 8)), ("portal",))


def test_partners_and_the_order_of_the_organs_are_kept():
    parsed = LabelTable.parse({"organs": {"b": PAIR[1], "a": PAIR[0]}})
    assert parsed.names == ("b", "a")
    assert [organ.partner for organ in parsed.organs] == ["a", "b"]
    assert len(parsed) == 2


@pytest.mark.parametrize(
    ("others", "expected"), [("background", [0, 1, 0, 0, IGNORED]), ("ignore", [0, 1, IGNORED, IGNORED, IGNORED])]
)
def test_labels_of_no_organ_of_the_table_become_what_others_says(others, expected):
    parsed = LabelTable.parse({"organs": {"liver": 6}, "others": others})
    for kind in (np.uint16, np.float32):
        assert parsed.encode(np.array([0, 6, 3, 9, 65535], kind), "a").tolist() == expected
    assert LabelTable.parse(parsed.content()) == parsed
    assert parsed.digest() != LabelTable.parse({"organs": {"liver": 6}}).digest()


@pytest.mark.parametrize("value", [1.5, -3.0, float("nan"), float("inf")])
def test_values_that_are_no_labels_are_refused_whatever_others_says(value):
    parsed = LabelTable.parse({"organs": {"liver": 6}, "others": "background"})
    with pytest.raises(SemclError, match="label values outside the label table"):
        parsed.encode(np.array([0, 6, value]), "a")


def test_a_table_without_phases_has_one():
    assert LabelTable.parse({"organs": {"liver": 1}}).phases == ("unknown",)


@pytest.mark.parametrize(
    ("content", "found", "expected"),
    [
        (None, "None", "a mapping `organs`"),
        ("liver", "liver", "a mapping `organs`"),
        ({}, "{}", "a mapping `organs`"),
        ({"organs": {}}, "{'organs': {}}", "a mapping `organs`"),
        ({"organs": ["liver"]}, "['liver']", "a mapping `organs`"),
        ({"organs": {"liver": None}}, "liver: index None", "a whole number from 1 to 65534"),
        ({"organs": {"liver": {}}}, "liver: index None", "a whole number from 1 to 65534"),
        ({"organs": {"liver": 0}}, "liver: index 0", "a whole number from 1 to 65534"),
        ({"organs": {"liver": 1}, "others": "none"}, "others 'none'", "background or ignore"),
        ({"organs": {"liver": -1}}, "liver: index -1", "a whole number from 1 to 65534"),
        ({"organs": {"liver": 65536}}, "liver: index 65536", "a whole number from 1 to 65534"),
        ({"organs": {"liver": 1.0}}, "liver: index 1.0", "a whole number from 1 to 65534"),
        ({"organs": {"liver": "1"}}, "liver: index '1'", "a whole number from 1 to 65534"),
        ({"organs": {"liver": True}}, "liver: index True", "a whole number from 1 to 65534"),
        ({"organs": {"a": PAIR[0]}}, "a: partner 'b'", "another organ of the table"),
        ({"organs": {"a": {"index": 1, "tolerance": 0}}}, "a: tolerance 0", "mm, above 0"),
        ({"organs": {"a": {"index": 1, "tolerance": -2.5}}}, "a: tolerance -2.5", "mm, above 0"),
        ({"organs": {"a": {"index": 1, "tolerance": float("nan")}}}, "a: tolerance nan", "mm, above 0"),
        ({"organs": {"a": {"index": 1, "tolerance": float("inf")}}}, "a: tolerance inf", "mm, above 0"),
        ({"organs": {"a": {"index": 1, "tolerance": "2 mm"}}}, "a: tolerance '2 mm'", "mm, above 0"),
        ({"organs": {"a": {"index": 1, "tolerance": [2]}}}, "a: tolerance [2]", "mm, above 0"),
        ({"organs": {"a": {"index": 1, "tolerance": True}}}, "a: tolerance True", "mm, above 0"),
        ({"organs": {"Background": 1}}, "an organ called Background", "other names than background and all organs"),
        ({"organs": {"all organs": 1}}, "an organ called all organs", "other names than background and all organs"),
        ({"organs": {"=cmd|'/c calc'!A0": 1}}, "it begins with =", "can be printed"),
        ({"organs": {"@SUM(A1)": 1}}, "it begins with @", "can be printed"),
        ({"organs": {"+a": 1}}, "it begins with +", "can be printed"),
        ({"organs": {"-a": 1}}, "it begins with -", "can be printed"),
        ({"organs": {"a\x1b[31m": 1}}, "characters that cannot be printed", "can be printed"),
        ({"organs": {" ": 1}}, "it is empty", "can be printed"),
        ({"organs": {"a": 1}, "phases": ["=1"]}, "it begins with =", "can be printed"),
        ({"organs": {"a": 3, "b": 3}}, "indices [3, 3]", "no duplicates"),
        ({"organs": {"a": 1}, "phases": []}, "phases []", "a list of different names"),
        ({"organs": {"a": 1}, "phases": None}, "phases None", "a list of different names"),
        ({"organs": {"a": 1}, "phases": "portal"}, "phases 'portal'", "a list of different names"),
        ({"organs": {"a": 1}, "phases": ["x", "x"]}, "phases ['x', 'x']", "no duplicates"),
    ],
)
def test_an_invalid_label_table_is_refused_with_what_was_found(content, found, expected):
    with pytest.raises(SemclError, match=r"mine\.yaml is not a label table") as raised:
        LabelTable.parse(content, "mine.yaml")
    assert found in str(raised.value.found)
    assert expected in raised.value.expected
    assert raised.value.remedy == "edit mine.yaml"


@pytest.mark.parametrize(
    ("content", "found", "remedy"),
    [
        ({"organs": {"a": 1}, "phase": ["portal"]}, "key 'phase'", "did you mean phases? Edit mine.yaml"),
        ({"organs": {"a": 1}, "ignores": 255}, "key 'ignores'", "did you mean ignore? Edit mine.yaml"),
        ({"organs": {"a": 1}, "modality": "CT"}, "key 'modality'", "edit mine.yaml"),
        ({"organs": {"a": 1}, 7: "x"}, "key '7'", "edit mine.yaml"),
        (
            {"organs": {"a": {"index": 1, "tolerence": 2}}},
            "a: key 'tolerence'",
            "did you mean tolerance? Edit mine.yaml",
        ),
        ({"organs": {"a": {"index": 1, "colour": 2}}}, "a: key 'colour'", "edit mine.yaml"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_named(content, found, remedy):
    with pytest.raises(SemclError, match=r"mine\.yaml is not a label table") as raised:
        LabelTable.parse(content, "mine.yaml")
    assert (raised.value.found, raised.value.remedy) == (found, remedy)
    assert raised.value.expected in ("one of organs, phases, ignore, others", "one of index, partner, tolerance")


@pytest.mark.parametrize("index", [1, 65534])
def test_the_ends_of_the_range_of_indices_are_accepted(index):
    assert LabelTable.parse({"organs": {"liver": index}}).organs[0].index == index


def test_a_missing_label_table_is_named(tmp_path):
    match = rf"(?s)there is no label table.*found: +no folder {tmp_path}/gone\n.*run the stages before this one first"
    with pytest.raises(SemclError, match=match):
        LabelTable.load(tmp_path / "gone")
    match = rf"(?s)there is no label table.*found: +no {tmp_path}/labels\.yaml.*expected: a YAML file.*prepare"
    with pytest.raises(SemclError, match=match):
        LabelTable.load(tmp_path)


def test_a_file_that_is_not_yaml_is_named(tmp_path):
    (tmp_path / "labels.yaml").write_bytes(b"organs: [liver: {")
    match = (
        r"(?s)\S+/labels\.yaml is not YAML\n  found:    \S[^\n]*\n  expected: a mapping `organs`.*edit \S+/labels\.yaml"
    )
    with pytest.raises(SemclError, match=match):
        LabelTable.load(tmp_path)


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "labels.yaml").write_bytes(b"organs: {f\xfcr: 1}")
    with pytest.raises(SemclError, match=r"labels\.yaml is not text in UTF-8\n  found:    byte 0xfc in line 1, as in"):
        LabelTable.load(tmp_path)


def test_a_saved_table_is_loaded_as_it_was(table, tmp_path):
    table.save(tmp_path)
    assert LabelTable.load(tmp_path) == table
    assert LabelTable.load(tmp_path).digest() == table.digest()


@pytest.mark.parametrize(
    ("given", "tolerance"),
    [({}, None), ({"tolerance": None}, None), ({"tolerance": 2}, 2.0), ({"tolerance": 0.5}, 0.5)],
    ids=["none", "empty", "whole", "part"],
)
def test_an_organ_may_have_a_tolerance(given, tolerance, tmp_path):
    parsed = LabelTable.parse({"organs": {"liver": {"index": 6} | given, "aorta": 8}})
    assert parsed.organs == (Organ("liver", 6, None, tolerance), Organ("aorta", 8))
    assert isinstance(parsed.organs[0].tolerance, type(tolerance))
    parsed.save(tmp_path)
    assert LabelTable.load(tmp_path) == parsed


def test_only_the_attributes_an_organ_has_are_saved():
    parsed = LabelTable.parse({"organs": {"a": PAIR[0] | {"tolerance": 3}, "b": PAIR[1], "c": 9}, "phases": ["x"]})
    assert parsed.content() == {
        "phases": ["x"],
        "organs": {"a": {"index": 1, "partner": "b", "tolerance": 3.0}, "b": PAIR[1], "c": {"index": 9}},
    }


def test_a_tolerance_changes_no_digest():
    """Models and label maps stay usable when a reader's tolerance is changed, also those made before there was one."""
    organs = {"a": PAIR[0], "b": PAIR[1], "c": {"index": 9}}
    table = LabelTable.parse({"organs": organs, "phases": ["x", "y"]})
    tolerant = LabelTable.parse({"organs": organs | {"a": PAIR[0] | {"tolerance": 3}}, "phases": ["x", "y"]})
    content = json.dumps({"phases": ["x", "y"], "organs": organs})
    assert table.digest() == tolerant.digest() == hashlib.sha256(content.encode()).hexdigest()[:12]
    assert tolerant.content()["organs"]["a"]["tolerance"] == 3  # what was hashed is not what is saved


def test_the_file_of_a_refused_table_is_named(tmp_path):
    (tmp_path / "labels.yaml").write_text("organs: {liver: one}\n")
    with pytest.raises(SemclError, match=rf"(?s){tmp_path}/labels\.yaml is not.*liver: index 'one'"):
        LabelTable.load(tmp_path)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_objects_are_numbered_in_the_order_of_the_table(table, kind):
    stored = np.array([[0, 5], [2, 9]], kind)
    np.testing.assert_array_equal(table.encode(stored, "scan"), [[0, 1], [2, 3]])


def test_decode_undoes_encode(table):
    stored = np.random.default_rng(0).choice([0, 2, 5, 9], size=(6, 5, 4))
    objects = table.encode(stored, "scan")
    assert objects.shape == stored.shape
    np.testing.assert_array_equal(table.decode(objects), stored)


def test_encode_accepts_a_map_without_organs(table):
    np.testing.assert_array_equal(table.encode(np.zeros((2, 2, 2)), "scan"), np.zeros((2, 2, 2)))


def test_indices_above_255_survive():
    table = LabelTable((Organ("liver", 256), Organ("aorta", 65534)), ("portal",))
    np.testing.assert_array_equal(table.decode(table.encode(np.array([65534, 0, 256]), "scan")), [65534, 0, 256])


@pytest.mark.parametrize(("given", "index"), [({}, 65535), ({"ignore": 255}, 255)])
def test_ignored_voxels_have_a_number_of_their_own(given, index, tmp_path):
    table = LabelTable.parse({"organs": {"liver": 1, "aorta": 2}, **given})
    objects = table.encode(np.array([0, 1, index, 2]), "scan")
    assert objects.tolist() == [0, 1, IGNORED, 2]
    assert table.decode(objects).tolist() == [0, 1, index, 2]
    table.save(tmp_path)
    assert LabelTable.load(tmp_path) == table


def test_the_ignored_index_changes_the_digest_unless_it_is_the_default():
    plain, own = ({"organs": {"liver": 1}}, {"organs": {"liver": 1}, "ignore": 255})
    assert "ignore" not in LabelTable.parse(plain).content()
    assert LabelTable.parse(plain).digest() != LabelTable.parse(own).digest()


@pytest.mark.parametrize(
    ("ignore", "found"),
    [(1, "ignore 1, the index of liver"), (0, "ignore 0"), (65536, "ignore 65536"), ("x", "ignore 'x'")],
)
def test_an_invalid_index_to_ignore_is_refused(ignore, found):
    with pytest.raises(SemclError, match=f"(?s)not a label table.*found: *{found}"):
        LabelTable.parse({"organs": {"liver": 1}, "ignore": ignore})


@pytest.mark.parametrize(
    ("values", "named"),
    [([0, 5, 7], "7"), ([0, 3, 4], "3, 4"), ([5, -1], "-1"), ([2.5, 5], "2.5"), ([np.nan, 5], "nan")],
)
def test_a_value_outside_the_table_is_named(table, values, named):
    with pytest.raises(SemclError, match="case scan7: label values outside the label table") as raised:
        table.encode(np.array(values), "scan7")
    assert raised.value.found == f"{named} in the label map"
    assert raised.value.expected == "0 or one of 5, 2, 9"
    assert "add the organ to labels.yaml" in raised.value.remedy


def test_the_first_ten_unknown_values_are_named(table):
    with pytest.raises(SemclError, match=r"found: +10, 11, 12, 13, 14, 15, 16, 17, 18, 19 \.\.\. in maps/a\.nii\n"):
        table.encode(np.arange(10, 30), "scan7", "maps/a.nii")


def test_a_phase_is_found_by_its_name(table):
    assert [table.phase_number(phase, "scan") for phase in ("noncontrast", "portal")] == [0, 1]


def test_a_phase_outside_the_table_is_named(table):
    match = r"(?s)case scan7: a phase.*found: +arterial\n.*expected: one of noncontrast, portal.*under `phases`"
    with pytest.raises(SemclError, match=match):
        table.phase_number("arterial", "scan7")


@pytest.mark.parametrize("phases", [("a",), ("a", "b"), ("a", "b", "c")])
def test_each_object_in_each_phase_has_a_cluster_of_its_own(phases):
    table = LabelTable((Organ("liver", 5), Organ("aorta", 2), Organ("spleen", 9)), phases)
    clusters = [table.cluster(number, phase) for number in range(1, 4) for phase in range(len(phases))]
    assert sorted(clusters) == list(range(3 * len(phases)))


def test_views_are_mirrored_left_to_right_unless_organs_have_partners(table):
    assert table.flip_axes == []
    assert LabelTable((Organ("liver", 1), Organ("aorta", 2)), ("portal",)).flip_axes == [0]


@pytest.mark.parametrize(
    "other",
    [
        {"organs": {"b": 2, "a": 1}, "phases": ["x", "y"]},
        {"organs": {"a": 1, "b": 2}, "phases": ["y", "x"]},
        {"organs": {"a": 1, "b": 3}, "phases": ["x", "y"]},
        {"organs": {"a": 1, "c": 2}, "phases": ["x", "y"]},
        {"organs": {"a": PAIR[0], "b": PAIR[1]}, "phases": ["x", "y"]},
    ],
    ids=["order of organs", "order of phases", "index", "name", "partner"],
)
def test_tables_that_differ_have_different_digests(other):
    one = {"organs": {"a": 1, "b": 2}, "phases": ["x", "y"]}
    assert LabelTable.parse(other).digest() != LabelTable.parse(one).digest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"organs": {"a": {"index": 1, "partnr": "b"}, "b": 2}}, r"a: key 'partnr'"),
        ({"organs": {"a": {"index": 1, "partner": "a"}}}, "a: partner 'a'"),
        ({"organs": {"a": {"index": 1, "partner": "b"}, "b": 2}}, "a: partner 'b'"),
        ({"organs": {1: 1, "1": 2}}, r"names \['1', '1'\]"),
        ({"organs": {"a": 1}, "phases": [1, "1"]}, r"phases \['1', '1'\]"),
        ({"organs": {"a": 1}, "phases": {"portal": 1}}, "phases {'portal': 1}"),
    ],
)
def test_names_that_would_be_misread_later_are_refused(content, message):
    with pytest.raises(SemclError, match=message):
        LabelTable.parse(content)
