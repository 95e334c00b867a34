"""File handles: loader processes use one per tensor they hand over, and hang when none is left."""

from __future__ import annotations

import resource

from ..errors import SemclError

FEWEST, EACH = 256, 64  # handles of a process, and for each of its loader processes


def require_handles(workers: int) -> None:
    """Raise the process's limit of open files to what loader processes need.

    Args:
        workers: number of loader processes; 0 changes nothing.

    Raises:
        SemclError: when the system's limit is too low.
    """
    needed = FEWEST + EACH * workers
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not workers or soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if most != resource.RLIM_INFINITY and most < needed:
        raise SemclError(
            "too few file handles for loader processes",
            found=f"at most {most} open files (ulimit -Hn), {workers} loader processes",
            expected=f"at least {needed}",
            remedy="raise the limit of open files, or lower --num_workers: 0 loads in the main process",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))
