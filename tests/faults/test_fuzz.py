"""A bounded, seeded fuzz test of inputs: refused or read quickly, and no file is changed or written.

``SEMCL_FUZZ=2000`` in the environment makes that many probes of each kind, ``SEMCL_FUZZ_SEED=7`` other ones.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from scripts.cohort import datalist
from scripts.cohort.case import digest
from scripts.cohort.label_table import LabelTable
from scripts.cohort.provenance import note_of, notes_in
from scripts.errors import SemclError
from scripts.evaluate.folders import cases_from_folders
from scripts.files import checksum
from scripts.intake.findings import stop
from scripts.intake.survey import Sources, survey
from scripts.job import config_check, overlays
from scripts.job.shipped_configs import shipped
from scripts.outputs import Output
from scripts.refine.calibration import Calibration
from scripts.study.strategy import read_overlay
from tests.conftest import write_nifti
from tests.faults.inputs import TABLE, ct, organs
from tests.stages import ROOT

USUAL = 100  # probes of each kind
PROBES = int(os.environ.get("SEMCL_FUZZ", USUAL))
SEED = int(os.environ.get("SEMCL_FUZZ_SEED", "0"))
LONGEST = 10  # s a probe may take
SHAPE = (5, 4, 3)

LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
ODD: list[Any] = [
    *(None, True, False, -1, 0, 1, 0.7, 1e30, 10**30, -(10**30), float("nan"), float("inf"), 65535, 1e-320),
    *("", " ", "a", "1", "nan", "../../x", "/etc/passwd", "a/b", ".", "..", ".hidden", "é", "\x1b[31m", "=c|'!A"),
    *("x" * 5000, "9" * 5000, "a\nb", "a\0b", "$import os", "@seed", "%a", "_target_", "train#x#y", "+train", "liver"),
    *([], {}, [[]], {"a": {}}, [None], {"": None}, ["liver", "liver"], {"_target_": "os.system"}, {"_target_": 3}),
]  # fmt: skip
PIECES = [
    *(b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"\r", b'"', b"'", b"{", b"}", b"[" * 3000, b'{"a":' * 3000),
    *(b",,,", b"&a [*a]", b"!!int abc", b"!!timestamp abc", b"!!python/name:os ", b"<<: *x\n", b"- " * 500, b"\t"),
    *(b"2024-13-45", b"1" * 5000, LAUGHS.encode(), b"# ", b"---\n", b": ", b"\n"),
]  # fmt: skip


@st.composite
def contents(draw: Any, plain: Any) -> Any:
    """Plain data of which one to three places were changed."""

    def changed(node: Any, depth: int) -> Any:
        if isinstance(node, dict | list) and node and depth < draw(st.integers(0, 5)):
            made = copy.copy(node)
            key = draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
            how = draw(st.sampled_from(["within", "within", "within", "drop", "twice", "rename"]))
            if how == "drop":
                del made[key]
            elif how == "twice" and isinstance(made, list):
                made.append(copy.deepcopy(made[key]))
            elif how == "rename" and isinstance(made, dict):
                made[draw(st.sampled_from([one for one in ODD if isinstance(one, str)]))] = made.pop(key)
            else:
                made[key] = changed(node[key], depth + 1)
            return made
        return copy.deepcopy(draw(st.sampled_from(ODD) | st.text(max_size=5) | st.integers() | st.floats()))

    for _ in range(draw(st.integers(1, 3))):
        plain = changed(plain, 0)
    return plain


@st.composite
def files(draw: Any, plain: Any, write: Callable[[Any], str]) -> bytes:
    """The bytes of a file whose data, or text, or encoding is damaged."""
    text = write(draw(contents(plain)) if draw(st.integers(0, 3)) else plain)
    content = text.encode(draw(st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"])), "replace")
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.sampled_from([start, start, start + 1, start + 20, len(content)]))
        content = content[:start] + draw(st.sampled_from(PIECES)) + content[end:]
    return content


def as_json(content: Any) -> str:
    return json.dumps(content, default=str)


def as_yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def as_csv(content: Any) -> str:
    lines = [
        line if isinstance(line, list) else [line] for line in (content if isinstance(content, list) else [content])
    ]
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL if len(str(content)) % 2 else csv.QUOTE_MINIMAL, escapechar="\\").writerows(
        lines
    )
    return text.getvalue()


ENTRY = {"patient": "p", "phase": "ct", "image": "images/a.nii.gz", "label": "labels/a.nii.gz"}
DATALIST = {
    "training": [
        {"case": "a", **ENTRY, "fold": 0, "annotated": ["liver"]},
        {"case": "b", **ENTRY, "patient": "q", "fold": 1},
    ],
    "testing": [{"case": "c", **ENTRY, "patient": "r"}],
}
CASES = [
    ["case", "patient", "phase", "fold", "annotated"],
    ["a", "p", "ct", "0", "liver"],
    ["b", "q", "ct", "test", ""],
]
PATHS = [
    ["case", "image", "label", "patient"],
    *([case, f"images/{case}.nii.gz", f"labels/{case}.nii.gz", case] for case in "ab"),
]
LABELS = {**TABLE.content(), "ignore": 255}
OVERLAY = {
    "temperature": 0.2, "patch_size": 32, "widths": [4, 8, 8, 16],
    "train#views#area": [0.5, 1], "+train#sampler": {"queries": 2},
    "optimizer": {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": "@learning_rate"},
}  # fmt: skip
CALIBRATION = {
    "made_of": "x",
    "weights": 0,
    "scales": {"liver": {"slope": 1.0, "offset": 0.0, "threshold": 0.5}},
    "quality": {"liver": {"raw": {"ece": 0.1, "brier": 0.1, "reliability": [[0.1, 0.2, 3]]}, "calibrated": {}}},
}
SHIPPED = shipped(ROOT / "bundle", "pretrain")


def read_datalist(folder: Path) -> None:
    for section in ("all", "training", "testing"):
        digest(datalist.load(folder, section, need_label=True))


def read_overlays(folder: Path) -> None:
    read_overlay(folder / "mine.yaml")
    found = overlays.merged([str(folder / "pretrain.json"), str(folder / "mine.yaml")], {"seed": 1})
    for error in config_check.check_config(found, SHIPPED.own, SHIPPED.others):
        str(error)
    config_check.config_digest(config_check.flatten(found))


def look(folder: Path, images: str, cases: str | None) -> None:
    labels = None if images.endswith(".csv") else folder / "labels"
    found = survey(Sources(folder / images, labels, folder / cases if cases else None, workers=1), TABLE)
    stop(found.findings)


NOTE = {"stage": "train.yaml", "cohort": "0123456789ab", "labels": "ba9876543210", "organs": "0a", "patients": "1 2"}
KINDS: dict[str, tuple[str, Any, Callable[[Any], str], Callable[[Path], Any]]] = {
    "datalist": ("datalist.json", DATALIST, as_json, read_datalist),
    "label table": ("labels.yaml", LABELS, as_yaml, lambda folder: LabelTable.load(folder).digest()),
    "table of cases": ("cases.csv", CASES, as_csv, lambda folder: look(folder, "images", "cases.csv")),
    "table of measured cases": (
        "cases.csv", CASES, as_csv, lambda at: cases_from_folders(at / "labels", at / "images", at / "cases.csv")
    ),
    "table of paths": ("scans.csv", PATHS, as_csv, lambda folder: look(folder, "scans.csv", None)),
    "dataset.json": (
        "dataset.json", {"labels": {"liver": 1, "2": "kidney"}}, as_json, lambda folder: look(folder, ".", None)
    ),
    "overlay": ("mine.yaml", OVERLAY, as_yaml, read_overlays),
    "note beside weights": ("model.json", NOTE, as_json, lambda folder: note_of(folder / "model.pt")),
    "note of label maps": ("predictions.json", {"made_by": [NOTE]}, as_json, notes_in),
    "marker of a shared folder": (
        ".semcl.json", {"holds": "models", "files": ["model.pt", "model.json"]}, as_json,
        lambda folder: Output(folder, "models", "--ckpt_dir").claim_files(["model.pt"], lambda path: False),
    ),
    "calibration": (
        "model.calibration.json", CALIBRATION, as_json, lambda folder: Calibration.read(folder / "model.pt")
    ),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A cohort of two cases in a folder with a neighbour."""
    folder = tmp_path / "cohort"
    for number, case in enumerate("ab"):
        write_nifti(folder / "images" / f"{case}.nii.gz", ct(number, SHAPE))
        write_nifti(folder / "labels" / f"{case}.nii.gz", organs()[4:9, 2:6, 2:5])
    (folder / "pretrain.json").write_text(json.dumps(SHIPPED.own))
    (folder / "model.pt").write_bytes(np.arange(4).tobytes())
    (tmp_path / "neighbour").write_text("mine")
    return folder


