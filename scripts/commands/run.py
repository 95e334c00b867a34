"""``semcl run``: all stages of a cohort, from attention maps to the report."""

from __future__ import annotations

import gc
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from .arguments import program
from .chain import ALL_STAGES, TAUGHT, Chain
from .option_readers import Choice
from .options import checked

if TYPE_CHECKING:
    from ..cohort.case import Case

WITH_CHECKPOINT = ALL_STAGES[:3]
MAPS = "maps"  # the stage that makes missing attention maps
STARTING_WEIGHTS = "encoder_weights"  # in an overlay: null for no pretraining


@checked
def run(
    dataset_dir: str,
    overlay: str | None = None,
    start: Annotated[str, Choice(ALL_STAGES)] | None = None,
    bundle_root: str | None = None,
    **unknown: object,
) -> None:
    """Run all stages on a cohort: attention maps, pretraining, refinement, label maps of the testing cases, report.

    Run again after an interruption it goes on in the stage it was in; stages that have completed are not repeated. If
    scans were added, the coarse networks and the encoder are kept. Attention maps are made by a plain network of axial
    slices, unless the overlay asks for one of whole volumes by coarse_dims: 3 or by numbers that only such a one has.
    With encoder_weights: null in the overlay nothing is pretrained: refinement begins with that network's encoder.
    With start self_training that network then learns from what refinement makes of scans without label maps, before the
    testing cases are segmented.

    Args:
        dataset_dir: the cohort, made by prepare.
        overlay: your own numbers, a YAML file, or standard or faithful; kept in the cohort for later commands.
        start: the stage to start with, and repeat: coarse, pretrain, train, self_training, inference or evaluate.
        bundle_root: folder of the bundle, by default that of this installation.
    """
    from ..bundle_folder import bundle_folder
    from ..coarse.config import coarse_config
    from ..cohort import datalist
    from ..study.strategy import read_overlay
    from .stages import check_configs, overlay_of

    cohort, root = Path(dataset_dir), Path(bundle_root) if bundle_root else bundle_folder()
    cases = datalist.load(cohort)
    chosen = overlay_of(cohort, overlay, root)
    given = read_overlay(chosen) if chosen else {}
    first, numbers = coarse_config(given)
    chain = Chain.of(cohort, cases, chosen)
    taught = start == TAUGHT[-1] or (start is None and chain.teaching())
    configs = _configs(first, cases, start, taught, pretrained=given.get(STARTING_WEIGHTS, True) is not None)
    overrides: dict[str, dict[str, Any]] = {
        config: {"dataset_dir": dataset_dir, **(numbers if config in (first, TAUGHT[-1]) else {})}
        for config in (*(config for several in configs.values() for config in several), MAPS)
    }
    check_configs(root, overrides, chosen)
    with chain.alone():
        _AllStages(cohort, root, cases, chosen, configs, overrides, chain, start, taught).go_on()


@dataclass(frozen=True)
class _AllStages:
    """The stages of a cohort and what they are run with.

    Args:
        cohort: its folder.
        root: the bundle's folder.
        cases: of the cohort.
        overlay: that was chosen.
        configs: of each stage.
        overrides: of each config.
        chain: what has been run.
        start: the stage that is asked for.
        taught: whether there is self-training.
    """

    cohort: Path
    root: Path
    cases: Sequence[Case]
    overlay: Path | None
    configs: dict[str, tuple[str, ...]]
    overrides: Mapping[str, dict[str, Any]]
    chain: Chain
    start: str | None
    taught: bool

    def go_on(self) -> None:
        """Run the stages that are still to be run."""
        from ..job.closing import CHAINED
        from .stages import keep_overlay

        kept = keep_overlay(self.overlay, self.cohort) if self.overlay else None
        stages, first = list(self.configs), self.configs[ALL_STAGES[0]][0]
        done = stages[: stages.index(self.start)] if self.start else self.chain.done(stages)
        again = f"{program()} run --dataset_dir {shlex.quote(self.overrides[first]['dataset_dir'])}"
        self._say(done, again)
        if len(done) == len(stages):
            return
        CHAINED.set(again)
        if self.start or not self.chain.begun():  # what was interrupted before began with other weights
            repeated = stages if not self.chain.begun() else stages[len(done) :]
            _keep_checkpoints(self.cohort, [self.configs[stage][-1] for stage in repeated if stage in WITH_CHECKPOINT])
        if done and _lacks_maps(self.cohort, self.cases):
            print("\n== attention maps of added scans", flush=True)
            self._run((MAPS,), kept)
        for stage in stages[len(done) :]:
            self._run_stage(stage, done, kept)

    def _say(self, done: Sequence[str], again: str) -> None:
        """Say what has changed since the stages that are done, and whether these are all."""
        if self.chain.changed() and (done or not self.start):
            changed = "scans or label maps have changed since, or were copied"
            print(f"{changed}: {again} --start coarse learns from what is there")
        if self.start and done and not self.chain.begun() and self.chain.path.is_file():
            print(f"{', '.join(done)}: taken as they are, though run with another overlay or state of the cohort")
        if len(done) == len(self.configs):
            print(f"all stages have completed; {again} --start coarse repeats them")
            if self.chain.grown() and ALL_STAGES[1] in self.configs:
                print(f"scans to learn from were added since; {again} --start pretrain learns from them")

    def _run_stage(self, stage: str, done: list[str], overlay: Path | None) -> None:
        """Run a stage after those that are done, which it then is too."""
        from ..coarse.config import OF_SLICES
        from ..job.job import SOME_FAILED

        by = f" ({OF_SLICES}.yaml)" if stage == ALL_STAGES[0] and self.configs[stage][0] == OF_SLICES else ""
        print(f"\n== {len(done) + 1}/{len(self.configs)} {stage}{by}", flush=True)
        self.chain.note(done, self.taught)
        try:
            self._run(self.configs[stage] if stage == self.start else self._resumed(stage), overlay)
        except SystemExit as ended:
            if ended.code == SOME_FAILED and stage == ALL_STAGES[0]:  # it has trained: only maps are missing
                self.chain.note([*done, stage], self.taught)
            raise
        done.append(stage)
        self.chain.note(done, self.taught)
        gc.collect()

    def _resumed(self, stage: str) -> tuple[str, ...]:
        """The configs of a stage that are still to be run; overrides say whether the last goes on where it was."""
        from ..coarse.config import OF_SLICES

        configs = self.configs[stage]
        if stage == TAUGHT[-1]:
            begun = (self.cohort / "jobs" / f"{OF_SLICES}.checkpoint.pt").is_file()
            configs = configs[-1:] if begun else configs  # what it learns from is there
            self.overrides[stage]["resume"] = begun
        elif stage in WITH_CHECKPOINT:
            checkpoint = self.cohort / "jobs" / f"{configs[-1]}.checkpoint.pt"
            self.overrides[configs[-1]]["resume"] = checkpoint.is_file()
        return configs

    def _run(self, configs: Sequence[str], overlay: Path | None) -> None:
        """Run configs, one after the other."""
        from .stages import run_config

        for config in configs:
            run_config(self.root, config, overlay, self.overrides[config])


