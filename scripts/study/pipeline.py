"""The steps of a run: a strategy's stages with their folders, lengths and what they need, shared where they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..coarse.config import SLICES
from ..coarse.map_plan import MapPlan
from ..coarse.slices import ENCODER
from ..cohort.provenance import CROSS_FITTED, SIMULATED
from ..version import __version__
from .budget import Cost, Length, length_of, usual_length
from .plan import Plan, Run
from .stage_keys import group, short_hash
from .stage_shares import ENDS, SELF_TRAINING, predictor, teacher
from .step import ATTENTION_FOLDER, PREDICTION_FOLDER, Step
from .strategy import LENGTH_KEYS, OWN, Strategy

TEACHERS = {"pseudo_labels", "plain_pseudo_labels"}
READS_VOLUMES = {"coarse", "store", "segment", "pretrain_slices", SELF_TRAINING, *TEACHERS}  # costs grow with a cohort

ENCODERS = {"encoder", "slice_encoder"}  # of queries and of slices; others than the shipped ones have other weights


class Pipelines:
    """Makes the steps of runs; equal steps are one.

    Args:
        plan: the study.
        costs: of each stage of each strategy, by ``cost_key``; None: the configs' own lengths hold.
    """

    def __init__(self, plan: Plan, costs: Mapping[str, Cost] | None) -> None:
        self.plan, self.costs = plan, costs
        self._made: dict[Path, Step] = {}

    def steps(self, run: Run) -> list[Step]:
        """The steps of a run in order; the last one, or the only one, leaves predictions.

        Raises:
            SemclError: when the budget is too small for a stage.
        """
        found: dict[str, Step] = {}
        shares = self.plan.shares(run)
        for stage in shares:
            if stage in ("coarse", run.strategy.coarse_stage):
                found[stage] = self._coarse(run, stage, found)
            elif stage in ("pretrain", "train"):
                self._of_queries(run, stage, found)
            elif stage == SELF_TRAINING:
                self._self_training(run, found)
            else:
                weights = _weights(found, "pretrain_slices") if stage == "segment" else {}
                if "pretrain" in found:  # the network is another: it takes what is its own
                    weights["initial_weights"] = _weights(found, "pretrain")["encoder_weights"]
                found[stage] = self._step(run, stage, list(found.values()), weights)
        end = predictor(shares)
        if end is not None:
            network = found["train" if "train" in found else list(shares)[-1]]
            needs = [step for step in found.values() if step is network or step.makes_maps]
            folders = {"ckpt_dir": str(network.folder / "models"), **self._attention(found)}
            found[end] = self._step(run, end, needs, folders, predicts=True, counts=False)
        return list(found.values())

    def coarse_map(self, run: Run) -> Step | None:
        """The step whose maps a strategy refines; None for a strategy that refines none, or maps made elsewhere."""
        return next((step for step in reversed(self.steps(run)) if step.makes_maps and run.strategy.refines), None)

    def cost(self, strategy: Strategy, stage: str) -> Cost | None:
        """What a stage of a strategy costs, if it was measured."""
        return (self.costs or {}).get(cost_key(self.plan, strategy, stage))

    def _coarse(self, run: Run, stage: str, found: Mapping[str, Step]) -> Step:
        """The step that makes attention maps: the coarse network's, or a plain network's in its place."""
        if stage == "coarse":
            return self._step(run, stage, [], {} if run.strategy.coarse_stage else {"labelled_maps": "none"}, True)
        return self._step(run, stage, list(found.values()), _weights(found, "pretrain_slices"), predicts=True)

    def _of_queries(self, run: Run, stage: str, found: dict[str, Step]) -> None:
        """Add pretraining or training on queries, and before the first of them the query store."""
        attention = self._attention(found)
        if "store" not in found:
            found["store"] = self._step(run, "store", list(found.values()), attention)
        folders = {**attention, "store_dir": str(found["store"].folder / "store")}
        needs = [step for step in found.values() if step.makes_maps or step.stage in ("store", "pretrain")]
        weights = _weights(found, "pretrain") if stage == "train" else {}
        if "segment" in found:
            begins = "pretrain" not in found and self._same_encoder(run.strategy, stage)  # that has begun with it
            weights["initial_weights"] = str(found["segment"].folder / "models" / "coarse.pt") if begins else None
        found[stage] = self._step(run, stage, needs, folders | weights)
        if stage == "pretrain" and self.plan.embeddings:
            examined = {"ckpt_dir": str(found[stage].folder / "models"), "map_points": 600}
            examined |= {key: value for key, value in weights.items() if key == "initial_weights"}
            found["embed"] = self._step(
                run, "embed", [*needs, found[stage]], folders | examined, counts=False, optional=True
            )

    def _self_training(self, run: Run, found: dict[str, Step]) -> None:
        """Add pseudo-labels of scans without label maps, and the plain network, which goes on with them."""
        first, network = found["segment"], found.get("train", found["segment"])
        folders = {"ckpt_dir": str(network.folder / "models"), **self._attention(found)}
        pseudo = self._step(run, teacher(found), list(dict.fromkeys([first, network])), folders)
        begins = {
            "initial_weights": str(first.folder / "models" / ("coarse.pt" if first.makes_maps else "segment.pt")),
            "pseudo_dir": str(pseudo.folder / "pseudo"),
        }
        found["pseudo_labels"] = pseudo
        found[SELF_TRAINING] = self._step(run, SELF_TRAINING, [first, pseudo], begins, predicts=first.makes_maps)

    def _same_encoder(self, strategy: Strategy, stage: str) -> bool:
        """Whether a stage's encoder can begin with that of the plain network that made the maps."""
        slices, own = (self.plan.numbers_of(strategy, one) for one in ("segment", stage))
        if ENCODERS & {group(key) for key in (*slices, *own)}:
            return False
        slices, own = ({**self.plan.keys_of.contents["common"], **numbers} for numbers in (slices, own))
        return own["spatial_dims"] == SLICES and all(slices[key] == own[key] for key in ENCODER)

    def _attention(self, found: Mapping[str, Step]) -> dict[str, str]:
        made = next(
            (step.predicts for step in reversed(list(found.values())) if step.makes_maps), self.plan.attention_dir
        )
        return {} if made is None else {"attention_dir": str(made)}

    def _step(
        self,
        run: Run,
        stage: str,
        needs: Sequence[Step],
        given: Mapping[str, Any],
        predicts: bool = False,
        counts: bool = True,
        optional: bool = False,
    ) -> Step:
        """A step, the one made before where it is the same.

        Args:
            run: which it belongs to.
            stage: of the step.
            needs: steps whose output it reads.
            given: keys that the study sets: folders of other steps, which ``needs`` stand for, and switches.
            predicts: whether it leaves predictions.
            counts: whether it spends the training budget.
            optional: whether the run goes on without it.
        """
        plan, split, labels = self.plan, run.split, run.cell.labels
        numbers = plan.numbers_of(run.strategy, stage)
        length = self.length(run, stage) if counts else None
        switches = {key: value for key, value in given.items() if key not in OWN}
        own = {**numbers, **(length.numbers if length else {}), **switches}
        made_of = {
            "numbers": {key: str(value) for key, value in own.items()},
            "data": plan.data(split, labels, run.seed),
            "seed": run.seed,
            "needs": sorted(step.key for step in needs),
            "files": plan.keys_of.version(stage),
            "version": __version__,
        }
        key = short_hash([stage, made_of])
        folder = plan.out / "runs" / split / labels.name / f"seed {run.seed}" / f"{stage} {key}"
        if folder not in self._made:
            base = {"bundle_root": str(plan.keys_of.folder.parent), "seed": run.seed, "output_dir": str(folder)}
            base["dataset_dir"] = str(plan.dataset_dir(split, labels, run.seed))
            self._made[folder] = Step(
                stage=plan.keys_of.base(stage),
                key=key,
                folder=folder,
                files=plan.keys_of.files(stage),
                overrides={**own, **given, **plan.keys_of.unvalidated(stage), **base},
                needs=tuple(needs),
                predicts=folder / (PREDICTION_FOLDER if stage in ENDS.values() else ATTENTION_FOLDER)
                if predicts
                else None,
                counts=counts,
                seconds=length.seconds if length else None,
                optional=optional,
            )
        return self._made[folder]

    def length(self, run: Run, stage: str) -> Length | None:
        """How long a stage of a run trains; None where the config's own length holds, and for the store.

        Raises:
            SemclError: when the budget is too small.
        """
        strategy, budget, shares = run.strategy, run.cell.budget, self.plan.shares(run)
        if budget is None or self.costs is None or stage not in shares:
            return None
        cost = self.costs[cost_key(self.plan, strategy, stage)]
        members = self.plan.members(run.split, run.cell.labels, run.seed)
        training = [case for case in members if case.fold is not None]
        way = CROSS_FITTED if stage == "coarse" and self.plan.cross_fits(strategy) else SIMULATED
        rounds = len(MapPlan(members, way).rounds)
        numbers = self.plan.numbers_of(strategy, stage)
        most = numbers.get("pseudo_cases", self.plan.keys_of.contents["common"]["pseudo_cases"])
        labelled = sum(case.label is not None for case in training)
        unlabelled = min(len(training) - labelled, most)  # that are predicted
        before, cases = None, len(training)
        if stage == next((other for other in shares if other in ("pretrain", "train")), None):
            before = self.costs[cost_key(self.plan, strategy, "store")]
        elif stage == SELF_TRAINING:
            before = self.costs[cost_key(self.plan, strategy, teacher(shares))]
            cases = unlabelled
        seconds = before.fixed + before.case * cases if before else 0.0
        usual = usual_length(self.plan.keys_of.contents[stage], numbers)
        names = strategy.name, stage, run.cell.name
        read = len(training) if stage in READS_VOLUMES else 0
        if (
            stage in ("segment", SELF_TRAINING)
            and strategy.coarse_stage != "segment"
            and not numbers.get("consistency")
        ):
            read = labelled + unlabelled  # it makes no maps
        return length_of(shares[stage] * budget, cost, seconds, read, rounds, usual, names)


def cost_key(plan: Plan, strategy: Strategy, stage: str) -> str:
    """A hash of all that the cost of a step of a stage depends on."""
    numbers = {key: value for key, value in plan.numbers_of(strategy, stage).items() if key not in LENGTH_KEYS}
    shown = {key: str(value) for key, value in numbers.items()}
    return f"{stage} {short_hash([plan.keys_of.version(stage), shown, __version__])}"


def _weights(found: Mapping[str, Step], stage: str) -> dict[str, Any]:
    """The encoder to start from: of a pretraining before, or none."""
    made = found.get(stage)
    return {"encoder_weights": None if made is None else str(made.folder / "models" / "encoder.pt")}
