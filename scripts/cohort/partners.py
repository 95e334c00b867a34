"""Left-right partners inferred from organ names, such as right_kidney and left_kidney."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ..errors import SemclError

_SIDE = re.compile(r"left|right|(?<![a-z0-9])[lr](?![a-z0-9])")


def partners_by_name(names: Iterable[str]) -> dict[str, str]:
    """Organ -> its partner, both ways, for pairs whose names differ only in the side and are unique on each side.

    The side is ``left``, ``right``, ``l`` or ``r`` anywhere in the name, once; the order of words does not matter.

    >>> partners_by_name(["kidney_left", "right kidney", "aorta"])
    {'right kidney': 'kidney_left', 'kidney_left': 'right kidney'}
    """
    found: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: {"r": [], "l": []})
    for name in names:
        plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        sides = _SIDE.findall(plain)
        if len(sides) == 1:
            rest = tuple(sorted(re.findall(r"[^\W_]+", _SIDE.sub(" ", plain))))
            found[rest][sides[0][0]].append(name)
    pairs = [(both["r"][0], both["l"][0]) for both in found.values() if len(both["r"]) == len(both["l"]) == 1]
    return {one: other for pair in pairs for one, other in (pair, pair[::-1])}


def require_flips(axes: Sequence[int], allowed: Sequence[int]) -> None:
    """Check that views may be mirrored along spatial axes: those that a label table allows (``flip_axes``).

    Raises:
        SemclError: for one that would swap partners.
    """
    if set(axes) - set(allowed):
        raise SemclError(
            "a flip would turn an organ into its left-right partner",
            found=f"flip_axes {list(axes)}",
            expected=f"flips along {list(allowed)} only",
            remedy="leave flip_axes at the label table's, or remove `partner` from labels.yaml",
        )