def _configs(
    first: str, cases: Sequence[Case], start: str | None, taught: bool, pretrained: bool
) -> dict[str, tuple[str, ...]]:
    """The stages of a cohort, in order, each with its configs.

    Args:
        first: the config of the coarse stage.
        cases: of the cohort.
        start: the stage that is asked for.
        taught: whether there is self-training.
        pretrained: whether there is pretraining.

    Raises:
        SemclError: when a stage is asked for that there is not.
    """
    from ..coarse.config import OF_SLICES
    from ..errors import SemclError

    if taught and not (first == OF_SLICES and any(case.fold is not None and case.label is None for case in cases)):
        raise SemclError(
            "there is no self-training here",
            found="attention maps of a network of whole volumes" if first != OF_SLICES else "a label map of every scan",
            expected="a plain network of slices (coarse_dims 2), and training scans without label maps",
            remedy="start with another stage, or add scans: semcl prepare --unlabelled",
        )
    learns = start not in ("inference", "evaluate")
    if learns and not any(case.fold is not None and case.label is not None for case in cases):
        raise SemclError(
            "there is nothing to learn from",
            found="no training scan with a label map",
            expected="at least one, in the cohort's datalist.json",
            remedy="prepare the cohort with --labels, or segment its scans with models of another one:"
            " inference.yaml --ckpt_dir MODELS",
        )
    tested = [case for case in cases if case.fold is None]
    wanted = {
        ALL_STAGES[1]: (pretrained, f"{STARTING_WEIGHTS}: null in the overlay"),
        TAUGHT[-1]: (taught, ""),
        "inference": (bool(tested), "no testing scans in the cohort"),
        "evaluate": (any(case.label for case in tested), "no testing scan with a label map in the cohort"),
    }
    left_out = {stage: why for stage, (run, why) in wanted.items() if not run}
    if start in left_out:
        raise SemclError(
            f"there is no {start} here", found=left_out[start], expected="something to do for it",
            remedy="start with another stage",
        )  # fmt: skip
    for stage in ("inference", "evaluate"):
        if stage in left_out:
            print(f"{stage} is left out: {left_out[stage]}")
    own = {ALL_STAGES[0]: (first,), TAUGHT[-1]: TAUGHT}
    return {stage: own.get(stage, (stage,)) for stage in ALL_STAGES if stage not in left_out}


def _keep_checkpoints(cohort: Path, stages: Sequence[str]) -> None:
    """Set aside the checkpoints of stages that were interrupted with another overlay or state of the cohort."""
    from ..job.checkpoint_file import keep_checkpoint

    for stage in stages:
        path = cohort / "jobs" / f"{stage}.checkpoint.pt"
        if path.is_file():
            keep_checkpoint(path, stage)


def _lacks_maps(cohort: Path, cases: Sequence[Case]) -> bool:
    """Whether the coarse stage has made maps of a cohort to which scans were added since."""
    from ..cohort.attention import attention_path
    from ..cohort.provenance import has_note

    folder = cohort / "attention"
    return has_note(folder) and not all(attention_path(folder, case.id).is_file() for case in cases)
