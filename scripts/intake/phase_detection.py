"""The phase of a scan: from the table of cases, else its file name, else DICOM tags, else `unknown`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..cohort.case import UNKNOWN_PHASE
from ..errors import SemclError

WORDS = {  # phase of a label table -> words for it in a SeriesDescription
    "noncontrast": {"noncontrast", "nativ", "native", "unenhanced", "plain", "nc", "nect"},
    "arterial": {"arterial", "arteriell", "art", "hap"},
    "portal": {"portal", "venous", "portalvenous", "portovenous", "venoes", "pv", "pvp"},
    "delayed": {"delayed", "delay", "late", "equilibrium", "excretory"},
}


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of --phase_pattern.

    Raises:
        SemclError: when it is invalid, or does not have exactly one group.
    """
    try:
        compiled = re.compile(pattern)
        groups = compiled.groups
    except re.error as error:
        raise _refused(f"{pattern!r}: {error}") from error
    if groups != 1:
        raise _refused(f"{pattern!r} with {groups} groups")
    return compiled


def phase_of(
    path: Path, stated: str | None, phases: Sequence[str], pattern: re.Pattern[str] | None, tags: Mapping[str, str]
) -> str:
    """Phase of a scan.

    Args:
        path: of the image; its name is searched for the pattern.
        stated: the phase in the table of cases, if any.
        phases: of the label table; a single one needs no other source.
        pattern: with one group, the phase.
        tags: "description" and "agent" of a DICOM series.
    """
    found = pattern.search(path.name) if pattern else None
    if stated:
        return stated
    if found and found[1]:
        return found[1]
    if len(phases) == 1:
        return phases[0]
    return tagged(tags, phases) or UNKNOWN_PHASE


def tagged(tags: Mapping[str, str], phases: Sequence[str]) -> str | None:
    """The one phase named in a SeriesDescription; None when several are, or a contrast agent contradicts it."""
    description = (
        tags.get("description", "").lower().replace("non-contrast", "noncontrast").replace("w/o", "noncontrast")
    )
    words = set(re.findall(r"[a-z]+", description))
    named = [phase for phase in phases if words & ({phase.lower()} | WORDS.get(phase.lower(), set()))]
    contradicts = named == ["noncontrast"] and bool(tags.get("agent"))
    return named[0] if len(named) == 1 and not contradicts else None


def _refused(found: str) -> SemclError:
    return SemclError(
        "the phase pattern cannot be used",
        found=found,
        expected="a regular expression with one group, the phase",
        remedy="e.g. --phase_pattern '_(portal|arterial)'",
    )
