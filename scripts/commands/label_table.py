"""The label table that an option names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SemclError

if TYPE_CHECKING:
    from ..cohort.label_table import LabelTable


def read_label_table(path: str) -> LabelTable:
    """Read a label table.

    Raises:
        SemclError: when there is no such file, or it is not a label table.
    """
    from ..cohort.label_table import LabelTable

    source = Path(path)
    if not source.is_file():
        raise SemclError(
            "there is no label table", found=f"no {source}", expected="a YAML file", remedy="see docs/cohort.md"
        )
    return LabelTable.read(source)
