"""The chain of stages: their order, resuming, starting over, the score."""

import shutil
from contextlib import suppress

import pytest
import yaml

from scripts.auto3dseg import chain
from scripts.errors import SemclError

CONFIGS = ("segment", "pretrain", "train", "inference")


@pytest.fixture
def folder(cohort, tmp_path):
    """A generated folder over the phantoms."""
    made = tmp_path / "semcl_0"
    (made / "configs").mkdir(parents=True)
    (made / "configs" / "hyper_parameters.yaml").write_text(yaml.safe_dump({"fold": 0, "train": {"max_epochs": 3}}))
    shutil.move(cohort, made / "cohort")
    return made


@pytest.fixture
def stages(folder, monkeypatch):
    """Stages that only note what they were run with, and leave a checkpoint where they are interrupted."""
    runs, stop = [], set()

    class Workflow:
        def __init__(self, config, logging_file, **overrides):
            self.stage, self.overrides = config.rpartition("/")[2].removesuffix(".yaml"), overrides

        def initialize(self):
            runs.append((self.stage, self.overrides.get("resume", False)))

        def run(self):
            if self.stage in stop:
                (folder / "cohort" / "jobs" / f"{self.stage}.checkpoint.pt").touch()
                raise KeyboardInterrupt

        def finalize(self):
            pass

    monkeypatch.setattr(chain, "ConfigWorkflow", Workflow)
    monkeypatch.setattr(chain, "plain_errors", lambda: None)
    monkeypatch.setattr(chain, "validation_dice", lambda *given: {"liver": 0.5, "spleen": 0.75})

    def train(interrupted=(), **override):
        runs.clear()
        stop.clear()
        stop.update(interrupted)
        with suppress(KeyboardInterrupt):
            chain.train(str(folder / "configs" / "hyper_parameters.yaml"), **override)
        return list(runs)

    return train


def test_all_stages_run_in_order_and_the_score_is_written(stages, folder):
    assert stages() == [(stage, False) for stage in CONFIGS]
    (scored,) = yaml.safe_load((folder / "cohort" / "models" / "progress.yaml").read_text())
    assert scored == {"best_avg_dice_score": 0.625, "fold": 0, "organs": {"liver": 0.5, "spleen": 0.75}}


def test_an_interrupted_chain_resumes_in_its_stage(stages, folder):
    assert stages(interrupted=["pretrain"]) == [("segment", False), ("pretrain", False)]
    assert not (folder / "cohort" / "models" / "progress.yaml").exists()
    assert stages() == [("pretrain", True), ("train", False), ("inference", False)]


def test_a_finished_chain_starts_over(stages):
    stages()
    assert stages(interrupted=["segment"]) == [("segment", False)]
    assert stages()[0] == ("segment", True)


def test_numbers_may_ask_for_a_coarse_network_of_whole_volumes(stages):
    asked = {"common#coarse_dims": 3}
    assert stages(**asked, interrupted=["coarse"]) == [("coarse", False)]
    assert stages(**asked)[0] == ("coarse", True)


def test_it_starts_over_with_other_numbers(stages):
    stages(interrupted=["train"])
    assert stages(**{"train#max_epochs": 5}) == [(stage, False) for stage in CONFIGS]


def test_mistyped_numbers_are_refused_and_leave_an_earlier_run_alone(stages, folder):
    stages()
    with pytest.raises(SemclError, match="did you mean --max_epochs"):
        stages(**{"coarse#max_epoch": 5})
    assert (folder / "cohort" / "models" / "progress.yaml").is_file()


def test_numbers_of_other_algorithms_are_reported_and_ignored(stages, capsys):
    stages(quick=True, num_epochs=3)
    assert "SemCL ignores quick, which it does not have" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stage", "numbers", "expected"),
    [
        ("coarse", {}, {"batch_size": 4}),
        ("segment", {"batch_size": 6}, {"batch_size": 8}),
        ("pretrain", {}, {"queries_per_cluster": 4}),
        ("train", {"queries_per_cluster": 6}, {"queries_per_cluster": 8}),
    ],
)
def test_batches_are_as_many_queries_as_ranks_can_share(stage, numbers, expected):
    assert chain.for_ranks(stage, numbers, 4) == expected
    assert chain.for_ranks(stage, numbers, 1) == {}
