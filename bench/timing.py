"""Timing of alternatives side by side: interleaved rounds, medians, ratios within a round."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

ROUND = 0.05  # seconds a quick candidate is given in a round


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compare(candidates: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Run all candidates once to warm up, then in turn for some rounds; quick ones several times a round.

    In a round each candidate first runs once untimed: what ran before it may have emptied caches and given memory back.

    Returns:
        name -> (median seconds, median over rounds of its time over the first candidate's in the same round).
    """
    times = {name: _times(run) for name, run in candidates.items()}
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            if times[name] > 1:
                run()
            taken[name].append(_seconds(run, times[name]))
    base = next(iter(taken.values()))
    return {
        name: (statistics.median(times), statistics.median(t / b for t, b in zip(times, base, strict=True)))
        for name, times in taken.items()
    }


def _times(run: Callable[[], Any]) -> int:
    """How often a candidate runs in a round. Its first run may take far longer than the others, and is not counted."""
    first = _seconds(run, 1)
    return max(1, min(50, int(ROUND / (first if first > 1 else _seconds(run, 1)))))


def _seconds(run: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def memory(name: str) -> float:
    """A figure of this process in MiB: VmRSS, resident now, or VmHWM, its peak since ``forget_peak``."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    """Let VmHWM start from what is resident now: imports may have needed more than what follows."""
    Path("/proc/self/clear_refs").write_text("5")


def in_new_process(module: str, *arguments: object) -> list[float]:
    """The numbers on the last line a module prints when run in a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in printed.splitlines()[-1].split()]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
