"""A shard: one of n parts of a list of cases, for independent runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import SemclError

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count``, from 1: every ``count``-th item, so that sizes differ by one at most."""

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> Shard:
        """Return the shard "i/n".

        Raises:
            SemclError: for any other text.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", str(text))
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise SemclError(
                "not a shard",
                found=f"--shard {text}",
                expected="i/n, i from 1 to n, such as 3/8",
                remedy="in a Slurm array 1-8: --shard $SLURM_ARRAY_TASK_ID/8",
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """The shard in names of files."""
        return f"{self.number}of{self.count}"

    def of_list(self, items: Sequence[_Item]) -> list[_Item]:
        """Return this part of a list."""
        return list(items[self.number - 1 :: self.count])
