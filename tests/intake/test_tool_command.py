"""Another tool, called to make the label map of a scan."""

import sys
from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.intake.tool_command import MAKING, command_words, make_map

TOOL = """
import shutil, sys
image, out = sys.argv[1:3]
print("reading", image)
if "bad" in image:
    sys.exit("no license")
if "nothing" not in image:
    shutil.copy(image, out)
"""


@pytest.fixture
def tool(tmp_path):
    path = tmp_path / "a tool.py"
    path.write_text(TOOL)
    return f"'{sys.executable}' '{path}' {{image}} {{out}}"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "made").mkdir()
    return tmp_path / "made"


def scan(folder: Path, name: str) -> Path:
    path = folder / "scans" / f"{name}.nii.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_text(name)
    return path


def test_paths_are_one_word_whatever_they_hold():
    path = Path("/scans/a b; rm -rf $HOME `x` {out} 'q'.nii.gz")
    words = command_words("tool -i {image} --out={out} -f '{folder} x' {other}", path, Path("/m/o"), Path("/m/f"))
    assert words == ["tool", "-i", str(path), "--out=/m/o", "-f", "/m/f x", "{other}"]


@pytest.mark.parametrize("command", ["tool", "tool {image}", "tool {out}", "tool '{image} {out}", ""])
def test_a_command_without_a_place_for_scan_or_map_is_refused(command):
    with pytest.raises(SemclError, match=r"(?s)cannot be used.*\{image\} for the scan"):
        command_words(command, Path("i"), Path("o"), Path("f"))


def test_a_map_is_made_and_kept_with_what_was_printed(tool, folder, tmp_path):
    name = "a; touch HARM"
    path = make_map(tool, name, scan(tmp_path, name), folder)
    assert path == folder / f"{name}.nii.gz"
    assert path.read_text() == name
    assert (folder / f"{name}.log").read_text() == f"reading {scan(tmp_path, name)}\n"
    assert {one.name for one in folder.iterdir()} == {f"{name}.nii.gz", f"{name}.log", MAKING}
    assert not list(tmp_path.rglob("HARM*"))


def test_a_folder_of_masks(folder, tmp_path):
    code = "import pathlib, sys; (pathlib.Path(sys.argv[1]) / 'segmentations').mkdir(parents=True); " \
        "(pathlib.Path(sys.argv[1]) / 'segmentations' / 'liver.nii.gz').touch(); print(sys.argv[2])"  # fmt: skip
    made = make_map(f'"{sys.executable}" -c "{code}" {{folder}} {{image}}', "a", scan(tmp_path, "a"), folder)
    assert made == folder / "a" / "segmentations"
    assert [path.name for path in made.iterdir()] == ["liver.nii.gz"]


@pytest.mark.parametrize(("name", "found"), [("bad", "exit code 1: no license"), ("nothing", "after exit code 0")])
def test_a_failure_names_the_case_and_leaves_no_map(name, found, tool, folder, tmp_path):
    with pytest.raises(SemclError, match=rf"(?s)case {name}: the command made no map.*{found}.*{name}\.log"):
        make_map(tool, name, scan(tmp_path, name), folder)
    assert not (folder / f"{name}.nii.gz").exists()


def test_a_program_that_cannot_be_run_is_named(folder, tmp_path):
    with pytest.raises(SemclError, match=r"(?s)case a.*/no/tool: No such file"):
        make_map("/no/tool {image} {out}", "a", scan(tmp_path, "a"), folder)


def test_what_an_interrupted_call_left_does_not_count(tool, folder, tmp_path):
    (folder / MAKING / "nothing").mkdir(parents=True)
    (folder / MAKING / "nothing" / "nothing.nii.gz").write_text("half")
    with pytest.raises(SemclError, match="made no map"):
        make_map(tool, "nothing", scan(tmp_path, "nothing"), folder)
