"""Coarse maps that another tool gives, for all organs or for some: from a folder, or by calling the tool."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from ..cohort.attention import attention_path
from ..cohort.case import Case, input_files
from ..cohort.label_table import LabelTable
from ..cohort.volume import case_of
from ..errors import SemclError
from ..freshness import newer
from ..outputs import Output
from .findings import allow, stop
from .tool_command import command_words, make_map
from .tool_layout import map_of, masks_in
from .tool_maps import read_map
from .tool_names import read_numbers, same_organs


class ToolMaps:
    """Coarse maps of scans by another tool, whose label maps lie in a folder, or are made by a command where missing.

    Args:
        maps: folder of label maps, <case>.nii.gz or a folder of masks per case; None without one.
        names: of the organs of their numbers, as ``read_numbers`` takes it.
        table: the label table.
        command: makes the map of a case without one (``command_words``); None without one.
        made: folder that the command's maps are written into.
        allow: findings that are accepted; None for none.

    Attributes:
        used: whether there are such maps at all.

    Raises:
        SemclError: for a folder or a program that does not exist, and a command or names that cannot be used.
    """

    def __init__(
        self,
        maps: str | None,
        names: str,
        table: LabelTable,
        command: str | None,
        made: str,
        allow: Collection[str] | None = None,
    ) -> None:
        self.maps, self.command, self.made = Path(maps) if maps else None, command, Path(made)
        self.table, self.allow, self.used = table, tuple(allow or ()), bool(maps or command)
        self.numbers = read_numbers(names) if self.used else {}
        if self.maps and not self.maps.is_dir():
            raise SemclError(
                "the maps of another tool are missing", found=f"no folder {maps}", expected="a label map per case",
                remedy="correct tool_maps",
            )  # fmt: skip
        if command:
            _require_program(command)

    def claim(self, cases: Sequence[Case]) -> None:
        """Mark the folder of the command's maps as an output; errors of ``Output.claim``."""
        if self.command:
            Output(self.made, "maps that a command made", "--output_dir").claim(input_files(cases))

    def path(self, case: str) -> Path | None:
        """The map of a case, where there is one: a given one, or one that the command has made."""
        folders = [self.maps, self.made if self.command else None]
        found = (map_of(folder, case) for folder in folders if folder is not None and folder.is_dir())
        return next((path for path in found if path), None)

    def gives(self, case: str) -> bool:
        """Whether a case has a map, or the command is to make it."""
        return bool(self.command) or self.path(case) is not None

    def file(self, case: str, source: Path) -> Path | None:
        """The map of a case, which the command makes where there is none newer than its scan; None without one.

        Raises:
            SemclError: when the command fails.
        """
        path = self.path(case)
        outdated = path is not None and path.is_relative_to(self.made) and not newer(path, [source])
        return make_map(self.command, case, source, self.made) if self.command and (path is None or outdated) else path

    def sources(self, case: str) -> list[Path]:
        """The files of a case's map, which results made of it must be newer than."""
        path = self.path(case)
        return [] if path is None else list(masks_in(path).values()) or [path]

    def organs(self, cases: Sequence[Case]) -> list[str]:
        """The organs of the table that the maps can have: of their numbers, or of masks where cases have some."""
        paths = (self.path(case.id) for case in cases)
        masks = {name for path in paths if path for name in masks_in(path)}
        found = set(same_organs(masks or self.numbers.values(), self.table).values()) if self.used else set()
        return [name for name in self.table.names if name in found]

    def objects(self, image: MetaTensor, source: Path) -> NDArray[np.int16] | None:
        """Object numbers (X, Y, Z) of a scan (C, X, Y, Z; RAS), whose file is ``source``; None without a map.

        Raises:
            SemclError: when the command fails, or the map cannot be read, lies elsewhere, or has findings that are
                errors.
        """
        path = self.file(str(case_of(image)), source)
        if path is None:
            return None
        found = read_map(image, path, self.numbers, self.table)
        stop(allow(found.findings, self.allow))
        return found.objects


def given_objects(tool: ToolMaps | None, image: MetaTensor, source: Path) -> torch.Tensor | None:
    """Object numbers (X, Y, Z) of a scan by another tool; None where no such maps are used.

    Raises:
        SemclError: for a scan without a map, and as ``ToolMaps.objects``.
    """
    if tool is None or not tool.used:
        return None
    given = tool.objects(image, source)
    if given is None:
        raise no_map(case_of(image), f"none in {tool.maps}")
    return torch.from_numpy(given)


def put_over(objects: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
    """Object numbers of any shape, but those of ``given`` wherever it has an object; None has none."""
    return objects if given is None else torch.where((inside := given.to(objects)) > 0, inside, objects)


def needs_coarse(case: str, attention_dir: str, tool: ToolMaps | None, lacking: bool) -> bool:
    """Whether the coarse network segments a case: without a map, or where another tool's lacks organs.

    Args:
        case: its id.
        attention_dir: folder of the attention maps.
        tool: maps of another tool, which come before those.
        lacking: whether they lack organs, which the coarse network adds.
    """
    if tool is not None and tool.gives(case):
        return lacking
    return not attention_path(attention_dir, case).is_file()


def no_map(case: str | None, found: str) -> SemclError:
    """The error of a scan without a map where the coarse network segments only what such maps lack."""
    return SemclError(
        "a scan has no map of another tool, and the coarse network was trained for the organs that these lack alone",
        case=case,
        found=found,
        expected="<case>.nii.gz, or a folder <case> of masks, in tool_maps",
        remedy="make it, or set coarse_command to the command that does",
    )


def _require_program(command: str) -> None:
    """Check a command and that its program is there; errors of ``command_words``."""
    program, *_ = command_words(command, Path("image"), Path("out"), Path("folder"))
    if shutil.which(program) is None:
        raise SemclError(
            "the program that makes maps is missing", found=f"no {program} on the PATH",
            expected="a program that can be run", remedy="install it, or give its path in coarse_command",
        )  # fmt: skip


def organs_left(tool: ToolMaps, cases: Callable[[], Sequence[Case]], table: LabelTable) -> list[str] | None:
    """The organs that a coarse network is to be trained for: those the maps of another tool lack; None for all.

    Args:
        tool: the maps.
        cases: returns the cohort; called where there are such maps.
        table: the label table.

    Raises:
        SemclError: when they lack none.
    """
    if not tool.used:
        return None
    given = tool.organs(cases())
    left = [name for name in table.names if name not in given]
    if not left:
        raise SemclError(
            "no organ is left for the coarse network",
            found="all organs of the label table in the maps of another tool",
            expected="at least one that they lack",
            remedy="make the attention maps of them alone: python -m scripts attention",
        )
    return left


def organ_numbers(organs: Sequence[str] | None, table: LabelTable) -> list[int] | None:
    """The object numbers of organs by name, in the table's order; None for all.

    Raises:
        SemclError: for a name that is not in the table.
    """
    for name in organs or ():
        if name not in table.names:
            raise SemclError(
                "coarse_organs names an organ that the label table has not", found=name,
                expected=", ".join(table.names), remedy="correct coarse_organs",
            )  # fmt: skip
    return None if organs is None else [table.names.index(name) + 1 for name in table.names if name in organs]
