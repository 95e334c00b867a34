"""What a process does with memory that it has freed."""

from __future__ import annotations

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
# variables by which users tune it
OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
KEPT_BYTES = 2**31 - 1  # bytes at the heap's end; all that fit into mallopt's int
LARGEST_BLOCK = 2**25  # bytes of a block on the heap, glibc's limit; larger ones are always given back


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, so that the next step of a training finds it there; return whether it does.

    A step on a CPU allocates and frees all its activations. By default glibc gives them back to the operating system
    after each step, which then clears the same pages again: a tenth of the processor time of pretraining. The process
    holds its peak until it ends. Without glibc, or where the environment tunes it, nothing is changed.
    """
    if any(name in os.environ for name in OWN_SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    return mallopt is not None and bool(mallopt(MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(TRIM_THRESHOLD, KEPT_BYTES))
