"""Whose a folder is: a stage writes into one that is empty or its own, and removes nothing but what it wrote.

A folder of a stage's own holds ``.semcl.json``, the marker, which says what the folder holds. Folders that are shared
with others, a cohort's say, have no marker: there a file is replaced only where its content shows that it is ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SemclError
from .files import write_text

MARKER = ".semcl.json"


@dataclass(frozen=True)
class Output:
    """A folder that a stage has for itself.

    Args:
        folder: the folder.
        holds: what is in it, as "attention maps"; a marker that says something else is another stage's.
        option: what names another folder, as "--attention_dir".
    """

    folder: Path
    holds: str
    option: str

    def claim(self, inputs: Iterable[Path] = (), earlier: Callable[[], bool] | None = None) -> None:
        """Mark the folder as the stage's own, making it where it is not there; arguments and errors of ``check``."""
        self.check(inputs, earlier)
        if self._noted().get("holds") != self.holds:
            self._note([path.name for path in visible(self.folder)])

    def check(self, inputs: Iterable[Path] = (), earlier: Callable[[], bool] | None = None) -> None:
        """Refuse a folder that is not the stage's own, and change nothing.

        Args:
            inputs: files the stage reads, which must not lie in it.
            earlier: whether what is in a folder without a marker was written by an earlier version.

        Raises:
            SemclError: when the folder holds an image or a label map of a case, or anything the stage did not write.
        """
        refuse_inputs(self.folder, inputs, self.option)
        held, noted = visible(self.folder), self._noted().get("holds")  # in this order: others may mark it just now
        if noted == self.holds:
            return
        if held and (noted is not None or earlier is None or not earlier()):
            raise SemclError(
                "a folder holds what is not this stage's own",
                found=f"{self.folder} with {len(held)} files or folders, {held[0].name} the first, and "
                f"{'no marker' if noted is None else f'a marker that says {noted}'}",
                expected=f"an empty folder, or one of {self.holds} that the stage made ({MARKER})",
                remedy=f"point {self.option} at a new folder; if these are {self.holds} of an earlier version that "
                "may go, remove them first",
            )

    def keep_only(self, names: Collection[str]) -> None:
        """Note the files a stage has now written into its own, and remove those noted before and not written again."""
        if self._noted().get("holds") != self.holds:
            return
        for old in self._noted().get("files", []):
            if old not in names and os.path.basename(str(old)) == old:
                (self.folder / old).unlink(missing_ok=True)
        self._note(sorted(names))

    def _note(self, names: Sequence[str]) -> None:
        write_text(self.folder / MARKER, json.dumps({"holds": self.holds, "files": list(names)}, indent=1))

    def _noted(self) -> dict[str, Any]:
        """The marker; empty where there is none that can be understood."""
        try:
            return dict(json.loads((self.folder / MARKER).read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return {}


def visible(folder: Path) -> list[Path]:
    """What is in a folder, if it is there, but for hidden files.

    Raises:
        SemclError: when it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise SemclError(
            "a file is where a folder is needed",
            found=f"the file {folder}",
            expected="a folder, or nothing yet",
            remedy="name another folder",
        )
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def refuse_inputs(folder: Path, inputs: Iterable[Path], option: str) -> None:
    """Refuse to write into a folder that holds an input of the stage.

    Raises:
        SemclError: naming the first input in it.
    """
    if not folder.is_dir():
        return
    known: dict[Path, bool] = {}
    for path in inputs:
        for place in {path, path.parent, path.resolve().parent}:
            if place not in known:
                known[place] = place.is_dir() and place.samefile(folder)
            if known[place]:
                raise SemclError(
                    f"a stage would write over its own input: {option} names the folder of an image or a label map",
                    found=f"{path} in {folder}",
                    expected=f"a folder of its own for {option}",
                    remedy=f"point {option} at a new folder",
                )


def refuse_strange(path: Path, ours: Callable[[str], bool], what: str, option: str) -> None:
    """Refuse to replace a file of another content than the one that is written there.

    Args:
        path: the file, which may not be there.
        ours: whether a text is what we write.
        what: what we write, in words.
        option: by which another place is named.

    Raises:
        SemclError: when it is not.
    """
    if not path.exists():
        return
    try:
        found = path.is_file() and ours(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, AttributeError, KeyError):  # what a text of another kind raises
        found = False
    if not found:
        raise SemclError(
            "a file of that name is there, and is not ours",
            found=str(path),
            expected=f"no such file, or {what} that SemCL wrote",
            remedy=f"move it away, or point {option} elsewhere",
        )
