"""``python -m scripts labels``."""

from __future__ import annotations

import shlex
from pathlib import Path

from .options import Listed, NewPath, checked


@checked
def labels(
    from_: str, out: NewPath = "labels.yaml", names: str | None = None, phases: Listed = (), **unknown: object
) -> None:
    """Draft a label table, to be corrected by hand: from dataset.json, the names of masks, or values of label maps.

    Args:
        from_: dataset.json or its folder, a folder of masks named after organs, or a label map or a folder of them.
        out: the label table; a file that is there is not replaced.
        names: totalsegmentator, totalsegmentator_mr, or a YAML file with the organ of each number, for label maps.
        phases: of the scans, separated by commas, as portal,arterial.
    """
    from ..errors import SemclError
    from ..files import write_text
    from ..intake.draft import draft
    from ..intake.tool_names import read_numbers
    from ..printable import counted
    from .arguments import program

    path = Path(out)
    if path.exists():
        raise SemclError(
            "there is a file of that name",
            found=str(path),
            expected="a new file: a label table may have been corrected by hand",
            remedy="set --out, or move the file away",
        )
    made = draft(Path(from_), read_numbers(names) if names else None)
    write_text(path, made.text(phases))
    print(f"{path}: {counted(len(made.organs), 'organ')} from {made.source}")
    table = shlex.quote(str(path))
    print(f"next: correct it, then {program()} check --images IMAGES --labels LABELS --table {table}")
