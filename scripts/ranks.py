"""The ranks of a job, its processes on one or many machines: their number, shares of the work, and exchange.

Without a process group there is one rank, and nothing here costs anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import zip_longest
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from .errors import SemclError

_Item = TypeVar("_Item")
Part = TypeVar("Part", bound=Any)
MISSING: Any = object()
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets


def join_ranks(patience: float) -> None:
    """Join the process group that torchrun or srun started this process for; if neither did, it is alone.

    NCCL on GPUs, where the device becomes that of the local rank, Gloo elsewhere.

    Args:
        patience: minutes a rank waits for the others before it gives up.
    """
    backend, wait = "nccl" if torch.cuda.is_available() else "gloo", timedelta(minutes=patience)
    if dist.is_initialized():
        return
    if all(name in os.environ for name in LAUNCHED):
        device = None
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        dist.init_process_group(backend, timeout=wait, device_id=device)
    elif int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ:
        import ignite.distributed as idist  # it knows Slurm's variables; under torchrun it would believe them too

        idist.initialize(backend, timeout=wait)


def leave_ranks() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def refuse_strangers() -> None:
    """Refuse to be one of several processes that do not know of each other.

    Raises:
        SemclError: when torchrun started several and no process group was joined.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1 and count() == 1:
        raise SemclError(
            "this is one of several processes that do not know of each other",
            found=f"{started} processes started by torchrun, each with the whole work",
            expected="the overlay that joins them",
            remedy="give --config_file \"['<stage>.yaml', 'bundle/configs/multi_gpu_train.yaml']\"",
        )


def count() -> int:
    """Return the number of ranks."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Return this process's rank, from 0; rank 0 writes what is written once."""
    return dist.get_rank() if count() > 1 else 0


def own(items: Part) -> Part:
    """Return this rank's part of a list, or of the rows of an array or tensor: every n-th of n ranks."""
    part: Part = items[number() :: count()]
    return part


def interleaved(parts: Sequence[Sequence[_Item]]) -> list[_Item]:
    """Return the list that ``own`` split into these parts."""
    return [item for row in zip_longest(*parts, fillvalue=MISSING) for item in row if item is not MISSING]


def share(size: int, name: str) -> int:
    """Return the size of each rank's part of a batch.

    Raises:
        SemclError: when it cannot be shared evenly: the ranks' mean would not be that of the batch.
    """
    if size % count():
        raise SemclError(
            f"a batch of {size} cannot be shared evenly by {count()} ranks",
            found=f"{size} = {name}",
            expected=f"a multiple of {count()}: batches are those of all ranks together",
            remedy="change one of them, or the number of ranks",
        )
    return size // count()


def gathered(value: Any) -> list[Any]:
    """Return every rank's value, in order; every rank must call this, and waits for the others."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value)
    return values


def wait() -> None:
    """Wait until every rank is here."""
    gathered(None)


def total(tensor: torch.Tensor) -> torch.Tensor:
    """Sum a tensor over all ranks, in place, and return it."""
    if count() > 1:
        dist.all_reduce(tensor)
    return tensor


def first_alone(act: Callable[[], None]) -> None:
    """Let rank 0 do something while the others wait.

    Raises:
        SemclError: on rank 0, when it was raised there; the others exit silently with code 1.
    """
    error = None
    if number() == 0:
        try:
            act()
        except SemclError as raised:
            error = raised
    failed = gathered(error is not None)[0]
    if error is not None:
        raise error
    if failed:
        sys.exit(1)
