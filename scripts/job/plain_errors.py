"""Errors that end a run, reported in a few lines: which part of the config, what happened, what to change."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import traceback
from types import TracebackType

import torch
import torch.distributed as dist

from ..errors import SemclError, raise_all, root_cause
from ..signals import say
from . import config_check, overlays

NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
FULL_TRACEBACK = "SEMCL_TRACEBACK"  # environment variable; set to 1 to see it


def plain_errors() -> None:
    """Report an error that ends the process as one message, with a traceback only if no config can cause it.

    MONAI wraps what a component raises in errors of its own; called first in a config's ``run`` list this shows the
    user the cause alone. SEMCL_TRACEBACK=1 in the environment adds the traceback.

    Raises:
        SemclError: for a path of the config that is not text, or whose key is misspelt, before anything is read or
            written there.
    """

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt) and os.environ.get(FULL_TRACEBACK) != "1":
            say("\ninterrupted; run the same command again: what is written is whole")
            return
        cause = explain(error)
        if cause is None or os.environ.get(FULL_TRACEBACK) == "1":
            sys.__excepthook__(kind, error, trace)
        if cause is not None:
            print(f"\nerror: {cause}", file=sys.stderr)

    sys.excepthook = show
    logging.getLogger("ignite.engine").setLevel(logging.CRITICAL)  # engines log what they raise: it is shown at the end
    running = config_check.running_config()
    raise_all([*overlays.wrong_paths(running), *overlays.misspelt_paths(running)], of="the config")


def explain(error: BaseException) -> SemclError | None:
    """Return the error with a remedy; None for one that only its traceback explains."""
    own = root_cause(error)
    if own is not None:
        return own
    chain = _chain(error)
    return (
        _loader_error(chain)
        or _memory(chain)
        or _disk(chain)
        or _access(chain)
        or _lost_loader(chain)
        or _lost_rank(chain)
        or _component(chain)
    )


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception and those it was raised from, the first cause last."""
    found, current = [], error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__  # type: ignore[assignment]
    return found


def _summary(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _memory(chain: list[BaseException]) -> SemclError | None:
    for error in chain:
        reported = "can't allocate memory" in str(error) or "out of memory" in str(error).lower()
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and reported):
            return SemclError(
                "out of memory",
                found=_summary(error),
                expected="a step that fits into memory",
                remedy="lower patch_size; in pretrain and train clusters_per_batch or queries_per_cluster; in coarse "
                "and inference batch_size; try --precision bfloat16",
            )
    return None


def _disk(chain: list[BaseException]) -> SemclError | None:
    for error in chain:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return SemclError(
                "the disk is full",
                found=_summary(error),
                expected="room to write",
                remedy="make room and run the stage again: files are whole or not there",
            )
    return None


def _access(chain: list[BaseException]) -> SemclError | None:
    for error in chain:
        if isinstance(error, OSError) and error.filename is not None and error.errno in NO_ACCESS:
            return SemclError(
                "a file or folder cannot be read or written",
                found=_summary(error),
                expected="permission to read the inputs and to write where results go",
                remedy="change its owner or permissions, mount it for writing, or name another path",
            )
    return None


def _loader_error(chain: list[BaseException]) -> SemclError | None:
    """Return the ``SemclError`` of a loader process, of which torch passes on only the text."""
    parts = r"SemclError: (?:case (?P<case>.+?): )?(?P<problem>.+)\n  found:    (?P<found>(?s:.+?))\n  expected: "
    parts += r"(?P<expected>(?s:.+?))\n  do this:  (?P<remedy>.+)"
    for error in chain:
        found = re.search(parts, str(error))
        if found:
            return SemclError(**found.groupdict())
    return None


def _lost_loader(chain: list[BaseException]) -> SemclError | None:
    for error in chain:
        if str(error).startswith("DataLoader worker (pid"):
            return SemclError(
                "a loader process was killed",
                found=_summary(error),
                expected="processes that fit into memory",
                remedy="lower --num_workers (0 loads in the main process), or give the job more memory or /dev/shm",
            )
    return None


def _lost_rank(chain: list[BaseException]) -> SemclError | None:
    """Return the error of a rank that lost another one."""
    for error in chain:
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            return SemclError(
                "another rank was lost",
                found=_summary(error),
                expected="all ranks running until the end",
                remedy="find what ended it above or in its node's log; then go on with --resume True",
            )
    return None


def _component(chain: list[BaseException]) -> SemclError | None:
    """Return the error of a component that MONAI could not build, by its path in the config."""
    paths = []
    for error in chain:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_name == "_resolve_one_item":
                paths.append(str(frame.f_locals.get("id", "")))
    built = any(str(error).startswith(("Failed to instantiate", "Failed to evaluate")) for error in chain)
    if not built or not paths or paths[-1].startswith("run"):  # what runs was made before
        return None
    path = paths[-1].replace("::", "#")
    return SemclError(
        f"{path} of the config cannot be made",
        found=_summary(chain[-1]),
        expected="arguments that fit",
        remedy=f"check {path} and what was overridden; {FULL_TRACEBACK}=1 shows the traceback",
    )
