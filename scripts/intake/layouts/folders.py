"""Folders of images and of label maps, paired by file names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from unicodedata import normalize

from ...cohort.dicom import holds_dicom
from ...cohort.pictures import is_photo, without_previews
from ...cohort.volume_files import VOLUME_SUFFIXES, case_id, overlooked
from ...errors import SemclError
from ...outputs import MARKER
from ..findings import Finding
from .scan import Found, Scan

IMAGE_FOLDERS, LABEL_FOLDERS = ("imagesTr", "images", "img"), ("labelsTr", "labels", "label")
Entries = dict[str, list[Path]]


def find(images: Path, label_maps: Path | None) -> Found:
    """Pair images and label maps by case id, and report those without a counterpart.

    Args:
        images: folder of volumes or root of a data set, one volume, or one DICOM folder.
        label_maps: folder of label maps or one file; None for those of the data set.

    Raises:
        SemclError: when there are no volumes.
    """
    scans = [] if images.is_file() else [path for path in images.iterdir() if case_id(path) and not is_photo(path)]
    inside = not images.is_file() and not scans and not holds_dicom(images)
    home = _first(images, IMAGE_FOLDERS) if inside else None
    if home is not None and label_maps is None:
        label_maps = _first(images, LABEL_FOLDERS)
    if label_maps is not None and label_maps.is_dir():
        label_maps = _first(label_maps, LABEL_FOLDERS) or label_maps
    return _pair(home or images, label_maps)


def _pair(images: Path, label_maps: Path | None) -> Found:
    scans, maps = entries(images), entries(label_maps) if label_maps else None
    if not scans:
        raise SemclError(
            "no volumes to prepare",
            found=f"none in {images}",
            expected=f"files ending in {', '.join(VOLUME_SUFFIXES)}, or folders of DICOM slices",
            remedy="check --images",
        )
    if maps is not None and images == label_maps:
        maps = {name: files for name, files in scans.items() if f"{name}_0000" in scans or re.match(r"label\d+$", name)}
        scans = {name: files for name, files in scans.items() if name not in maps}
    if label_maps is not None and maps is not None and label_maps.is_file() and len(scans) == 1:
        maps = dict(zip(scans, maps.values(), strict=True))
    roots = [images, *([label_maps] if label_maps and label_maps != images else [])]
    findings = [finding for root in roots for finding in _left_out(root, roots)]
    for name, files in [*scans.items(), *(maps or {}).items()]:
        if len(files) > 1:
            found = f"{' and '.join(file.name for file in files)} in {files[0].parent}"
            findings.append(Finding(name, "two_files", found, (files[0].parent, *(Path(file.name) for file in files))))
    matched = match(scans, maps)
    made = []
    for name, (case, label) in matched.items():
        image = scans[name][0]
        if case is None:
            base = name[:-5]
            findings.append(Finding(base, "many_channels", f"{image} beside another channel", (image,)))
        elif label is None and maps is not None:
            findings.append(Finding(case, "image_without_label", f"only {image}", (image,)))
            made.append(Scan(case, image))
        else:
            made.append(Scan(case, image, maps[label][0] if label and maps else None))
    for name in sorted(set(maps or {}) - {label for _, label in matched.values()}):
        file = (maps or {})[name][0]
        findings.append(Finding(name, "label_without_image", f"only {file}", (file,)))
    return made, findings


def _left_out(root: Path, used: Sequence[Path]) -> list[Finding]:
    """Findings of files named like scans that are none, and of folders of scans that are not ``used``."""
    findings = []
    for folder in _unread(root, {one.resolve() for one in used}) if root.is_dir() else ():
        held = [path for path in sorted(folder.iterdir()) if case_id(path) and not is_photo(path) and path.is_file()]
        if held:
            name = "_".join(folder.relative_to(root).parts)
            more = " and others" if len(held) > 1 else ""
            about = (folder, Path(held[0].name))
            findings.append(Finding(name, "not_read", f"{held[0].name}{more} in {folder}", about))
    for path in overlooked(root) if root.is_dir() else ():
        case = case_id(path.with_name(path.name.lower())) or path.name
        if path.exists():
            findings.append(Finding(path.name[: len(case)], "not_read", str(path), (path,)))
        else:
            findings.append(Finding(path.name[: len(case)], "missing_file", f"{path}, a link to nothing", (path,)))
    return findings


def _unread(root: Path, met: set[Path], top: bool = True) -> Iterator[Path]:
    """The folders below one whose volumes are no cases: not those of a data set's parts right below it, or of a cohort.

    Args:
        root: the folder.
        met: folders that are left out, to which those that are yielded are added: links may lead in a circle.
        top: whether parts of a data set may lie here.
    """
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        part = top and folder.name in (*IMAGE_FOLDERS, *LABEL_FOLDERS)
        if not part and folder.resolve() not in met and not (folder / MARKER).is_file():
            met.add(folder.resolve())
            yield folder
            yield from _unread(folder, met, top=False)


def match(images: Iterable[str], label_names: Iterable[str] | None) -> dict[str, tuple[str | None, str | None]]:
    """Image name -> case id and name of its label map.

    Equal names are preferred; then nnU-Net's and FLARE's ``x_0000`` with ``x``; then BTCV's ``img12`` with ``label12``.
    The case id is None for a second channel (``x_0001`` beside ``x_0000``); the label is None when there is none.
    """
    names = list(images)
    known = {normalize("NFC", name): name for name in label_names or ()}  # accents may be composed in one of them alone

    def label_of(name: str) -> str | None:
        return known.get(normalize("NFC", name))

    channels = {name[:-5] for name in names if name.endswith("_0000")}
    if label_names is None:  # AMOS's amos_0001 is a case, not a channel
        strip = all(re.search(r"_000\d$", name) and name[:-5] in channels for name in names)
    else:
        strip = any(not label_of(name) and label_of(name[:-5]) for name in names if name.endswith("_0000"))
    matched: dict[str, tuple[str | None, str | None]] = {}
    for name in names:
        stem = name[:-5] if re.search(r"_\d{4}$", name) else None
        numbered = re.match(r"img(\d+)$", name)
        if label_of(name):
            matched[name] = (name, label_of(name))
        elif strip and stem in channels:
            matched[name] = (stem, label_of(stem)) if name.endswith("_0000") else (None, None)
        else:
            matched[name] = (name, label_of(f"label{numbered[1]}") if numbered else None)
    return matched


def entries(root: Path) -> Entries:
    """Name -> files of the volumes of a folder and of the DICOM folders under it; or of the one volume it is."""
    if root.is_file() or holds_dicom(root):
        return {case_id(root) or root.name: [root]}
    found: Entries = {}
    series = sorted(path for path in root.rglob("*") if path.is_dir() and holds_dicom(path))
    files = sorted(path for path in root.iterdir() if path.is_file() and case_id(path))
    for path in without_previews([*files, *series]):
        name = case_id(path) if path.is_file() else "_".join(path.relative_to(root).parts)
        found.setdefault(str(name), []).append(path)
    return found


def _first(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)
