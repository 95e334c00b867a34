"""A run of a stage: checked before it starts, alone in its folder, stopped cleanly, recorded in a manifest."""

from __future__ import annotations

import atexit
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import ranks, signals
from ..cohort.case import Case
from ..cohort.datalist import DATALIST_FILE
from ..errors import SemclError, raise_all
from ..files import write_text
from ..sidefiles import shown_note
from . import config_check, config_files, manifest, shipped_configs
from .checkpoint_file import keep_checkpoint, keep_last_state, load_checkpoint, nothing_to_resume, write_checkpoint
from .closing import closing_lines, go_on, some_failed
from .handles import require_handles
from .lock import Locks
from .longer import BEGUN, EPOCHS, is_longer, require_schedule
from .shard import Shard
from .stage_options import not_for_the_stage

SOME_FAILED = 3  # exit code: done but for some cases


class Job:
    """One run of a stage, by one process or by several ranks, of which the first writes the files named here.

    Args:
        stage: name of the stage's config, without suffix.
        bundle_root: the bundle's folder.
        output_dir: gets jobs/<stage>.json, the manifest, and jobs/<stage>.checkpoint.pt while the run lasts.
        origin: what the run works on (cohort, label table), as hashes.
        seed: of the run.
        resume: go on from the checkpoint; from the last state of a finished run where this one has more epochs.
        schedule: "begun", or "refitted" to a larger number of epochs than the resumed run was begun with.
        label_maps: a hash of the label maps that are learnt from, without which a run is not resumed.
        time_limit: minutes after which the run stops as on a signal; 0 for none.
        shard: "i/n": do the i-th of n parts of a stage over cases; the others may run at the same time.
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
        schedule: str = BEGUN,
        label_maps: str = "",
    ) -> None:
        self.stage, self.bundle_root, self.origin, self.label_maps = stage, Path(bundle_root), dict(origin), label_maps
        self.seed, self.resume, self.schedule, self.time_limit = seed, resume, schedule, time_limit
        self.shard = None if shard is None else Shard.of(shard)
        self.folder = Path(output_dir) / "jobs"
        self.name = stage if self.shard is None else f"{stage}.{self.shard.name}"
        self.checkpoint = self.folder / f"{stage}.checkpoint.pt"
        self.last_state = self.folder / f"{stage}.finished.pt"
        self.manifest = self.folder / f"{self.name}.json"
        self.note, self.config, self.dataset_dir = dict[str, Any](), dict[str, Any](), ""
        self.failed: list[str] = []
        self.earlier = False  # whether the checkpoint that is there is an earlier run's
        self.round = 0  # of the last checkpoint: of a stage that trains several networks
        self.leads = ranks.number() == 0
        self.locks = Locks(self.folder)
        self.one_at_a_time = self.locks.one_at_a_time  # keeps runs of other shards out of something short
        self.handlers: dict[signal.Signals, Any] = {}  # of signals, as they were before
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
        ships = shipped_configs.shipped(self.bundle_root, self.stage)
        self.config = config_check.flatten({**running, "common": ships.common})
        self.dataset_dir = str(running.get("dataset_dir", ""))
        wrong = [
            *config_files.out_of_order(config_files.given_files()),
            *not_for_the_stage(self.stage, self.resume, self.shard),
            *config_check.check_config(running, ships.own, ships.others),
        ]
        ranks.first_alone(lambda: self._open(wrong))
        workers = running.get("num_workers", 0)
        require_handles(workers if isinstance(workers, int) else int(ships.common["num_workers"]))
        self._listen()

    def _open(self, wrong: Sequence[SemclError]) -> None:
        """Do the part of ``begin`` that is done once for all ranks."""
        raise_all(wrong, of="the config")
        of_scans = self._scans()
        self._claim()
        if self.resume:
            self._check_resume()
            failed = shown_note(self.manifest).get("failed_cases")
            self.failed = [str(case) for case in failed] if isinstance(failed, list) else []
        self.earlier = not self.resume and self.checkpoint.is_file()
        self.last = self.manifest.stat().st_mtime_ns if self.manifest.is_file() else 0
        opening = manifest.opening(self.stage, str(self.bundle_root))
        works_on = {**self.origin, "seed": self.seed, "resumed": self.resume, "ranks": ranks.count()}
        shard = {} if self.shard is None else {"shard": str(self.shard)}
        shard |= {} if of_scans is None else {"scans": of_scans}
        of_config = {"config_hash": config_check.config_digest(self.config), "config": self.config}
        self.note = {**works_on, **shard, **opening, **of_config}
        self._write("running")
        atexit.register(self._left)

    def _scans(self) -> str | None:
        """The folder of scans that is worked on, where results of another one would be mixed with its own.

        Raises:
            SemclError: when another one's results are in the output folder. A folder that has been moved is the same.
        """
        own = Path(self.dataset_dir).resolve()
        if not self.dataset_dir or not own.is_dir() or (own / DATALIST_FILE).is_file():
            return None
        for path in sorted(self.folder.glob("*.json")):
            other = Path(str(shown_note(path).get("scans", own)))
            if other != own and other.is_dir():
                raise SemclError(
                    "the output folder holds results of other scans, which may have the same names",
                    found=f"{self.folder.parent}, of {other}",
                    expected=f"results of {own}",
                    remedy="give this run an --output_dir of its own, or move those results away",
                )
        return str(own)

    def finish(self) -> None:
        """Wait for all ranks, note the end and remove the checkpoint; exit with code 3 when cases failed."""
        self.share_failed()
        if self.leads and self.shard is None and not self.earlier:
            keep_last_state(self.checkpoint, self.last_state, self.round)
        self._write("completed")
        self._release()
        if self.leads:
            print(
                closing_lines(self.name, self.folder.parent, self.dataset_dir, self.bundle_root / "configs", self.start)
            )
        if self.failed:
            if self.leads:
                print(f"{self.stage}: {some_failed(self.failed)}", file=sys.stderr)
            sys.exit(SOME_FAILED)

    def part(self, cases: Sequence[Case]) -> list[Case]:
        """Return the cases of this run's shard; all of them without one."""
        return list(cases) if self.shard is None else self.shard.of_list(cases)

    def share_failed(self) -> None:
        """Make the cases that failed on any rank known to all."""
        self.failed = list(dict.fromkeys(case for part in ranks.gathered(self.failed) for case in part))

    def fail(self, case: str, why: object) -> None:
        """Go on without a case; it is named at the end, also when the run is resumed in between."""
        self.failed.append(case)
        self._write("running")
        print(f"\nerror: {why}", file=sys.stderr)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the checkpoint; the one before stays until this one is whole.

        Raises:
            SemclError: when it cannot be written.
        """
        content = {**state, "config": self.config, "origin": self.origin, "label_maps": self.label_maps}
        write_checkpoint(self.checkpoint, content, self._keep_earlier)
        self.round = int(state.get("round", 0))

    def _keep_earlier(self) -> None:
        if self.earlier:
            keep_checkpoint(self.checkpoint, self.stage)
        self.earlier = False

    def load(self) -> dict[str, Any]:
        """Return the state of the checkpoint, else the last one of a finished run; errors of ``load_checkpoint``."""
        finished = self.last_state.is_file() and not self.checkpoint.is_file()
        path = self.last_state if finished else self.checkpoint
        return load_checkpoint(path, str(shown_note(self.manifest).get("status") or ""))

    def _check_resume(self) -> None:
        state = self.load()
        before, now, longer = state["config"], self.config, is_longer(state["config"], self.config)
        if not longer and not self.checkpoint.is_file():
            raise nothing_to_resume(self.checkpoint, "completed")
        now = {**now, EPOCHS: before[EPOCHS]} if longer else now
        origin = config_check.differences(state["origin"], self.origin)
        if state.get("label_maps", self.label_maps) != self.label_maps:
            origin.append("label maps: others, of other sizes, or of other organs than it was started with")
        if changed := origin + config_check.differences(before, now):
            raise SemclError(
                "the checkpoint is of another run",
                found="\n            ".join(changed),
                expected="the config, cohort, label maps and label table the run was started with",
                remedy="run it as it was started, or leave out --resume to start over; `semcl run` with --start STAGE",
            )
        if longer:
            require_schedule(self.config, before, int(state.get("round", 0)), self.schedule)

    def _claim(self) -> None:
        """Hold the stage's lock while the process lives; runs of shards share it, and each has one of its own."""
        manifest.refuse_strange_run(self.folder, self.stage, self.name)
        self.locks.claim({self.stage: False} if self.shard is None else {self.stage: True, self.name: False})

    def _release(self) -> None:
        self.locks.release()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signals.release(self.handlers)
        self.handlers = {}

    def _listen(self) -> None:
        """Stop at once on a signal and at the time limit: files are whole at any time."""

        def stop(number: signal.Signals) -> None:
            why = "the time limit" if number == signal.SIGALRM else number.name
            with suppress(OSError):  # also on a full disk the run must stop
                self._write("interrupted")
            signals.silence_engines()
            if self.leads:
                signals.say(f"\n{self.stage}: stopped by {why}; {go_on(self.checkpoint, self.earlier)}")
            sys.exit(signals.BY_USER if number == signal.SIGINT else signals.INTERRUPTED)

        self.handlers = signals.catch(stop, (*signals.ENDING, signal.SIGALRM))
        if self.time_limit:
            signal.setitimer(signal.ITIMER_REAL, self.time_limit * 60)

    def _write(self, status: str) -> None:
        if not self.leads:
            return
        self.note |= manifest.closing(status, self.start) | {"failed_cases": self.failed}
        write_text(self.manifest, json.dumps(self.note, indent=1))

    def _left(self) -> None:
        """At exit, record a run that has not ended as failed."""
        if self.note.get("status") == "running" and self.locks.held:
            with suppress(OSError):  # on a full disk it keeps saying that it runs
                self._write("failed")
