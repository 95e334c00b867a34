"""A scan as a layout finds it: its files, and its row of a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import SemclError
from .. import case_table
from ..findings import Finding


@dataclass(frozen=True)
class Scan:
    """An image, its label map or one mask file per organ, and its row of a table.

    ``row`` is from --cases or a CSV of paths; None when there is none. ``unlabelled``: to learn from without.
    """

    case: str
    image: Path
    label: Path | None = None
    masks: tuple[tuple[str, Path], ...] = ()
    row: case_table.CaseRow | None = None
    unlabelled: bool = False

    @property
    def stated_fold(self) -> str | None:
        """The fold of its row, a number or "test"; None without one."""
        return self.row.fold if self.row else None

    @property
    def labelled(self) -> bool:
        """Whether there is anything to learn from."""
        return self.label is not None or bool(self.masks)


def refuse_label_maps(label_maps: Path | None, own: str) -> None:
    """Refuse label maps that are given for a layout that has its own, and would not be used.

    Args:
        label_maps: as given.
        own: where the layout has them.

    Raises:
        SemclError: unless ``label_maps`` is None.
    """
    if label_maps is not None:
        raise SemclError(
            "label maps are given for a layout that has its own",
            found=f"--labels {label_maps}",
            expected=f"label maps {own}",
            remedy="leave out --labels; those of another folder can be named in column label of a CSV of paths",
        )


Found = tuple[list[Scan], list[Finding]]  # the scans of a layout, and files without a counterpart
