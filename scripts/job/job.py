"""A run of a stage: checked before it starts, alone in its folder, stopped in an orderly way, noted in a manifest."""

from __future__ import annotations

import atexit
import fcntl
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch

from .. import ranks, signals
from ..cohort.case import Case
from ..errors import SemclError, raise_all
from ..files import write_text, written_whole
from ..sidefiles import for_show, plain_note
from . import config_check, manifest
from .handles import require_handles
from .shard import Shard

RESUMED = ("coarse", "pretrain", "train")  # stages that write checkpoints
SHARDED = ("maps", "store", "inference", "evaluate")  # stages over cases, which runs can share
SOME_FAILED = 3  # exit code: done but for some cases


class Job:
    """One run of a stage, by one process or by several ranks, of which the first writes what is said here.

    Args:
        stage: name of the stage's config, without suffix.
        bundle_root: the bundle's folder.
        output_dir: gets jobs/<stage>.json, the manifest, and jobs/<stage>.checkpoint.pt while the run lasts.
        origin: what the run works on (cohort, label table), as hashes.
        seed: of the run.
        resume: go on from the checkpoint.
        time_limit: minutes after which the run stops as if told to; 0 for none.
        shard: "i/n": a run of a stage over cases that does one of n parts; runs of the others may go on beside it.
    """

    def __init__(
        self,
        stage: str,
        bundle_root: str,
        output_dir: str,
        origin: Mapping[str, str],
        seed: int,
        resume: bool = False,
        time_limit: float = 0,
        shard: str | None = None,
    ) -> None:
        self.stage, self.bundle_root, self.origin = stage, Path(bundle_root), dict(origin)
        self.seed, self.resume, self.time_limit = seed, resume, time_limit
        self.shard = None if shard is None else Shard.of(shard)
        self.folder = Path(output_dir) / "jobs"
        self.name = stage if self.shard is None else f"{stage}.{self.shard.name}"
        self.checkpoint = self.folder / f"{stage}.checkpoint.pt"
        self.manifest = self.folder / f"{self.name}.json"
        self.note: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.failed: list[str] = []
        self.leads = ranks.number() == 0
        self.locks: list[IO[str]] = []
        self.handlers: dict[signal.Signals, Any] = {}  # of signals, before the run listened
        self.start = time.monotonic()
        self.last = 0  # when the run before this one was last noted, in ns

    def begin(self) -> None:
        """Check the config, claim the folder, look for what to resume, and note the start.

        Raises:
            SemclError: for unknown keys, values of the wrong kind, another run in the folder, nothing to resume, or a
                checkpoint of another config, cohort or label table.
        """
        ranks.refuse_strangers()
        running = config_check.running_config()
        shipped = config_check.shipped(self.bundle_root, self.stage)
        self.config = config_check.flatten({**running, "common": shipped.common})
        wrong = [*self._not_for_the_stage(), *config_check.check(running, shipped.own, shipped.others)]
        ranks.first_alone(lambda: self._open(wrong))
        workers = running.get("num_workers", 0)
        require_handles(workers if isinstance(workers, int) else int(shipped.common["num_workers"]))
        self._listen()

    def _not_for_the_stage(self) -> Iterator[SemclError]:
        """Options of all stages that mean nothing to this one."""
        for name, given, stages in (("resume", self.resume, RESUMED), ("shard", self.shard, SHARDED)):
            if given and self.stage not in stages:
                yield SemclError(
                    f"{self.stage} knows no --{name}",
                    found=f"--{name} {given}",
                    expected=f"it with {', '.join(stages)} alone",
                    remedy=f"leave out --{name}",
                )

    def _open(self, wrong: Sequence[SemclError]) -> None:
        """What ``begin`` does once for all ranks."""
        raise_all(wrong, of="the config")
        self._claim()
        if self.resume:
            self._check_resume()
            failed = _read_note(self.manifest).get("failed_cases")
            self.failed = [str(case) for case in failed] if isinstance(failed, list) else []
        elif self.checkpoint.is_file():
            kept = self.checkpoint.with_name(f"{self.stage}.checkpoint.previous.pt")
            self.checkpoint.replace(kept)
            print(f"{self.stage}: starts anew; the interrupted run's checkpoint is kept as {kept}", file=sys.stderr)
        self.last = self.manifest.stat().st_mtime_ns if self.manifest.is_file() else 0
        opening = manifest.opening(self.stage, str(self.bundle_root))
        works_on = {**self.origin, "seed": self.seed, "resumed": self.resume, "ranks": ranks.count()}
        if self.shard is not None:
            works_on["shard"] = str(self.shard)
        self.note = {**works_on, **opening, "config_hash": config_check.digest(self.config), "config": self.config}
        self._write("running")
        atexit.register(self._left)

    def finish(self) -> None:
        """Wait for all ranks, note the end and remove the checkpoint; exit with code 3 when cases failed."""
        self.share_failed()
        if self.leads:
            if self.shard is None:
                self.checkpoint.unlink(missing_ok=True)
            self._write("completed")
        self._release()
        if self.failed:
            names = ", ".join(self.failed)
            if self.leads:
                print(f"{self.stage}: {len(self.failed)} cases failed, the others are done: {names}", file=sys.stderr)
            sys.exit(SOME_FAILED)

    def part(self, cases: Sequence[Case]) -> list[Case]:
        """The cases of this run's shard; all of them where there is none."""
        return list(cases) if self.shard is None else self.shard.of_list(cases)

    def share_failed(self) -> None:
        """Let every rank know the cases that failed on any."""
        self.failed = list(dict.fromkeys(case for part in ranks.gathered(self.failed) for case in part))

    def fail(self, case: str, why: object) -> None:
        """Go on without a case, to be named at the end, also of a run that goes on after an interruption."""
        self.failed.append(case)
        self._write("running")
        print(f"\nerror: {why}", file=sys.stderr)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the checkpoint; the one before stays until this one is whole.

        Raises:
            SemclError: when it cannot be written.
        """
        failure = None
        try:
            with written_whole(self.checkpoint) as aside:
                torch.save({**state, "config": self.config, "origin": self.origin}, aside)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError where the disk is full
            failure = str(error).splitlines()[0]
        if failure is not None:  # raised here, since the first error's frames hold the file, and with it the disk
            raise SemclError(
                "the checkpoint cannot be written",
                found=f"{self.checkpoint}: {failure}",
                expected="room on the disk, and leave to write",
                remedy="make room, then go on with --resume True: the last whole checkpoint is untouched",
            )

    def load(self) -> dict[str, Any]:
        """The state of the checkpoint.

        Raises:
            SemclError: when there is none, or it cannot be read.
        """
        if not self.checkpoint.is_file():
            done = f"; the last run {note['status']}" if (note := _read_note(self.manifest)).get("status") else ""
            raise SemclError(
                "there is nothing to resume",
                found=f"no {self.checkpoint}{done}",
                expected="the checkpoint of an interrupted run",
                remedy="leave out --resume to start a run, or point --output_dir at the interrupted one",
            )
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            dict(state["origin"]), dict(state["config"])  # or it is something else
        except Exception as error:  # a damaged file raises whatever its reader meets first
            raise SemclError(
                "the checkpoint cannot be read",
                found=f"{self.checkpoint}: {type(error).__name__}",
                expected="a checkpoint as this stage writes it",
                remedy="remove it and start the run anew",
            ) from error
        return state

    def _check_resume(self) -> None:
        state = self.load()
        origin = config_check.differences(state["origin"], self.origin)
        changed = origin + config_check.differences(state["config"], self.config)
        if changed:
            raise SemclError(
                "the checkpoint is of another run",
                found="\n            ".join(changed),
                expected="the config, cohort and label table the run was started with",
                remedy="run it as it was started, or leave out --resume to start anew",
            )

    def _claim(self) -> None:
        """Hold the stage's lock while the process lives; runs of shards share it, and each has one of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = {self.stage: fcntl.LOCK_EX} if self.shard is None else {self.stage: fcntl.LOCK_SH}
        for name, kind in (wanted | {self.name: fcntl.LOCK_EX}).items():
            path = self.folder / f"{name}.lock"
            self.locks.append(open(path, "w"))  # noqa: SIM115  # held until the run ends
            try:
                fcntl.flock(self.locks[-1], kind | fcntl.LOCK_NB)
            except OSError as error:
                raise SemclError(
                    f"another run of {name} is writing here",
                    found=f"{path} is locked",
                    expected="one run a stage and folder, or one a shard",
                    remedy="wait for it or stop it, or give this one another --output_dir",
                ) from error

    @contextmanager
    def one_at_a_time(self, what: str) -> Iterator[None]:
        """Keep runs of other shards out of something short."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f"{what}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _release(self) -> None:
        while self.locks:
            self.locks.pop().close()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signals.release(self.handlers)
        self.handlers = {}

    def _listen(self) -> None:
        """Stop on a signal and at the time limit; what is written is whole at any time, so at once."""

        def stop(number: signal.Signals) -> None:
            why = "the time limit" if number == signal.SIGALRM else number.name
            with suppress(OSError):  # a full disk is no reason to go on
                self._write("interrupted")
            how = "go on with --resume True" if self.checkpoint.is_file() else "run it again: what is written is whole"
            if self.leads:
                signals.say(f"\n{self.stage}: stopped by {why}; {how}")
            sys.exit(signals.BY_USER if number == signal.SIGINT else signals.INTERRUPTED)

        self.handlers = signals.catch(stop, (*signals.ENDING, signal.SIGALRM))
        if self.time_limit:
            signal.setitimer(signal.ITIMER_REAL, self.time_limit * 60)

    def _write(self, status: str) -> None:
        if not self.leads:
            return
        self.note |= manifest.closing(status, self.start)
        self.note["failed_cases"] = self.failed
        write_text(self.manifest, json.dumps(self.note, indent=1))

    def _left(self) -> None:
        """At exit: a run that still runs has failed."""
        if self.note.get("status") == "running" and self.locks:
            with suppress(OSError):  # on a full disk it keeps saying that it runs
                self._write("failed")


def _read_note(path: Path) -> dict[str, Any]:
    return (for_show(path, plain_note) if path.is_file() else None) or {}
