"""Auto3DSeg's input as a cohort of SemCL: the cases of a fold, and the label table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..cohort.case import UNKNOWN_PHASE, Case, unlabelled
from ..cohort.label_table import LabelTable
from ..cohort.volume_files import case_id
from ..errors import SemclError, one_of, raise_all
from ..freshness import key
from ..intake.splitting import split
from ..plain import LARGE_BYTES, parse_yaml, read_json, read_text
from .derived import group_labels, stack_modalities

INPUT_MODALITIES = {"ct": "CT", "mr": "MR", "mri": "MR"}
SPLITS = 3  # of the training cases for cross-fitting, where the datalist leaves only one fold to train on


def modality_of(source: Mapping[str, Any]) -> str:
    """CT or MR, from AutoRunner's input.

    Raises:
        SemclError: for any other modality.
    """
    given = str(source.get("modality")).lower()
    one_of("modality", given, list(INPUT_MODALITIES))
    return INPUT_MODALITIES[given]


def read_datalist(source: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the datalist that AutoRunner's input names."""
    content: dict[str, Any] = read_json(Path(source["datalist"]), "the datalist of AutoRunner's input")
    return content


def fold_cases(source: Mapping[str, Any], fold: int, derived: Path) -> list[Case]:
    """The cases to train on, each with a fold for cross-fitting, and the validation cases of ``fold``, without one.

    The folds for cross-fitting are the datalist's others; if there is only one, its patients are split into three.

    Args:
        source: AutoRunner's input.
        fold: of the datalist, kept for validation.
        derived: folder for images of several files, which are stacked, and for label maps of groups of labels.

    Raises:
        SemclError: for cases without a label map, no case to train on or to validate on, and too few patients to split;
            errors of reading what is stacked or grouped.
    """
    entries = read_datalist(source)["training"]
    root = Path(source["dataroot"])
    cases = [_case(entry, root, derived) for entry in entries]
    raise_all([unlabelled(case) for case in cases if case.label is None], of="the datalist")
    groups = class_groups(source)
    if groups:
        labels = derived / f"labels_{key([*groups.values()])}"  # other groups make other label maps
        cases = [
            replace(case, label=group_labels(case, [*groups.values()], labels / f"{case.id}.nii.gz")) for case in cases
        ]
    validated = [replace(case, fold=None) for case in cases if case.fold == fold]
    trained = [case for case in cases if case.fold != fold]
    if not validated or not trained:
        raise SemclError(
            "a fold of the datalist leaves no case to train on, or none to validate on",
            found=f"{len(validated)} of {len(cases)} training cases in fold {fold}",
            expected="at least one inside and one outside",
            remedy="fix `fold` in the datalist, or lower num_fold",
        )
    folds = {case.fold for case in trained}
    if len(folds) < 2 or None in folds:
        patients = len({case.patient for case in trained})
        if patients < 2:
            raise SemclError(
                "too few patients to train on",
                found=f"{patients} outside fold {fold}",
                expected="at least 2: the coarse stage predicts each by a network that has not seen it",
                remedy="add patients, or use more folds",
            )
        trained = split(trained, min(SPLITS, patients), test_share=0, seed=0)
    return trained + validated


def _case(entry: Mapping[str, Any], root: Path, derived: Path) -> Case:
    images = images_of(entry)
    name = str(entry.get("case") or _name(images[0]))
    label, fold = entry.get("label"), entry.get("fold")
    files = [root / image for image in images]
    several = len(files) > 1
    stacked = derived / "images" / f"{name}_{key(images)}.nii.gz"  # other files, or another order: another image
    return Case(
        id=name,
        patient=str(entry.get("patient", name)),
        phase=str(entry.get("phase", UNKNOWN_PHASE)),
        image=stack_modalities(files, stacked, name) if several else files[0],
        label=root / str(label) if label else None,
        fold=None if fold is None else int(fold),
        annotated=tuple(map(str, entry["annotated"])) if "annotated" in entry else None,
    )


def images_of(entry: Mapping[str, Any] | str) -> list[str]:
    """The files of an entry of the datalist: one, or one for each modality."""
    image = entry if isinstance(entry, str) else entry["image"]
    return [str(image)] if isinstance(image, str | Path) else [str(file) for file in image]


def _name(image: str) -> str:
    path = Path(image)
    return "_".join([*path.with_name(case_id(path) or path.name).parts]).strip("/_")


