"""Another tool, run in a process of its own to make the label map of a scan."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from ..errors import SemclError
from .tool_layout import map_of

COMMAND_PLACES = ("image", "out", "folder")  # that a command may name in braces
MAKING = ".making"  # where a map lies until it is whole


def command_words(command: str, image: Path, out: Path, folder: Path) -> list[str]:
    """The words of a command with paths in place of {image}, {out} and {folder}.

    It is split before, so that a path remains one word, whatever it holds; no shell reads them.

    Raises:
        SemclError: for a command that cannot be split, or has no place for the scan, or none for the map.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    named = {place for place in COMMAND_PLACES if any(f"{{{place}}}" in word for word in words)}
    if "image" not in named or len(named) < 2:
        raise SemclError(
            "the command that makes maps cannot be used",
            found=command,
            expected="a program and its options, with {image} for the scan, and {out} for the file of its label map or "
            "{folder} for a folder of masks",
            remedy='set coarse_command, as in "TotalSegmentator -i {image} -o {out} --ml"',
        )
    paths = {"image": image.absolute(), "out": out.absolute(), "folder": folder.absolute()}
    return [re.sub(r"\{(image|out|folder)\}", lambda place: str(paths[place[1]]), word) for word in words]


def make_map(command: str, case: str, image: Path, folder: Path) -> Path:
    """Run a command that makes the label map of a scan, and return the map's path in ``folder``.

    What the command prints is in <case>.log. A map comes to its place when the command has ended well, so that a run
    that was interrupted makes it again.

    Raises:
        SemclError: when the program cannot be run, fails, or leaves no map.
    """
    making = folder / MAKING / case
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    words = command_words(command, image, making / f"{case}.nii.gz", making / case)
    log = folder / f"{case}.log"
    try:
        with open(log, "wb") as printed:
            code = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, check=False
            ).returncode
        found = f"exit code {code}: {_last_line(log)}" if code else ""
    except OSError as error:
        found = f"{words[0]}: {error.strerror}"
    made = None if found else map_of(making, case)
    if made is None:
        raise SemclError(
            "the command made no map",
            case=case,
            found=found or f"neither {case}.nii.gz nor a folder of masks, after exit code 0",
            expected="exit code 0, and a label map",
            remedy=f"see {log}; then run the stage again, cases that have a map keep it. It was: {shlex.join(words)}",
        )
    name = made.relative_to(making).parts[0]
    shutil.rmtree(folder / name, ignore_errors=True)
    (making / name).replace(folder / name)
    shutil.rmtree(making)
    return folder / made.relative_to(making)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
