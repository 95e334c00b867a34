"""What Auto3DSeg is given, as SemCL's cohort: the cases of a fold, and the label table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ..cohort.case import Case, unlabelled
from ..cohort.label_table import LabelTable
from ..cohort.volume_files import case_id
from ..errors import SemclError, raise_all
from ..intake.phase_detection import UNKNOWN
from ..intake.prepare import split
from ..plain import read_json

MODALITIES = {"ct": "CT", "mr": "MR", "mri": "MR"}
PARTS = 3  # of the training cases, for cross-fitting, where the datalist's folds leave but one


def modality_of(source: Mapping[str, Any]) -> str:
    """CT or MR, by AutoRunner's input.

    Raises:
        SemclError: for any other.
    """
    given = str(source.get("modality"))
    if given.lower() not in MODALITIES:
        raise SemclError(
            "a modality SemCL does not know",
            found=f"modality {given}",
            expected=f"one of {', '.join(MODALITIES)}",
            remedy="set modality in AutoRunner's input; mri takes intensities without a unit, such as of ultrasound",
        )
    return MODALITIES[given.lower()]


def read_datalist(source: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the datalist that AutoRunner's input names."""
    content: dict[str, Any] = read_json(Path(source["datalist"]), "the datalist of AutoRunner's input")
    return content


def cases_of(source: Mapping[str, Any], fold: int) -> list[Case]:
    """The cases to train on, each with its fold for cross-fitting, and those of ``fold``, without, to be scored on.

    The folds for cross-fitting are the datalist's others; where that is but one, its patients are split into three.

    Args:
        source: AutoRunner's input.
        fold: of the datalist, kept for validation.

    Raises:
        SemclError: for images of several files, cases without a label map, no case on one of the two sides, and too few
            patients for two parts.
    """
    entries = read_datalist(source)["training"]
    root = Path(source["dataroot"])
    cases = [_case(entry, root) for entry in entries]
    raise_all([unlabelled(case) for case in cases if case.label is None], of="the datalist")
    validated = [replace(case, fold=None) for case in cases if case.fold == fold]
    trained = [case for case in cases if case.fold != fold]
    if not validated or not trained:
        raise SemclError(
            "a fold of the datalist leaves nothing to train on, or nothing to be scored on",
            found=f"{len(validated)} of {len(cases)} training cases in fold {fold}",
            expected="at least one in it, and one outside",
            remedy="mend `fold` in the datalist, or lower num_fold",
        )
    folds = {case.fold for case in trained}
    if len(folds) < 2 or None in folds:
        patients = len({case.patient for case in trained})
        if patients < 2:
            raise SemclError(
                "too few patients to train on",
                found=f"{patients} outside of fold {fold}",
                expected="at least 2: the coarse stage predicts each by a network that has not seen it",
                remedy="add patients, or use more folds",
            )
        trained = split(trained, min(PARTS, patients), test_share=0, seed=0)
    return trained + validated


def _case(entry: Mapping[str, Any], root: Path) -> Case:
    image = image_of(entry)
    name = str(entry.get("case") or _name(image))
    label, fold = entry.get("label"), entry.get("fold")
    return Case(
        id=name,
        patient=str(entry.get("patient", name)),
        phase=str(entry.get("phase", UNKNOWN)),
        image=root / image,
        label=root / str(label) if label else None,
        fold=None if fold is None else int(fold),
        annotated=tuple(map(str, entry["annotated"])) if "annotated" in entry else None,
    )


def image_of(entry: Mapping[str, Any] | str) -> str:
    """The file of an entry of the datalist.

    Raises:
        SemclError: when there are several: SemCL looks at one channel.
    """
    image = entry if isinstance(entry, str) else entry["image"]
    files = [image] if isinstance(image, str) else list(image)
    if len(files) != 1:
        raise SemclError(
            "an image of several files",
            found=f"{len(files)} files in {files}",
            expected="one: SemCL looks at one channel",
            remedy="name the file to work on in the datalist, or leave SemCL out of `algos`",
        )
    return str(files[0])


def _name(image: str) -> str:
    path = Path(image)
    return "_".join([*path.with_name(case_id(path) or path.name).parts]).strip("/_")


def table_of(source: Mapping[str, Any], cases: Sequence[Case], stats: Mapping[str, Any]) -> LabelTable:
    """The label table of AutoRunner's input, organs in the order of Auto3DSeg's classes.

    Taken from the first of these that is there: ``label_table`` of the input, a file as docs/cohort.md describes it;
    ``class_names`` of the input; ``labels`` of the datalist, as the Decathlon has them; the labels that were found.

    Args:
        source: AutoRunner's input.
        cases: their phases are added.
        stats: Auto3DSeg's, for what was found.

    Raises:
        SemclError: when organs are not numbered 1, 2, ... as Auto3DSeg's classes are, or there are none.
    """
    table = _table(source, stats)
    organs = tuple(sorted(table.organs, key=lambda organ: organ.index))
    indices = [organ.index for organ in organs]
    if indices != list(range(1, len(organs) + 1)):
        raise SemclError(
            "organs are not numbered as Auto3DSeg's classes are",
            found=f"numbers {', '.join(map(str, indices))}",
            expected="1, 2, ... without gaps, also in the label maps",
            remedy="renumber the label maps, and the label table with them",
        )
    phases = dict.fromkeys([*(table.phases if "label_table" in source else []), *(case.phase for case in cases)])
    return replace(table, organs=organs, phases=tuple(phases))


def _table(source: Mapping[str, Any], stats: Mapping[str, Any]) -> LabelTable:
    if "label_table" in source:
        path = Path(source["label_table"])
        if not path.is_file():
            raise SemclError(
                "there is no label table", found=f"no {path}", expected="a YAML file", remedy="see docs/cohort.md"
            )
        return LabelTable.read(path)
    if source.get("class_names"):
        numbers = _class_names(source["class_names"])
        where = "class_names of AutoRunner's input"
    elif labels := read_datalist(source).get("labels"):
        given = {str(name): str(number) for name, number in labels.items()}
        turned = {number: name for name, number in given.items()} if all(map(str.isdecimal, given)) else given
        numbers = {name: int(number) for name, number in turned.items() if number != "0"}
        where = "labels of the datalist"
    else:
        found = [int(label) for label in stats["stats_summary"]["label_stats"]["labels"]]
        numbers = {f"label_{number}": number for number in range(1, max(found, default=0) + 1)}
        where = "what Auto3DSeg found in the label maps"
    if not numbers:
        raise SemclError(
            "no organ is labelled",
            found="0 alone in the label maps",
            expected="organs, as 1, 2, ...",
            remedy="look at what `label` names in the datalist",
        )
    return LabelTable.parse({"organs": numbers}, where)


def _class_names(given: Sequence[Any]) -> dict[str, int]:
    numbers = {}
    listed: list[Mapping[str, Any]] = [one if isinstance(one, Mapping) else {"name": one} for one in given]
    for place, named in enumerate((one for one in listed if one["name"] != "background"), start=1):
        name, number = named["name"], named.get("index", place)
        several = isinstance(number, list | tuple)
        if several and len(number) != 1:
            raise SemclError(
                "a class of several labels",
                found=f"{name}: {number} in class_names",
                expected="one label a class",
                remedy="merge the labels in the label maps, or leave SemCL out of `algos`",
            )
        numbers[str(name)] = int(number[0] if several else number)
    return numbers


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The content of a YAML file that Auto3DSeg wrote."""
    content: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return content
