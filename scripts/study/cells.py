"""Cells of a study: a protocol and a share of labels for the refiner trained on a pretrained encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import SemclError, one_of

PROTOCOLS = {"frozen": True, "tuned": False}  # freeze_encoder


@dataclass(frozen=True)
class Cell:
    """One refiner of a unit: a protocol and a share of labels."""

    protocol: str
    labelled: float

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.protocol}-{self.labelled * 100:g}%"


def parse_cells(protocols: Sequence[str], labels: Sequence[str | float]) -> tuple[Cell, ...]:
    """Every protocol with every share of labels.

    Raises:
        SemclError: for an unknown protocol, an invalid share of labels, none of either, or one given twice.
    """
    for protocol in protocols:
        one_of("--protocols", protocol, list(PROTOCOLS))
    shares = [_share(label) for label in labels]
    if not protocols or not shares or len(set(shares)) < len(shares) or len(set(protocols)) < len(protocols):
        raise SemclError(
            "protocols and shares of labels must each be given, and only once",
            found=f"protocols {', '.join(protocols)}, labels {', '.join(map(str, labels))}",
            expected="at least one of each, without repeats",
            remedy="set --protocols and --labels",
        )
    return tuple(Cell(protocol, share) for share in shares for protocol in protocols)


def _share(label: str | float) -> float:
    text = str(label)
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0
    if not 0 < share <= 1:
        raise SemclError(
            "not a share of labels",
            found=text,
            expected="a percentage above 0% and up to 100%, or a fraction above 0 and up to 1",
            remedy="set --labels, for example 10%,100%",
        )
    return share