def find_label_table(source: Mapping[str, Any], cases: Sequence[Case], stats: Mapping[str, Any]) -> LabelTable:
    """The label table for AutoRunner's input, with organs in the order of Auto3DSeg's classes.

    Taken from the first of these that exists: ``label_table`` of the input, a file as in docs/cohort.md;
    ``class_names`` of the input; ``labels`` of the datalist, as in the Medical Segmentation Decathlon; the labels
    Auto3DSeg found.

    Args:
        source: AutoRunner's input.
        cases: whose phases are added.
        stats: Auto3DSeg's analysis, for the labels it found.

    Raises:
        SemclError: when organs are not numbered 1, 2, ... as Auto3DSeg's classes are, or there are none, or when
            ``label_table`` and ``class_names`` differ.
    """
    table = _unordered_table(source, stats)
    organs = tuple(sorted(table.organs, key=lambda organ: organ.index))
    indices = [organ.index for organ in organs]
    if indices != list(range(1, len(organs) + 1)):
        raise SemclError(
            "organs are not numbered like Auto3DSeg's classes",
            found=f"numbers {', '.join(map(str, indices))}",
            expected="1, 2, ... without gaps, in the label maps too",
            remedy="renumber the label maps and the label table",
        )
    names = source.get("class_names") or []
    stated = any(isinstance(entry, Mapping) and "index" in entry for entry in names)  # else they name the classes alone
    classes = [*_classes(names).values()]
    if "label_table" in source and stated and classes != [[number] for number in indices]:
        raise SemclError(
            "class_names and label_table of AutoRunner's input differ",
            found=f"labels {', '.join(map(str, classes))} of the classes, and {len(indices)} organs",
            expected="one class an organ, in the order of their numbers: ensembles average class by class",
            remedy="leave one of the two out",
        )
    phases = dict.fromkeys([*(table.phases if "label_table" in source else []), *(case.phase for case in cases)])
    return replace(table, organs=organs, phases=tuple(phases))


def _unordered_table(source: Mapping[str, Any], stats: Mapping[str, Any]) -> LabelTable:
    if "label_table" in source:
        return LabelTable.read(Path(source["label_table"]))
    if source.get("class_names"):
        numbers = {name: number for number, name in enumerate(_classes(source["class_names"]), start=1)}
        origin = "class_names of AutoRunner's input"
    elif labels := read_datalist(source).get("labels"):
        given = {str(name): str(number) for name, number in labels.items()}
        by_name = {number: name for name, number in given.items()} if all(map(str.isdecimal, given)) else given
        numbers = {name: _label(number, name) for name, number in by_name.items() if number != "0"}
        origin = "labels of the datalist"
    else:
        found = [int(label) for label in stats["stats_summary"]["label_stats"]["labels"]]
        numbers = {f"label_{number}": number for number in range(1, max(found, default=0) + 1)}
        origin = "the labels Auto3DSeg found in the label maps"
    if not numbers:
        raise SemclError(
            "no organ is labelled",
            found="only 0 in the label maps",
            expected="organs, as 1, 2, ...",
            remedy="check the files that `label` names in the datalist",
        )
    return LabelTable.parse({"organs": numbers}, origin)


def class_groups(source: Mapping[str, Any]) -> dict[str, list[int]]:
    """The labels of each class of ``class_names``, where these do not number the label maps 1, 2, ... as they are.

    Empty where label maps can be used as they are.
    """
    classes = _classes(source.get("class_names") or [])
    as_they_are = [[number] for number in range(1, len(classes) + 1)]
    return {} if [*classes.values()] == as_they_are or "label_table" in source else classes


def overlap(source: Mapping[str, Any]) -> bool:
    """Whether a label belongs to several classes, or classes are said to overlap."""
    labels = [label for group in class_groups(source).values() for label in group]
    return bool(source.get("sigmoid")) or len(labels) != len(set(labels))


def _classes(given: Sequence[Any]) -> dict[str, list[int]]:
    """Labels of each class by its name; by place where no labels are given."""
    found: dict[str, list[int]] = {}
    entries: list[Mapping[str, Any]] = [entry if isinstance(entry, Mapping) else {"name": entry} for entry in given]
    for place, entry in enumerate((one for one in entries if str(one["name"]).lower() != "background"), start=1):
        name, labels = str(entry["name"]), entry.get("index", place)
        if name in found:
            raise SemclError(
                "class_names holds a name twice",
                found=name,
                expected="a name for each class",
                remedy="correct class_names of AutoRunner's input",
            )
        found[name] = [_label(label, name) for label in (labels if isinstance(labels, list | tuple) else [labels])]
    return found


def _label(given: object, name: str) -> int:
    """A label as a whole number, or an error that names the class."""
    try:
        return int(str(given))
    except ValueError as error:
        raise SemclError(
            "the labels of a class are not whole numbers",
            found=f"{given!r} of {name}",
            expected="numbers of the label maps",
            remedy="regions of several labels are given as class_names: {name: ..., index: [1, 2]}",
        ) from error


def read_auto3dseg(path: str | Path) -> dict[str, Any]:
    """The content of a YAML file that Auto3DSeg wrote, which may be large."""
    expected = "a mapping, as Auto3DSeg writes it"
    content: dict[str, Any] = parse_yaml(read_text(Path(path), LARGE_BYTES), str(path), expected)
    return content
