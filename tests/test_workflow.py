"""The bundle as a workflow in Python."""

import sys

import pytest
import torch
from monai.bundle import create_workflow

from scripts.errors import root_cause
from tests.stages import ROOT, as_if_a_process_ended, workflow_of


def test_a_workflow_can_be_created_inspected_changed_and_run(cohort):
    with as_if_a_process_ended():
        workflow = create_workflow(
            config_file=str(ROOT / "bundle" / "configs" / "pretrain.yaml"),
            workflow_type="train",
            logging_file=False,
            dataset_dir=str(cohort),
            attention_dir=str(cohort / "labels"),
            widths=[4, 8, 8, 16],
            epoch_length=3,
        )
        assert len(workflow.train_dataset) > 100
        workflow.max_epochs = 1
        workflow.initialize()
        workflow.run()
        assert workflow.trainer.state.epoch == 1
        assert workflow.trainer.state.iteration == 3
        workflow.finalize()
    assert (cohort / "models" / "encoder.pt").is_file()


def test_initialize_refuses_a_config_that_no_stage_would_run_and_reads_no_cohort(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(Exception, match="Failed to evaluate") as caught:
        workflow_of("train", dataset_dir=tmp_path / "none", max_epoch=3).initialize()
    assert "did you mean --max_epochs?" in str(root_cause(caught.value))
    assert list(tmp_path.iterdir()) == []
    workflow_of("train", dataset_dir=tmp_path / "none", seed=7).initialize()
    assert torch.initial_seed() == 7
