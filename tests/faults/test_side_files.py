"""Damaged side files: those for display are left out with a warning, those decisions depend on are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.errors import SemclError
from scripts.evaluate.report import read_curves, read_embeddings, read_runs
from scripts.job.weights import load_weights, save_weights
from scripts.refine.calibration import Calibration, Scale, calibration_path
from scripts.study.step_process import has_completed
from tests.evaluate.test_report import RUN, SVG, page_in, write_embeddings, write_run

ORIGIN = {"stage": "train.yaml", "cohort": "beef", "labels": "c0ffee"}
SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "a list": lambda content: b"[" + content + b"]",
    "null": lambda content: b"null",
    "a number": lambda content: b"12",
    "bytes": lambda content: bytes(range(256)),
    "nested": lambda content: b"[" * 100_000,
}


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of everything the report shows beside its numbers; a page of it is without their figures."""
    monkeypatch.setattr("scripts.evaluate.report.PLOTTED", ())
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "train.csv").write_text("stage,run,epoch,loss\ntrain,1,1,2.5\ntrain,1,2,1.5\n")
    write_run(tmp_path, "train")
    write_embeddings(tmp_path)
    return tmp_path


def test_intact_side_files_are_shown(shown, capsys):
    assert read_curves(shown / "curves") == {"train": [[2.5, 1.5]]}
    assert [run["stage"] for run in read_runs(shown / "jobs")] == ["train"]
    assert list(read_embeddings(shown / "embeddings")["figures"]) == ["map_pretrained"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("name", ["jobs/train.json", "embeddings/summary.json", "embeddings/map_pretrained.svg"])
def test_damaged_files_for_display_are_left_out_with_a_warning(name, spoil, shown, capsys):
    (shown / name).write_bytes(spoil((shown / name).read_bytes()))
    page_in(shown)
    assert f"warning: {shown / name} cannot be used and is left out" in capsys.readouterr().err


ODD = {
    "jobs/train.json": [
        RUN | {"stage": 3},
        RUN | {"git": "abc"},
        RUN | {"git": {"commit": 3}},
        RUN | {"seconds": "ninety"},
        RUN | {"peak_memory": 3},
        RUN | {"versions": None},
        {},
    ],
    "embeddings/summary.json": [
        {"headline": "", "encoders": [], "measures": [{"title": "x", "found": ["0.5"]}], "figures": []},
        {"headline": "", "encoders": [], "measures": [3], "figures": []},
        {"headline": "", "encoders": [3], "measures": [], "figures": []},
        {"headline": "", "encoders": [], "measures": [], "figures": {"a": 1}, "more": []} | {"figures": 3},
        {"headline": None, "encoders": [], "measures": [], "figures": []},
    ],
}


@pytest.mark.parametrize(("name", "content"), [(name, one) for name, contents in ODD.items() for one in contents])
def test_values_of_the_wrong_type_are_left_out_with_a_warning(name, content, shown, capsys):
    (shown / name).write_text(json.dumps(content))
    page_in(shown)
    assert f"warning: {shown / name} cannot be used and is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        "stage,run,epoch\ntrain,1,1\n",
        "stage,run,epoch,loss\ntrain,1,1,much\n",
        "stage,run,epoch,loss\ntrain,1\n",
        "\x00",
    ],
    ids=["no column", "no number", "cut", "binary"],
)
def test_a_curve_that_cannot_be_plotted_is_left_out(content, shown, capsys):
    (shown / "curves" / "train.csv").write_text(content)
    page_in(shown)
    assert read_curves(shown / "curves") == {}
    assert content == "\x00" or "train.csv cannot be used and is left out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a/b", ".evil", "=1"])
