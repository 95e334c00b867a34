"""Memory that a call takes."""

from __future__ import annotations

from collections.abc import Callable

from bench.timing import forget_peak, memory


def added(run: Callable[[], object]) -> float:
    """Bytes of resident memory that a call takes at its peak, beyond what is resident before it."""
    forget_peak()
    before = memory("VmRSS")
    run()
    return (memory("VmHWM") - before) * 2**20
