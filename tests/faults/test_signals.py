"""Commands stopped by a signal or a closed pipe: one line, an exit code, and no partial file."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults import Strike, Unread, run_command
from tests.faults.inputs import TABLE, Folder

STOPPED: dict[str, tuple[str, Strike, int, str]] = {
    f"{command}, by {number.name}": (command, Strike(*place, number), 128 + number, printed)
    for command, number, place, printed in [
        ("check", signal.SIGINT, ("scripts.intake.survey", "check_voxels", 2), "nothing was changed"),
        ("prepare", signal.SIGTERM, ("scripts.intake.survey", "check_voxels", 1), "files are whole or not there"),
        ("prepare", signal.SIGHUP, ("scripts.cohort.datalist", "write_text", 1), "files are whole or not there"),
        ("phantom", signal.SIGINT, ("scripts.files", "written_whole", 2), "files are whole or not there"),
        ("evaluate", signal.SIGHUP, ("scripts.evaluate.rows", "measure_organ", 2), "files are whole or not there"),
    ]
}


@pytest.fixture
def scans(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "scans")
    folder.pair("anna", "berta", "carl", "dora")
    TABLE.save(folder.root)
    return folder


def arguments(command: str, scans: Folder, out: Path) -> list[str]:
    """A command over the scans, on one thread where there is such an option."""
    table = ["--table", str(scans.root / "labels.yaml")]
    given = {
        "check": ["--images", str(scans.images), "--labels", str(scans.labels), "--workers", "1"],
        "prepare": ["--images", str(scans.images), "--labels", str(scans.labels), "--folds", "2", "--out", str(out)],
        "phantom": ["--out", str(out), "--cases", "3", "--folds", "2", "--test_share", "0"],
        "evaluate": ["--pred", str(scans.labels), "--truth", str(scans.labels), "--out", str(out)],
    }
    return [command, *given[command], *([] if command == "phantom" else table)]


@pytest.mark.parametrize(("command", "strike", "code", "printed"), STOPPED.values(), ids=STOPPED.keys())
def test_a_stopped_command_reports_what_is_kept_and_how_to_continue(command, strike, code, printed, scans, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    assert run_command(arguments(command, scans, out), log, strike) == code, log.read_text()
    line = f"{command}: stopped by {strike.what.name}; {printed}; run the same command again"
    assert log.read_text().splitlines().count(line) == 1
    assert "Traceback" not in log.read_text()
    assert {path.name for path in out.rglob(".*")} <= {".semcl.json", ".unfinished"}  # marks, no half-written files
    assert not (out / "datalist.json").exists()
    assert run_command(arguments(command, scans, out), log) == 0, log.read_text()


@pytest.mark.parametrize("broken", [False, True], ids=["without findings", "with findings"])
def test_a_command_whose_output_is_closed_ends_quietly(broken, scans, tmp_path):
    if broken:
        (scans.images / "anna.nii.gz").write_bytes(b"no volume")
    log = tmp_path / "log"
    assert run_command(arguments("check", scans, tmp_path), log, Unread()) == 141
    printed = log.read_text()
    assert "Traceback" not in printed
    assert "BrokenPipe" not in printed
