"""Ownership of output folders: a stage writes into empty folders or its own, and removes only what it wrote.

A stage's own folder holds a marker, ``.semcl.json``, which names its content. Shared folders, such as a cohort's, have
no marker: there a file is replaced only when its content shows that SemCL wrote it.
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
    """A folder for the output of one stage.

    Args:
        folder: the folder.
        holds: its content, such as "attention maps"; a marker with another content is another stage's.
        option: the option that sets the folder, such as "--attention_dir".
    """

    folder: Path
    holds: str
    option: str

    def claim(self, inputs: Iterable[Path] = ()) -> None:
        """Mark the folder as the stage's own, creating it if needed; arguments and errors of ``check``."""
        self.check(inputs)
        if self._noted().get("holds") != self.holds:
            self._note([path.name for path in visible(self.folder)])

    def check(self, inputs: Iterable[Path] = ()) -> None:
        """Refuse a folder that is not the stage's own; changes nothing.

        Args:
            inputs: files the stage reads, which must not lie in it.

        Raises:
            SemclError: when the folder holds an input, or anything the stage did not write.
        """
        refuse_inputs(self.folder, inputs, self.option)
        held = visible(self.folder)  # before the marker: others may mark it meanwhile
        noted = self._noted().get("holds")
        if noted == self.holds:
            return
        if held:
            raise SemclError(
                "a folder holds what is not this stage's own",
                found=f"{self.folder} with {len(held)} files or folders, {held[0].name} the first, and "
                f"{'no marker' if noted is None else f'a marker of {noted}'}",
                expected=f"an empty folder, or one of {self.holds} that the stage made ({MARKER})",
                remedy=f"point {self.option} at a new folder; if these are {self.holds} that may go, as of an earlier "
                "version or copied without the marker, remove them first",
            )

    def claim_files(self, names: Collection[str], earlier: Callable[[Path], bool], inputs: Iterable[Path] = ()) -> None:
        """Mark files of a folder that several stages write into as the stages' own, before the first is written.

        A run that is killed has then left its mark, and may write them again.

        Args:
            names: of the files, which may not exist.
            earlier: whether a file the marker does not list was written by a stage all the same, and copied here.
            inputs: files the stage reads, which must not lie in the folder.

        Raises:
            SemclError: when one of the files is somebody's, or the folder holds an input or has the marker of another
                content.
        """
        refuse_inputs(self.folder, inputs, self.option)
        holds, listed = self._noted().get("holds", self.holds), self._listed()
        paths = [self.folder / name for name in names if name not in listed or holds != self.holds]
        strange = [path for path in paths if path.exists() and (holds != self.holds or not earlier(path))]
        if strange or holds != self.holds:
            found = strange[0] if strange else f"{self.folder} with a marker that says {holds}"
            raise not_own(found, self.holds, self.option)
        if paths:
            self._note(sorted({*listed, *names}))

    def keep_only(self, names: Collection[str]) -> None:
        """Note the files the stage has written, and remove those noted earlier that were not written again."""
        if self._noted().get("holds") != self.holds:
            return
        for old in self._listed():
            if old not in names and os.path.basename(old) == old:
                (self.folder / old).unlink(missing_ok=True)
        self._note(sorted(names))

    def _note(self, names: Sequence[str]) -> None:
        write_text(self.folder / MARKER, json.dumps({"holds": self.holds, "files": list(names)}, indent=1))

    def _noted(self) -> dict[str, Any]:
        """The content of the marker; empty when it is missing or invalid."""
        try:
            return dict(json.loads((self.folder / MARKER).read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, RecursionError):
            return {}

    def _listed(self) -> list[str]:
        """The files that the marker lists."""
        files = self._noted().get("files")
        return [name for name in files if isinstance(name, str)] if isinstance(files, list) else []


def not_own(found: object, holds: str, option: str) -> SemclError:
    """Return the error of a file in a folder that stages share, but that none of them wrote."""
    return SemclError(
        "a stage would write over, or among, files that are not its own",
        found=found,
        expected=f"no such file, or one of {holds} that a stage made",
        remedy=f"move it away, or point {option} at another folder",
    )


def visible(folder: Path) -> list[Path]:
    """The content of a folder without hidden files; empty when it does not exist.

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
    """Refuse to replace a file that SemCL did not write.

    Args:
        path: the file, which may not exist.
        ours: whether a text is of the kind that SemCL writes there.
        what: a name for that kind.
        option: the option that sets another path.

    Raises:
        SemclError: when the file is of another kind.
    """
    if not path.exists():
        return
    try:
        found = path.is_file() and ours(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, AttributeError, KeyError):  # raised for texts of another kind
        found = False
    if not found:
        raise SemclError(
            "a file of that name exists and is not ours",
            found=str(path),
            expected=f"no such file, or {what} that SemCL wrote",
            remedy=f"move it away, or point {option} elsewhere",
        )