def everything(folder: Path, but: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*") if path != but}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_refused_or_read_at_once_and_nothing_is_written(
    kind: str, place: Path, record_property: Callable[[str, object], None]
) -> None:
    name, plain, write, read = KINDS[kind]
    if kind == "calibration":
        plain = plain | {"weights": checksum(place / "model.pt")}
    path, counts = place / name, {"read": 0, "refused": 0}
    path.write_text(write(plain))
    read(place)  # undamaged, it is fine
    before = everything(place.parent, path)

    @seed(SEED)
    @settings(
        max_examples=PROBES,
        derandomize=SEED == 0,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(files(plain, write))
    def probe(content: bytes) -> None:
        path.write_bytes(content)
        message, start = "", time.monotonic()
        try:
            read(place)
            counts["read"] += 1
        except SemclError as error:
            counts["refused"] += 1
            message = str(error)
        assert (time.monotonic() - start < LONGEST, len(message) < 20_000) == (True, True)
        assert everything(place.parent, path) == before

    probe()
    record_property("probes", f"{kind} {counts['read']} read, {counts['refused']} refused")
    assert counts["refused"] > PROBES // 10


def test_the_number_of_probes_stands_in_the_documentation() -> None:
    text = " ".join((ROOT / "docs" / "runs.md").read_text().split())
    assert f"{USUAL * len(KINDS):,} probes, {USUAL} of each of {len(KINDS)} kinds" in text
    assert "SEMCL_FUZZ=2000 SEMCL_FUZZ_SEED=7 python -m pytest tests/faults/test_fuzz.py" in text