def test_a_figure_with_an_invalid_name_is_not_read(name, shown, capsys):
    evil = (shown / "embeddings" / f"{name}.svg").resolve()
    if not name.startswith("/"):
        evil.parent.mkdir(exist_ok=True)
        evil.write_text(SVG)
    found = json.loads((shown / "embeddings" / "summary.json").read_text())
    (shown / "embeddings" / "summary.json").write_text(json.dumps(found | {"figures": [name]}))
    assert read_embeddings(shown / "embeddings")["figures"] == {}
    assert "a figure is left out, its name is invalid" in capsys.readouterr().err


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "handler": '<g onload="alert(1)"/>',
    "foreign": "<foreignObject><p/></foreignObject>",
    "link": '<a href="http://x"><text>x</text></a>',
    "image": '<image href="http://x/y.png"/>',
    "script by xlink": '<use xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="javascript:alert(1)"/>',
    "fetched style": "<style>@import url(http://x)</style>",
    "fetched fill": '<path style="fill: url(http://x)"/>',
    "animation": '<animate attributeName="href" to="javascript:alert(1)"/>',
    "html": '<p xmlns="http://www.w3.org/1999/xhtml"/>',
}


@pytest.mark.parametrize("inside", HOSTILE.values(), ids=HOSTILE)
def test_an_svg_with_active_content_is_left_out(inside, shown, capsys):
    (shown / "embeddings" / "map_pretrained.svg").write_text(SVG.replace("<text>", f"{inside}<text>"))
    assert read_embeddings(shown / "embeddings")["figures"] == {}
    assert "map_pretrained.svg cannot be used and is left out: ValueError SVG with" in capsys.readouterr().err


# what decides


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_damaged_note_of_weights_is_refused(spoil, tmp_path):
    save_weights(tmp_path / "encoder.pt", nn.Linear(2, 2), ORIGIN)
    note = tmp_path / "encoder.json"
    note.write_bytes(spoil(note.read_bytes()))
    with pytest.raises(SemclError, match=r"(?s)encoder\.json cannot be used.*run pretrain\.yaml again"):
        load_weights(tmp_path / "encoder.pt", nn.Linear(2, 2), "pretrain.yaml", ORIGIN)


WEIGHTS = {
    "numbers": {"weight": 1.0, "bias": 2},
    "lists": {"weight": [[1.0, 2.0], [3.0, 4.0]], "bias": [0.0, 0.0]},
    "text": {"weight": "w", "bias": None},
    "a list": [torch.zeros(2, 2)],
    "a tensor": torch.zeros(2, 2),
    "nothing": None,
    "a checkpoint": {"network": {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}},
    "names that are none": {1: torch.zeros(2, 2), None: torch.zeros(2)},
}


@pytest.mark.parametrize("content", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_are_not_tensors_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "encoder.pt")
    with pytest.raises(SemclError, match=r"encoder\.pt (cannot be read as weights|does not fit the network)"):
        load_weights(tmp_path / "encoder.pt", nn.Linear(2, 2), "pretrain.yaml")


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_damaged_calibration_is_refused(spoil, tmp_path):
    weights = tmp_path / "model.pt"
    save_weights(weights, nn.Linear(2, 2), ORIGIN)
    Calibration({"liver": Scale()}).write(weights, "queries")
    path = calibration_path(weights)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(SemclError, match=r"(?s)calibration of a model cannot be read.*model\.calibration\.json"):
        Calibration.read(weights)


@pytest.mark.parametrize(
    "scale",
    [
        {"slope": float("nan")},
        {"slope": 0},
        {"threshold": 0},
        {"threshold": 1},
        {"offset": float("inf")},
        {"slope": "x"},
    ],
    ids=str,
)
def test_an_invalid_scale_is_refused(scale, tmp_path):
    weights = tmp_path / "model.pt"
    save_weights(weights, nn.Linear(2, 2), ORIGIN)
    Calibration({"liver": Scale()}).write(weights, "queries")
    content = json.loads(calibration_path(weights).read_text())
    content["scales"]["liver"] |= scale
    calibration_path(weights).write_text(json.dumps(content))
    with pytest.raises(SemclError, match="the calibration of a model cannot be read"):
        Calibration.read(weights)


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_stage_with_a_damaged_manifest_has_not_completed(spoil, tmp_path):
    write_run(tmp_path, "train")
    step = {"stage": "train", "folder": str(tmp_path), "optional": False}
    assert has_completed(step)
    path = tmp_path / "jobs" / "train.json"
    path.write_bytes(spoil(path.read_bytes()))
    assert not has_completed(step)
