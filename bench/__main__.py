"""Run the benchmarks and write bench/RESULTS.md: python -m bench, or a section alone: python -m bench loss."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

from . import alternatives, files, inference, loss, scale, step, store, views

SECTIONS = {
    "loss": loss,
    "views": views,
    "store": store,
    "step": step,
    "inference": inference,
    "files": files,
    "scale": scale,
    "alternatives": alternatives,
}
RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("torch", "monai", "numpy", "kornia", "pytorch-metric-learning")


def machine() -> str:
    """What the figures were measured on."""
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    cores = f"{os.cpu_count()} cores, {found[1] if found else platform.machine()}"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{cores}; Python {platform.python_version()}, {versions}."


def kept() -> dict[str, str]:
    """Sections of the results as they are, by their heading."""
    text = RESULTS.read_text() if RESULTS.is_file() else ""
    return {part.partition("\n")[0]: part.strip() for part in text.split("\n## ")[1:]}


def main(names: list[str]) -> None:
    """Measure the given sections, or all, and write them into the results; the others are kept."""
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]}: there are {', '.join(SECTIONS)}")
    for name in names or SECTIONS:
        print(f"bench: {name}", file=sys.stderr)
        before = os.getloadavg()[0]
        section = SECTIONS[name].report().removeprefix("## ")
        loads = f"{before:.1f} before, {os.getloadavg()[0]:.1f} after"
        section += f"\n\nMeasured on {machine()} Processes that ran meanwhile (load average): {loads}."
        print(f"## {section}", end="\n\n")
        parts = kept() | {section.partition("\n")[0]: section}
        head = "# Benchmarks\n\nWritten by `make bench`, each section on the machine that it names."
        RESULTS.write_text("\n\n".join([head, *(f"## {part}" for part in parts.values())]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
